//! `afterpanic config`: checks and prints the config, and translates other suites' configs.

mod import;

use std::io::Write;

use config::Config;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{self, Context};

const IMPORT_EXAMPLES: &str = "Examples:
  afterpanic config import > /tmp/afterpanic.toml
  afterpanic config import /etc/kdump.conf --skip 7

Exit codes: 0 every line is taken over, 4 some with a difference or not at all, 3 a line blocks.";

/// Arguments of `config`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Check the config and print the place of the first error
    Check,
    /// Print every key with its value
    Show {
        /// Print one JSON object (docs/json.md)
        #[arg(long)]
        json: bool,
    },
    /// Translate another suite's config, and say what became of each line
    ///
    /// Reads kdump.conf, sysconfig/kdump, default/kdump-tools and kdumpst's files. Prints the config on
    /// stdout and a table of the lines on stderr. Prints no config while a line blocks, because the core
    /// would go somewhere else.
    #[command(after_long_help = IMPORT_EXAMPLES)]
    Import(import::Args),
}

#[derive(Serialize)]
struct Shown {
    config: Config,
}

/// Runs `config`.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    match &args.what {
        What::Check => check(context),
        What::Show { json } => {
            let config = context.load_config()?;
            if *json {
                output::json("afterpanic.config/1", &[], &Shown { config })?;
            } else {
                output::stdout().write_all(config.show().as_bytes())?;
            }
            Ok(Exit::Done)
        }
        What::Import(args) => import::run(args, context),
    }
}

fn check(context: &Context) -> anyhow::Result<Exit> {
    let path = match &context.config {
        Some(path) => path.clone(),
        None => context.path(config::DEFAULT_PATH),
    };
    let (config, warnings) = Config::load_warned(&context.root, context.config.as_deref())?;
    warnings.iter().for_each(|warning| context.warn(warning));
    let mut out = output::stdout();
    if path.exists() {
        let changed = config.show_changed();
        let keys = changed.lines().filter(|line| line.contains(" = ")).count();
        let word = if keys == 1 {
            "key differs"
        } else {
            "keys differ"
        };
        writeln!(
            out,
            "{}: valid; {keys} {word} from the defaults",
            path.display()
        )?;
    } else {
        writeln!(
            out,
            "{}: not found; the defaults are in force",
            path.display()
        )?;
    }
    Ok(if warnings.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    })
}
