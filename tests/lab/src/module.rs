//! The module that dies, compiled for a kernel without that kernel's headers.
//!
//! What differs between kernels is the size of struct module and where its name, init and exit lie.
//! Every module of the kernel tells: they are the section `.gnu.linkonce.this_module` and its two
//! relocations. `vermagic` is copied, too. Without `__versions` the kernel loads it by force
//! (CONFIG_MODULE_FORCE_LOAD, set by Debian) and taints itself.

use crate::cross;
use anyhow::{Context, Result, bail, ensure};
use rehearse::guest::image::KernelFiles;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The ways to die, and how the source calls them.
pub const WAYS: [(&str, &str); 27] = [
    ("null-deref", "NULL_DEREF"),
    ("bug", "BUG"),
    ("softirq", "SOFTIRQ"),
    ("hardirq", "HARDIRQ"),
    ("spinner", "SPINNER"),
    ("notifier", "NOTIFIERS"),
    ("notifier-slow", "NOTIFIER_SLOW"),
    ("notifier-crashes", "NOTIFIER_CRASHES"),
    ("divide", "DIVIDE"),
    ("bad-jump", "STACK"),
    ("lockup", "LOCKUP"),
    ("bad-address", "BAD_ADDRESS"),
    ("warn", "WARN"),
    ("deadlock", "DEADLOCK"),
    ("soft-lockup", "SOFT_LOCKUP"),
    ("rcu-stall", "RCU_STALL"),
    ("overflow", "OVERFLOW"),
    ("double-fault", "DOUBLE_FAULT"),
    ("panic-in-irq", "PANIC_IN_IRQ"),
    ("counters", "COUNTERS"),
    ("hard-lockup", "HARD_LOCKUP"),
    ("use-after-free", "USE_AFTER_FREE"),
    ("out-of-bounds", "OUT_OF_BOUNDS"),
    ("array-index", "ARRAY_INDEX"),
    ("list-corruption", "LIST_CORRUPTION"),
    ("refcount", "REFCOUNT"),
    ("atomic-sleep", "ATOMIC_SLEEP"),
];

/// What a kernel with its own checkers (`kernel/6.12-debug.config`) compiles its modules with. Globals
/// and stacks stay as they are: those of KASAN need constructors, which this module has not.
const CHECKED: [&str; 9] = [
    "-DLOCKDEP",
    "-fsanitize=kernel-address",
    "-fsanitize=bounds",
    "--param",
    "asan-globals=0",
    "--param",
    "asan-stack=0",
    "--param",
    "asan-instrumentation-with-call-threshold=0",
];

/// How modules of any machine are compiled.
const COMMON: [&str; 11] = [
    "-c",
    "-O1",
    "-ffreestanding",
    "-fno-pic",
    "-fno-pie",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-fno-optimize-sibling-calls",
    "-Wall",
    "-Wextra",
];

/// What those of x86_64 need besides (arch/x86/Makefile).
const X86_64: [&str; 5] = [
    "-mcmodel=kernel",
    "-mno-red-zone",
    "-mno-sse",
    "-mno-mmx",
    "-fcf-protection=branch",
];

/// What those of aarch64 need besides (arch/arm64/Makefile). Return addresses are signed, as the kernel's are.
const AARCH64: [&str; 4] = [
    "-mgeneral-regs-only",
    "-mno-outline-atomics",
    "-fno-omit-frame-pointer",
    "-mbranch-protection=pac-ret",
];

/// What those of riscv64 need besides (arch/riscv/Makefile).
const RISCV64: [&str; 6] = [
    "-mabi=lp64",
    "-march=rv64imac_zicsr_zifencei",
    "-mcmodel=medany",
    "-mno-relax",
    "-mno-save-restore",
    "-fno-omit-frame-pointer",
];

/// What those of ppc64le need besides (arch/powerpc/Makefile).
const PPC64LE: [&str; 8] = [
    "-mabi=elfv2",
    "-mcmodel=large",
    "-mcpu=power8",
    "-mno-altivec",
    "-mno-vsx",
    "-msoft-float",
    "-mtraceback=no",
    "-mno-pointers-to-nested-functions",
];

/// What those of s390x need besides (arch/s390/Makefile).
const S390X: [&str; 6] = [
    "-m64",
    "-march=z10",
    "-mpacked-stack",
    "-mbackchain",
    "-msoft-float",
    "-fPIC",
];

/// The compiler for an architecture, and what it is told besides [`COMMON`].
///
/// # Errors
/// Modules of this architecture are not known.
fn compiler(arch: &str) -> Result<(String, &'static [&'static str])> {
    let flags: &[&str] = match arch {
        "x86_64" => &X86_64,
        "aarch64" => &AARCH64,
        "riscv64" => &RISCV64,
        "ppc64le" => &PPC64LE,
        "s390x" => &S390X,
        _ => bail!("No modules are built for {arch}"),
    };
    Ok((cross::cc(arch)?, flags))
}

