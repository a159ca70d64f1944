//! Two machines that panic at the same time and save on one server: each has a directory of its own there, and
//! both cores are whole.

use super::Check;
use crate::kernels;
use crate::network::{Kind, Network, Together, verify};
use crate::runner::Lab;
use crate::scenario::Scenario;
use anyhow::{Context, Result, anyhow, ensure};
use rehearse::session::{Crash, Session};
use rehearse::vm::{Accel, End};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// How many.
const MACHINES: usize = 2;

pub(super) fn run(lab: &Lab, server: Kind, dir: &Path) -> Result<(String, Vec<Check>)> {
    let scenario = Scenario::default();
    let kernel = kernels::get(&scenario.kernel, None, &mut |line| eprintln!("lab: {line}"))?;
    let accel = Accel::choose(&kernel.image, &crate::cache())?;
    let session = || lab.session(&scenario, kernel.clone(), accel);
    let Together {
        mut server,
        sessions,
    } = Network::of(server).together(lab, dir, MACHINES, &session)?;
    let mut checks = Vec::new();
    for (n, crash) in crash(&sessions, dir).into_iter().enumerate() {
        let end = crash?.outcome.end;
        let rebooted = match end {
            End::Reset => Ok(()),
            end => Err(anyhow!("{end:?}")),
        };
        checks.push((format!("machine {n} rebooted"), rebooted));
    }
    let dumps = dir.join("dumps");
    server.store(&dumps)?;
    for n in 0..MACHINES {
        let store = dumps.join("var/crash");
        let found = whole(&lab.binaries.afterpanic, &store, &format!("lab{n}-"));
        checks.push((format!("the core of machine {n} is whole"), found));
    }
    Ok((kernel.release, checks))
}

/// Runs all machines at once.
fn crash(sessions: &[Session], dir: &Path) -> Vec<Result<Crash>> {
    thread::scope(|scope| {
        let start = |(n, session): (usize, &Session)| {
            let (session, dir) = (session.clone(), dir.join(format!("machine{n}")));
            scope.spawn(move || session.crash(&dir, &mut |_, _| {}))
        };
        let all: Vec<_> = sessions.iter().enumerate().map(start).collect();
        all.into_iter()
            .map(|one| match one.join() {
                Ok(crash) => Ok(crash?),
                Err(_) => Err(anyhow!("the thread of a machine panicked")),
            })
            .collect()
    })
}

/// The one crash directory of a host in the stores of all machines: nothing else is beside it, and it is whole.
fn whole(afterpanic: &Path, store: &Path, host: &str) -> Result<()> {
    let machines = list(store)?;
    ensure!(
        machines.len() == MACHINES,
        "{} machines have a directory",
        machines.len()
    );
    let mut found = Vec::new();
    for machine in &machines {
        let crashes = list(machine)?;
        ensure!(crashes.len() == 1, "{} crashes of a machine", crashes.len());
        found.extend(crashes.into_iter().filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            name.is_some_and(|name| name.starts_with(host))
        }));
    }
    ensure!(
        found.len() == 1,
        "{} crash directories begin with {host}",
        found.len()
    );
    verify(afterpanic, &found.pop().context("none")?)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("Cannot list {}", dir.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}
