//! The machines whose cores are read.

use analysis::reason::Class;

/// What QEMU emulates.
pub(super) struct Board {
    /// What `uname -m` says.
    pub(super) arch: &'static str,
    pub(super) qemu: &'static str,
    /// Debian's package of it.
    pub(super) package: &'static str,
    pub(super) words: &'static [&'static str],
    pub(super) console: &'static str,
    /// Debian's name of the architecture.
    pub(super) debian: &'static str,
    /// Whether a vmcoreinfo device brings the note into the core.
    pub(super) noted: bool,
    /// What a kernel that panics prints when no more comes that is waited for.
    pub(super) last_words: &'static str,
}

/// The last line of a panic.
const END: &str = "end Kernel panic";
/// The first one, of machines that stop before the last.
const PANIC: &str = "Kernel panic - not syncing";

pub(super) const ARM: Board = Board {
    arch: "aarch64",
    qemu: "qemu-system-aarch64",
    package: "qemu-system-arm",
    words: &["-M", "virt,gic-version=3"],
    console: "ttyAMA0",
    debian: "arm64",
    noted: true,
    last_words: END,
};

pub(super) const PC: Board = Board {
    arch: "x86_64",
    qemu: "qemu-system-x86_64",
    package: "qemu-system-x86",
    words: &["-M", "q35"],
    console: "ttyS0",
    debian: "amd64",
    noted: true,
    last_words: END,
};

pub(super) const RISCV: Board = Board {
    arch: "riscv64",
    qemu: "qemu-system-riscv64",
    package: "qemu-system-misc",
    words: &["-M", "virt"],
    console: "ttyS0",
    debian: "riscv64",
    noted: false,
    last_words: END,
};

pub(super) const POWER: Board = Board {
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

pub(super) const MAINFRAME: Board = Board {
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
pub(super) enum Fate {
    /// The SysRq key c, after the kernel printed the stacks of all tasks.
    Sysrq,
    /// A task takes all memory, and vm.panic_on_oom is set.
    OutOfMemory,
    /// A module follows a NULL pointer, and an oops panics.
    Fault,
    /// Nothing.
    RunsOn,
}

impl Fate {
    /// What a report calls it.
    pub(super) fn class(self) -> Option<Class> {
        match self {
            Self::Sysrq => Some(Class::Sysrq),
            Self::OutOfMemory => Some(Class::Oom),
            Self::Fault => Some(Class::NullDeref),
            Self::RunsOn => None,
        }
    }
}

/// A machine whose core is read.
pub(super) struct Machine {
    pub(super) board: &'static Board,
    pub(super) fate: Fate,
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) kernel: &'static str,
    pub(super) cpu: &'static str,
    /// What else the kernel is told.
    pub(super) cmdline: &'static str,
    /// Whether drgn is asked; the vmlinux of the large kernel takes a gigabyte to fetch.
    pub(super) drgn: bool,
}

pub(super) const MACHINES: [Machine; 20] = [
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
    Machine {
        board: &RISCV,
        fate: Fate::Fault,
        name: "riscv64-null-deref",
        about: "riscv64, a module follows a NULL pointer",
        kernel: "6.12-riscv64",
        cpu: "rv64",
        cmdline: "",
        drgn: false,
    },
    Machine {
        board: &POWER,
        fate: Fate::Fault,
        name: "ppc64le-null-deref",
        about: "ppc64le, a module follows a NULL pointer",
        kernel: "6.12-ppc64el-64k",
        cpu: "POWER9",
        cmdline: "",
        drgn: false,
    },
    Machine {
        board: &MAINFRAME,
        fate: Fate::Fault,
        name: "s390x-null-deref",
        about: "s390x, a module follows a NULL pointer",
        kernel: "6.12-s390x",
        cpu: "max",
        cmdline: "",
        drgn: false,
    },
];
