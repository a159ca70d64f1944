//! `afterpanic collect`: at the next boot, finishes interrupted crash directories, imports pstore records,
//! announces new crashes, writes report.html; says whether the core of the last crash test arrived. With
//! `--notify`, sends what needs a network; with `--ship`, sends crash directories to the targets with `at_boot`.

use crate::exit::Exit;
use crate::output::{self, Context};
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `collect`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The directory that holds crash directories [default: those of the config's targets]
    #[arg(value_name = "DIR")]
    store: Option<PathBuf>,
    /// Only run the command and send the mail of `[notify]` for each new crash, and write the metrics (run
    /// when the network is up)
    #[arg(long, conflicts_with = "store")]
    notify: bool,
    /// Only send the crash directories of this machine's disks to the targets with `at_boot`, each once (run
    /// when the network is up)
    #[arg(long, conflicts_with_all = ["store", "notify"])]
    ship: bool,
}

/// Collects; exit code 4 when something could not be done.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.notify {
        return notify(context);
    }
    if args.ship {
        return ship(context);
    }
    let config = context.config_or_default();
    let (stores, elsewhere) = match &args.store {
        Some(store) => (vec![store.clone()], Vec::new()),
        None => {
            let stores = loader::stores::stores(&config, &context.root);
            (stores.paths, stores.elsewhere)
        }
    };
    // Nothing went wrong: a target may be mounted on demand.
    elsewhere.iter().for_each(|why| context.warn(why));
    let done = collect::run(&context.root, &stores, args.store.is_some(), &config)?;
    let mut exit = Exit::Done;
    let mut out = output::stdout();
    let pages = if config.report.html {
        collect::page::write_all(&stores)
    } else {
        collect::page::Written::default()
    };
    for path in done.paths.iter().chain(&pages.paths) {
        writeln!(out, "{}", path.display())?;
    }
    let found = done
        .test
        .map(|test| (test.id, test.found.unwrap_or_default()));
    if let Some((id, found)) = &found {
        let word = if found.passed { "passed" } else { "failed" };
        writeln!(out, "crash-test {id} {word}: {}", found.summary)?;
    }
    let wrong = found.iter().flat_map(|(_, found)| &found.wrong);
    for problem in done.problems.iter().chain(wrong).chain(&pages.problems) {
        exit = Exit::Degraded;
        context.warn(problem);
    }
    Ok(exit)
}

/// Sends what waits; exit code 4 when something could not be sent.
fn notify(context: &Context) -> anyhow::Result<Exit> {
    let sent = collect::send(&context.root, &context.load_config()?);
    let mut out = output::stdout();
    for path in &sent.crashes {
        writeln!(out, "{}", path.display())?;
    }
    sent.problems.iter().for_each(|why| context.warn(why));
    Ok(match sent.problems.is_empty() {
        true => Exit::Done,
        false => Exit::Degraded,
    })
}

/// Sends crash directories; exit code 4 when something could not be sent.
fn ship(context: &Context) -> anyhow::Result<Exit> {
    let done = collect::ship(&context.root, &context.load_config()?)?;
    let mut out = output::stdout();
    for arrived in &done.arrived {
        writeln!(out, "{arrived}")?;
    }
    for path in &done.removed {
        writeln!(out, "removed {}", path.display())?;
    }
    done.problems.iter().for_each(|why| context.warn(why));
    Ok(match done.problems.is_empty() {
        true => Exit::Done,
        false => Exit::Degraded,
    })
}
