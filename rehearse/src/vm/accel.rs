//! KVM or TCG, chosen by booting a kernel.
//!
//! That /dev/kvm opens proves little: nested in some hosts a stock kernel dies in it while it
//! decompresses itself (KVM emulation failure). So the probe boots the kernel that will be used
//! and waits for its first line; the answer is kept per boot of this machine.

use super::machine::{HOST, Machine};
use super::{Event, Flow, Vm, VmError};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PROBE: Duration = Duration::from_secs(20);

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The processor itself.
    Kvm,
    /// QEMU's translator: works everywhere, ten to thirty times slower.
    Tcg,
    /// The same, its processors taking turns on one thread.
    TcgOneThread,
}

impl Accel {
    /// QEMU's arguments for it.
    #[must_use]
    pub fn arguments(self, machine: &Machine) -> [&'static str; 4] {
        match self {
            Accel::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Accel::Tcg => ["-accel", "tcg,thread=multi", "-cpu", machine.cpu],
            Accel::TcgOneThread => ["-accel", "tcg,thread=single", "-cpu", machine.cpu],
        }
    }

    /// Its name: `kvm` or `tcg`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
            Accel::TcgOneThread => "tcg, one thread",
        }
    }

    /// The translator, on as many threads as this QEMU can be trusted with.
    ///
    /// Before 8.1 a processor may go on executing the translation of code that another has just
    /// patched: the kernel's text_poke leaves a breakpoint that is not there any more, and about
    /// one boot in thirty dies of `Oops: int3` (QEMU's commit "accel/tcg: Always lock pages before
    /// translation").
    #[must_use]
    pub fn translator(machine: &Machine) -> Accel {
        let version = Command::new(machine.program).arg("--version").output();
        let text = version.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        match text.ok().as_deref().and_then(version_of) {
            Some(version) if version < (8, 1) => Accel::TcgOneThread,
            _ => Accel::Tcg,
        }
    }

    /// Chooses for a machine like this one by booting `kernel`, or remembers the choice from `cache`, a directory.
    ///
    /// # Errors
    /// QEMU is missing, or a file cannot be written.
    pub fn choose(kernel: &Path, cache: &Path) -> Result<Accel, VmError> {
        if fs::File::open("/dev/kvm").is_err() {
            return Ok(Accel::translator(HOST));
        }
        // A new boot of the machine may bring another kernel, other options, another host.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let memory = cache.join("accel");
        if let Ok(text) = fs::read_to_string(&memory) {
            match text.trim_end().split_once(' ') {
                Some((b, "kvm")) if b == boot.trim() => return Ok(Accel::Kvm),
                Some((b, "tcg")) if b == boot.trim() => return Ok(Accel::translator(HOST)),
                _ => {}
            }
        }
        fs::create_dir_all(cache).map_err(VmError::io("create", cache))?;
        let (chosen, name) = if boots(kernel, cache)? {
            (Accel::Kvm, "kvm")
        } else {
            (Accel::translator(HOST), "tcg")
        };
        let text = format!("{} {name}\n", boot.trim());
        fs::write(&memory, text).map_err(VmError::io("write", &memory))?;
        Ok(chosen)
    }
}

/// Major and minor, from `QEMU emulator version 7.2.19 (Debian ...)`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_once(" version ")?.1.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether the kernel gets as far as its first line under KVM.
fn boots(kernel: &Path, cache: &Path) -> Result<bool, VmError> {
    let mut vm = Vm::new(kernel, cache.join("accel-probe.console"));
    vm.memory_mib = 512;
    vm.cmdline = format!("console={} panic=-1", HOST.console);
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

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn the_version_is_read() {
        let debian = "QEMU emulator version 7.2.19 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright";
        assert_eq!(version_of(debian), Some((7, 2)));
        assert_eq!(version_of("QEMU emulator version 10.0.2"), Some((10, 0)));
        assert_eq!(version_of("something else"), None);
        assert!((7, 2) < (8, 1) && (10, 0) > (8, 1));
    }
}
