//! Bytes to a file in large aligned writes, dropped from the cache once they are on the device.
//!
//! A core is mostly appended to; kdump-compressed also fills its descriptor table as it goes. So a
//! few streams are kept, each with a buffer of its own. What is written is sent to the device a window
//! at a time and dropped from the cache when it is there, by a thread of its own: sending blocks
//! where the device's queue is full, and the pages behind are not to wait for that. The capture kernel has
//! little memory, so the windows on their way are few and small there: see [`InFlight`].

use super::queue::Queue;
use crate::budget::InFlight;
use crate::sums::{Summing, Sums};
use crate::sys;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use vmcore::write::Output;

/// Streams that are written at the same time: the pages, and a table that grows with them.
const STREAMS: usize = 2;

/// Stack of a thread that only makes system calls.
const SMALL_STACK: usize = 64 << 10;

/// Part of a device that takes a file's bytes, where there is no filesystem.
pub struct Region {
    /// The device.
    pub device: File,
    /// Where the first byte goes.
    pub at: u64,
    /// Where nothing more may be written.
    pub end: u64,
    /// Called with the length that is written by now, every [`Region::EVERY`] bytes and at the end.
    pub reached: Box<dyn FnMut(u64) -> io::Result<()>>,
}

impl Region {
    /// Bytes between two calls of [`Region::reached`].
    pub const EVERY: u64 = 64 << 20;

    fn took(&mut self, len: u64) -> io::Result<()> {
        // What is said to be there is there.
        self.device.sync_data()?;
        (self.reached)(len)
    }
}

/// A file being written.
pub struct FileOutput {
    file: File,
    /// Where its bytes go, if it is no file of its own, and the length that was told last.
    region: Option<(Region, u64)>,
    /// Size of each buffer; writes begin and end at multiples of it where the stream lets them.
    unit: usize,
    streams: Vec<Stream>,
    /// Turns of use, to find the stream that waited longest.
    clock: u64,
    /// The highest byte written.
    len: u64,
    /// Sends windows to the device; none: what is written stays in the cache.
    behind: Option<Behind>,
    table: Option<(u64, Sha256)>,
    sums: Option<Summing>,
}

/// What the file can be checked by later.
#[derive(Debug, Default)]
pub struct Checksums {
    /// The SHA-256 of the seek table, if one was announced.
    pub table: Option<[u8; 32]>,
    /// The sums of the whole file, if they were wanted.
    pub sums: Option<Sums>,
}

struct Stream {
    at: u64,
    buf: Vec<u8>,
    used: u64,
}

impl FileOutput {
    /// Writes to an empty file with buffers of `unit` bytes (a multiple of 4096).
    #[must_use]
    pub fn new(file: File, unit: usize) -> Self {
        Self {
            file,
            region: None,
            unit: unit.max(4096),
            streams: Vec::new(),
            clock: 0,
            len: 0,
            behind: None,
            table: None,
            sums: None,
        }
    }

    /// Writes to a part of a device with buffers of `unit` bytes (a multiple of 4096).
    ///
    /// # Errors
    /// What the system said.
    pub fn on(region: Region, unit: usize) -> io::Result<Self> {
        let mut out = Self::new(region.device.try_clone()?, unit);
        out.region = Some((region, 0));
        Ok(out)
    }

    /// Where the file's first byte is on what is written to.
    fn base(&self) -> u64 {
        self.region.as_ref().map_or(0, |(region, _)| region.at)
    }

    /// Sends what is written to the device at once and drops it from the cache. Without it written
    /// pages stay there: on a running system they may be read soon. So they do where no thread
    /// can be had, and the kernel drops them when it needs the room.
    #[must_use]
    pub fn drop_behind(mut self, flight: InFlight) -> Self {
        self.behind = Behind::new(&self.file, self.base(), flight).ok();
        self
    }

    /// Sums the file up in pieces as it is written, for formats without checksums.
    #[must_use]
    pub fn with_sums(mut self) -> Self {
        self.sums = Some(Summing::default());
        self
    }

    /// Reserves space, beyond the end too. Filesystems that cannot are none the worse.
    ///
    /// # Errors
    /// ENOSPC only: it is better to know now.
    pub fn reserve(&self, bytes: u64) -> io::Result<()> {
        let Ok(len) = i64::try_from(bytes) else {
            return Ok(());
        };
        if let Some((region, _)) = &self.region {
            return match bytes > region.end.saturating_sub(region.at) {
                true => Err(Errno::ENOSPC.into()),
                false => Ok(()),
            };
        }
        match fallocate(&self.file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, len) {
            Err(Errno::ENOSPC) => Err(Errno::ENOSPC.into()),
            _ => Ok(()),
        }
    }

