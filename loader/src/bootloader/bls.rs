//! Boot Loader Specification entries, type 1: text files with an `options` line, as systemd-boot reads them
//! (and GRUB, where its grub.cfg says `blscfg`), and /etc/kernel/cmdline, from which entries of later kernels
//! are made.
//!
//! Facts: the Boot Loader Specification (UAPI.1): `options` may occur more than once and the values
//! are joined; comments begin with `#`. Unified kernel images keep their command line inside and are
//! not touched. Several systems share one EFI system partition: an entry is this system's by its
//! `machine-id` line, or by the machine id or entry token that its file's name begins with
//! (kernel-install(8)), or else by its `root=`. Where nothing tells, only the entries of this root's own /boot are
//! its. GRUB knows
//! variables in `options`: `$kernelopts` is in its environment block (RHEL 8).

use std::fs;
use std::path::{Path, PathBuf};

use super::change::{BootLoaderError, Change, read, with_value};
use super::effect::{Entry, took};
use super::grub_cfg;
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::{Machine, same_root};
use crate::root;

const PLACES: [&str; 3] = [
    "/efi/loader/entries",
    "/boot/loader/entries",
    "/boot/efi/loader/entries",
];
/// The one that is no EFI system partition's by its path.
const OWN: &str = "/boot/loader/entries";
const FUTURE: &str = "/etc/kernel/cmdline";
/// What kernel-install takes when there is no [`FUTURE`].
const VENDORS: &str = "/usr/lib/kernel/cmdline";

pub(super) struct Bls;

impl Loader for Bls {
    fn kind(&self) -> BootLoader {
        BootLoader::Bls
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        if machine.stub_info.is_some() || entries(machine.root).is_empty() {
            return false;
        }
        if machine.loader_info.is_some() && !machine.says("GRUB") {
            return machine.says("systemd-boot");
        }
        by_grub(machine) || (grub_cfg::files(machine).is_empty() && started_one(machine))
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        read_entries(machine)
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        propose(machine, value)
    }
}

/// Whether GRUB makes its menu of entries.
pub(super) fn by_grub(machine: &Machine<'_>) -> bool {
    let files = grub_cfg::files(machine);
    let reads = |path: &PathBuf| grub_cfg::reads_entries(&machine.text(path));
    files.iter().any(reads)
        || machine
            .text("/etc/default/grub")
            .lines()
            .any(|line| line.trim().replace(['"', '\''], "") == "GRUB_ENABLE_BLSCFG=true")
}

/// Whether an entry may have started this kernel: BOOT_IMAGE, which GRUB sets, names its kernel; systemd-boot
/// sets none.
fn started_one(machine: &Machine<'_>) -> bool {
    let Some(image) = machine.parameter("BOOT_IMAGE") else {
        return true;
    };
    // `(hd0,gpt2)/vmlinuz-6.12`: GRUB's own name of the partition comes first.
    let image = image.rsplit(')').next().unwrap_or_default();
    entries(machine.root).iter().any(|path| {
        let text = machine.text(path);
        let kernel = text.lines().find_map(|line| line.strip_prefix("linux"));
        kernel.is_some_and(|kernel| kernel.trim() == image)
    })
}

/// Every system's entries that start a kernel.
pub(super) fn all(machine: &Machine<'_>) -> Vec<Entry> {
    let entries = entries(machine.root).into_iter().filter_map(|path| {
        let text = machine.text(&path);
        let options: Vec<&str> = text.lines().filter_map(option_of).collect();
        has_kernel(&text).then(|| Entry {
            name: path.display().to_string(),
            cmdline: options.join(" "),
        })
    });
    entries.collect()
}

