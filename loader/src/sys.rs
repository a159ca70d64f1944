//! The Linux implementation of [`Kernel`]: raw system calls. All `unsafe` of this crate is here.
//!
//! Facts: kexec_load(2), kexec_file_load(2), include/uapi/linux/kexec.h, Linux 5.10 to 7.2. Nothing
//! is checked here beyond what makes the calls safe; the kernel judges the rest.
#![allow(unsafe_code)]

use std::path::Path;

use nix::errno::Errno;
use nix::mount::MsFlags;

use crate::kernel::{FileLoad, Kernel, Reboot, SegmentLoad, Slot, Syscall};

const KEXEC_ON_CRASH: u64 = 1;
const KEXEC_UPDATE_ELFCOREHDR: u64 = 4;
const FILE_UNLOAD: u64 = 1;
const FILE_ON_CRASH: u64 = 2;
const FILE_NO_INITRAMFS: u64 = 4;
/// include/uapi/linux/keyctl.h.
const KEYCTL_LINK: libc::c_long = 8;
const KEY_SPEC_PROCESS_KEYRING: libc::c_long = -2;
const KEY_SPEC_USER_KEYRING: libc::c_long = -4;

/// `struct kexec_segment` of the 64-bit ABI.
#[repr(C)]
struct RawSegment {
    buf: *const libc::c_void,
    bufsz: usize,
    mem: usize,
    memsz: usize,
}

/// The kernel this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

/// Gives the calling thread idle priority, for good. A kernel that refuses leaves it as it was.
pub(crate) fn idle_priority() {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 names the calling thread, and the pointer is to a parameter that outlives the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) };
}

fn check(result: libc::c_long) -> Result<(), Errno> {
    if result == -1 {
        Err(Errno::last())
    } else {
        Ok(())
    }
}

fn file_flags(slot: Slot) -> u64 {
    match slot {
        Slot::Crash => FILE_ON_CRASH,
        Slot::Boot => 0,
    }
}

fn load_flags(slot: Slot) -> u64 {
    match slot {
        Slot::Crash => KEXEC_ON_CRASH,
        Slot::Boot => 0,
    }
}

impl Kernel for Linux {
    fn kexec_file_load(&self, load: &FileLoad<'_>) -> Result<(), Errno> {
        use std::os::fd::AsRawFd;
        let cmdline = load.cmdline.to_bytes_with_nul();
        let mut flags = file_flags(load.slot);
        let initrd = match load.initrd {
            Some(fd) => fd.as_raw_fd(),
            None => {
                flags |= FILE_NO_INITRAMFS;
                -1
            }
        };
        // SAFETY: both descriptors are open for the length of the call (borrowed), and the pointer
        // and length describe a NUL-terminated string that outlives it; the kernel only reads.
        let result = unsafe {
            libc::syscall(
                libc::SYS_kexec_file_load,
                libc::c_long::from(load.kernel.as_raw_fd()),
                libc::c_long::from(initrd),
                cmdline.len(),
                cmdline.as_ptr(),
                flags,
            )
        };
        check(result)
    }

    fn kexec_load(&self, load: &SegmentLoad<'_>) -> Result<(), Errno> {
        let mut raw = Vec::with_capacity(load.segments.len());
        for segment in load.segments {
            raw.push(RawSegment {
                buf: segment.data.as_ptr().cast(),
                bufsz: segment.data.len(),
                mem: usize::try_from(segment.address).map_err(|_| Errno::EADDRNOTAVAIL)?,
                memsz: usize::try_from(segment.size).map_err(|_| Errno::EADDRNOTAVAIL)?,
            });
        }
        let mut flags = load_flags(load.slot);
        if load.update_elfcorehdr {
            flags |= KEXEC_UPDATE_ELFCOREHDR;
        }
        // SAFETY: `raw` holds exactly `raw.len()` segments whose buffers are borrowed for the length
        // of the call; the kernel only reads them. The call changes no memory of this process.
        let result = unsafe {
            libc::syscall(
                libc::SYS_kexec_load,
                load.entry,
                raw.len(),
                raw.as_ptr(),
                flags,
            )
        };
        check(result)
    }

    fn unload(&self, slot: Slot, by: Syscall) -> Result<(), Errno> {
        let nothing: libc::c_long = -1;
        let result = match by {
            Syscall::File => {
                // SAFETY: with KEXEC_FILE_UNLOAD the kernel looks at the flags only; no pointer is
                // passed.
                unsafe {
                    libc::syscall(
                        libc::SYS_kexec_file_load,
                        nothing,
                        nothing,
                        0_usize,
                        std::ptr::null::<libc::c_char>(),
                        FILE_UNLOAD | file_flags(slot),
                    )
                }
            }
            Syscall::Load => {
                // SAFETY: no segments are passed, so the null pointer is not read.
                unsafe {
                    libc::syscall(
                        libc::SYS_kexec_load,
                        0_usize,
                        0_usize,
                        std::ptr::null::<RawSegment>(),
                        load_flags(slot),
                    )
                }
            }
        };
        check(result)
    }

    fn reboot(&self, how: Reboot) -> Result<(), Errno> {
        use nix::sys::reboot::{RebootMode, reboot};
        let mode = match how {
            Reboot::Restart => RebootMode::RB_AUTOBOOT,
            Reboot::PowerOff => RebootMode::RB_POWER_OFF,
            Reboot::Halt => RebootMode::RB_HALT_SYSTEM,
            Reboot::Kexec => RebootMode::RB_KEXEC,
        };
        match reboot(mode) {
            Ok(never) => match never {},
            Err(errno) => Err(errno),
        }
    }

    fn reach_user_keyring(&self) -> Result<(), Errno> {
        // SAFETY: KEYCTL_LINK takes two numbers of keyrings, here special ones, and no pointer.
        let result = unsafe {
            libc::syscall(
                libc::SYS_keyctl,
                KEYCTL_LINK,
                KEY_SPEC_USER_KEYRING,
                KEY_SPEC_PROCESS_KEYRING,
            )
        };
        check(result)
    }

    fn sync(&self) {
        nix::unistd::sync();
    }

    fn remount_read_only(&self, mount_point: &Path) -> Result<(), Errno> {
        nix::mount::mount(
            None::<&Path>,
            mount_point,
            None::<&Path>,
            MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
            None::<&Path>,
        )
    }
}
