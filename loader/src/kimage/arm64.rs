//! The arm64 Image: its header, and what booting it needs. It comes packed by gzip, or in an EFI zboot image;
//! [`initramfs::kernel::uki::kernel_of`] has unpacked it before.
//!
//! Facts: Documentation/arch/arm64/booting.rst (the header of 64 bytes), arch/arm64/include/asm/image.h (flags),
//! arch/arm64/include/uapi/asm/setup.h (the longest command line), Linux 5.10 to 7.2.

use super::container::{ARM64, ImageError, recognise};

const HEADER: usize = 64;
/// Where `ARM\x64` stands.
const MAGIC_AT: usize = 56;
/// COMMAND_LINE_SIZE, with the NUL.
const COMMAND_LINE: u32 = 2048;
/// The kernel is placed at a multiple of this, plus its text offset.
const ALIGNMENT: u64 = 2 << 20;
/// Far more than a kernel needs.
const LARGEST: u64 = 1 << 30;

/// An Image whose header was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm64Image {
    /// `6.12.107+deb13-cloud-arm64`; empty when the image names none.
    pub release: String,
    /// The whole banner from the release on.
    pub version: String,
    /// Bytes from a multiple of 2 MiB to where it is loaded and entered.
    pub text_offset: u64,
    /// Bytes of memory from there on that it uses, more than the file has.
    pub size: u64,
    /// The size of its pages in bytes, where it says it.
    pub page: Option<u64>,
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

impl Arm64Image {
    /// The multiple of bytes at which the memory of every Image begins.
    pub const ALIGNMENT: u64 = ALIGNMENT;
    /// The longest command line, without the NUL.
    pub const CMDLINE: u32 = COMMAND_LINE - 1;

    /// Reads the header of a whole Image.
    ///
    /// # Errors
    /// When it is something else, or cannot be started here.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.get(MAGIC_AT..MAGIC_AT + 4) != Some(b"ARM\x64") {
            return Err(recognise(bytes, &ARM64));
        }
        let cut = || ImageError::CutOff {
            what: "the header",
            needed: HEADER as u64,
            len: bytes.len() as u64,
        };
        if bytes.len() < HEADER {
            return Err(cut());
        }
        let field = |at| le64(bytes, at).ok_or_else(cut);
        let (text_offset, size, flags) = (field(8)?, field(16)?, field(24)?);
        if size == 0 {
            return Err(ImageError::Unsupported(
                "it does not say how much memory it needs (Linux before 3.17)",
            ));
        }
        if flags & 1 != 0 {
            return Err(ImageError::Unsupported("it is big-endian"));
        }
        if text_offset >= ALIGNMENT || size > LARGEST {
            return Err(ImageError::Unsupported("its header holds impossible sizes"));
        }
        let len = bytes.len() as u64;
        if len > size {
            return Err(ImageError::Unsupported(
                "it says that it needs less memory than it has bytes",
            ));
        }
        let version = initramfs::kernel::banner(bytes).unwrap_or_default();
        Ok(Self {
            release: version.split(' ').next().unwrap_or_default().to_owned(),
            version,
            text_offset,
            size,
            page: match flags >> 1 & 3 {
                1 => Some(4 << 10),
                2 => Some(16 << 10),
                3 => Some(64 << 10),
                _ => None,
            },
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An Image of 1 MiB that needs `size` bytes.
    pub(crate) fn image(size: u64, flags: u64) -> Vec<u8> {
        let mut bytes = vec![0x33; 1 << 20];
        bytes[8..16].copy_from_slice(&0_u64.to_le_bytes());
        bytes[16..24].copy_from_slice(&size.to_le_bytes());
        bytes[24..32].copy_from_slice(&flags.to_le_bytes());
        bytes[56..60].copy_from_slice(b"ARM\x64");
        let banner = b"\0Linux version 6.12.9-arm64 (x@y) (gcc) #1 SMP\n\0";
        bytes[0x8000..0x8000 + banner.len()].copy_from_slice(banner);
        bytes
    }

    #[test]
    fn the_header_is_read() {
        let found = Arm64Image::parse(&image(40 << 20, 0b1010)).unwrap();
        assert_eq!(found.release, "6.12.9-arm64");
        assert!(found.version.ends_with("#1 SMP"), "{}", found.version);
        assert_eq!((found.text_offset, found.size), (0, 40 << 20));
        assert_eq!(found.page, Some(4096));
        let pages = [
            (0, None),
            (2, Some(4096)),
            (4, Some(16384)),
            (6, Some(65536)),
        ];
        for (flags, page) in pages {
            assert_eq!(
                Arm64Image::parse(&image(2 << 20, flags)).unwrap().page,
                page
            );
        }
    }

    #[test]
    fn what_cannot_be_started_is_refused_by_name() {
        let why = |bytes: &[u8]| Arm64Image::parse(bytes).unwrap_err().to_string();
        assert!(why(&image(40 << 20, 1)).contains("big-endian"));
        assert!(why(&image(0, 0)).contains("how much memory"));
        assert!(why(&image(4096, 0)).contains("less memory than it has bytes"));
        assert!(why(&image(2 << 30, 0)).contains("impossible sizes"));
        assert!(why(b"").contains("empty file"));
        let good = image(40 << 20, 0);
        for end in 0..64 {
            assert!(Arm64Image::parse(&good[..end]).is_err());
        }
        let nameless = &good[..0x1000];
        assert_eq!(Arm64Image::parse(nameless).unwrap().release, "");
    }
}