/// This system's entries, with what the boot loader puts in for `$kernelopts`.
pub(super) fn read_entries(machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
    let system = System::of(machine.root);
    let environment = ["/boot/grub2/grubenv", "/boot/grub/grubenv"].map(|path| machine.text(path));
    let kernelopts = (environment.iter().flat_map(|text| text.lines()))
        .find_map(|line| line.strip_prefix("kernelopts="))
        .unwrap_or_default();
    let mut found = Vec::new();
    for path in entries(machine.root) {
        let text = machine.text(&path);
        if system.owner(&path, &text) != Owner::This || !has_kernel(&text) {
            continue;
        }
        let options: Vec<&str> = text.lines().filter_map(option_of).collect();
        found.push(Entry {
            name: path.display().to_string(),
            cmdline: options.join(" ").replace("$kernelopts", kernelopts),
        });
    }
    Ok(found)
}

/// Every entry file, in order.
fn entries(root: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = (PLACES.iter())
        .flat_map(|place| {
            let entries = fs::read_dir(root::under(root, place))
                .into_iter()
                .flatten()
                .flatten();
            entries.map(move |e| Path::new(place).join(e.file_name()))
        })
        .filter(|path| path.extension().is_some_and(|e| e == "conf"))
        .collect();
    out.sort();
    out
}

fn option_of(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("options")?;
    rest.starts_with([' ', '\t']).then_some(rest.trim())
}

fn has_kernel(text: &str) -> bool {
    text.lines()
        .any(|l| l.starts_with("linux ") || l.starts_with("linux\t"))
}

/// The entry with the value on one `options` line and on no other; `None`: it starts no kernel.
fn edited(text: &str, value: Option<&str>) -> Option<String> {
    let options = || {
        let lines = text.lines().enumerate();
        lines.filter_map(|(n, line)| Some((n, option_of(line)?)))
    };
    // The lines are joined, and what follows `--` is for init.
    let ends = |options: &str| crate::words::words(options).iter().any(|word| word == "--");
    let target = options().find(|(_, options)| ends(options));
    let target = target.or_else(|| options().last()).map(|(n, _)| n);
    if target.is_none() && !has_kernel(text) {
        return None;
    }
    let mut out = String::new();
    for (n, whole) in text.split_inclusive('\n').enumerate() {
        // What stays keeps its own end, `\r\n` too.
        let line = whole.lines().next().unwrap_or_default();
        let end = whole.get(line.len()..).unwrap_or_default();
        let new = option_of(line).map(|options| {
            let value = value.filter(|_| Some(n) == target);
            (options, with_value(options, value))
        });
        match new {
            Some((options, new)) if new != options => out.push_str(&format!("options {new}")),
            _ => out.push_str(line),
        }
        out.push_str(end);
    }
    if let (None, Some(value)) = (target, value) {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&format!("options crashkernel={value}\n"));
    }
    Some(out)
}

/// Whose an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    This,
    Other,
    Unknown,
}

/// What the entries of this system are known by.
struct System {
    machine: Option<String>,
    token: Option<String>,
    /// The running `root=`.
    filesystem: Option<String>,
}

/// The `root=` among an entry's options.
fn root_of(text: &str) -> Option<String> {
    let options = text.lines().filter_map(option_of);
    let mut words = options.flat_map(crate::words::words);
    words.find_map(|word| word.strip_prefix("root=").map(str::to_owned))
}

impl System {
    fn of(root: &Path) -> Self {
        let word = |path| {
            let text = root::text(root, path).ok()?;
            let word = text.split_whitespace().next()?;
            Some(word.to_owned())
        };
        let running = root::text(root, "/proc/cmdline").unwrap_or_default();
        let running = crate::words::words(&running);
        Self {
            machine: word("/etc/machine-id").filter(|id| is_id(id)),
            token: word("/etc/kernel/entry-token"),
            filesystem: (running.iter())
                .find_map(|word| word.strip_prefix("root=").map(str::to_owned)),
        }
    }

