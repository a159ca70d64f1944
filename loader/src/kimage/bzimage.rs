//! The x86 bzImage: its setup header, and the two parts that are loaded.
//!
//! Facts: Documentation/arch/x86/boot.rst, arch/x86/include/uapi/asm/bootparam.h, boot protocol 2.12
//! (Linux 3.8) to 2.15 (Linux 7.2). Only what the 64-bit entry needs is read.

use super::container::{BZIMAGE, ImageError, recognise};

/// Where the setup header begins, in the file and in boot_params.
pub const HEADER_START: usize = 0x1f1;
const SECTOR: u64 = 512;
const XLF_KERNEL_64: u16 = 1;
const XLF_ABOVE_4G: u16 = 2;
const XLF_5LEVEL: u16 = 1 << 5;

/// A bzImage whose header was read and whose length was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BzImage {
    /// Boot protocol, `0x020f` is 2.15.
    pub protocol: u16,
    /// `6.12.107+deb13-cloud-amd64`; empty when the image names none.
    pub release: String,
    /// The whole version string, `6.12.107+… (…) #1 SMP …`.
    pub version: String,
    /// Offset in the file of the protected-mode part, which is what is loaded.
    pub payload: usize,
    /// Bytes of the protected-mode part in the file, everything after the setup sectors.
    pub payload_len: u64,
    /// The header's length: bytes `0x1f1..header_end` are copied into boot_params.
    pub header_end: usize,
    /// The physical alignment of the load address.
    pub alignment: u64,
    /// The preferred load address, and the least one that works.
    pub pref_address: u64,
    /// Bytes of memory from the load address on that the kernel uses while it starts.
    pub init_size: u64,
    /// The longest command line, without the NUL.
    pub cmdline_size: u32,
    /// It may be loaded above 4 GiB.
    pub above_4g: bool,
    /// It can start on a CPU that is in 5-level paging.
    pub five_level: bool,
}

fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

fn le<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

impl BzImage {
    /// Reads the header of a whole image file.
    ///
    /// # Errors
    /// When it is something else, is cut off, or lacks the 64-bit entry.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let len = bytes.len() as u64;
        let cut = |what, needed| ImageError::CutOff { what, needed, len };
        let magic = bytes.get(0x202..0x206);
        if magic != Some(b"HdrS") || le(bytes, 0x1fe).map(u16::from_le_bytes) != Some(0xaa55) {
            return Err(recognise(bytes, &BZIMAGE));
        }
        let short = || cut("the setup header", 0x268);
        let u16_at = |at| le(bytes, at).map(u16::from_le_bytes).ok_or_else(short);
        let u32_at = |at| le(bytes, at).map(u32::from_le_bytes).ok_or_else(short);
        let u64_at = |at| le(bytes, at).map(u64::from_le_bytes).ok_or_else(short);

        let protocol = u16_at(0x206)?;
        if protocol < 0x020c {
            return Err(ImageError::Unsupported(
                "its boot protocol is older than 2.12 (Linux 3.8)",
            ));
        }
        if u8_at(bytes, 0x211).ok_or_else(short)? & 1 == 0 {
            return Err(ImageError::Unsupported("it is a zImage, loaded low"));
        }
        let xloadflags = u16_at(0x236)?;
        if xloadflags & XLF_KERNEL_64 == 0 {
            return Err(ImageError::Unsupported("it is a 32-bit kernel"));
        }
        if u8_at(bytes, 0x234).ok_or_else(short)? == 0 {
            return Err(ImageError::Unsupported("it is not relocatable"));
        }
        let setup_sects = match u8_at(bytes, HEADER_START).ok_or_else(short)? {
            0 => 4,
            n => u64::from(n),
        };
        let payload = (setup_sects + 1) * SECTOR;
        let syssize = u64::from(u32_at(0x1f4)?) * 16;
        if syssize == 0 {
            return Err(cut("the kernel", payload));
        }
        // Some builds pad the last paragraph, so the file may be up to 15 bytes shorter than said.
        let needed = payload + syssize;
        if len + 15 < needed {
            return Err(cut("the kernel", needed));
        }
        let header_end = 0x202 + usize::from(u8_at(bytes, 0x201).ok_or_else(short)?);
        if header_end < 0x268 || header_end as u64 > payload {
            return Err(ImageError::Unsupported(
                "its setup header has an impossible length",
            ));
        }
        let alignment = u64::from(u32_at(0x230)?);
        if !alignment.is_power_of_two() || !(4096..=1 << 30).contains(&alignment) {
            return Err(ImageError::Unsupported(
                "its alignment is not a power of two",
            ));
        }
        let init_size = u64::from(u32_at(0x260)?);
        if init_size < syssize {
            return Err(ImageError::Unsupported(
                "it says that it needs less memory than it has bytes",
            ));
        }
        let version = version_string(bytes, u16_at(0x20e)?);
        Ok(Self {
            protocol,
            release: version.split(' ').next().unwrap_or_default().to_owned(),
            version,
            payload: usize::try_from(payload).map_err(|_| short())?,
            payload_len: len.saturating_sub(payload),
            header_end,
            alignment,
            pref_address: u64_at(0x258)?,
            init_size,
            cmdline_size: u32_at(0x238)?,
            above_4g: xloadflags & XLF_ABOVE_4G != 0,
            five_level: xloadflags & XLF_5LEVEL != 0,
        })
    }

    /// The part that is loaded, out of the same bytes.
    #[must_use]
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.payload..).unwrap_or_default()
    }

    /// The setup header, to be copied to [`HEADER_START`] of boot_params.
    #[must_use]
    pub fn header<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(HEADER_START..self.header_end).unwrap_or_default()
    }
}

/// The version string, printable characters only; empty when there is none.
fn version_string(bytes: &[u8], pointer: u16) -> String {
    if pointer == 0 {
        return String::new();
    }
    let start = usize::from(pointer) + 0x200;
    let text = bytes.get(start..).unwrap_or_default();
    text.iter()
        .take(256)
        .take_while(|b| **b != 0)
        .map(|b| {
            if b.is_ascii_graphic() || *b == b' ' {
                char::from(*b)
            } else {
                '?'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
