//! Cores that a hypervisor wrote: a Debian kernel of any architecture panics under QEMU's translation, or runs on, QEMU
//! writes its memory (`dump-guest-memory`), and what is read of the core is held against drgn with the
//! kernel's own vmlinux, against the stacks that the kernel itself printed, and against its own counters.
//!
//! The guest has a static busybox and no disk. On x86_64 and aarch64 `-device vmcoreinfo` brings the note into the
//! core; it takes the kernel's qemu_fw_cfg module. On the others the text is found in memory.

mod debuggers;
mod essential;
mod forms;
mod guest;
mod judge;
mod traces;

pub use essential::run as essential;

use crate::results::Entry;
use crate::{cache, kernels};
use analysis::reason::Class;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// What QEMU emulates.
struct Board {
    /// What `uname -m` says.
    arch: &'static str,
    qemu: &'static str,
    /// Debian's package of it.
    package: &'static str,
    words: &'static [&'static str],
    console: &'static str,
    /// Debian's name of the architecture.
    debian: &'static str,
    /// Whether a vmcoreinfo device brings the note into the core.
    noted: bool,
    /// What a kernel that panics prints when no more comes that is waited for.
    last_words: &'static str,
}

/// The last line of a panic.
const END: &str = "end Kernel panic";
/// The first one, of machines that stop before the last.
const PANIC: &str = "Kernel panic - not syncing";

const ARM: Board = Board {
    arch: "aarch64",
    qemu: "qemu-system-aarch64",
    package: "qemu-system-arm",
    words: &["-M", "virt,gic-version=3"],
    console: "ttyAMA0",
    debian: "arm64",
    noted: true,
    last_words: END,
};

const PC: Board = Board {
    arch: "x86_64",
    qemu: "qemu-system-x86_64",
    package: "qemu-system-x86",
    words: &["-M", "q35"],
    console: "ttyS0",
    debian: "amd64",
    noted: true,
    last_words: END,
};

const RISCV: Board = Board {
    arch: "riscv64",
    qemu: "qemu-system-riscv64",
    package: "qemu-system-misc",
    words: &["-M", "virt"],
    console: "ttyS0",
    debian: "riscv64",
    noted: false,
    last_words: END,
};

const POWER: Board = Board {
    arch: "ppc64le",
    qemu: "qemu-system-ppc64",
    package: "qemu-system-ppc",
    words: &[
        "-M",
        // What the translation has no mitigations for.
        "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
        "-action",
        "panic=pause",
    ],
    console: "hvc0",
    debian: "ppc64el",
    noted: false,
    last_words: PANIC,
};

const MAINFRAME: Board = Board {
    arch: "s390x",
    qemu: "qemu-system-s390x",
    package: "qemu-system-misc",
    words: &["-M", "s390-ccw-virtio", "-action", "panic=pause"],
    console: "ttyS0",
    debian: "s390x",
    noted: false,
    last_words: PANIC,
};

/// What becomes of a kernel before it is dumped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// The SysRq key c, after the kernel printed the stacks of all tasks.
    Sysrq,
    /// A task takes all memory, and vm.panic_on_oom is set.
    OutOfMemory,
    /// Nothing.
    RunsOn,
}

impl Fate {
    /// What a report calls it.
    fn class(self) -> Option<Class> {
        match self {
            Self::Sysrq => Some(Class::Sysrq),
            Self::OutOfMemory => Some(Class::Oom),
            Self::RunsOn => None,
        }
    }
}

/// A machine whose core is read.
struct Machine {
    board: &'static Board,
    fate: Fate,
    name: &'static str,
    about: &'static str,
    kernel: &'static str,
    cpu: &'static str,
    /// What else the kernel is told.
    cmdline: &'static str,
    /// Whether drgn is asked; the vmlinux of the large kernel takes a gigabyte to fetch.
    drgn: bool,
}

