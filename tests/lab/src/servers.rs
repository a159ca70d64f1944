//! Targets on servers beyond what one scenario shows: two machines at once, and `afterpanic rehearse`.

mod rehearsal;
mod together;

use crate::network::Kind;
use crate::results::Entry;
use crate::runner::{Lab, Options};
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;

/// A check that holds, or why not.
type Check = (String, Result<()>);
/// What runs, in a directory; the kernel's release and the checks.
type Run = fn(&Lab, Kind, &Path) -> Result<(String, Vec<Check>)>;

const ALL: [(&str, &str, Kind, Run); 4] = [
    (
        "together-nfs",
        "two machines that panic at once save on one NFS export",
        Kind::Nfs,
        together::run,
    ),
    (
        "together-ssh",
        "two machines that panic at once save on one account of an SSH server",
        Kind::Ssh,
        together::run,
    ),
    (
        "rehearse-nfs",
        "`afterpanic rehearse` of a target on an NFS server",
        Kind::Nfs,
        rehearsal::run,
    ),
    (
        "rehearse-ssh",
        "`afterpanic rehearse` of a target on an SSH server",
        Kind::Ssh,
        rehearsal::run,
    ),
];

/// Names as they are recorded, and what each is about.
pub fn names() -> impl Iterator<Item = (String, String)> {
    ALL.iter()
        .map(|(name, about, ..)| (format!("servers/{name}"), (*about).to_owned()))
}

/// Runs those of these names, or all.
///
/// # Errors
/// No such name, or a machine could not be built or started.
pub fn run(names: &[String], options: Options) -> Result<Vec<Entry>> {
    for name in names {
        let known = ALL.iter().any(|(known, ..)| known == name);
        ensure!(known, "nothing is called {name}");
    }
    let lab = Lab::new(options)?;
    let mut entries = Vec::new();
    for (name, about, kind, run) in ALL {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("lab: {name}: {about}");
        let dir = crate::cache().join("runs").join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        let (kernel, checks) = run(&lab, kind, &dir)?;
        let failed: Vec<String> = checks
            .iter()
            .filter_map(|(what, held)| Some(format!("{what}: {:#}", held.as_ref().err()?)))
            .collect();
        match failed.is_empty() {
            true => drop(fs::remove_dir_all(&dir)),
            false => failed
                .iter()
                .for_each(|why| eprintln!("lab: {name}: {why}")),
        }
        println!(
            "{name}: {} of {} checks",
            checks.len() - failed.len(),
            checks.len()
        );
        entries.push(Entry {
            name: format!("servers/{name}"),
            kernel,
            checks: checks.len(),
            failed,
        });
    }
    Ok(entries)
}
