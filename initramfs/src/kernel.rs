//! The kernel that an image is for, and the one that runs now.
//!
//! Facts: Documentation/arch/x86/boot.rst (kernel_version at 0x20e, protocol 2.00 and later), ELF
//! notes in /sys/kernel/notes, Linux 5.10 to 7.2.

pub mod pe;
pub mod uki;
pub mod zboot;

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use plan::FirstKernel;
use vmcore::kernel::{Kernel, recorded};

use crate::root::Root;

/// Why the kernel cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The running release is unknown.
    #[error("Cannot read the running kernel's release in {}; is /proc mounted? Or name one with --kernel", path.display())]
    Release {
        /// The file.
        path: std::path::PathBuf,
    },
    /// The kernel file cannot be read.
    #[error("Cannot read the kernel {}; correct capture_kernel.kernel", path.display())]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel file is no bzImage.
    #[error("{} is no bzImage with a version in it; correct capture_kernel.kernel", path.display())]
    NotBzImage {
        /// The file.
        path: std::path::PathBuf,
    },
}

/// The running kernel as the plan records it.
#[must_use]
pub fn running(root: &Root) -> Option<FirstKernel> {
    let release = root.text("/proc/sys/kernel/osrelease")?;
    let addresses = match recorded::wanted_for(&release) {
        Some(true) => addresses(root),
        _ => recorded::RecordedAddresses::new(),
    };
    Some(FirstKernel {
        release,
        addresses,
        build_id: root
            .bytes("/sys/kernel/notes")
            .ok()
            .and_then(|notes| build_id(&notes)),
        nodename: root.text("/proc/sys/kernel/hostname").unwrap_or_default(),
    })
}

/// Where the things are that an old kernel's VMCOREINFO does not tell. /proc/kallsyms lists most of
/// them; the tables of kallsyms itself only its memory shows. What is hidden from the reader or
/// locked down is left out: the dump is then searched for it.
fn addresses(root: &Root) -> recorded::RecordedAddresses {
    let mut found = root
        .open_path("/proc/kallsyms")
        .and_then(std::fs::File::open)
        .and_then(|file| recorded::from_kallsyms(std::io::BufReader::new(file)))
        .unwrap_or_default();
    let live = root
        .open_path("/proc/kcore")
        .ok()
        .and_then(|path| vmcore::dump::open(&path).ok())
        .and_then(|image| Kernel::new(image).ok());
    if let Some(live) = live {
        found.extend(recorded::from_kernel(&live));
    }
    found
}

/// The release of the kernel that the config chose.
pub fn chosen(root: &Root, choice: &config::KernelChoice) -> Result<String, KernelError> {
    match choice {
        config::KernelChoice::Running => {
            root.text("/proc/sys/kernel/osrelease")
                .ok_or_else(|| KernelError::Release {
                    path: root.host("/proc/sys/kernel/osrelease"),
                })
        }
        config::KernelChoice::Path(path) => release_of(&root.host(path)),
    }
}

/// The release that a bzImage, or the one in a unified kernel image, says it is.
pub fn release_of(path: &Path) -> Result<String, KernelError> {
    let read = |source| KernelError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = std::fs::File::open(path).map_err(read)?;
    let mut start = beginning(&mut file, 0).map_err(read)?;
    if let Some(section) = uki::linux_section(&start) {
        start = beginning(&mut file, section.start as u64).map_err(read)?;
    }
    bzimage_release(&start).ok_or_else(|| KernelError::NotBzImage {
        path: path.to_owned(),
    })
}

/// The 64 KiB from an offset on, or what there is.
fn beginning(file: &mut std::fs::File, from: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(64 * 1024).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn bzimage_release(start: &[u8]) -> Option<String> {
    if start.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let offset: [u8; 2] = start.get(0x20e..0x210)?.try_into().ok()?;
    let text = start.get(usize::from(u16::from_le_bytes(offset)) + 0x200..)?;
    let end = text.iter().position(|byte| matches!(byte, 0 | b' '))?;
    let release = std::str::from_utf8(text.get(..end)?).ok()?;
    (!release.is_empty()).then(|| release.to_owned())
}

/// The GNU build id among ELF notes.
fn build_id(mut notes: &[u8]) -> Option<String> {
    loop {
        let word = |at: usize| -> Option<usize> {
            let bytes: [u8; 4] = notes.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        let (name_size, size, kind) = (word(0)?, word(4)?, word(8)?);
        let name_end = 12_usize.checked_add(name_size)?;
        let start = name_end.checked_next_multiple_of(4)?;
        let end = start.checked_add(size)?;
        let data = notes.get(start..end)?;
        if kind == 3 && notes.get(12..name_end)? == b"GNU\0" {
            return Some(data.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
}

/// The configuration of a kernel, as text: beside the kernel, among its modules, or its own.
#[must_use]
pub fn configuration(root: &Root, modules_root: &Path, release: &str) -> Option<String> {
    let files = [
        modules_root.join("boot").join(format!("config-{release}")),
        modules_root
            .join("lib/modules")
            .join(release)
            .join("config"),
        modules_root
            .join("usr/lib/modules")
            .join(release)
            .join("config"),
    ];
    if let Some(text) = files
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
    {
        return Some(text);
    }
    if root.text("/proc/sys/kernel/osrelease").as_deref() != Some(release) {
        return None;
    }
    let mut text = String::new();
    let packed = std::fs::File::open(root.host("/proc/config.gz")).ok()?;
    flate2::read::GzDecoder::new(packed)
        .take(16 << 20)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bzimage_says_its_release() {
        let mut image = vec![0_u8; 0x1000];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e] = 0x00;
        image[0x20f] = 0x0a;
        let text = b"6.1.0-56-cloud-amd64 (builder@example) #1 SMP\0";
        image[0xc00..0xc00 + text.len()].copy_from_slice(text);
        assert_eq!(
            bzimage_release(&image).as_deref(),
            Some("6.1.0-56-cloud-amd64")
        );
        image[0x202] = b'X';
        assert_eq!(bzimage_release(&image), None);
        assert_eq!(bzimage_release(&image[..0x20f]), None);
    }

    #[test]
    fn the_build_id_is_found_among_notes() {
        let mut notes = Vec::new();
        for (name, kind, data) in [
            (&b"Linux\0\0\0"[..], 0x100_u32, &b"\x01\x02\x03\0"[..]),
            (b"GNU\0", 3, b"\xde\xad\xbe\xef"),
        ] {
            let name_size = if name.len() == 8 { 6_u32 } else { 4 };
            for word in [name_size, 4, kind] {
                notes.extend(word.to_le_bytes());
            }
            notes.extend(name);
            notes.extend(data);
        }
        assert_eq!(build_id(&notes).as_deref(), Some("deadbeef"));
        for end in 0..notes.len() {
            assert_eq!(build_id(&notes[..end]), None);
        }
    }
}