const MACHINES: [Machine; 17] = [
    Machine {
        board: &PC,
        fate: Fate::Sysrq,
        name: "x86_64-panicked",
        about: "x86-64, dumped by its hypervisor after a panic without a capture kernel",
        kernel: "6.12",
        cpu: "Haswell-v4,-cx16",
        cmdline: "",
        drgn: true,
    },
    Machine {
        board: &PC,
        fate: Fate::RunsOn,
        name: "x86_64-runs",
        about: "x86-64, dumped by its hypervisor while it runs",
        kernel: "6.12",
        cpu: "Haswell-v4,-cx16",
        cmdline: "",
        drgn: true,
    },
    Machine {
        board: &ARM,
        fate: Fate::Sysrq,
        name: "4k-a57",
        about: "aarch64, pages of 4 KiB, a CPU with 48 bits of address",
        kernel: "6.12-arm64",
        cpu: "cortex-a57",
        cmdline: "",
        drgn: true,
    },
    Machine {
        board: &ARM,
        fate: Fate::Sysrq,
        name: "4k-max",
        about: "aarch64, pages of 4 KiB, 52 bits of address (LPA2), pointer authentication",
        kernel: "6.12-arm64",
        cpu: "max",
        cmdline: "",
        drgn: true,
    },
    Machine {
        board: &ARM,
        fate: Fate::Sysrq,
        name: "16k-a76",
        about: "aarch64, pages of 16 KiB, a CPU with 47 bits of address",
        kernel: "6.12-arm64-16k",
        cpu: "cortex-a76",
        cmdline: "",
        drgn: false,
    },
    Machine {
        board: &ARM,
        fate: Fate::Sysrq,
        name: "16k-max",
        about: "aarch64, pages of 16 KiB, 52 bits of address (LPA2), pointer authentication",
        kernel: "6.12-arm64-16k",
        cpu: "max",
        cmdline: "",
        drgn: false,
    },
    Machine {
        board: &RISCV,
        fate: Fate::Sysrq,
        name: "sv57",
        about: "riscv64, 57 bits of address",
        kernel: "6.12-riscv64",
        cpu: "rv64",
        cmdline: "",
        drgn: true,
    },
    Machine {
        board: &RISCV,
        fate: Fate::Sysrq,
        name: "sv48",
        about: "riscv64, 48 bits of address",
        kernel: "6.12-riscv64",
        cpu: "rv64",
        cmdline: "no5lvl",
        drgn: true,
    },
    Machine {
        board: &RISCV,
        fate: Fate::Sysrq,
        name: "sv39",
        about: "riscv64, 39 bits of address",
        kernel: "6.12-riscv64",
        cpu: "rv64",
        cmdline: "no4lvl",
        drgn: true,
    },
    Machine {
        board: &POWER,
        fate: Fate::Sysrq,
        name: "radix-64k",
        about: "ppc64le, radix MMU, pages of 64 KiB",
        kernel: "6.12-ppc64el-64k",
        cpu: "POWER9",
        cmdline: "",
        drgn: true,
    },
    Machine {
        board: &POWER,
        fate: Fate::Sysrq,
        name: "radix-4k",
        about: "ppc64le, radix MMU, pages of 4 KiB",
        kernel: "6.12-ppc64el",
        cpu: "POWER9",
        cmdline: "",
        drgn: false,
    },
    Machine {
        board: &POWER,
        fate: Fate::Sysrq,
        name: "hash-64k",
        about: "ppc64le, hash MMU, pages of 64 KiB",
        kernel: "6.12-ppc64el-64k",
        cpu: "POWER9",
        cmdline: "disable_radix",
        drgn: true,
    },
    Machine {
        board: &POWER,
        fate: Fate::Sysrq,
        name: "hash-4k",
        about: "ppc64le, hash MMU, pages of 4 KiB",
        kernel: "6.12-ppc64el",
        cpu: "POWER9",
        cmdline: "disable_radix",
        drgn: false,
    },
    Machine {
        board: &MAINFRAME,
        fate: Fate::Sysrq,
        name: "z-max",
        about: "s390x, which is big-endian",
        kernel: "6.12-s390x",
        cpu: "max",
        cmdline: "",
        drgn: true,
    },
    Machine {
        board: &RISCV,
        fate: Fate::OutOfMemory,
        name: "riscv64-oom",
        about: "riscv64, a task took all memory",
        kernel: "6.12-riscv64",
        cpu: "rv64",
        cmdline: "",
        drgn: false,
    },
    Machine {
        board: &POWER,
        fate: Fate::OutOfMemory,
        name: "ppc64le-oom",
        about: "ppc64le, a task took all memory",
        kernel: "6.12-ppc64el-64k",
        cpu: "POWER9",
        cmdline: "",
        drgn: false,
    },
    Machine {
        board: &MAINFRAME,
        fate: Fate::OutOfMemory,
        name: "s390x-oom",
        about: "s390x, a task took all memory",
        kernel: "6.12-s390x",
        cpu: "max",
        cmdline: "",
        drgn: false,
    },
];

