//! ostree deployments (rpm-ostree, bootc): their boot entries are written by each deployment and never edited
//! here; a tool changes the deployment's arguments.
//!
//! Facts: rpm-ostree(1); `ostree admin kargs edit-in-place` knows `--append-if-missing` only; /run/ostree-booted
//! exists on such a system; a change that is staged until the next boot is in /run/ostree/staged-deployment.
//! bootc reads /usr/lib/bootc/kargs.d of the image, and with its composefs backend there is no ostree.

use super::bls;
use super::change::{BootLoaderError, Change};
use super::effect::{Effect, Entry, judge, took};
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::Machine;
use crate::{crashkernel, root};

const STAGED: &str = "/run/ostree/staged-deployment";

pub(super) struct Ostree;

impl Loader for Ostree {
    fn kind(&self) -> BootLoader {
        BootLoader::Ostree
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        machine.has("/run/ostree-booted")
            || machine.parameter("ostree").is_some()
            || machine.parameter("composefs").is_some()
    }

    /// The entry of the deployment that boots next: the highest number.
    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        let mut entries = bls::read_entries(machine)?;
        entries.retain(|entry| entry.cmdline.contains("ostree="));
        let number = |entry: &Entry| {
            let text = machine.text(&entry.name);
            let version = text.lines().find_map(|line| line.strip_prefix("version "));
            version.and_then(|version| version.trim().parse::<u64>().ok())
        };
        let next = entries.into_iter().max_by_key(number);
        Ok(next.into_iter().collect())
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        let next = self.read(machine).unwrap_or_default();
        let now = match next.first() {
            Some(entry) => entry.cmdline.clone(),
            None => machine.words.join(" "),
        };
        let now = crashkernel::parameters(&now);
        let already = match value {
            Some(value) => {
                staged(machine, value) || next.iter().any(|entry| took(&entry.cmdline, value))
            }
            None => now.is_empty() && !next.is_empty(),
        };
        if already {
            return Ok(change);
        }
        let mut words = vec!["rpm-ostree".to_owned(), "kargs".to_owned()];
        let others = now.iter().filter(|old| Some(old.as_str()) != value);
        words.extend(others.map(|old| format!("--delete-if-present=crashkernel={old}")));
        words.extend(value.map(|value| format!("--append-if-missing=crashkernel={value}")));
        if machine.tool("rpm-ostree") {
            change.commands.push(words);
            return Ok(change);
        }
        Ok(change.by_hand(without_rpm_ostree(machine, value, &now)))
    }

    fn verify(&self, machine: &Machine<'_>, value: &str) -> Effect {
        match staged(machine, value) {
            true => Effect::Taken,
            false => judge(self.read(machine), value),
        }
    }
}

/// Whether the deployment that waits for the next boot has the value: its arguments are text in a file of
/// GLib's variants, each ended by a NUL.
fn staged(machine: &Machine<'_>, value: &str) -> bool {
    let bytes = root::bytes(machine.root, STAGED, root::TEXT).unwrap_or_default();
    let wanted = format!("crashkernel={value}");
    bytes
        .split(|byte| *byte == 0)
        .any(|text| text == wanted.as_bytes())
}

fn without_rpm_ostree(machine: &Machine<'_>, value: Option<&str>, now: &[String]) -> String {
    let Some(value) = value else {
        return "remove crashkernel= from the options line of the deployment's entry in /boot/loader/entries"
            .to_owned();
    };
    let image = format!(
        "put kargs = [\"crashkernel={value}\"] into /usr/lib/bootc/kargs.d/50-crashkernel.toml of the image, \
         build it and run bootc upgrade"
    );
    if machine.parameter("composefs").is_some() || !machine.tool("ostree") {
        return image;
    }
    let last = match now.is_empty() {
        true => "",
        false => {
            " (it comes after the crashkernel= that is there, and the kernel takes the last one)"
        }
    };
    let here =
        format!("ostree admin kargs edit-in-place --append-if-missing=crashkernel={value}{last}");
    match machine.tool("bootc") {
        true => format!("{here}; or for every machine of this image {image}"),
        false => here,
    }
}

#[cfg(test)]
mod tests;
