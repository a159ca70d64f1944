//! What arming does differently on each architecture: one table. What a row names lies in a folder of its own
//! ([`crate::kexec_load`]) or in a file of a format ([`crate::kimage`]), and is compiled and tested on every host.

use std::path::Path;

use crate::files::Files;
use crate::iomem::Range;
use crate::kexec_load::{self, Layout, Purgatory};
use crate::kimage::{Arm64Image, BzImage, ImageError, KernelImage};
use crate::refusal::Refusal;

/// An architecture.
pub(crate) struct Arch {
    /// Reads a kernel image.
    pub(crate) read_kernel: fn(&[u8]) -> Result<KernelImage, ImageError>,
    /// Lays out a capture kernel for kexec_load(2).
    pub(crate) crash: fn(&Path, Range, &Files, &Purgatory) -> Result<Layout, Refusal>,
    /// Lays out a kernel that takes over the machine for kexec_load(2).
    pub(crate) boot: fn(&Path, &Files, &Purgatory) -> Result<Layout, Refusal>,
    /// The least to reserve on hardware, by RAM: what RHEL 9 reserves.
    pub(crate) least_reserved: &'static str,
    /// What Fedora's kdump-utils reserves, for comparison.
    pub(crate) fedora: &'static str,
    /// What is added to a figure that was measured on x86-64.
    pub(crate) measured_elsewhere: &'static str,
}

pub(crate) const X86_64: Arch = Arch {
    read_kernel: |bytes| BzImage::parse(bytes).map(KernelImage::from),
    crash: kexec_load::x86_64::load,
    boot: kexec_load::x86_64::load_boot,
    least_reserved: "1G-4G:192M,4G-64G:256M,64G-:512M",
    fedora: "2G-64G:256M,64G-:512M",
    measured_elsewhere: "",
};

pub(crate) const AARCH64: Arch = Arch {
    read_kernel: |bytes| Arm64Image::parse(bytes).map(KernelImage::from),
    crash: kexec_load::aarch64::load,
    boot: kexec_load::aarch64::load_boot,
    least_reserved: "1G-4G:256M,4G-64G:320M,64G-:576M",
    fedora: "1G-4G:256M,4G-64G:320M,64G-:576M",
    measured_elsewhere: " on x86_64",
};

/// The one that this program is built for (build.rs refuses others).
pub(crate) const HOST: &Arch = match cfg!(target_arch = "aarch64") {
    true => &AARCH64,
    false => &X86_64,
};
