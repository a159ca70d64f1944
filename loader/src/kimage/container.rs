//! Containers that a kernel comes in: each one that is not a bzImage is refused by name.

/// Why a file is not a kernel that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Something else, recognised.
    #[error("It is {what}, not a bzImage; {next}")]
    Other {
        /// What it is.
        what: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// Nothing known.
    #[error("It is not a bzImage (no HdrS header); name the vmlinuz of an x86-64 kernel")]
    Unknown,
    /// It ends too early.
    #[error(
        "It is cut off: {what} ends at byte {needed}, the file at {len}; install the kernel package again"
    )]
    CutOff {
        /// Which part is missing.
        what: &'static str,
        /// Bytes that it should have.
        needed: u64,
        /// Bytes that it has.
        len: u64,
    },
    /// A bzImage that the 64-bit protocol cannot start.
    #[error(
        "It is a bzImage that cannot be started by kexec on x86-64: {0}; choose another kernel"
    )]
    Unsupported(&'static str),
}

/// Names a container by its first bytes, for the refusal.
pub(crate) fn recognise(bytes: &[u8]) -> ImageError {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let at =
        |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|b| b.starts_with(magic));
    let vmlinuz = "name the vmlinuz that the distribution installs";
    let (what, next) = if bytes.is_empty() {
        ("an empty file", "install the kernel package again")
    } else if starts(b"\x7fELF") {
        ("an ELF file (a vmlinux?)", vmlinuz)
    } else if starts(b"MZ") && at(4, b"zimg") {
        (
            "an EFI zboot image",
            "it belongs to another architecture: name an x86-64 vmlinuz",
        )
    } else if at(56, b"ARM\x64") {
        ("an arm64 Image", "name an x86-64 vmlinuz")
    } else if starts(b"MZ") {
        (
            "an EFI program without a section .linux",
            "name a vmlinuz or a unified kernel image",
        )
    } else if starts(b"\x1f\x8b") {
        ("a gzip file", "unpack it, or name the vmlinuz")
    } else if starts(b"\x28\xb5\x2f\xfd") {
        ("a zstd file", "unpack it, or name the vmlinuz")
    } else if starts(b"\xfd7zXZ") {
        ("an xz file", "unpack it, or name the vmlinuz")
    } else if starts(b"070701") || starts(b"070702") {
        ("a cpio archive (an initramfs?)", vmlinuz)
    } else if starts(b"\x27\x05\x19\x56") {
        ("a U-Boot image", vmlinuz)
    } else if starts(b"#!") {
        ("a script", vmlinuz)
    } else {
        return ImageError::Unknown;
    };
    ImageError::Other { what, next }
}
