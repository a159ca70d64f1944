//! `afterpanic collect`: at the next boot, names what was cut off for what it is and takes over pstore's
//! records, tells the journal which crashes are new; says whether the core of the last crash test arrived.

use crate::exit::Exit;
use crate::journal;
use crate::output::Context;
use anyhow::Context as _;
use capture::collect::{self, Collected};
use capture::crashes::{self, Crash, State as Progress};
use capture::manifest::Manifest;
use loader::state::State;
use rehearse::crash_test;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

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
    let mut records = Vec::new();
    if cut_off.is_some() {
        for directory in kept(context) {
            let done = collect::pstore(&store, &directory);
            records.push(done.with_context(|| format!("Cannot list {}", store.display()))?);
        }
    }
    let told = match &cut_off {
        Some(_) => announce(&store, context)?,
        None => Vec::new(),
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
    for problem in told {
        exit = Exit::Degraded;
        context.warn(&problem);
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

/// Where the firmware's records are: in pstore itself, or where systemd-pstore has put them in this boot.
fn kept(context: &Context) -> Vec<PathBuf> {
    let uptime = std::fs::read_to_string(context.path("/proc/uptime")).unwrap_or_default();
    let uptime = uptime.split('.').next().and_then(|text| text.parse().ok());
    let boot = uptime.and_then(|s| SystemTime::now().checked_sub(Duration::from_secs(s)));
    let archive = context.path("/var/lib/systemd/pstore");
    let mut all = vec![context.path("/sys/fs/pstore")];
    all.extend(boot.map_or_else(Vec::new, |boot| collect::archived(&archive, boot)));
    all
}

/// Tells the journal about each crash once; what went wrong, in sentences.
fn announce(store: &Path, context: &Context) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut state = match State::read(&context.root) {
        Ok(state) => state,
        // Better said twice than not at all.
        Err(why) => {
            problems.push(why.to_string());
            State::default()
        }
    };
    let found = crashes::list(store).with_context(|| format!("Cannot list {}", store.display()))?;
    let mut told = BTreeSet::new();
    for crash in found.iter().filter(|c| c.state != Progress::Partial) {
        let name = crash.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        if !state.announced.contains(&name) {
            label(&crash.path, context);
            if let Err(why) = tell(crash, context) {
                problems.push(format!("The journal was not told about {name}: {why}"));
                continue;
            }
        }
        told.insert(name);
    }
    // A directory that is gone is forgotten.
    if problems.is_empty() && told != state.announced {
        state.announced = told;
        if let Err(why) = state.write(&context.root) {
            problems.push(why.to_string());
        }
    }
    Ok(problems)
}

fn tell(crash: &Crash, context: &Context) -> std::io::Result<bool> {
    let manifest = Manifest::read(&crash.path).ok();
    let verdict = manifest.as_ref().map_or("unknown", |m| m.verdict.name());
    let signature = manifest.as_ref().and_then(|m| m.signature.as_deref());
    let path = crash.path.display().to_string();
    let died_of = signature.map(|s| format!(", {s}")).unwrap_or_default();
    let message = format!(
        "{} panicked at {}{died_of}; saved ({verdict}) in {path}; see: afterpanic report {path}",
        crash.node, crash.stamp
    );
    let fields = [
        ("AFTERPANIC_PATH", path.as_str()),
        ("AFTERPANIC_VERDICT", verdict),
        ("AFTERPANIC_SIGNATURE", signature.unwrap_or("unknown")),
    ];
    journal::send(
        &context.path("/run/systemd/journal/socket"),
        &message,
        &fields,
    )
}

/// The capture kernel knows no SELinux, so what it wrote has no labels.
fn label(path: &Path, context: &Context) {
    if context.root == Path::new("/") && Path::new("/sys/fs/selinux/enforce").exists() {
        match Command::new("restorecon").arg("-R").arg(path).status() {
            Ok(status) if status.success() => {}
            other => log::warn!("restorecon {}: {other:?}", path.display()),
        }
    }
}