/// Compiles it into `dir`, for a kernel of an architecture.
///
/// # Errors
/// No compiler, or a kernel whose modules look different.
pub fn build(kernel: &KernelFiles, arch: &str, way: &str, dir: &Path) -> Result<PathBuf> {
    let word = WAYS
        .iter()
        .find(|(name, _)| *name == way)
        .map(|(_, word)| *word);
    let word = word.with_context(|| {
        let names: Vec<_> = WAYS.iter().map(|(name, _)| *name).collect();
        format!(
            "The module cannot die by {way}; it knows {}",
            names.join(", ")
        )
    })?;
    let layout = layout(kernel)?;
    let out = dir.join(format!("acme-{way}.ko"));
    let printk = if kernel.release.starts_with("5.10.") {
        "printk"
    } else {
        "_printk"
    };
    let checked: &[&str] = match kernel.release.rsplit_once('-') {
        Some((_, "debug")) => &CHECKED,
        // `kernel/6.12-bare.config`: what the kernel's own modules are compiled with there.
        Some((_, "bare")) => &["-fno-omit-frame-pointer"],
        _ => &[],
    };
    let (program, flags) = compiler(arch)?;
    let output = Command::new(&program)
        .args(COMMON)
        .arg("-Werror")
        .args(flags)
        .args(checked)
        .arg(format!("-DTHIS_SIZE={}", layout.size))
        .arg(format!("-DNAME_AT={}", layout.name))
        .arg(format!("-DINIT_AT={}", layout.init))
        .arg(format!("-DEXIT_AT={}", layout.exit))
        .arg(format!("-DVERMAGIC=\"{}\"", layout.vermagic))
        .arg(format!("-DPRINTK={printk}"))
        .arg(format!("-DHOW={word}"))
        .arg("-o")
        .arg(&out)
        .arg(crate::root().join("tests/lab/module/acme.c"))
        .stdin(Stdio::null())
        .output()
        .with_context(|| {
            format!("Cannot run {program}; it is in Debian's package gcc, or gcc-{arch}-linux-gnu")
        })?;
    ensure!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(out)
}

/// What a module of a kernel has to look like.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    size: u64,
    name: u64,
    init: u64,
    exit: u64,
    vermagic: String,
}

/// Read out of virtio_blk, which every kernel here has as a module.
fn layout(kernel: &KernelFiles) -> Result<Layout> {
    let index = initramfs_index(kernel)?;
    let elf = Elf::new(&index)?;
    let this = elf.section(".gnu.linkonce.this_module")?;
    let name = b"virtio_blk\0";
    let name = this
        .windows(name.len())
        .position(|w| w == name)
        .context("The sample module has another name")?;
    let mut at = Vec::new();
    // Elf64_Rela: offset, info, addend; in the order of the offsets: init before exit.
    for rela in elf
        .section(".rela.gnu.linkonce.this_module")?
        .chunks_exact(24)
    {
        at.push(elf.number(rela, 0, 8)?);
    }
    at.sort_unstable();
    let [init, exit] = at.as_slice() else {
        bail!(
            "A module of {} refers to {} functions, not to init and exit",
            kernel.release,
            at.len()
        );
    };
    let info = elf.section(".modinfo")?;
    let vermagic = info
        .split(|b| *b == 0)
        .filter_map(|line| std::str::from_utf8(line).ok()?.strip_prefix("vermagic="))
        .next()
        .context("The sample module has no vermagic")?;
    Ok(Layout {
        size: this.len() as u64,
        name: name as u64,
        init: *init,
        exit: *exit,
        vermagic: vermagic.to_owned(),
    })
}

fn initramfs_index(kernel: &KernelFiles) -> Result<Vec<u8>> {
    let index = initramfs::modules::Index::open_dir(&kernel.modules, &kernel.release)?;
    let module = index
        .module("virtio_blk")
        .context("The kernel has no module virtio_blk")?;
    Ok(initramfs::modules::read(&index, module)?)
}

struct Elf<'a> {
    bytes: &'a [u8],
    /// Whether the first byte of a number is its highest (EI_DATA).
    big: bool,
}

impl<'a> Elf<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let order = slice(bytes, 5, 1)?;
        Ok(Self {
            bytes,
            big: order == [2],
        })
    }

    fn section(&self, wanted: &str) -> Result<&[u8]> {
        let of_file = |at, size| self.number(self.bytes, at, size);
        let (table, count) = (of_file(40, 8)?, of_file(60, 2)?);
        let header = |n: u64| slice(self.bytes, table + n * 64, 64);
        let part = |header: &[u8]| {
            let (at, size) = (self.number(header, 24, 8)?, self.number(header, 32, 8)?);
            slice(self.bytes, at, size)
        };
        let names = part(header(of_file(62, 2)?)?)?;
        for n in 0..count {
            let header = header(n)?;
            let name = names
                .get(usize::try_from(self.number(header, 0, 4)?)?..)
                .unwrap_or_default();
            if name.split(|b| *b == 0).next() == Some(wanted.as_bytes()) {
                return part(header);
            }
        }
        bail!("The sample module has no section {wanted}")
    }

    fn number(&self, bytes: &[u8], at: u64, size: u64) -> Result<u64> {
        let bytes = slice(bytes, at, size)?.iter();
        let join = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        Ok(match self.big {
            true => bytes.fold(0, join),
            false => bytes.rev().fold(0, join),
        })
    }
}

fn slice(bytes: &[u8], at: u64, size: u64) -> Result<&[u8]> {
    let at = usize::try_from(at)?;
    bytes
        .get(at..at + usize::try_from(size)?)
        .context("The sample module is cut off")
}
