//! What a core says of itself besides its pages: the input of every writer.
//!
//! Facts: the kdump header's fields are those of makedumpfile's `write_kdump_header`; the note's
//! owner and type are in `layout::own`. Nothing is read from a kernel here but the text of VMCOREINFO.

use crate::dump::{DumpInfo, KernelImage, Note};
use crate::layout::elf::{NT_PRSTATUS, machine_name};
pub use crate::layout::kdump::Utsname;
use crate::layout::own;

/// The value of a field of utsname that is not known, as the kernel writes it.
const UNKNOWN: &str = "(none)";
/// Program headers an ELF core may have before it must become a kdump file: crash searches them
/// one by one.
pub(super) const MAX_ELF_RUNS: u64 = 1 << 20;

/// The formats that can be written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OutputFormat {
    /// An ELF core in the Zstandard seekable format.
    ElfZst,
    /// An ELF core in LZ4 frames with an index.
    ElfLz4,
    /// A plain ELF core.
    Elf,
    /// kdump-compressed, zstd pages.
    KdumpZstd,
    /// kdump-compressed, zlib pages.
    KdumpZlib,
}

impl OutputFormat {
    /// Every format, the default first.
    pub const ALL: [Self; 5] = [
        Self::ElfZst,
        Self::ElfLz4,
        Self::Elf,
        Self::KdumpZstd,
        Self::KdumpZlib,
    ];

    /// The name in the config and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ElfZst => "elf-zst",
            Self::ElfLz4 => "elf-lz4",
            Self::Elf => "elf",
            Self::KdumpZstd => "kdump-zstd",
            Self::KdumpZlib => "kdump-zlib",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Whether a file of this format can hold pages in so many runs.
    #[must_use]
    pub fn holds(self, runs: u64) -> bool {
        match self {
            Self::ElfZst | Self::ElfLz4 | Self::Elf => runs <= MAX_ELF_RUNS,
            Self::KdumpZstd | Self::KdumpZlib => true,
        }
    }

    /// Whether its writer goes back in the file. A stream of it must be flattened.
    #[must_use]
    pub fn goes_back(self) -> bool {
        match self {
            Self::ElfZst | Self::ElfLz4 | Self::Elf => false,
            Self::KdumpZstd | Self::KdumpZlib => true,
        }
    }

    /// What a file of this format is called after its stem: `vmcore` + `.elf.zst`.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::ElfZst => ".elf.zst",
            Self::ElfLz4 => ".elf.lz4",
            Self::Elf => ".elf",
            Self::KdumpZstd | Self::KdumpZlib => ".kdump",
        }
    }
}

/// What a dump tells of utsname. None of the fields is left empty: libkdumpfile takes the machine from
/// a kdump header only when all of them say something.
fn utsname(info: &DumpInfo) -> Utsname {
    let text = info.vmcoreinfo.as_deref().unwrap_or_default();
    let release = text
        .split(|b| *b == b'\n')
        .find_map(|line| line.strip_prefix(b"OSRELEASE="))
        .map(|release| String::from_utf8_lossy(release).into_owned());
    let known = info.utsname.clone().unwrap_or_default();
    let or = |field: String, other: &str| match field.is_empty() {
        true => other.to_owned(),
        false => field,
    };
    Utsname {
        sysname: or(known.sysname, "Linux"),
        nodename: or(known.nodename, UNKNOWN),
        release: release.unwrap_or_else(|| or(known.release, UNKNOWN)),
        version: or(known.version, UNKNOWN),
        machine: or(
            known.machine,
            machine_name(info.machine).unwrap_or_default(),
        ),
        domainname: or(known.domainname, UNKNOWN),
    }
}

/// What a writer puts around the pages.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CoreMeta {
    /// e_machine.
    pub machine: u16,
    /// The notes of the source, in order; ours is not among them.
    pub notes: Vec<Note>,
    /// The text of our own note, lines of `KEY=VALUE`; no note when empty. `LEVEL=` is the filter
    /// level and is read back as [`DumpInfo::dump_level`].
    pub own: String,
    /// page_offset_base. Unknown: every p_vaddr of the direct map is 0, as QEMU writes it.
    pub direct_map_base: Option<u64>,
    /// The kernel image mapping, which gdb needs.
    pub kernel_image: Option<KernelImage>,
    /// makedumpfile's level bits, for the kdump header.
    pub dump_level: u32,
    /// For the kdump header; readers take the architecture from `machine`.
    pub utsname: Utsname,
    /// CRASHTIME in seconds since 1970, for the kdump header.
    pub crash_time: Option<u64>,
    /// phys_base or what stands for it, modulo 2^64, for the kdump header.
    pub phys_base: u64,
    /// CPUs, for the kdump header; never 0 there.
    pub nr_cpus: u32,
}

/// What VMCOREINFO calls it on x86_64, aarch64 and riscv64: where the image begins on the first, and RAM as the direct
/// map counts it on the others. crash reads memory by it (makedumpfile 1.7.8, arch/{x86_64,arm64,riscv64}.c,
/// `get_phys_base`).
const PHYS_BASE: [&str; 3] = [
    "NUMBER(phys_base)=",
    "NUMBER(PHYS_OFFSET)=",
    "NUMBER(phys_ram_base)=",
];

impl CoreMeta {
    /// What a dump says of itself, to be written again; `own` stays empty.
    #[must_use]
    pub fn of(info: &DumpInfo) -> Self {
        let number = |key: &str| -> Option<i64> {
            let text = info.vmcoreinfo.as_deref()?;
            let line = text
                .split(|b| *b == b'\n')
                .find_map(|line| line.strip_prefix(key.as_bytes()))?;
            let text = std::str::from_utf8(line).ok()?.trim();
            match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok().map(u64::cast_signed),
                None => text.parse().ok(),
            }
        };
        let is_cpu = |note: &&Note| note.n_type == NT_PRSTATUS && note.name == b"CORE";
        let cpus = info.notes.iter().filter(is_cpu).count();
        Self {
            machine: info.machine,
            notes: info
                .notes
                .iter()
                .filter(|note| note.name != own::OWNER)
                .cloned()
                .collect(),
            own: String::new(),
            direct_map_base: info.direct_map_base,
            kernel_image: info.kernel_image,
            dump_level: info.dump_level.unwrap_or(0),
            utsname: utsname(info),
            crash_time: number("CRASHTIME=").and_then(|t| u64::try_from(t).ok()),
            phys_base: PHYS_BASE
                .into_iter()
                .find_map(number)
                .unwrap_or(0)
                .cast_unsigned(),
            nr_cpus: u32::try_from(cpus).unwrap_or(1).max(1),
        }
    }

    /// log2 of the page frames in a page of the machine, by VMCOREINFO; 0 where it does not say.
    #[must_use]
    pub(crate) fn frames_shift(&self) -> u32 {
        let text = self.notes.iter().find(|note| note.name == b"VMCOREINFO");
        let lines = text
            .into_iter()
            .flat_map(|note| note.desc.split(|b| *b == b'\n'));
        match lines
            .into_iter()
            .find_map(|line| line.strip_prefix(b"PAGESIZE="))
        {
            Some(b"16384") => 2,
            Some(b"65536") => 4,
            _ => 0,
        }
    }

    /// All notes to be written, ours last.
    #[must_use]
    pub(crate) fn all_notes(&self) -> Vec<Note> {
        let mut notes = self.notes.clone();
        if !self.own.is_empty() {
            notes.push(own::note(&self.own));
        }
        notes
    }
}
