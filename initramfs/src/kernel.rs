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
    /// The file is not a kernel.
    #[error("{} is no kernel with a version in it; correct capture_kernel.kernel", path.display())]
    NotAKernel {
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

/// The release that a kernel, or the one in a unified kernel image, says it is.
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
    let release = match bzimage_release(&start) {
        None if may_be_arm64(&start) => {
            let kernel = uki::kernel_of(std::fs::read(path).map_err(read)?);
            banner(&kernel).and_then(|banner| Some(banner.split(' ').next()?.to_owned()))
        }
        release => release,
    };
    release.ok_or_else(|| KernelError::NotAKernel {
        path: path.to_owned(),
    })
}

/// Whether a file that begins so may be an arm64 Image, packed or not. It has no version in its header.
fn may_be_arm64(start: &[u8]) -> bool {
    let at = |from: usize, mark: &[u8]| start.get(from..).is_some_and(|b| b.starts_with(mark));
    at(56, b"ARM\x64") || at(4, b"zimg") || at(0, b"\x1f\x8b")
}

/// The banner of an unpacked kernel, from the release on, printable characters only: `6.12.9-arm64 (…) #1 SMP …`
/// (init/version.c, Linux 5.10 to 7.2). A text that names no number is another one.
#[must_use]
pub fn banner(kernel: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"Linux version ";
    let mut rest = kernel;
    loop {
        let at = rest.windows(MARK.len()).position(|window| window == MARK)?;
        rest = rest.get(at.checked_add(MARK.len())?..)?;
        if rest.first().is_some_and(u8::is_ascii_digit) {
            let text = rest.iter().take(512);
            let text = text.take_while(|byte| !matches!(byte, 0 | b'\n'));
            let shown = |byte: &u8| match byte.is_ascii_graphic() || *byte == b' ' {
                true => char::from(*byte),
                false => '?',
            };
            return Some(text.map(shown).collect());
        }
    }
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
    fn an_arm64_image_says_its_release_packed_or_not() {
        use std::io::Write;
        let mut image = vec![0_u8; 0x20000];
        image[56..60].copy_from_slice(b"ARM\x64");
        let text = b"Linux version %s\0Linux version 6.12.9-arm64 (a@b) #1 SMP\n\0";
        image[0x1f000..0x1f000 + text.len()].copy_from_slice(text);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&image).unwrap();
        let gzip = gzip.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vmlinuz");
        for bytes in [&image, &gzip] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(release_of(&path).unwrap(), "6.12.9-arm64");
        }
        assert_eq!(banner(&image).as_deref(), Some("6.12.9-arm64 (a@b) #1 SMP"));
        std::fs::write(&path, &gzip[..40]).unwrap();
        assert!(release_of(&path).is_err());
        assert_eq!(banner(b"Linux version "), None);
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
