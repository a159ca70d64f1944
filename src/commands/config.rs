//! `afterpanic config`: whether the config is right, what is in force, and other suites' configs.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use config::import::{self, Kind};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{self, Context};

/// Arguments of `config`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Say whether the config can be read, and where not
    Check,
    /// Print every key in force
    Show {
        /// One JSON object (docs/json.md)
        #[arg(long)]
        json: bool,
    },
    /// Print /etc/kdump.conf or /etc/default/kdump-tools in afterpanic's words
    Import {
        /// The other suite's config
        file: PathBuf,
    },
}

#[derive(Serialize)]
struct Shown {
    config: config::Config,
}

/// Runs `config`.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    match &args.what {
        What::Check => check(context),
        What::Show { json } => {
            let config = context.load_config()?;
            if *json {
                output::json("afterpanic.config/1", &[], &Shown { config })?;
            } else {
                write!(std::io::stdout().lock(), "{}", config.show())?;
            }
            Ok(Exit::Done)
        }
        What::Import { file } => import(file, context),
    }
}

fn check(context: &Context) -> anyhow::Result<Exit> {
    let path = match &context.config {
        Some(path) => path.clone(),
        None => context.path(config::DEFAULT_PATH),
    };
    let config = context.load_config()?;
    let mut out = std::io::stdout().lock();
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
            "{}: right; {keys} {word} from the defaults",
            path.display()
        )?;
    } else {
        writeln!(
            out,
            "{}: not there; the defaults are in force",
            path.display()
        )?;
    }
    Ok(Exit::Done)
}

fn import(file: &std::path::Path, context: &Context) -> anyhow::Result<Exit> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("Cannot read {}", file.display()))?;
    let Some(kind) = Kind::of(file, &text) else {
        bail!(
            "{} looks neither like kdump.conf nor like /etc/default/kdump-tools",
            file.display()
        );
    };
    let imported = import::import(kind, &text);
    for note in &imported.notes {
        context.warn(&format!("{}:{}: {}", file.display(), note.line, note.text));
    }
    let changed = imported.config.show_changed();
    let mut out = std::io::stdout().lock();
    if changed.is_empty() {
        writeln!(
            out,
            "# {} asks for nothing but the defaults.",
            file.display()
        )?;
    } else {
        writeln!(
            out,
            "# From {}; every other key has its default.",
            file.display()
        )?;
        write!(out, "{changed}")?;
    }
    context.hint(&format!("Next: write this to {}", config::DEFAULT_PATH));
    Ok(if imported.notes.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    })
}
