//! The machines that QEMU makes, one row an architecture.

use super::VmError;

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Its architecture as uname(1) names it.
    pub arch: &'static str,
    /// QEMU's program for it, found through PATH.
    pub program: &'static str,
    /// Debian's package that holds the program.
    pub package: &'static str,
    /// What QEMU is told to build it.
    pub arguments: &'static [&'static str],
    /// The CPU under translation.
    pub cpu: &'static str,
    /// Its first serial console, for `console=`.
    pub console: &'static str,
    /// Where distributions keep the code of its UEFI firmware.
    pub uefi: &'static [&'static str],
    /// Debian's package that holds the firmware.
    pub uefi_package: &'static str,
}

/// A PC.
///
/// TCG of QEMU 7.2 miscompiles `cmpxchg16b`, on which SLUB depends: kernels that use it die
/// of corrupt free lists. Without the feature bit they take another path.
pub const X86_64: Machine = Machine {
    arch: "x86_64",
    program: "qemu-system-x86_64",
    package: "qemu-system-x86",
    arguments: &[],
    cpu: "Haswell-v4,-cx16",
    console: "ttyS0",
    // Debian, Fedora, openSUSE and Arch.
    uefi: &[
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/qemu/ovmf-x86_64-code.bin",
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_CODE.fd",
    ],
    uefi_package: "ovmf",
};

/// QEMU's board `virt`.
pub const AARCH64: Machine = Machine {
    arch: "aarch64",
    program: "qemu-system-aarch64",
    package: "qemu-system-arm",
    arguments: &["-machine", "virt,gic-version=max"],
    cpu: "cortex-a57",
    console: "ttyAMA0",
    uefi: &[
        "/usr/share/AAVMF/AAVMF_CODE.fd",
        "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
        "/usr/share/qemu/aavmf-aarch64-code.bin",
        "/usr/share/edk2/aarch64/QEMU_CODE.fd",
    ],
    uefi_package: "qemu-efi-aarch64",
};

/// The one like the machine that this program runs on.
pub const HOST: &Machine = match cfg!(target_arch = "aarch64") {
    true => &AARCH64,
    false => &X86_64,
};

/// The machine of an architecture.
#[must_use]
pub fn of(arch: &str) -> Option<&'static Machine> {
    [&X86_64, &AARCH64].into_iter().find(|m| m.arch == arch)
}

impl Machine {
    /// Whether the program is there, before anything costly is prepared for it.
    ///
    /// # Errors
    /// It is not, with what to install.
    pub fn found(&self) -> Result<(), VmError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if std::env::split_paths(&path).any(|dir| dir.join(self.program).is_file()) {
            return Ok(());
        }
        Err(self.no_qemu())
    }

    pub(super) fn no_qemu(&self) -> VmError {
        VmError::NoQemu {
            program: self.program,
            package: self.package,
        }
    }
}
