//! Kernel images: what a file is, and whether it can be loaded here.
//!
//! A kernel comes by itself or out of a unified kernel image; each architecture has a format of its own, and
//! every other container that a kernel comes in is recognised and refused by name. Nothing in the file is trusted.

mod arm64;
pub mod bzimage;
mod container;
mod find;

pub use arm64::Arm64Image;
pub use bzimage::BzImage;
pub use container::ImageError;
pub use find::{find, find_any};
pub(crate) use find::{ukis, uncounted};

/// A kernel image that was read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelImage {
    /// `6.12.107+deb13-cloud-amd64`; empty when the image names none.
    pub release: String,
    /// The whole version string.
    pub version: String,
    /// The longest command line, without the NUL.
    pub cmdline_size: u32,
    /// Its memory begins at a multiple of so many bytes.
    pub alignment: u64,
    /// The least address at which its memory may begin.
    pub lowest: u64,
    /// Bytes of memory that it uses while it starts.
    pub memory: u64,
    /// It may lie above 4 GiB.
    pub above_4g: bool,
    /// What only its own architecture knows.
    pub format: Format,
}

/// The formats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Of x86.
    BzImage(BzImage),
    /// Of arm64.
    Arm64(Arm64Image),
}

impl KernelImage {
    /// Reads a kernel that can be loaded on this machine.
    ///
    /// # Errors
    /// When it is something else, is cut off, or cannot be started by kexec.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        match cfg!(target_arch = "aarch64") {
            true => Arm64Image::parse(bytes).map(Self::from),
            false => BzImage::parse(bytes).map(Self::from),
        }
    }
}

impl From<BzImage> for KernelImage {
    fn from(image: BzImage) -> Self {
        Self {
            release: image.release.clone(),
            version: image.version.clone(),
            cmdline_size: image.cmdline_size,
            alignment: image.alignment,
            lowest: image.pref_address,
            memory: image.init_size.max(image.payload_len),
            above_4g: image.above_4g,
            format: Format::BzImage(image),
        }
    }
}

impl From<Arm64Image> for KernelImage {
    fn from(image: Arm64Image) -> Self {
        Self {
            release: image.release.clone(),
            version: image.version.clone(),
            cmdline_size: Arm64Image::CMDLINE,
            alignment: Arm64Image::ALIGNMENT,
            lowest: 0,
            memory: image.text_offset.saturating_add(image.size),
            above_4g: true,
            format: Format::Arm64(image),
        }
    }
}
