//! A crash directory as a stream on a device without a filesystem.
//!
//! The capture kernel keeps the small files of the crash directory in memory and appends each to the stream;
//! cores go to the device as they are written ([`Stream::region`]). `collect` makes a crash directory of it at
//! the next boot. docs/formats/raw-target.md is the specification.
//!
//! Nothing is ever written over something else: a device takes a stream when its beginning is zeros or an earlier
//! stream ([`is_free`]). What is read back is not trusted: lengths are held to the device's, names to one directory.

mod entry;

use crate::place::is_plain;
use dump::pipeline::Region;
use entry::{BLOCK, Entry, Header, Kind, State};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the entries begin. Superblocks of filesystems lie before.
const FIRST: u64 = 1 << 20;

/// Bytes at the device's end that are left alone: an array's superblock may lie there.
const TAIL: u64 = 128 << 10;

/// Entries of one stream.
const MOST: usize = 10_000;

/// In a directory of the capture kernel: the device that the crash directories in it are streamed to.
const MARK: &str = ".raw";

/// The device is too small for a log and a report.
const LEAST: u64 = 8 << 20;

/// A stream on a device.
#[derive(Debug)]
pub struct Stream {
    device: File,
    id: u64,
    /// Where the next entry goes.
    next: u64,
    /// Where nothing more may be written.
    end: u64,
    entries: Vec<(u64, Entry)>,
}

/// Whether a device's first bytes, of at least one block, belong to nobody: zeros, or an earlier stream.
#[must_use]
pub fn is_free(head: &[u8]) -> bool {
    let zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    match head.split_at_checked(BLOCK) {
        Some((first, rest)) => zeros(rest) && (zeros(first) || Header::parse(first).is_some()),
        None => false,
    }
}

/// The stream that the crash directories in `base` go to, if they go to one.
///
/// # Errors
/// The device cannot be opened, or holds another stream now.
pub fn of(base: &Path) -> io::Result<Option<Stream>> {
    let device = match fs::read(base.join(MARK)) {
        Ok(device) => PathBuf::from(std::ffi::OsString::from_vec(device)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let stream = Stream::open(&device, true)?;
    let gone = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the stream is not there any more",
        )
    };
    stream.ok_or_else(gone).map(Some)
}

