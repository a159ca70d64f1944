//! Mapped windows of /proc/vmcore, and the question whether a file is the kernel's: all of
//! this crate's `unsafe`.
//!
//! Facts: fs/proc/vmcore.c, Linux 5.10 to 7.2: mappings are read-only and page aligned, may span
//! segments, cost 8 bytes of page table for 4 KiB, and fail with EAGAIN where memory types conflict;
//! `read` maps and unmaps one page at a time and is slower by far. So: windows, a few at a time,
//! copied out of (the memory behind them may change while DMA is in flight, so no `&[u8]` into it
//! ever exists), and `false` wherever a window cannot be had: the caller then uses pread.
//!
//! Regular files are not mapped: one truncated under us would raise SIGBUS.

#![allow(unsafe_code)]

use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a window; its page tables take 1/512 of that.
const WINDOW: u64 = 64 << 20;
/// Windows mapped at a time.
const WINDOWS: usize = 2;
/// Reads at least this long map their window at once.
const LARGE: usize = 64 << 10;
/// Shorter reads that fall into one unmapped window in a row before it is mapped after all.
const NEARBY: u32 = 8;

/// Windows onto a file that cannot shrink.
#[derive(Debug)]
pub struct Mapping {
    len: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest last.
    windows: Vec<(u64, Arc<Window>)>,
    /// The last window that could not be mapped; it is not tried again before another was.
    refused: Option<u64>,
    /// The window that the last short reads fell into, and how many they were.
    nearby: (u64, u32),
}

#[derive(Debug)]
struct Window {
    map: MmapRaw,
    len: usize,
}

impl Mapping {
    /// Windows onto a file of `len` bytes; nothing is mapped yet.
    #[must_use]
    pub fn new(len: u64) -> Self {
        Self {
            len,
            state: Mutex::default(),
        }
    }

    /// Copies `buf.len()` bytes from `offset`; false when a window could not be had (or is not
    /// worth its price), `buf` then being undefined.
    pub fn copy(&self, file: &File, offset: u64, buf: &mut [u8]) -> bool {
        let large = buf.len() >= LARGE;
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let index = at / WINDOW;
            let Some(window) = self.window(file, index, large) else {
                return false;
            };
            let Ok(inside) = usize::try_from(at - index * WINDOW) else {
                return false;
            };
            let n = rest.len().min(window.len.saturating_sub(inside));
            let Some((now, later)) = rest.split_at_mut_checked(n).filter(|_| n > 0) else {
                return false;
            };
            window.copy_out(inside, now);
            rest = later;
            at += n as u64;
        }
        true
    }

    fn window(&self, file: &File, index: u64, large: bool) -> Option<Arc<Window>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = state.windows.iter().position(|(i, _)| *i == index) {
            let found = state.windows.remove(at);
            let window = Arc::clone(&found.1);
            state.windows.push(found);
            return Some(window);
        }
        if state.refused == Some(index) {
            return None;
        }
        if !large {
            let (last, count) = state.nearby;
            let count = if last == index { count + 1 } else { 1 };
            state.nearby = (index, count);
            if count < NEARBY {
                return None;
            }
        }
        let start = index.checked_mul(WINDOW)?;
        let len = usize::try_from(WINDOW.min(self.len.checked_sub(start)?)).ok()?;
        if state.windows.len() >= WINDOWS {
            state.windows.remove(0);
        }
        let mapped = MmapOptions::new()
            .offset(start)
            .len(len)
            .map_raw_read_only(file);
        match mapped {
            Ok(map) => {
                let window = Arc::new(Window { map, len });
                state.windows.push((index, Arc::clone(&window)));
                state.refused = None;
                Some(window)
            }
            Err(error) => {
                log::debug!("window at {start:#x} cannot be mapped, reading instead: {error}");
                state.refused = Some(index);
                None
            }
        }
    }
}

impl Window {
    /// Copies `to.len()` bytes from `inside` the window, which the caller has cut to its length.
    fn copy_out(&self, inside: usize, to: &mut [u8]) {
        assert!(
            inside
                .checked_add(to.len())
                .is_some_and(|end| end <= self.len)
        );
        // SAFETY: `inside + to.len() <= self.len` was checked above and the mapping is `self.len`
        // bytes long, so the source range is inside it; the file is one that cannot shrink, so
        // every page of it is backed. `to` is an exclusive borrow of ordinary memory, so the two do
        // not overlap. Only a raw pointer to the mapping exists, so no reference is violated when
        // the memory behind it changes during the copy; any bytes it then holds are valid u8.
        unsafe {
            std::ptr::copy_nonoverlapping(self.map.as_ptr().add(inside), to.as_mut_ptr(), to.len());
        }
    }
}

/// Whether an open file is the kernel's own (/proc/vmcore, /proc/kcore) and not a copy of it.
#[must_use]
pub fn on_procfs(file: &File) -> bool {
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the pointer is to
    // memory of the structure's own size, which the call only writes.
    let status = unsafe { libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr()) };
    // SAFETY: the structure is plain integers, zeroed at first: any content is valid.
    let stat = unsafe { stat.assume_init() };
    status == 0 && stat.f_type == libc::PROC_SUPER_MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn short_reads_are_refused_until_they_gather() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[5; 20_000]).unwrap();
        let mapping = Mapping::new(20_000);
        let mut buf = [0; 100];
        let tries = (0..20)
            .filter(|_| mapping.copy(&file, 50, &mut buf))
            .count();
        assert!((1..20).contains(&tries), "{tries}");
        assert_eq!(buf, [5; 100]);
    }

    #[test]
    fn the_kernels_files_are_told_apart() {
        assert!(on_procfs(&File::open("/proc/self/stat").unwrap()));
        assert!(!on_procfs(&tempfile::tempfile().unwrap()));
    }

    #[test]
    fn a_window_that_cannot_be_mapped_is_no_error() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let mapping = Mapping::new(1 << 20);
        assert!(!mapping.copy(&file, 0, &mut vec![0; LARGE]));
    }
}
