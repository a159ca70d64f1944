//! The kernel inside a unified kernel image: an EFI program whose section `.linux` is a whole vmlinuz.
//!
//! Facts: systemd-stub(7); PE/COFF specification, sections 2 to 4 (DOS header, `PE\0\0`, file header of
//! 20 bytes, optional header, section headers of 40 bytes). A vmlinuz is an EFI program, too, but has no
//! such section. Nothing in the file is trusted: every place is checked against the bytes that are there.

use std::ops::Range;

/// A section header's length.
const SECTION: usize = 40;

fn le<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    le(bytes, at).map(|bytes| usize::from(u16::from_le_bytes(bytes)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(le(bytes, at)?)).ok()
}

/// Where the section `.linux` lies in the file that begins with `start`; the headers must be in it. `None`:
/// no unified kernel image. The range may pass the end of the file.
#[must_use]
pub fn linux_section(start: &[u8]) -> Option<Range<usize>> {
    if !start.starts_with(b"MZ") {
        return None;
    }
    let pe = u32_at(start, 0x3c)?;
    let header = start.get(pe..)?;
    if !header.starts_with(b"PE\0\0") {
        return None;
    }
    let (count, optional) = (u16_at(header, 6)?, u16_at(header, 20)?);
    let table = header.get(24_usize.checked_add(optional)?..)?;
    let section = table
        .chunks_exact(SECTION)
        .take(count)
        .find(|section| section.starts_with(b".linux\0\0"))?;
    // The data is padded to the file alignment; the virtual size is the kernel's own.
    let length = u32_at(section, 8)?.min(u32_at(section, 16)?);
    let from = u32_at(section, 20)?;
    Some(from..from.checked_add(length)?)
}

/// The kernel in these bytes: those of `.linux` in a unified kernel image, otherwise all of them. A section
/// that passes the end of the file gives what is there.
#[must_use]
pub fn kernel_of(mut file: Vec<u8>) -> Vec<u8> {
    if let Some(section) = linux_section(&file) {
        file.truncate(section.end);
        file.drain(..section.start.min(file.len()));
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An EFI program with these sections, each padded to 512 bytes.
    fn program(sections: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut file = vec![0; 0x200];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x80;
        file[0x80..0x84].copy_from_slice(b"PE\0\0");
        file[0x86] = u8::try_from(sections.len()).unwrap();
        file[0x94] = 16;
        for (n, (name, data)) in sections.iter().enumerate() {
            let at = 0x80 + 24 + 16 + n * SECTION;
            let from = u32::try_from(file.len()).unwrap();
            let padded = data.len().next_multiple_of(512);
            file[at..at + name.len()].copy_from_slice(name);
            for (offset, value) in [(8, data.len()), (16, padded)] {
                let value = u32::try_from(value).unwrap();
                file[at + offset..at + offset + 4].copy_from_slice(&value.to_le_bytes());
            }
            file[at + 20..at + 24].copy_from_slice(&from.to_le_bytes());
            file.extend_from_slice(data);
            file.resize(file.len().next_multiple_of(512), 0);
        }
        file
    }

    #[test]
    fn the_kernel_is_the_section_linux() {
        let file = program(&[
            (b".text", b"stub"),
            (b".linux", b"a kernel"),
            (b".initrd", b"x"),
        ]);
        assert_eq!(kernel_of(file), b"a kernel");
    }

    #[test]
    fn other_files_are_taken_as_they_are() {
        for file in [
            program(&[(b".text", b"stub"), (b".linuxx", b"no")]),
            b"MZ".to_vec(),
            b"\x7fELF".to_vec(),
        ] {
            assert_eq!(linux_section(&file), None);
            assert_eq!(kernel_of(file.clone()), file);
        }
    }

    #[test]
    fn damage_is_no_panic() {
        let file = program(&[(b".linux", &[7; 1000])]);
        for end in 0..file.len() {
            let _ = kernel_of(file[..end].to_vec());
        }
        for at in 0..0x200 {
            let mut hostile = file.clone();
            hostile[at] = 0xff;
            let _ = kernel_of(hostile);
        }
    }
}