impl Stream {
    /// Begins a stream on a device, in place of an earlier one, and has the crash directories in `base` go to it.
    ///
    /// # Errors
    /// The device's beginning is neither zeros nor a stream, it is too small, or what the system said.
    pub fn begin(device: &Path, base: &Path) -> io::Result<()> {
        let file = open(device, true)?;
        let mut head = vec![0; usize::try_from(FIRST).unwrap_or(BLOCK)];
        file.read_exact_at(&mut head, 0)?;
        if !is_free(&head) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "its beginning is neither zeros nor an earlier stream",
            ));
        }
        let size = size(&file)?;
        if size < FIRST + TAIL + LEAST {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "it is too small",
            ));
        }
        let header = Header {
            state: State::Written,
            id: RandomState::new().build_hasher().finish(),
            size,
        };
        // An earlier stream's first entry has another id, but an id is no proof against chance.
        file.write_all_at(&[0; BLOCK], FIRST)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_data()?;
        fs::write(base.join(MARK), device.as_os_str().as_bytes())
    }

    /// Opens the stream of a device. `None` if the device holds no stream, or one that was collected.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(device: &Path, write: bool) -> io::Result<Option<Self>> {
        let file = open(device, write)?;
        let mut block = [0; BLOCK];
        file.read_exact_at(&mut block, 0)?;
        let Some(header) = Header::parse(&block).filter(|header| header.state == State::Written)
        else {
            return Ok(None);
        };
        let end = size(&file)?.min(header.size).saturating_sub(TAIL);
        let mut stream = Self {
            device: file,
            id: header.id,
            next: FIRST,
            end,
            entries: Vec::new(),
        };
        stream.walk()?;
        Ok(Some(stream))
    }

    /// Reads the entries, as far as they are whole.
    fn walk(&mut self) -> io::Result<()> {
        let mut block = [0; BLOCK];
        while self.next < self.end && self.entries.len() < MOST {
            self.device.read_exact_at(&mut block, self.next)?;
            let Some(entry) = Entry::parse(&block, self.id) else {
                break;
            };
            let Some(next) = after(self.next, entry.len).filter(|_| is_name(&entry.name)) else {
                break;
            };
            // One that was cut off by the device's end is the last.
            let at = std::mem::replace(&mut self.next, next);
            self.entries.push((at, entry));
        }
        Ok(())
    }

    /// Bytes that are left.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.end
            .saturating_sub(self.next)
            .saturating_sub(BLOCK as u64)
    }

    /// The crash directory's name, as it was told last.
    #[must_use]
    pub fn directory(&self) -> Option<&str> {
        let mut names = self.entries.iter().rev();
        let found = names.find(|(_, entry)| entry.kind == Kind::Directory);
        found.map(|(_, entry)| entry.name.as_str())
    }

    /// Gives the crash directory a name.
    ///
    /// # Errors
    /// The name is not plain, the device is full, or what the system said.
    pub fn name(&mut self, directory: &str) -> io::Result<()> {
        self.append(Kind::Directory, directory, 0)?;
        self.device.sync_data()
    }

    /// The files, each by its last entry, with their length.
    #[must_use]
    pub fn files(&self) -> Vec<(String, u64)> {
        let all = self.entries.iter().enumerate();
        let last = all.filter(|(at, (_, entry))| {
            let mut later = self.entries.iter().skip(at.saturating_add(1));
            entry.kind == Kind::File
                && !later.any(|(_, other)| other.kind == Kind::File && other.name == entry.name)
        });
        last.map(|(_, (_, entry))| (entry.name.clone(), entry.len))
            .collect()
    }

    /// The length of a file in bytes; 0 if the stream has no such file.
    #[must_use]
    pub fn len_of(&self, name: &str) -> u64 {
        self.found(name).map_or(0, |(_, entry)| entry.len)
    }

    fn found(&self, name: &str) -> Option<&(u64, Entry)> {
        let mut all = self.entries.iter().rev();
        all.find(|(_, entry)| entry.kind == Kind::File && entry.name == name)
    }

    /// The content of a file.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<impl Read + '_> {
        let (at, entry) = self.found(name)?;
        let at = at.saturating_add(BLOCK as u64);
        let len = entry.len.min(self.end.saturating_sub(at));
        Some(Content {
            device: &self.device,
            at,
            end: at.saturating_add(len),
        })
    }

    /// Appends the files of a crash directory that are not in the stream with the same length.
    ///
    /// # Errors
    /// The device is full, or what the system said of the first file that could not be read or written. The others
    /// are appended.
    pub fn append_all(&mut self, dir: &Path) -> io::Result<()> {
        let mut result = Ok(());
        for name in small_files(dir)? {
            let appended = File::open(dir.join(&name)).and_then(|mut file| {
                let len = file.metadata()?.len();
                match self.found(&name).is_some_and(|(_, entry)| entry.len == len) {
                    true => Ok(()),
                    false => self.put(&name, len, &mut file),
                }
            });
            result = result.and(appended);
        }
        self.device.sync_data()?;
        result
    }

    fn put(&mut self, name: &str, len: u64, content: &mut dyn Read) -> io::Result<()> {
        if len > self.room() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut at = self.next.saturating_add(BLOCK as u64);
        let mut left = content.take(len);
        let mut buf = vec![0; 64 << 10];
        loop {
            let read = left.read(&mut buf)?;
            let bytes = buf.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            self.device.write_all_at(bytes, at)?;
            at = at.saturating_add(read as u64);
        }
        // Its entry follows the content: a file that was cut off is not there.
        self.append(Kind::File, name, len)
    }

    fn append(&mut self, kind: Kind, name: &str, len: u64) -> io::Result<()> {
        let refused = || io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?}"));
        let next = after(self.next, len).ok_or_else(refused)?;
        if !is_name(name) {
            return Err(refused());
        }
        if next > self.end {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let entry = Entry {
            id: self.id,
            kind,
            len,
            name: name.to_owned(),
        };
        // What lies behind must not look like an entry of this stream.
        if next < self.end {
            self.device.write_all_at(&[0; BLOCK], next)?;
        }
        self.device.write_all_at(&entry.encode(), self.next)?;
        let at = std::mem::replace(&mut self.next, next);
        self.entries.push((at, entry));
        Ok(())
    }

    /// The rest of the device for a file that is written bit by bit. Nothing else may be appended meanwhile.
    ///
    /// # Errors
    /// The device is full, or what the system said.
    pub fn region(mut self, name: &str) -> io::Result<Region> {
        let entry = self.next;
        self.append(Kind::File, name, 0)?;
        let device = self.device.try_clone()?;
        let (id, name) = (self.id, name.to_owned());
        let reached = move |len: u64| {
            let kind = Kind::File;
            let name = name.clone();
            let told = Entry {
                id,
                kind,
                len,
                name,
            };
            self.device.write_all_at(&told.encode(), entry)?;
            if let Some(next) = after(entry, len).filter(|next| *next < self.end) {
                self.device.write_all_at(&[0; BLOCK], next)?;
            }
            self.device.sync_data()
        };
        Ok(Region {
            device,
            at: entry.saturating_add(BLOCK as u64),
            end: self.end,
            reached: Box::new(reached),
        })
    }

    /// Takes a file out of the stream, if it is there.
    ///
    /// # Errors
    /// What the system said.
    pub fn discard(&mut self, name: &str) -> io::Result<()> {
        for (at, entry) in &mut self.entries {
            if entry.kind == Kind::File && entry.name == name {
                entry.kind = Kind::Removed;
                self.device.write_all_at(&entry.encode(), *at)?;
            }
        }
        self.device.sync_data()
    }

    /// Says that all of it has a crash directory now: the next stream may take its place.
    ///
    /// # Errors
    /// What the system said.
    pub fn collected(&self) -> io::Result<()> {
        let header = Header {
            state: State::Collected,
            id: self.id,
            size: size(&self.device)?,
        };
        self.device.write_all_at(&header.encode(), 0)?;
        self.device.sync_data()
    }
}