    /// Writes what is buffered, gives back what was reserved beyond `len`, and waits until all of
    /// it is on the device.
    ///
    /// # Errors
    /// What the system said.
    pub fn finish(mut self, len: u64) -> io::Result<Checksums> {
        self.flush()?;
        let dropped = self.behind.is_some();
        if let Some(mut behind) = self.behind.take() {
            behind.join()?;
        }
        let base = self.base();
        match &mut self.region {
            Some((region, _)) => region.took(len)?,
            None => {
                self.file.set_len(len)?;
                self.file.sync_all()?;
            }
        }
        if dropped {
            let whole = if base == 0 { 0 } else { len };
            forget(&self.file, base, whole);
        }
        Ok(Checksums {
            table: self.table.map(|(_, hash)| hash.finalize().into()),
            sums: self.sums.map(|sums| sums.finish(len)),
        })
    }

    /// Writes what is buffered: what was cut off by an error is as long as it can be.
    ///
    /// # Errors
    /// What the system said of the first buffer that could not be written.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        let streams = std::mem::take(&mut self.streams);
        for stream in &streams {
            result = result.and(self.put(stream.at, &stream.buf));
        }
        if let Some((region, told)) = &mut self.region
            && self.len > *told
        {
            *told = self.len;
            result = result.and(region.took(self.len));
        }
        result
    }

    fn put(&mut self, at: u64, buf: &[u8]) -> io::Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        let end = at + buf.len() as u64;
        if let Some((region, _)) = &self.region
            && region.at.saturating_add(end) > region.end
        {
            return Err(Errno::ENOSPC.into());
        }
        self.file.write_all_at(buf, self.base() + at)?;
        self.len = self.len.max(end);
        if let Some(behind) = &mut self.behind {
            behind.reached(self.len)?;
        }
        if let Some((region, told)) = &mut self.region
            && self.len - *told >= Region::EVERY
        {
            *told = self.len;
            region.took(self.len)?;
        }
        Ok(())
    }

    /// The stream that ends where this write begins; makes one, writing another out, if need be.
    fn stream(&mut self, offset: u64, len: u64) -> io::Result<usize> {
        let found = self
            .streams
            .iter()
            .position(|s| s.at + s.buf.len() as u64 == offset);
        let overlaps = |s: &Stream| offset < s.at + s.buf.len() as u64 && s.at < offset + len;
        let clash = self
            .streams
            .iter()
            .enumerate()
            .any(|(at, s)| Some(at) != found && overlaps(s));
        if let Some(at) = found
            && !clash
        {
            return Ok(at);
        }
        if clash {
            self.flush()?;
        } else if self.streams.len() >= STREAMS {
            let oldest = (0..self.streams.len())
                .min_by_key(|at| self.streams.get(*at).map_or(0, |s| s.used))
                .unwrap_or(0);
            let stream = self.streams.swap_remove(oldest);
            self.put(stream.at, &stream.buf)?;
        }
        self.streams.push(Stream {
            at: offset,
            buf: Vec::with_capacity(self.unit),
            used: self.clock,
        });
        Ok(self.streams.len() - 1)
    }
}

impl Output for FileOutput {
    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()> {
        if let Some((from, hash)) = &mut self.table
            && offset >= *from
        {
            hash.update(buf);
        }
        if let Some(sums) = &mut self.sums {
            sums.add(offset, buf);
        }
        self.clock += 1;
        let at = self.stream(offset, buf.len() as u64)?;
        let mut stream = self.streams.swap_remove(at);
        stream.used = self.clock;
        let result = self.fill(&mut stream, buf);
        self.streams.push(stream);
        result
    }

    fn lags(&self) -> bool {
        // One is being sent, and one more may just have been handed over.
        let behind = self.behind.as_ref();
        behind.is_some_and(|behind| behind.windows.len() > 1)
    }

    fn table_begins(&mut self, offset: u64) {
        self.table = Some((offset, Sha256::new()));
    }
}

impl FileOutput {
    /// Appends to a stream, writing whole units as they fill.
    fn fill(&mut self, stream: &mut Stream, mut rest: &[u8]) -> io::Result<()> {
        let unit = self.unit as u64;
        while !rest.is_empty() {
            let position = stream.at + stream.buf.len() as u64;
            let room = usize::try_from(unit - position % unit).unwrap_or(self.unit);
            let Some((now, later)) = rest.split_at_checked(room) else {
                stream.buf.extend_from_slice(rest);
                return Ok(());
            };
            stream.buf.extend_from_slice(now);
            rest = later;
            self.put(stream.at, &stream.buf)?;
            stream.at += stream.buf.len() as u64;
            stream.buf.clear();
        }
        Ok(())
    }
}