/// The architectures whose cores are made.
pub const ARCHITECTURES: [&str; 5] = [PC.arch, ARM.arch, RISCV.arch, POWER.arch, MAINFRAME.arch];

/// The machines by name, with what each shows.
pub fn names() -> impl Iterator<Item = (&'static str, String)> {
    MACHINES.iter().map(|m| (m.name, m.about.to_owned()))
}

/// Makes and reads the cores of the machines named, or of an architecture; none: of all. A core that was read right
/// is removed, unless it is to be kept.
///
/// # Errors
/// A machine is not known, or a kernel cannot be fetched. What is wrong with a core is in its entry.
pub fn run(arch: Option<&str>, names: &[String], keep: bool) -> Result<Vec<Entry>> {
    if let Some(other) = names
        .iter()
        .find(|name| MACHINES.iter().all(|m| m.name != **name))
    {
        let known: Vec<_> = MACHINES.iter().map(|m| m.name).collect();
        bail!(
            "No machine is called {other}; there are {}",
            known.join(", ")
        );
    }
    let wanted = |m: &&Machine| {
        arch.is_none_or(|arch| arch == m.board.arch)
            && (names.is_empty() || names.iter().any(|name| name == m.name))
    };
    let mut entries = Vec::new();
    for machine in MACHINES.iter().filter(wanted) {
        eprintln!("lab: {}: {}", machine.name, machine.about);
        let dir = cache().join("cores").join(machine.name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        entries.push(one(machine, &dir, keep)?);
    }
    for entry in &entries {
        let word = if entry.failed.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        println!("{:<16} {} checks, {word}", entry.name, entry.checks);
    }
    let failed = entries.iter().filter(|e| !e.failed.is_empty()).count();
    println!("{} passed, {failed} failed", entries.len() - failed);
    Ok(entries)
}

/// The files of one machine's memory.
struct Core {
    /// As QEMU writes it, a gigabyte.
    elf: PathBuf,
    /// The same in its kdump form, which is flattened.
    kdump: PathBuf,
    /// Ours, at level 31.
    filtered: PathBuf,
}

impl Core {
    fn within(dir: &Path) -> Self {
        Self {
            elf: dir.join("core"),
            kdump: dir.join("core.kdump"),
            filtered: dir.join("31.elf"),
        }
    }

    fn remove(&self) {
        for file in [&self.elf, &self.kdump, &self.filtered] {
            let _ = fs::remove_file(file);
        }
    }
}

fn one(machine: &Machine, dir: &Path, keep: bool) -> Result<Entry> {
    let kernel = kernels::get(machine.kernel, None, &mut |line| eprintln!("lab: {line}"))?;
    let core = Core::within(dir);
    let made = guest::dumped(&kernel, machine, dir, &core)
        .with_context(|| format!("No core of {} was made", machine.name));
    let vmlinux = machine
        .drgn
        .then(|| kernels::vmlinux(&kernel))
        .transpose()?;
    let judged = made.and_then(|()| {
        let class = machine.fate.class();
        let mut checks = forms::filtered(&core.elf, &core.filtered, class, dir)?;
        checks.push(forms::kdump(&core.elf, &core.kdump, class)?);
        checks.extend(judge::all(&core, machine, vmlinux.as_deref(), dir)?);
        Ok(checks)
    });
    let checks = judged.unwrap_or_else(|error| vec![("core", Err(format!("{error:#}")))]);
    let failed = failed(machine, &checks);
    if failed.is_empty() && !keep {
        core.remove();
    }
    Ok(Entry {
        name: format!("cores/{}", machine.name),
        kernel: kernel.release,
        checks: checks.len(),
        failed,
    })
}

/// Says what came of the checks; the names of those that failed.
fn failed(machine: &Machine, checks: &[judge::Check]) -> Vec<String> {
    let mut failed = Vec::new();
    for (what, said) in checks {
        match said {
            Ok(said) => eprintln!("lab: {}: {what}: {said}", machine.name),
            Err(why) => {
                eprintln!("lab: {}: {what} FAILED: {why}", machine.name);
                failed.push((*what).to_owned());
            }
        }
    }
    failed
}
