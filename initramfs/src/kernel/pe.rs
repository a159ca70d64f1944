//! EFI programs (PE/COFF): their sections, and whether they are signed.
//!
//! Facts: PE/COFF specification, sections 2 to 4 (DOS header, `PE\0\0`, file header of 20 bytes, optional header
//! with the data directories, section headers of 40 bytes); crypto/asymmetric_keys/verify_pefile.c takes a file
//! for unsigned when the directory of certificates has no place or no size. Nothing in the file is trusted:
//! every place is checked against the bytes that are there.

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

/// From `PE\0\0` on.
fn header(start: &[u8]) -> Option<&[u8]> {
    if !start.starts_with(b"MZ") {
        return None;
    }
    let header = start.get(u32_at(start, 0x3c)?..)?;
    header.starts_with(b"PE\0\0").then_some(header)
}

/// Where the section of this name, at most eight bytes, lies in the file that begins with `start`; the headers
/// must be in it. The range may pass the end of the file.
pub(super) fn section(start: &[u8], name: &str) -> Option<Range<usize>> {
    let mut wanted = [0; 8];
    wanted
        .get_mut(..name.len())?
        .copy_from_slice(name.as_bytes());
    let header = header(start)?;
    let (count, optional) = (u16_at(header, 6)?, u16_at(header, 20)?);
    let table = header.get(24_usize.checked_add(optional)?..)?;
    let section = table
        .chunks_exact(SECTION)
        .take(count)
        .find(|section| section.starts_with(&wanted))?;
    // The data is padded to the file alignment; the virtual size is the kernel's own.
    let length = u32_at(section, 8)?.min(u32_at(section, 16)?);
    let from = u32_at(section, 20)?;
    Some(from..from.checked_add(length)?)
}

/// Whether a file holds a signature, good or not; `None`: it is no EFI program.
#[must_use]
pub fn is_signed(file: &[u8]) -> Option<bool> {
    let optional = header(file)?.get(24..)?;
    // How many directories, and the first of them: in PE32 16 bytes earlier than in PE32+.
    let count = match u16_at(optional, 0)? {
        0x10b => 92,
        0x20b => 108,
        _ => return None,
    };
    let certificates = || {
        if u32_at(optional, count)? <= 4 {
            return None;
        }
        let at = count + 4 + 4 * 8;
        Some((u32_at(optional, at)?, u32_at(optional, at + 4)?))
    };
    Some(certificates().is_some_and(|(place, size)| place != 0 && size != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The headers of a PE32+ program with a directory of certificates.
    fn program(place: u32, size: u32) -> Vec<u8> {
        let mut file = vec![0; 0x200];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x40;
        file[0x40..0x44].copy_from_slice(b"PE\0\0");
        let optional = 0x40 + 24;
        file[optional..optional + 2].copy_from_slice(&0x20b_u16.to_le_bytes());
        file[optional + 108] = 16;
        file[optional + 144..optional + 148].copy_from_slice(&place.to_le_bytes());
        file[optional + 148..optional + 152].copy_from_slice(&size.to_le_bytes());
        file
    }

    #[test]
    fn a_signature_has_a_place_and_a_size() {
        assert_eq!(is_signed(&program(0x1000, 0x800)), Some(true));
        assert_eq!(is_signed(&program(0, 0)), Some(false));
        assert_eq!(is_signed(&program(0x1000, 0)), Some(false));
        assert_eq!(is_signed(b"MZ"), None);
        let mut few = program(0x1000, 0x800);
        few[0x40 + 24 + 108] = 4;
        assert_eq!(is_signed(&few), Some(false));
        for end in 0..few.len() {
            let _ = is_signed(&program(1, 1)[..end]);
        }
    }
}
