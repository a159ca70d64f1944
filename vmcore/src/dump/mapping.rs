//! Mapped windows of /proc/vmcore, and the questions whether a file is the kernel's and whether it can
//! become shorter: all of this crate's `unsafe`.
//!
//! Facts: fs/proc/vmcore.c, Linux 5.10 to 7.2: mappings are read-only and page aligned, may span
//! segments, cost 8 bytes of page table for 4 KiB, are filled in as a whole by mmap (no page fault
//! follows), and fail with EAGAIN where memory types conflict; `read` maps and unmaps one page at a
//! time, which costs more than a small window does. So: small windows, the last few used kept, for
//! reads of any length. They are copied out of (the memory behind them may change while DMA is in
//! flight, so no `&[u8]` into it ever exists), and `false` is the answer wherever a window cannot be
//! had: the caller then uses pread.
//!
//! Regular files are not mapped: one truncated under us would raise SIGBUS. One in memory that is
//! sealed against it (memfd_create(2), F_SEAL_SHRINK) is: by it all this is tested without a panic.

#![allow(unsafe_code)]

use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a window: mapping it costs what a few preads do.
const WINDOW: u64 = 2 << 20;
/// Windows kept mapped. A walk over kernel structures comes back to a few dozen places again and
/// again; their page tables take half a megabyte at most.
const WINDOWS: usize = 48;
/// Windows remembered as not to be had.
const REFUSED: usize = 64;

/// Windows onto a file that cannot shrink.
#[derive(Debug)]
pub(super) struct Mapping {
    len: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    windows: Vec<Mapped>,
    /// Uses so far, to find the window that was not used for longest.
    clock: u64,
    /// Where in `windows` the last read was.
    last: usize,
    /// Windows that could not be mapped, the newest last; they are read instead.
    refused: Vec<u64>,
}

#[derive(Debug)]
struct Mapped {
    index: u64,
    used: u64,
    window: Arc<Window>,
}

#[derive(Debug)]
struct Window {
    map: MmapRaw,
    len: usize,
}

impl Mapping {
    /// Windows onto a file of `len` bytes; nothing is mapped yet.
    #[must_use]
    pub(super) fn new(len: u64) -> Self {
        Self {
            len,
            state: Mutex::default(),
        }
    }

    /// Copies `buf.len()` bytes from `offset`; false when a window could not be had, `buf` then
    /// being undefined.
    pub(super) fn copy(&self, file: &File, offset: u64, buf: &mut [u8]) -> bool {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let index = at / WINDOW;
            let Some(window) = self.window(file, index) else {
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

    fn window(&self, file: &File, index: u64) -> Option<Arc<Window>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        state.clock += 1;
        let last = state.windows.get(state.last);
        let found = match last.filter(|mapped| mapped.index == index) {
            Some(_) => Some(state.last),
            None => state
                .windows
                .iter()
                .position(|mapped| mapped.index == index),
        };
        if let Some(at) = found {
            state.last = at;
            let mapped = state.windows.get_mut(at)?;
            mapped.used = state.clock;
            return Some(Arc::clone(&mapped.window));
        }
        if state.refused.contains(&index) {
            return None;
        }
        let start = index.checked_mul(WINDOW)?;
        let len = usize::try_from(WINDOW.min(self.len.checked_sub(start)?)).ok()?;
        if state.windows.len() >= WINDOWS {
            let used = |at: &usize| state.windows.get(*at).map_or(0, |mapped| mapped.used);
            let oldest = (0..state.windows.len()).min_by_key(used)?;
            // A thread that still copies out of it holds it until it is done.
            state.windows.swap_remove(oldest);
        }
        let mapped = MmapOptions::new()
            .offset(start)
            .len(len)
            .map_raw_read_only(file);
        match mapped {
            Ok(map) => {
                let window = Arc::new(Window { map, len });
                state.last = state.windows.len();
                state.windows.push(Mapped {
                    index,
                    used: state.clock,
                    window: Arc::clone(&window),
                });
                Some(window)
            }
            Err(error) => {
                log::debug!("window at {start:#x} cannot be mapped, reading instead: {error}");
                if state.refused.len() >= REFUSED {
                    state.refused.remove(0);
                }
                state.refused.push(index);
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
pub(super) fn on_procfs(file: &File) -> bool {
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the pointer is to
    // memory of the structure's own size, which the call only writes.
    let status = unsafe { libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr()) };
    // SAFETY: the structure is plain integers, zeroed at first: any content is valid.
    let stat = unsafe { stat.assume_init() };
    status == 0 && stat.f_type == libc::PROC_SUPER_MAGIC
}

/// Whether an open file keeps its length for as long as it is open: the kernel's own, or one sealed.
#[must_use]
pub(super) fn cannot_shrink(file: &File) -> bool {
    // SAFETY: the request takes no pointer; the descriptor is open for as long as `file` is borrowed.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    on_procfs(file) || (seals >= 0 && seals & libc::F_SEAL_SHRINK != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn windows_come_and_go() {
        const STEP: usize = 1 << 20;
        let mut file = tempfile::tempfile().unwrap();
        let steps = 2 * WINDOWS + 10;
        for n in 0..steps {
            file.write_all(&vec![u8::try_from(n).unwrap(); STEP])
                .unwrap();
        }
        let mapping = Mapping::new((steps * STEP) as u64);
        // Forwards, backwards, and over the border between two windows.
        for n in (0..steps).chain((0..steps).rev()).chain([0, steps - 1, 0]) {
            let mut buf = [0; 100];
            assert!(mapping.copy(&file, (n * STEP) as u64 + 7, &mut buf));
            assert_eq!(buf, [u8::try_from(n).unwrap(); 100]);
        }
        let mut buf = vec![0; 3 * STEP];
        assert!(mapping.copy(&file, STEP as u64, &mut buf));
        assert_eq!((buf[0], buf[STEP], buf[3 * STEP - 1]), (1, 2, 3));
        assert!(mapping.state.lock().unwrap().windows.len() <= WINDOWS);
    }

    #[test]
    fn the_kernels_files_are_told_apart() {
        assert!(on_procfs(&File::open("/proc/self/stat").unwrap()));
        assert!(!on_procfs(&tempfile::tempfile().unwrap()));
        assert!(cannot_shrink(&File::open("/proc/self/stat").unwrap()));
        assert!(!cannot_shrink(&tempfile::tempfile().unwrap()));
    }

    #[test]
    fn a_window_that_cannot_be_mapped_is_no_error() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let mapping = Mapping::new(1 << 20);
        assert!(!mapping.copy(&file, 0, &mut [0; 100]));
    }
}
