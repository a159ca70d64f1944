//! One section of an image.

/// One run of archives that were packed together.
#[derive(Clone, Debug)]
pub struct Section {
    /// How it is packed: `none`, `gzip`, `xz`, `zstd`, `lz4`.
    pub compression: &'static str,
    /// Bytes in the image.
    pub packed: u64,
    /// The archives.
    pub(super) plain: Vec<u8>,
}

impl Section {
    /// Bytes when unpacked.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.plain.len() as u64
    }
}
