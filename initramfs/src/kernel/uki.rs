//! The kernel inside a unified kernel image: an EFI program whose section `.linux` is a whole vmlinuz.
//!
//! Facts: systemd-stub(7). A vmlinuz is an EFI program, too, but has no such section.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::pe::section;
use super::zboot;

/// The headers of every image that was seen fit into this.
const HEADERS: u64 = 64 << 10;

/// Where the section `.linux` lies in the file that begins with `start`; the headers must be in it. `None`:
/// no unified kernel image. The range may pass the end of the file.
#[must_use]
pub fn linux_section(start: &[u8]) -> Option<Range<usize>> {
    section(start, ".linux")
}

/// The bytes of a section of an EFI program, at most `limit`; `None`: there is no such section, it passes the end
/// of the file, or the file cannot be read.
#[must_use]
pub fn read_section(path: &Path, name: &str, limit: u64) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let mut start = Vec::new();
    file.by_ref().take(HEADERS).read_to_end(&mut start).ok()?;
    let section = section(&start, name)?;
    let length = u64::try_from(section.len())
        .ok()
        .filter(|length| *length <= limit)?;
    file.seek(SeekFrom::Start(u64::try_from(section.start).ok()?))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).ok()?;
    (bytes.len() == section.len()).then_some(bytes)
}

/// The kernel in these bytes: those of `.linux` in a unified kernel image, the unpacked one of a zboot image or a
/// gzip file, otherwise all of them. A section that passes the end of the file gives what is there.
#[must_use]
pub fn kernel_of(mut file: Vec<u8>) -> Vec<u8> {
    if let Some(section) = linux_section(&file) {
        file.truncate(section.end);
        file.drain(..section.start.min(file.len()));
    }
    let unpacked = zboot::unpack(&file).or_else(|| zboot::gunzip(&file));
    unpacked.unwrap_or(file)
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
            let at = 0x80 + 24 + 16 + n * 40;
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
    fn a_section_of_a_file_is_read_within_its_limit() {
        let file = program(&[(b".cmdline", b"root=x"), (b".uname", b"6.12.1")]);
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), &file).unwrap();
        let read = |name, limit| read_section(path.path(), name, limit);
        assert_eq!(read(".cmdline", 64).as_deref(), Some(&b"root=x"[..]));
        assert_eq!(read(".uname", 6).as_deref(), Some(&b"6.12.1"[..]));
        assert_eq!(read(".uname", 5), None);
        assert_eq!(read(".osrel", 64), None);
        assert_eq!(read(".much-too-long", 64), None);
        std::fs::write(path.path(), &file[..file.len() - 512]).unwrap();
        assert_eq!(read(".uname", 64), None);
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
