//! Containers that a kernel comes in: each one that is not what the machine's kernels are is refused by name.

/// Why a file is not a kernel that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Something else, recognised.
    #[error("It is {what}, not {wanted}; {next}")]
    Other {
        /// What it is.
        what: &'static str,
        /// What it should be.
        wanted: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// Nothing known.
    #[error("It is not {wanted} (no {mark} header); name the vmlinuz of a kernel for {machine}")]
    Unknown {
        /// What it should be.
        wanted: &'static str,
        /// What its header would hold.
        mark: &'static str,
        /// The machine's architecture.
        machine: &'static str,
    },
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
    /// A kernel that kexec cannot start.
    #[error("It is a kernel that cannot be started by kexec here: {0}; choose another kernel")]
    Unsupported(&'static str),
}

/// A format of kernels, as messages name it.
pub(super) struct Wanted {
    pub(super) name: &'static str,
    pub(super) mark: &'static str,
    pub(super) machine: &'static str,
    /// What to do about a kernel of another architecture.
    pub(super) own: &'static str,
}

pub(super) const BZIMAGE: Wanted = Wanted {
    name: "a bzImage",
    mark: "HdrS",
    machine: "x86-64",
    own: "name an x86-64 vmlinuz",
};

pub(super) const ARM64: Wanted = Wanted {
    name: "an arm64 Image",
    mark: "ARM\\x64",
    machine: "arm64",
    own: "name an arm64 vmlinuz",
};

/// Names a container by its first bytes, for the refusal.
pub(super) fn recognise(bytes: &[u8], wanted: &Wanted) -> ImageError {
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
            "its kernel cannot be unpacked, or belongs to another architecture",
        )
    } else if at(56, b"ARM\x64") {
        ("an arm64 Image", wanted.own)
    } else if at(0x202, b"HdrS") {
        ("a bzImage", wanted.own)
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
        return ImageError::Unknown {
            wanted: wanted.name,
            mark: wanted.mark,
            machine: wanted.machine,
        };
    };
    ImageError::Other {
        what,
        wanted: wanted.name,
        next,
    }
}