/// The thread that brings windows to the device.
struct Behind {
    flight: InFlight,
    /// Where the window that was not yet sent begins.
    window: u64,
    windows: Arc<Queue<u64>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Behind {
    /// For a file whose first byte is at `base` of `file`.
    fn new(file: &File, base: u64, flight: InFlight) -> io::Result<Self> {
        let file = file.try_clone()?;
        let windows = Arc::new(Queue::new(flight.windows.max(1)));
        let taken = Arc::clone(&windows);
        let body = move || {
            let result = send(&file, base, flight.bytes, &taken);
            taken.close();
            result
        };
        let thread = thread::Builder::new().stack_size(SMALL_STACK).spawn(body)?;
        Ok(Self {
            flight,
            window: 0,
            windows,
            thread: Some(thread),
        })
    }

    /// All up to `len` was written once. Waits while too much is on its way.
    fn reached(&mut self, len: u64) -> io::Result<()> {
        while len >= self.window + self.flight.bytes {
            if !self.windows.push(self.window) {
                return self.join();
            }
            self.window += self.flight.bytes;
        }
        Ok(())
    }

    /// Waits until all that was sent is on its way, all but the last of it on the device. What the
    /// device reported meanwhile is returned once.
    fn join(&mut self) -> io::Result<()> {
        self.windows.close();
        let thread = self.thread.take().map(JoinHandle::join);
        thread.and_then(Result::ok).unwrap_or(Ok(()))
    }
}

impl Drop for Behind {
    /// The thread ends; a device that hangs is not waited for.
    fn drop(&mut self) {
        self.windows.close();
    }
}

/// Sends each window, then waits for the one before it. An error of the device ends it: the kernel
/// tells it once for an open file, so the sync at the end would not (mm/filemap.c,
/// `file_check_and_advance_wb_err`).
fn send(file: &File, base: u64, bytes: u64, windows: &Queue<u64>) -> io::Result<()> {
    let fatal = [libc::EIO, libc::ENOSPC, libc::EDQUOT].map(Some);
    // Others say that the filesystem cannot do this.
    let reported = |result: io::Result<()>| match result {
        Err(error) if fatal.contains(&error.raw_os_error()) => Err(error),
        other => Ok(other.is_ok()),
    };
    let mut before = None;
    while let Some(window) = windows.pop() {
        let window = base.saturating_add(window);
        reported(sys::sync_file_range(file, window, bytes, false))?;
        if let Some(before) = before.replace(window)
            && reported(sys::sync_file_range(file, before, bytes, true))?
        {
            forget(file, before, bytes);
        }
    }
    Ok(())
}

fn forget(file: &File, offset: u64, len: u64) {
    if let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) {
        let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        let _ = posix_fadvise(file, offset, len, advice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_region_gets_the_bytes_of_a_file_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device");
        std::fs::write(&path, [7; 40_000]).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let on = |end: u64| {
            let told = Arc::clone(&told);
            let device = File::options().read(true).write(true).open(&path).unwrap();
            let region = Region {
                device,
                at: 8192,
                end,
                reached: Box::new(move |len| {
                    told.lock().unwrap().push(len);
                    Ok(())
                }),
            };
            let flight = InFlight {
                bytes: 4096,
                windows: 1,
            };
            FileOutput::on(region, 4096).unwrap().drop_behind(flight)
        };
        let mut out = on(32_768);
        assert!(out.reserve(24_577).is_err() && out.reserve(24_576).is_ok());
        out.write_at(0, &[1; 10_000]).unwrap();
        out.write_at(100, &[2; 100]).unwrap();
        out.finish(10_000).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 40_000);
        assert!(
            bytes[..8192]
                .iter()
                .chain(&bytes[18_192..])
                .all(|b| *b == 7)
        );
        assert!(bytes[8292..8392].iter().all(|b| *b == 2));
        assert_eq!((bytes[8192], bytes[18_191]), (1, 1));
        assert_eq!(told.lock().unwrap().last(), Some(&10_000));
        // What does not fit is an error, and what did fit is told.
        let mut out = on(16_384);
        let error = out.write_at(0, &[3; 20_000]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        let _ = out.flush();
        assert_eq!(told.lock().unwrap().last(), Some(&8192));
        assert_eq!(std::fs::read(&path).unwrap()[16_384], 1);
    }

    #[test]
    fn streams_end_up_where_they_belong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = File::create_new(&path).unwrap();
        let flight = InFlight {
            bytes: 8192,
            windows: 1,
        };
        let mut out = FileOutput::new(file, 4096).drop_behind(flight);
        let mut want = vec![0_u8; 100_000];
        let mut put = |out: &mut FileOutput, at: usize, bytes: &[u8]| {
            want[at..at + bytes.len()].copy_from_slice(bytes);
            out.write_at(at as u64, bytes).unwrap();
        };
        put(&mut out, 0, &[1; 1000]);
        let (mut table, mut data) = (1000, 20_000);
        for step in 0..200_u8 {
            put(&mut out, table, &[step; 24]);
            table += 24;
            let piece = vec![step ^ 0x55; usize::from(step) + 7];
            put(&mut out, data, &piece);
            data += piece.len();
        }
        // Over what is still buffered, and over what was written long ago.
        put(&mut out, data - 10, &[9; 30]);
        put(&mut out, 1000, &[8; 24]);
        let len = data + 20;
        out.table_begins(len as u64);
        put(&mut out, len, b"abc");
        let hash = out.finish(len as u64 + 3).unwrap().table.unwrap();
        // FIPS 180-2, B.1.
        assert_eq!(hash[..4], [0xba, 0x78, 0x16, 0xbf]);
        want.truncate(len + 3);
        assert!(std::fs::read(&path).unwrap() == want);
    }
}
