//! The compression of an archive: what the kernel can unpack, and the packing.
//!
//! Facts: lib/decompress_*.c and init/initramfs.c, 5.10 to 7.2. lz4 is the legacy frame; zstd is one
//! frame at a time, and its window is memory that the capture kernel must have while it unpacks, so it
//! is kept at 4 MiB. xz is never written: a kernel that unpacks only xz gets a plain archive.

use std::io::Write;

/// The window of a zstd frame: 4 MiB.
const ZSTD_WINDOW_LOG: u32 = 22;

/// The block of the legacy lz4 frame.
const LZ4_BLOCK: usize = 8 << 20;

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// zstd at this level.
    Zstd(i32),
    /// gzip.
    Gzip,
    /// lz4, legacy frame.
    Lz4,
}

impl Compression {
    /// What `image build` uses where the kernel can. Level 9 saves 2 % and takes a third longer, 19 saves
    /// 10 % and takes twenty times as long.
    pub const DEFAULT: Self = Self::Zstd(7);

    /// The best that a kernel with this configuration file unpacks.
    ///
    /// Without the file it is judged by the release: zstd came with 5.9, gzip was always there.
    #[must_use]
    pub fn for_kernel(kernel_config: Option<&str>, release: &str) -> Self {
        let Some(text) = kernel_config else {
            return if version(release) >= (5, 9) {
                Self::DEFAULT
            } else {
                Self::Gzip
            };
        };
        let has = |option: &str| {
            text.lines()
                .any(|line| line.strip_prefix(option).is_some_and(|rest| rest == "=y"))
        };
        [
            ("CONFIG_RD_ZSTD", Self::DEFAULT),
            ("CONFIG_RD_GZIP", Self::Gzip),
            ("CONFIG_RD_LZ4", Self::Lz4),
        ]
        .into_iter()
        .find(|(option, _)| has(option))
        .map_or(Self::None, |(_, compression)| compression)
    }

    /// Its name as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zstd(_) => "zstd",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
        }
    }

    /// Packs an archive. The same bytes give the same result.
    pub fn pack(self, plain: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(plain.to_vec()),
            Self::Zstd(level) => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
                encoder.include_checksum(true)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                encoder.set_pledged_src_size(Some(plain.len() as u64))?;
                encoder.write_all(plain)?;
                encoder.finish()
            }
            Self::Gzip => {
                let level = flate2::Compression::best();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(plain)?;
                encoder.finish()
            }
            Self::Lz4 => Ok(lz4_legacy(plain)),
        }
    }
}

fn lz4_legacy(plain: &[u8]) -> Vec<u8> {
    let mut out = 0x184C_2102_u32.to_le_bytes().to_vec();
    for block in plain.chunks(LZ4_BLOCK) {
        let packed = lz4_flex::block::compress(block);
        // A block of 8 MiB never packs to more than 4 GiB.
        let size = u32::try_from(packed.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&packed);
    }
    out
}

/// Major and minor number of a release.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_decides() {
        let zstd_only = "# CONFIG_RD_GZIP is not set\nCONFIG_RD_ZSTD=y\n";
        let old = "CONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\n# CONFIG_RD_ZSTD is not set\n";
        let lz4 = "CONFIG_RD_XZ=y\nCONFIG_RD_LZ4=y\nCONFIG_RD_ZSTD=m\n";
        for (config, release, expected) in [
            (Some(zstd_only), "6.1.0", Compression::DEFAULT),
            (Some(old), "6.1.0", Compression::Gzip),
            (Some(lz4), "6.1.0", Compression::Lz4),
            (Some(""), "6.1.0", Compression::None),
            (None, "6.12.107+deb13-cloud-amd64", Compression::DEFAULT),
            (None, "5.10.0-32-amd64", Compression::DEFAULT),
            (None, "5.8.1", Compression::Gzip),
            (None, "4.19.0", Compression::Gzip),
        ] {
            assert_eq!(Compression::for_kernel(config, release), expected);
        }
    }
}
