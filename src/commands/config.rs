//! `afterpanic config`: checks and prints the config, and translates other suites' configs.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use config::Config;
use config::import::{self, Kind};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{self, Context};

/// The longest config of another suite that is read, in bytes.
const MAX_CONFIG: u64 = 256 << 10;

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
        /// One JSON object (docs/json.md)
        #[arg(long)]
        json: bool,
    },
    /// Translate another suite's config: kdump.conf, kdump-tools, sysconfig/kdump
    Import {
        /// The other suite's config
        file: PathBuf,
    },
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
        What::Import { file } => import(file, context),
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

/// The text of a config file, which is no longer than [`MAX_CONFIG`].
fn read(file: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {}", file.display());
    let mut text = String::new();
    let opened = vmcore::dump::open_regular(file).with_context(cannot)?;
    let mut opened = opened.take(MAX_CONFIG + 1);
    opened.read_to_string(&mut text).with_context(cannot)?;
    if text.len() as u64 > MAX_CONFIG {
        bail!(
            "{} is larger than {}: no config file is that long",
            file.display(),
            output::size(MAX_CONFIG)
        );
    }
    Ok(text)
}

fn import(file: &Path, context: &Context) -> anyhow::Result<Exit> {
    let text = read(file)?;
    let Some(kind) = Kind::of(file, &text) else {
        bail!(
            "{} is neither a kdump.conf nor a kdump-tools or sysconfig/kdump file",
            file.display()
        );
    };
    let imported = import::import(kind, &text);
    for note in &imported.notes {
        context.warn(&format!("{}:{}: {}", file.display(), note.line, note.text));
    }
    if let Some(lost) = imported.lost_targets.first() {
        // A config without the target would write the core somewhere else.
        output::complain(&format!(
            "no config was written: the target in {} line {} has no counterpart. Write {} \
             by hand with a [[target]] on a local filesystem",
            file.display(),
            lost.line,
            config::DEFAULT_PATH
        ));
        return Ok(Exit::No);
    }
    let changed = imported.config.show_changed();
    let mut out = output::stdout();
    match (changed.is_empty(), imported.notes.is_empty()) {
        (true, true) => writeln!(out, "# {}: the same as the defaults.", file.display())?,
        (true, false) => writeln!(
            out,
            "# {}: nothing could be taken over; see the warnings.",
            file.display()
        )?,
        _ => {
            writeln!(
                out,
                "# From {}; every other key has its default.",
                file.display()
            )?;
            out.write_all(changed.as_bytes())?;
        }
    }
    context.hint(&format!("Next: write this to {}", config::DEFAULT_PATH));
    Ok(if imported.notes.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    })
}
