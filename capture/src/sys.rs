//! The system calls that nix has no safe form of. All `unsafe` of this crate is here.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// WDIOC_SETTIMEOUT of include/uapi/linux/watchdog.h: _IOWR('W', 6, int).
const WDIOC_SETTIMEOUT: libc::c_ulong = 0xc004_5706;

/// Sets a watchdog's timeout in seconds.
///
/// # Errors
/// What the driver said.
pub(crate) fn watchdog_timeout(file: &File, seconds: u32) -> io::Result<()> {
    let mut value = libc::c_int::try_from(seconds)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "timeout too large"))?;
    // SAFETY: the request reads and writes one int, and `value` is one that outlives the call; the
    // descriptor is open as long as `file` is borrowed.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), WDIOC_SETTIMEOUT, &raw mut value) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Runs `body` in a child that is a copy of this process, with `input` as its standard input where
/// there is one, `output` as its standard output and error, and no other file of this one. The child
/// ends with the answer of `body` as its exit code. Answers the child's pid.
///
/// # Errors
/// What the kernel said; and where this process has more than one thread, because a lock that another
/// one held would stay locked in the child.
pub(crate) fn fork(
    input: Option<BorrowedFd<'_>>,
    output: BorrowedFd<'_>,
    body: impl FnOnce() -> u8,
) -> io::Result<libc::pid_t> {
    // A directory of /proc has two links and one for each directory in it, here a thread's
    // (proc_task_getattr, fs/proc/base.c).
    if std::fs::metadata("/proc/self/task")?.nlink() != 3 {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    // SAFETY: the check above shows that this is the only thread of the process, and no other thread
    // could have started one since. So no other thread holds a lock at the moment of the fork.
    match unsafe { libc::fork() } {
        0 => {}
        pid if pid > 0 => return Ok(pid),
        _ => return Err(io::Error::last_os_error()),
    }
    let (input, output) = (input.map(|input| input.as_raw_fd()), output.as_raw_fd());
    // SAFETY: no call takes a pointer. The files that are closed belong to values that this process
    // neither uses nor drops any more: it ends in `_exit`, below. Both files are above 2, which are open
    // in every Rust program.
    unsafe {
        if let Some(input) = input {
            libc::dup2(input, 0);
        }
        libc::dup2(output, 1);
        libc::dup2(output, 2);
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
    }
    let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
    // SAFETY: the call takes no pointer and does not return.
    unsafe { libc::_exit(libc::c_int::from(code)) }
}

/// The size of struct dm_ioctl, include/uapi/linux/dm-ioctl.h.
pub(crate) const DM_HEADER: usize = 312;

/// A request to device-mapper: `buffer` is a struct dm_ioctl with its data behind it, `number` one of
/// the commands of include/uapi/linux/dm-ioctl.h. The answer is in the buffer.
///
/// # Errors
/// What the kernel said; EINVAL for a buffer whose `data_size` is not its length.
pub(crate) fn device_mapper(control: &File, number: u8, buffer: &mut [u8]) -> io::Result<()> {
    let data_size = buffer
        .get(12..16)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_le_bytes);
    if buffer.len() < DM_HEADER || data_size.map(u64::from) != u64::try_from(buffer.len()).ok() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // _IOWR(0xfd, number, struct dm_ioctl).
    let request = 0xc138_fd00 | libc::c_ulong::from(number);
    // SAFETY: the kernel reads and writes `data_size` bytes at the pointer, which is the length of the
    // buffer as checked above; nothing else refers to it during the call. It checks versions, offsets
    // and strings in it itself. The descriptor is open as long as `control` is borrowed.
    let answer = unsafe { libc::ioctl(control.as_raw_fd(), request, buffer.as_mut_ptr()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
