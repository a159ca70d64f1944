//! KVM or TCG, chosen by booting a kernel.
//!
//! That /dev/kvm opens proves little: nested in some hosts a stock kernel dies in it while it
//! decompresses itself (KVM emulation failure). So the probe boots the kernel that will be used
//! and waits for its first line; the answer is kept per boot of this machine.

use super::{Event, Flow, Vm, VmError};
use std::fs;
use std::path::Path;
use std::time::Duration;

const PROBE: Duration = Duration::from_secs(20);

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The processor itself.
    Kvm,
    /// QEMU's translator: works everywhere, ten to thirty times slower.
    Tcg,
}

impl Accel {
    /// QEMU's arguments for it.
    ///
    /// TCG of QEMU 7.2 miscompiles `cmpxchg16b`, on which SLUB depends: kernels that use it die
    /// of corrupt free lists. Without the feature bit they take another path.
    #[must_use]
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Accel::Kvm => &["-accel", "kvm", "-cpu", "host"],
            Accel::Tcg => &["-accel", "tcg,thread=multi", "-cpu", "Haswell-v4,-cx16"],
        }
    }

    /// Its name: `kvm` or `tcg`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }

    /// Chooses by booting `kernel`, or remembers the choice from `cache`, a directory.
    ///
    /// # Errors
    /// QEMU is missing, or a file cannot be written.
    pub fn choose(kernel: &Path, cache: &Path) -> Result<Accel, VmError> {
        if fs::File::open("/dev/kvm").is_err() {
            return Ok(Accel::Tcg);
        }
        // A new boot of the machine may bring another kernel, other options, another host.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let memory = cache.join("accel");
        if let Ok(text) = fs::read_to_string(&memory) {
            match text.trim_end().split_once(' ') {
                Some((b, "kvm")) if b == boot.trim() => return Ok(Accel::Kvm),
                Some((b, "tcg")) if b == boot.trim() => return Ok(Accel::Tcg),
                _ => {}
            }
        }
        fs::create_dir_all(cache).map_err(VmError::io("create", cache))?;
        let chosen = if boots(kernel, cache)? {
            Accel::Kvm
        } else {
            Accel::Tcg
        };
        let text = format!("{} {}\n", boot.trim(), chosen.name());
        fs::write(&memory, text).map_err(VmError::io("write", &memory))?;
        Ok(chosen)
    }
}

/// Whether the kernel gets as far as its first line under KVM.
fn boots(kernel: &Path, cache: &Path) -> Result<bool, VmError> {
    let mut vm = Vm::new(kernel, cache.join("accel-probe.console"));
    vm.memory_mib = 512;
    vm.cmdline = "console=ttyS0 panic=-1".into();
    vm.deadline = PROBE;
    let running = match vm.start(Accel::Kvm) {
        Ok(running) => running,
        Err(VmError::Died { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut alive = false;
    running.wait(&mut |_, event, _| match event {
        Event::Line(line) if line.contains("Linux version") => {
            alive = true;
            Flow::Stop
        }
        _ => Flow::Continue,
    });
    Ok(alive)
}