/// Where the entry behind one of `len` bytes of content begins.
fn after(entry: u64, len: u64) -> Option<u64> {
    let end = entry.checked_add(BLOCK as u64)?.checked_add(len)?;
    end.checked_next_multiple_of(BLOCK as u64)
}

/// A file of a crash directory, or one in a directory in it.
fn is_name(name: &str) -> bool {
    match name.split_once('/') {
        Some((directory, file)) => is_plain(directory) && is_plain(file),
        None => is_plain(name),
    }
}

fn open(device: &Path, write: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(write);
    options
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(device)
}

fn size(mut device: &File) -> io::Result<u64> {
    device.seek(SeekFrom::End(0))
}

/// The regular files of a crash directory and of the directories in it. Hidden ones are work in progress.
fn small_files(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)?.flatten() {
        let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        if kind.is_file() {
            names.push(name);
        } else if kind.is_dir() {
            let below = fs::read_dir(entry.path())?.flatten();
            let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
            let below = below.filter_map(|entry| entry.file_name().into_string().ok());
            names.extend(below.map(|file| format!("{name}/{file}")));
        }
    }
    names.sort();
    Ok(names)
}

struct Content<'a> {
    device: &'a File,
    at: u64,
    end: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buf.len().min(left);
        let read = self
            .device
            .read_at(buf.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
