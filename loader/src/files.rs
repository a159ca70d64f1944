//! The kernel and image of one load: read, checked, and measured against the reserved memory.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use initramfs::kernel::uki;

use crate::iomem::Range;
use crate::kimage::KernelImage;
use crate::refusal::Refusal;

/// What the kernel may put before our command line: `elfcorehdr=0x… ` and, with
/// CONFIG_CRASH_DM_CRYPT, `dmcryptkeys=0x… `.
const CMDLINE_OVERHEAD: usize = 30 + 31;

/// The files of one load, read and checked.
pub(crate) struct Files {
    pub(crate) kernel_path: PathBuf,
    pub(crate) kernel: Vec<u8>,
    /// The kernel was inside a unified kernel image.
    pub(crate) inside: bool,
    pub(crate) header: KernelImage,
    pub(crate) image: Vec<u8>,
    pub(crate) cmdline: CString,
}

pub(crate) fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, Refusal> {
    fs::read(path).map_err(|source| Refusal::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn check_files(path: &Path, image: Vec<u8>, cmdline: &str) -> Result<Files, Refusal> {
    if image.is_empty() {
        return Err(Refusal::EmptyImage);
    }
    let files = read_kernel(path, image, cmdline)?;
    let limit = (files.header.cmdline_size as usize).saturating_sub(CMDLINE_OVERHEAD);
    if cmdline.len() > limit {
        return Err(Refusal::CmdlineTooLong {
            len: cmdline.len(),
            limit,
        });
    }
    Ok(files)
}

/// Reads and checks a kernel, for either slot.
pub(crate) fn read_kernel(path: &Path, image: Vec<u8>, cmdline: &str) -> Result<Files, Refusal> {
    let file = read(path, "kernel")?;
    let inside = uki::linux_section(&file).is_some();
    let kernel = uki::kernel_of(file);
    let header = KernelImage::parse(&kernel).map_err(|source| Refusal::NotAKernel {
        path: path.to_owned(),
        source,
    })?;
    let limit = header.cmdline_size as usize;
    if cmdline.len() > limit {
        return Err(Refusal::CmdlineTooLong {
            len: cmdline.len(),
            limit,
        });
    }
    let cmdline = CString::new(cmdline).map_err(|_| Refusal::CmdlineNul)?;
    Ok(Files {
        kernel_path: path.to_owned(),
        kernel,
        inside,
        header,
        image,
        cmdline,
    })
}

/// The least memory in which the kernel's own loader, or ours, finds places for everything.
pub(crate) fn least(header: &KernelImage, image: u64, ram: u64) -> u64 {
    let page = |n: u64| n.next_multiple_of(4096);
    // Identity page tables: a page per GiB and a few; the elfcorehdr (sized for hotplug), boot
    // parameters, purgatory, command line; what alignment loses before the kernel.
    let tables = (ram >> 30).saturating_add(16).saturating_mul(4096);
    page(header.memory)
        .saturating_add(page(image))
        .saturating_add(tables)
        .saturating_add(1 << 20)
        .saturating_add(256 << 10)
}

/// Checks that the region is large enough, and low enough for this kernel.
pub(crate) fn fits(files: &Files, region: Range) -> Result<(), Refusal> {
    let aligned = region.start.max(files.header.lowest);
    let aligned = aligned
        .checked_next_multiple_of(files.header.alignment)
        .unwrap_or(u64::MAX);
    let usable = region.end.saturating_sub(aligned);
    let needed = least(&files.header, files.image.len() as u64, 0);
    if usable < needed {
        return Err(Refusal::TooSmall {
            region,
            needed,
            missing: needed - usable,
        });
    }
    if region.end > 1 << 32 && !files.header.above_4g {
        return Err(Refusal::Above4G {
            path: files.kernel_path.clone(),
            region,
        });
    }
    Ok(())
}