    /// Whether an entry starts this root filesystem; `None`: one of the two does not say, or they name it in
    /// different ways.
    fn same_root(&self, text: &str) -> Option<bool> {
        same_root(self.filesystem.as_ref()?, &root_of(text)?)
    }

    fn owner(&self, path: &Path, text: &str) -> Owner {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let key = text.lines().find_map(|line| {
            let rest = line.strip_prefix("machine-id")?;
            rest.starts_with([' ', '\t']).then_some(rest.trim())
        });
        let id = key.or(stem.split('-').next()).filter(|id| is_id(id));
        let by_token = self.token.as_ref().is_some_and(|token| {
            let rest = stem.strip_prefix(token.as_str());
            rest.is_some_and(|rest| rest.starts_with('-'))
        });
        match (id, &self.machine) {
            (Some(id), Some(machine)) if id.eq_ignore_ascii_case(machine) => Owner::This,
            (_, _) if key.is_none() && by_token => Owner::This,
            (Some(_), Some(_)) => Owner::Other,
            _ => match self.same_root(text) {
                Some(true) => Owner::This,
                Some(false) => Owner::Other,
                None if path.parent() == Some(Path::new(OWN)) => Owner::This,
                None => Owner::Unknown,
            },
        }
    }
}

/// Whether this is a machine id, as in machine-id(5).
fn is_id(word: &str) -> bool {
    word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Puts the value into the file that entries of later kernels are made from.
pub(super) fn later_kernels(
    machine: &Machine<'_>,
    value: Option<&str>,
    change: &mut Change,
) -> Result<(), BootLoaderError> {
    let own = machine.file(FUTURE)?;
    let vendors = machine.file(VENDORS)?;
    let Some(text) = own
        .as_ref()
        .or(vendors.as_ref().filter(|_| value.is_some()))
    else {
        if value.is_some() && !change.is_empty() {
            change.notes.push(format!(
                "{FUTURE} does not exist: entries of kernels installed later take the running command line"
            ));
        }
        return Ok(());
    };
    let after = with_value(text.trim_end(), value);
    if after != text.trim_end() {
        change.edit(Path::new(FUTURE), own, Some(format!("{after}\n")));
    }
    Ok(())
}

fn propose(machine: &Machine<'_>, value: Option<&str>) -> Result<Change, BootLoaderError> {
    let mut change = Change::new(BootLoader::Bls);
    let system = System::of(machine.root);
    let (mut ours, mut notes) = (false, Vec::new());
    for path in entries(machine.root) {
        let Some(before) = read(machine.root, &path)? else {
            continue;
        };
        let why = match system.owner(&path, &before) {
            Owner::This => None,
            Owner::Other => Some("it is another system's entry"),
            Owner::Unknown => Some("nothing in it tells which system it belongs to"),
        };
        if let Some(why) = why {
            notes.push(format!("{} is not changed: {why}", path.display()));
            continue;
        }
        ours = true;
        if let Some(after) = edited(&before, value)
            && before.trim_end() != after.trim_end()
        {
            change.edit(&path, Some(before), Some(after));
        }
    }
    later_kernels(machine, value, &mut change)?;
    change.notes.extend(notes);
    if !ours {
        change.edits.clear();
        let step = match value {
            Some(value) => format!("write crashkernel={value} into"),
            None => "remove crashkernel= from".to_owned(),
        };
        let steps = format!("{step} the options line of this system's boot entry");
        return Ok(change.by_hand(steps));
    }
    if let Some(value) = value
        && by_grub(machine)
    {
        let grub = machine.text("/etc/default/grub");
        let other = grub.lines().find(|line| {
            line.starts_with("GRUB_CMDLINE_LINUX")
                && line.contains("crashkernel=")
                && !took(line, value)
        });
        change.notes.extend(other.map(|line| {
            format!("grub2-mkconfig --update-bls-cmdline would bring back what /etc/default/grub has: {line}")
        }));
    }
    Ok(change)
}

#[cfg(test)]
mod tests;
