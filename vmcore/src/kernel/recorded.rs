//! Addresses that an old kernel's VMCOREINFO lacks, recorded while arming.
//!
//! Kernels before 6.0 do not say in VMCOREINFO where kallsyms is. Arming reads it from /proc/kallsyms
//! and /proc/kcore, the plan carries it, and capture writes it into our note
//! ([`crate::layout::own`]): `BUILD-ID=…` of the kernel, then one line `RELATIVE(name)=…` for each
//! symbol, its distance from `_stext` in hex, with a minus sign where it lies below. A reader uses
//! only lines whose build id is that of VMCOREINFO.

use super::{Kernel, Vmcoreinfo};
use crate::addr::VirtAddr;
use crate::layout::elf::Note;
use crate::layout::own;
use std::collections::BTreeMap;
use std::io::{self, BufRead};

/// Names worth recording for a kernel whose VMCOREINFO has no `kallsyms_*`.
pub const WANTED: [&str; 16] = [
    "kallsyms_num_syms",
    "kallsyms_names",
    "kallsyms_token_table",
    "kallsyms_token_index",
    "kallsyms_offsets",
    "kallsyms_relative_base",
    "__start_BTF",
    "__stop_BTF",
    "__start_orc_unwind_ip",
    "__stop_orc_unwind_ip",
    "__start_orc_unwind",
    "init_task",
    "modules",
    "vm_zone_stat",
    "vm_node_stat",
    "__per_cpu_offset",
];

/// Names and their distances from `_stext`, the same in every boot of one build.
pub type RecordedAddresses = BTreeMap<String, i64>;

