//! EFI zboot images: an EFI program that unpacks the kernel after its headers (arm64, riscv and loongarch; x86 has
//! none of its own).
//!
//! Facts: drivers/firmware/efi/libstub/zboot-header.S and Makefile.zboot, Linux 6.1 to 7.2: `MZ` at 0, `zimg` at 4,
//! the payload's place and size (32 bits each) at 8 and 12, the name of its compression at 24: gzip, zstd22 or
//! xzkern among others. Nothing in the file is trusted.

use std::io::{Cursor, Read};

/// The largest kernel that is unpacked.
const LARGEST: u64 = 256 << 20;

/// The kernel in a zboot image; `None`: it is not one, is cut off or damaged, unpacks to more than 256 MiB, or its
/// compression is not known here.
#[must_use]
pub fn unpack(file: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| -> Option<usize> {
        let bytes: [u8; 4] = file.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    if !file.starts_with(b"MZ") || file.get(4..8)? != b"zimg" {
        return None;
    }
    let start = number(8)?;
    let payload = file.get(start..start.checked_add(number(12)?)?)?;
    let name = file.get(24..56)?.split(|byte| *byte == 0).next()?;
    let input = Cursor::new(payload);
    match name {
        b"gzip" => bounded(flate2::read::GzDecoder::new(input)),
        b"zstd" | b"zstd22" => {
            bounded(zstd::stream::read::Decoder::new(input).ok()?.single_frame())
        }
        b"xz" | b"xzkern" => bounded(lzma_rust2::XzReader::new(input, false)),
        _ => None,
    }
}

/// The kernel in a gzip file (Image.gz of arm64). `None`: the file is not gzip, is cut off or damaged, or unpacks to more
/// than 256 MiB.
#[must_use]
pub fn gunzip(file: &[u8]) -> Option<Vec<u8>> {
    let packed = file.starts_with(b"\x1f\x8b");
    packed.then(|| bounded(flate2::read::GzDecoder::new(Cursor::new(file))))?
}

fn bounded(reader: impl Read) -> Option<Vec<u8>> {
    let mut kernel = Vec::new();
    let read = reader
        .take(LARGEST.saturating_add(1))
        .read_to_end(&mut kernel)
        .ok()?;
    (u64::try_from(read).ok()? <= LARGEST).then_some(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn image(name: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 0x80];
        file[..2].copy_from_slice(b"MZ");
        file[4..8].copy_from_slice(b"zimg");
        file[8..12].copy_from_slice(&0x80_u32.to_le_bytes());
        file[12..16].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        file[24..24 + name.len()].copy_from_slice(name);
        file.extend_from_slice(payload);
        file
    }

    #[test]
    fn the_kernel_comes_out() {
        let kernel = b"MZ a kernel, several times: a kernel, a kernel".repeat(9);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&kernel).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(&kernel[..], 3).unwrap();
        assert_eq!(unpack(&image(b"gzip", &gzip)).as_ref(), Some(&kernel));
        assert_eq!(unpack(&image(b"zstd22", &zstd)).as_ref(), Some(&kernel));
        assert_eq!(gunzip(&gzip).as_ref(), Some(&kernel));
        assert_eq!(gunzip(&gzip[..gzip.len() - 9]), None);
        assert_eq!(gunzip(&kernel), None);
        // What follows the payload is not part of it.
        let mut longer = image(b"gzip", &gzip);
        longer.extend([1; 9]);
        assert_eq!(unpack(&longer).as_ref(), Some(&kernel));
        assert_eq!(unpack(&image(b"lzo", &gzip)), None);
        assert_eq!(unpack(b"MZ"), None);
    }

    #[test]
    fn damage_is_no_panic() {
        let file = image(b"zstd22", &zstd::encode_all(&[7; 1000][..], 3).unwrap());
        for end in 0..file.len() {
            assert_eq!(unpack(&file[..end]), None);
        }
        for at in 0..0x80 {
            let mut hostile = file.clone();
            hostile[at] = 0xff;
            let _ = unpack(&hostile);
        }
    }
}
