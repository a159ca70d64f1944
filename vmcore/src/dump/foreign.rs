//! Formats of other dump tools, told by their first bytes so that an error can name them.
//!
//! Facts: LKCD's dump_header_asm.h (dh_magic_number, either byte order); makedumpfile's sadump_mod.h
//! (signature1 and signature2 of the partition header, which a media header may precede);
//! xen's tools/libs/guest (xc_dom_core / dump-core-format.txt: no program header, sections `.xen_*`).

use super::source::ByteSource;
use crate::layout::{le16, le64};

/// DUMP_MAGIC_NUMBER and DUMP_MAGIC_LIVE.
const LKCD: [u64; 2] = [0xa819_0173_618f_23ed, 0xa819_0173_618f_23cd];
/// signature1 and signature2, little-endian.
const SADUMP: &[u8; 8] = b"sadump\0\0";
/// Where sadump's header may begin: at a sector.
const SECTOR: usize = 512;
/// Names of sections that are looked through.
const NAMES_MAX: u64 = 4096;
/// Elf64_Shdr.
const SHDR: u64 = 64;

/// Bytes of the media header before sadump's own header, where the device has blocks as large.
const MEDIA_HEADER: u64 = 4096;

/// What a file is that begins with `head`, which begins no format that is read.
pub(super) fn name(source: &dyn ByteSource, head: &[u8]) -> Option<&'static str> {
    let magic = le64(head, 0)?;
    if LKCD.contains(&magic) || LKCD.contains(&magic.swap_bytes()) {
        return Some("an LKCD dump (lcrash)");
    }
    let mut behind = [0; SADUMP.len()];
    // A shorter file has no such header.
    let _ = source.read_at(MEDIA_HEADER, &mut behind);
    let mut sectors = head.chunks(SECTOR).chain([&behind[..]]);
    let sadump = sectors.any(|sector| sector.starts_with(SADUMP));
    sadump.then_some("a dump of Fujitsu's sadump")
}

/// Whether an ELF file is what `xl dump-core` writes of a guest.
pub(super) fn is_xen_guest(source: &dyn ByteSource, head: &[u8]) -> bool {
    let names = || {
        let (phnum, shoff) = (le16(head, 56)?, le64(head, 40)?);
        let number = u64::from(le16(head, 62)?);
        let at = shoff.checked_add(number.checked_mul(SHDR)?)?;
        if phnum != 0 || number == 0 {
            return None;
        }
        let mut section = [0; SHDR as usize];
        source.read_at(at, &mut section).ok()?;
        let len = le64(&section, 32)?.min(NAMES_MAX);
        let mut names = vec![0; usize::try_from(len).ok()?];
        source.read_at(le64(&section, 24)?, &mut names).ok()?;
        Some(names)
    };
    names().is_some_and(|names| {
        names
            .split(|byte| *byte == 0)
            .any(|name| name.starts_with(b".xen_p"))
    })
}

#[cfg(test)]
mod tests {
    use crate::dump::open_source;
    use crate::dump::source::BytesSource;
    use std::path::Path;
    use std::sync::Arc;

    fn refused(bytes: Vec<u8>) -> String {
        let opened = open_source(Path::new("core"), Arc::new(BytesSource(bytes)));
        opened.map(|_| ()).unwrap_err().to_string()
    }

    /// An ELF core without program headers and with a section header for each name.
    fn with_sections(names: &[&str]) -> Vec<u8> {
        let mut core = synth::elf::Elf::new().build()[..64].to_vec();
        let table: Vec<u8> = names
            .iter()
            .flat_map(|n| [n.as_bytes(), b"\0"].concat())
            .collect();
        core[56] = 0;
        core[40] = 64;
        core[60] = 1;
        core[62] = 1;
        core.resize(64 + 2 * 64, 0);
        core[128 + 24..128 + 32].copy_from_slice(&192_u64.to_le_bytes());
        core[128 + 32..128 + 40].copy_from_slice(&(table.len() as u64).to_le_bytes());
        core.extend(table);
        core
    }

    #[test]
    fn dumps_of_other_tools_are_refused_by_name() {
        let mut lkcd = vec![0xed, 0x23, 0x8f, 0x61, 0x73, 0x01, 0x19, 0xa8];
        lkcd.resize(8192, 0);
        assert!(refused(lkcd.clone()).contains("LKCD"));
        lkcd[..8].reverse();
        assert!(refused(lkcd).contains("LKCD"));
        for at in [0, 512, 3584, 4096] {
            let mut sadump = vec![0; 8192];
            sadump[at..at + 6].copy_from_slice(b"sadump");
            assert!(refused(sadump).contains("sadump"), "{at}");
        }
        let xen = with_sections(&["", ".shstrtab", ".note.Xen", ".xen_prstatus", ".xen_pages"]);
        assert!(refused(xen).contains("Xen"));
        assert!(!refused(with_sections(&["", ".shstrtab", ".text"])).contains("Xen"));
    }
}
