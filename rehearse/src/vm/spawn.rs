//! Starting a child that cannot outlive us.
//!
//! A QEMU left behind holds memory and a disk image, so two ropes: a process group of its own,
//! killed as a whole, and `PR_SET_PDEATHSIG`, with which the kernel kills the child when the
//! thread that started it ends, however it ends. The only `unsafe` of the crate: `pre_exec`.

#![allow(unsafe_code)]

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getppid};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Starts `command` in a process group of its own, to be killed when the calling thread ends.
///
/// # Errors
/// What the fork or the exec said.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let parent = Pid::this();
    let before_exec = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above: then nobody would send the signal.
        if getppid() == parent {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }
    };
    command.process_group(0);
    // SAFETY: between fork and exec only async-signal-safe calls are made: prctl(2) and
    // getppid(2), neither of which allocates or takes a lock; the closure owns a plain integer.
    unsafe { command.pre_exec(before_exec) };
    command.spawn()
}

/// Kills a process group that [`spawn`] made, by the child's process id; who started it waits for it.
pub fn kill_group(pid: u32) {
    if let Ok(pid @ 1..) = i32::try_from(pid) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Kills the child's whole process group and waits for the child, so that no zombie stays.
pub fn kill(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        kill_group(child.id());
    }
    let _ = child.kill();
    let _ = child.wait();
}
