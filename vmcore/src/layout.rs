//! On-disk structures, field by field.
//!
//! Nothing is cast: a dump may come from another machine, be cut off anywhere or lie, so each field
//! is fetched by offset with a bounds check. Constants come from the format's own documents, named
//! in each file.

pub(crate) mod elf;
mod error;
pub(crate) mod frames;
pub(crate) mod kdump;
pub mod own;
pub(crate) mod page_kind;
pub(crate) mod pages_map;

pub use error::FormatError;

/// The bytes `at..at + N`, if they are all there.
fn array<const N: usize>(buf: &[u8], at: usize) -> Option<[u8; N]> {
    buf.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The little-endian u16 at `at`.
#[must_use]
pub(crate) fn le16(buf: &[u8], at: usize) -> Option<u16> {
    array(buf, at).map(u16::from_le_bytes)
}

/// The little-endian u32 at `at`.
#[must_use]
pub(crate) fn le32(buf: &[u8], at: usize) -> Option<u32> {
    array(buf, at).map(u32::from_le_bytes)
}

/// The little-endian u64 at `at`.
#[must_use]
pub fn le64(buf: &[u8], at: usize) -> Option<u64> {
    array(buf, at).map(u64::from_le_bytes)
}

/// The big-endian i64 at `at`.
#[must_use]
pub(crate) fn be64(buf: &[u8], at: usize) -> Option<i64> {
    array(buf, at).map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_bounds_checked() {
        let buf = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(le16(&buf, 0), Some(0x0201));
        assert_eq!(le32(&buf, 5), Some(0x0908_0706));
        assert_eq!(le32(&buf, 6), None);
        assert_eq!(le64(&buf, 1), Some(0x0908_0706_0504_0302));
        assert_eq!(be64(&buf, 0), Some(0x0102_0304_0506_0708));
        assert_eq!(le16(&buf, usize::MAX), None);
    }
}
