//! Addresses that an old kernel's VMCOREINFO lacks, as arming recorded them.
//!
//! Kernels before 6.0 do not say where kallsyms is. Arming knows (/proc/kallsyms, System.map), so
//! capture writes the addresses into the dump's AFTERPANIC note: lines in the notation of
//! VMCOREINFO, `BUILD-ID=…` of the kernel they belong to, then `RELATIVE(name)=…`, the distance
//! from `_stext` in hex, a minus sign before it where the symbol lies below. Other lines of the note are
//! passed over. A note of another build id is not used.

use super::Vmcoreinfo;
use crate::addr::VirtAddr;
use crate::image::Note;

/// The owner of our note.
pub const NOTE_OWNER: &[u8] = b"AFTERPANIC";
/// Its n_type.
pub const NOTE_TYPE: u32 = 0x4150_4e31;

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

/// The lines for one kernel. `symbols` are addresses of the same boot as `stext`.
#[must_use]
pub fn to_lines<'a>(
    build_id: &str,
    stext: VirtAddr,
    symbols: impl IntoIterator<Item = (&'a str, VirtAddr)>,
) -> String {
    let mut text = format!("BUILD-ID={build_id}\n");
    for (name, address) in symbols {
        let sign = if address < stext { "-" } else { "" };
        let distance = address.0.abs_diff(stext.0);
        text.push_str(&format!("RELATIVE({name})={sign}{distance:x}\n"));
    }
    text
}

/// The symbols that the notes hold for this very kernel.
#[must_use]
pub fn from_notes(notes: &[Note], info: &Vmcoreinfo) -> Vec<(String, VirtAddr)> {
    let (Some(build_id), Some(stext)) = (info.build_id(), info.symbol("_stext")) else {
        return Vec::new();
    };
    notes
        .iter()
        .filter(|note| note.name == NOTE_OWNER && note.n_type == NOTE_TYPE)
        .filter_map(|note| std::str::from_utf8(&note.desc).ok())
        .filter(|text| {
            text.lines()
                .any(|l| l.strip_prefix("BUILD-ID=") == Some(build_id))
        })
        .flat_map(str::lines)
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
        let text = to_lines(
            "abcd",
            VirtAddr(0xffff_ffff_8100_0000),
            [
                ("up", VirtAddr(0xffff_ffff_8123_4000)),
                ("down", VirtAddr(0xffff_ffff_80ff_fff0)),
            ],
        );
        let moved = Vmcoreinfo::parse(b"BUILD-ID=abcd\nSYMBOL(_stext)=ffffffff91000000\n");
        assert_eq!(
            from_notes(&[note("LEVEL=31\n"), note(&text)], &moved),
            [
                ("up".to_owned(), VirtAddr(0xffff_ffff_9123_4000)),
                ("down".to_owned(), VirtAddr(0xffff_ffff_90ff_fff0)),
            ]
        );
        let other = Vmcoreinfo::parse(b"BUILD-ID=ef\nSYMBOL(_stext)=ffffffff91000000\n");
        assert!(from_notes(&[note(&text)], &other).is_empty());
    }
}