/// Whether the VMCOREINFO of a kernel of this release may lack these addresses; `None` when the
/// release does not begin with two numbers.
#[must_use]
pub fn wanted_for(release: &str) -> Option<bool> {
    let mut parts = release.split(['.', '-', '+']);
    let numbers: (u32, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(numbers < (6, 0))
}

/// The [`WANTED`] symbols of /proc/kallsyms. Empty when the kernel hides addresses from the reader
/// (kptr_restrict). The tables of kallsyms itself are never listed there.
///
/// # Errors
/// Those of the reader.
pub fn from_kallsyms(lines: impl BufRead) -> io::Result<RecordedAddresses> {
    let mut stext = None;
    let mut found = Vec::new();
    for line in lines.lines() {
        let line = line?;
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(_), Some(name), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let wanted = name == "_stext" || WANTED.contains(&name);
        let Some(address) = u64::from_str_radix(address, 16)
            .ok()
            .filter(|a| wanted && *a != 0)
        else {
            continue;
        };
        if name == "_stext" {
            stext = stext.or(Some(VirtAddr(address)));
        } else {
            found.push((name.to_owned(), VirtAddr(address)));
        }
    }
    Ok(stext.map_or_else(RecordedAddresses::new, |stext| distances(stext, found)))
}

/// The [`WANTED`] symbols found in a kernel's memory: /proc/kcore while it runs.
#[must_use]
pub fn from_kernel(kernel: &Kernel) -> RecordedAddresses {
    let (Some(stext), Ok(symbols)) = (kernel.vmcoreinfo().symbol("_stext"), kernel.symbols())
    else {
        return RecordedAddresses::new();
    };
    let named = WANTED
        .iter()
        .zip(symbols.lookup_many(&WANTED))
        .filter_map(|(name, address)| Some((*name, address?)));
    let all = named.chain(symbols.tables());
    distances(stext, all.map(|(name, address)| (name.to_owned(), address)))
}

fn distances(
    stext: VirtAddr,
    symbols: impl IntoIterator<Item = (String, VirtAddr)>,
) -> RecordedAddresses {
    let distance = |address: VirtAddr| address.0.wrapping_sub(stext.0).cast_signed();
    symbols
        .into_iter()
        .map(|(name, address)| (name, distance(address)))
        .collect()
}

/// The lines for one kernel.
#[must_use]
pub fn to_lines(build_id: &str, distances: &RecordedAddresses) -> String {
    let mut text = format!("BUILD-ID={build_id}\n");
    for (name, distance) in distances {
        let sign = if *distance < 0 { "-" } else { "" };
        text.push_str(&format!(
            "RELATIVE({name})={sign}{:x}\n",
            distance.unsigned_abs()
        ));
    }
    text
}

/// The lines that the notes hold for this very kernel; empty when there are none.
#[must_use]
pub(crate) fn of_notes(notes: &[Note], info: &Vmcoreinfo) -> String {
    let own = own::texts(notes).find(|text| is_for(text, info));
    let lines = own.into_iter().flat_map(str::lines);
    lines
        .filter(|line| line.starts_with("BUILD-ID=") || line.starts_with("RELATIVE("))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Whether lines were recorded of this very kernel.
#[must_use]
pub(crate) fn is_for(text: &str, info: &Vmcoreinfo) -> bool {
    info.build_id().is_some_and(|id| {
        text.lines()
            .any(|l| l.strip_prefix("BUILD-ID=") == Some(id))
    })
}

/// The symbols of lines that were recorded of this very kernel.
#[must_use]
pub fn symbols(text: &str, info: &Vmcoreinfo) -> Vec<(String, VirtAddr)> {
    let Some(stext) = info.symbol("_stext").filter(|_| is_for(text, info)) else {
        return Vec::new();
    };
    text.lines()
        .filter_map(|line| {
            let (name, distance) = line.strip_prefix("RELATIVE(")?.split_once(")=")?;
            let address = match distance.strip_prefix('-') {
                Some(below) => stext.checked_sub(u64::from_str_radix(below, 16).ok()?)?,
                None => stext.checked_add(u64::from_str_radix(distance, 16).ok()?)?,
            };
            Some((name.to_owned(), address))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Note {
        Note {
            name: b"AFTERPANIC".to_vec(),
            n_type: 0x41504e31,
            desc: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn addresses_come_back_moved_and_only_for_their_build() {
        let distances = [("up".to_owned(), 0x23_4000), ("down".to_owned(), -0x10)];
        let text = to_lines("abcd", &distances.into());
        let moved = Vmcoreinfo::parse(b"BUILD-ID=abcd\nSYMBOL(_stext)=ffffffff91000000\n");
        let own = note(&format!("LEVEL=31\n{text}AFTERPANIC=1\n"));
        let lines = of_notes(&[note("LEVEL=31\n"), own.clone()], &moved);
        assert_eq!(lines, text);
        assert_eq!(
            symbols(&lines, &moved),
            [
                ("down".to_owned(), VirtAddr(0xffff_ffff_90ff_fff0)),
                ("up".to_owned(), VirtAddr(0xffff_ffff_9123_4000)),
            ]
        );
        let other = Vmcoreinfo::parse(b"BUILD-ID=ef\nSYMBOL(_stext)=ffffffff91000000\n");
        assert_eq!(of_notes(&[own], &other), "");
        assert!(symbols(&text, &other).is_empty());
    }

    #[test]
    fn proc_kallsyms_gives_distances_unless_it_hides_them() {
        let text = "ffffffff91000000 T _text\nffffffff91000000 T _stext\n\
                    ffffffff92613940 D init_task\nffffffff92125920 D __per_cpu_offset\n\
                    ffffffffc0123000 d init_task\t[other]\nffffffff91138720 t modules_open\n";
        let found = from_kallsyms(text.as_bytes()).unwrap();
        let expected = [("__per_cpu_offset", 0x112_5920), ("init_task", 0x161_3940)];
        assert_eq!(found, expected.map(|(n, d)| (n.to_owned(), d)).into());
        let hidden = "0000000000000000 T _stext\n0000000000000000 D init_task\n";
        assert!(from_kallsyms(hidden.as_bytes()).unwrap().is_empty());
        assert_eq!(wanted_for("5.10.0-32-cloud-amd64"), Some(true));
        assert_eq!(wanted_for("6.0.0"), Some(false));
        assert_eq!(wanted_for("linux"), None);
    }
}
