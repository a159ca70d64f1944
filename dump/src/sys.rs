//! sync_file_range(2), which nix has no safe form of. All `unsafe` of this crate is in this file.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Starts writing a range of a file to its device and does not wait for it; with `wait`, waits until
/// the range is on the device, so that its pages can be dropped from the cache.
///
/// # Errors
/// What the kernel said; file systems without support answer ESPIPE or EINVAL.
pub(crate) fn sync_file_range(file: &File, offset: u64, len: u64, wait: bool) -> io::Result<()> {
    let whole = |n: u64| {
        i64::try_from(n)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "range beyond 2^63"))
    };
    let mut flags = libc::SYNC_FILE_RANGE_WRITE;
    if wait {
        flags |= libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    }
    // SAFETY: takes no pointers; the descriptor is open as long as `file` is borrowed.
    let answer =
        unsafe { libc::sync_file_range(file.as_raw_fd(), whole(offset)?, whole(len)?, flags) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
