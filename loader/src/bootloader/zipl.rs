//! zipl of s390x with its own configuration: the lines are shown, nothing is written.
//!
//! Facts: zipl.conf(5): `parameters=` of each section; zipl(8) writes the boot record from it.

use super::change::{BootLoaderError, Change};
use super::effect::{Entry, took};
use super::kind::BootLoader;
use super::lines;
use super::loader::Loader;
use super::machine::Machine;

const FILE: &str = "/etc/zipl.conf";

pub(super) struct Zipl;

fn parameters(line: &str) -> Option<&str> {
    let (name, rest) = line.trim().split_once('=')?;
    (name.trim() == "parameters").then(|| rest.trim().trim_matches(['"', '\'']))
}

impl Loader for Zipl {
    fn kind(&self) -> BootLoader {
        BootLoader::Zipl
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        machine.tool("zipl") && machine.has(FILE)
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        Ok(lines::read(machine, FILE, parameters))
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        let entries = self.read(machine).unwrap_or_default();
        if value.is_some_and(|value| entries.iter().all(|e| took(&e.cmdline, value)))
            && !entries.is_empty()
        {
            return Ok(change);
        }
        lines::edit(machine, FILE, parameters, value, &mut change)?;
        Ok(match (change.edits.is_empty(), value) {
            (true, Some(value)) => change.by_hand(format!(
                "add crashkernel={value} to parameters= in {FILE}, then run zipl"
            )),
            _ => change.by_hand(format!("change these lines of {FILE}, then run zipl")),
        })
    }
}
