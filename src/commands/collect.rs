//! `afterpanic collect`: at the next boot, names what was cut off for what it is and takes over pstore's
//! records; says whether the core of the last crash test arrived.

use crate::exit::Exit;
use crate::output::Context;
use anyhow::Context as _;
use capture::collect::{self, Collected};
use rehearse::crash_test;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::SystemTime;

/// Arguments of `collect`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where the crash directories stand [default: /var/crash]
    #[arg(value_name = "DIR")]
    store: Option<PathBuf>,
}

/// Collects; exit code 4 when something could not be done.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let store = args
        .store
        .clone()
        .unwrap_or_else(|| context.path("/var/crash"));
    let cut_off = match collect::partials(&store, SystemTime::now()) {
        Err(error) if error.kind() == ErrorKind::NotFound && args.store.is_none() => None,
        other => Some(other.with_context(|| format!("Cannot list {}", store.display()))?),
    };
    let records = match &cut_off {
        Some(_) => Some(
            collect::pstore(&store, &context.path("/sys/fs/pstore"))
                .with_context(|| format!("Cannot list {}", store.display()))?,
        ),
        None => None,
    };
    let given: Vec<PathBuf> = args.store.iter().cloned().collect();
    let test = crash_test::settle(&context.root, &given);
    let mut exit = Exit::Done;
    let mut out = std::io::stdout().lock();
    for Collected {
        renamed,
        pstore,
        problems,
    } in cut_off.into_iter().chain(records)
    {
        for path in renamed.iter().chain(&pstore) {
            writeln!(out, "{}", path.display())?;
        }
        for problem in problems {
            exit = Exit::Degraded;
            context.warn(&problem);
        }
    }
    match test {
        Ok(None) => {}
        Ok(Some(test)) => {
            let found = test.found.unwrap_or_default();
            let word = if found.passed { "passed" } else { "failed" };
            writeln!(out, "crash-test {} {word}: {}", test.id, found.summary)?;
            for wrong in &found.wrong {
                exit = Exit::Degraded;
                context.warn(wrong);
            }
        }
        Err(error) => {
            exit = Exit::Degraded;
            context.warn(&format!("{error:#}"));
        }
    }
    Ok(exit)
}
