//! A directory on the server as a store.
//!
//! The account has its own directory there, but the server's administrator may have made it for several
//! machines. What belongs to the owner of the store's directory is ours, if no other user can write to
//! it. Names are looked up without following links; the path of the store itself may lead over links.

use crate::SshError;
use crate::sftp::{Attributes, File, How, PIECE, Sftp};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use store::manifest;
use store::place::{Entry, MAX_ENTRIES, Place, is_plain};

/// Directories inside a crash directory (`pstore/`) are removed to this depth.
const MAX_DEPTH: u32 = 4;

/// Files of one directory that are looked at.
const MAX_FILES: usize = 10_000;

/// Bytes that one read asks for.
const READ: usize = 32 << 10;

/// A store on a server.
#[derive(Clone)]
pub struct Remote {
    sftp: Arc<Mutex<Sftp>>,
    base: String,
    owner: Option<u32>,
}

impl Remote {
    /// Opens the directory `base` on the server; components that are missing are made, 0700.
    ///
    /// # Errors
    /// What the server said.
    pub fn open(mut sftp: Sftp, base: &str) -> io::Result<Self> {
        let owner = ensure(&mut sftp, base)?.uid;
        Ok(Self {
            sftp: Arc::new(Mutex::new(sftp)),
            base: base.trim_end_matches('/').to_owned(),
            owner,
        })
    }

    fn sftp(&self) -> io::Result<MutexGuard<'_, Sftp>> {
        let poisoned = |_| io::Error::other("another thread failed in the middle of a request");
        self.sftp.lock().map_err(poisoned)
    }

    /// The path of a directory, checked to be a name and ours.
    fn ours(&self, directory: &str) -> io::Result<String> {
        let path = self.path(directory)?;
        let found = self.sftp()?.look_up(&path)?;
        match found.is_directory() && found.belongs_to(self.owner) {
            true => Ok(path),
            false => Err(not_ours(directory)),
        }
    }

    fn path(&self, directory: &str) -> io::Result<String> {
        plain(directory)?;
        Ok(format!("{}/{directory}", self.base))
    }

    /// The path of a regular file of ours.
    fn file(&self, directory: &str, file: &str) -> io::Result<(String, u64)> {
        let mut path = self.ours(directory)?;
        let mut name = file;
        if let Some((below, file)) = file.split_once('/') {
            path = self.below(&path, below)?;
            name = file;
        }
        plain(name)?;
        let path = format!("{path}/{name}");
        let found = self.sftp()?.look_up(&path)?;
        match found.is_file() && found.belongs_to(self.owner) {
            true => Ok((path, found.size)),
            false => Err(not_ours(file)),
        }
    }

    /// The path of a directory of ours below another.
    fn below(&self, path: &str, name: &str) -> io::Result<String> {
        plain(name)?;
        let path = format!("{path}/{name}");
        let found = self.sftp()?.look_up(&path)?;
        match found.is_directory() && found.belongs_to(self.owner) {
            true => Ok(path),
            false => Err(not_ours(name)),
        }
    }

    fn entries(&self, path: &str) -> io::Result<Vec<(String, Attributes)>> {
        let mut entries = Vec::new();
        self.sftp()?.list(path, MAX_FILES, &mut |name, found| {
            entries.push((name, found));
        })?;
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(entries)
    }

    fn lengths(&self, path: &str, depth: u32) -> u64 {
        let mut bytes = 0_u64;
        for (name, found) in self.entries(path).unwrap_or_default() {
            bytes = bytes.saturating_add(match found.is_directory() && depth > 0 {
                true => self.lengths(&format!("{path}/{name}"), depth - 1),
                false => found.size,
            });
        }
        bytes
    }

    /// Removes everything in a directory, the manifest last.
    fn empty(&self, path: &str, depth: u32) -> io::Result<()> {
        let mut entries = self.entries(path)?;
        entries.sort_by_key(|(name, _)| name == manifest::FILE);
        for (name, found) in entries {
            let path = format!("{path}/{name}");
            let directory = found.is_directory();
            if directory && depth > 0 {
                self.empty(&path, depth - 1)?;
            }
            self.sftp()?.remove(&path, directory)?;
        }
        Ok(())
    }
}

impl Place for Remote {
    fn create(&self, directory: &str) -> io::Result<()> {
        let path = self.path(directory)?;
        let mut sftp = self.sftp()?;
        let made = sftp.make_directory(&path);
        made.map_err(|error| taken(&mut sftp, &path, &error))
    }

    fn exists(&self, directory: &str) -> bool {
        let path = self.path(directory);
        path.and_then(|path| Ok(self.sftp()?.look_up(&path)?))
            .is_ok()
    }

    fn write(&self, directory: &str, file: &str, content: &mut dyn Read) -> io::Result<()> {
        let mut path = self.ours(directory)?;
        let mut name = file;
        if let Some((below, file)) = file.split_once('/') {
            plain(below)?;
            path = format!("{path}/{below}");
            ensure(&mut *self.sftp()?, &path)?;
            name = file;
        }
        plain(name)?;
        let path = format!("{path}/{name}");
        let mut sftp = self.sftp()?;
        let file = match sftp.open(&path, How::New) {
            Ok(file) => file,
            Err(error) => return Err(taken(&mut sftp, &path, &error)),
        };
        let written = fill(&mut sftp, file, content).and_then(|()| Ok(sftp.sync(file)?));
        let closed = sftp.close(file);
        let base = self.base.clone();
        written
            .and(closed.map_err(io::Error::from))
            .map_err(|error| full(&mut sftp, &base, error))
    }

    fn open(&self, directory: &str, file: &str) -> io::Result<(Box<dyn Read>, u64)> {
        let (path, len) = self.file(directory, file)?;
        let file = self.sftp()?.open(&path, How::Read)?;
        let reader = Reader {
            sftp: Arc::clone(&self.sftp),
            file,
            at: 0,
            read: Vec::new(),
        };
        Ok((Box::new(reader), len))
    }

    fn trim(&self, directory: &str, file: &str) -> io::Result<()> {
        let (path, len) = self.file(directory, file)?;
        let mut sftp = self.sftp()?;
        let file = sftp.open(&path, How::Write)?;
        let trimmed = sftp.set_len(file, len);
        Ok(trimmed.and(sftp.close(file))?)
    }

    fn changed(&self, directory: &str) -> Option<SystemTime> {
        let path = self.ours(directory).ok()?;
        let own = self.sftp().ok()?.look_up(&path).ok()?.mtime;
        let files = self.entries(&path).ok()?.into_iter();
        let latest = files
            .filter_map(|(_, found)| found.mtime)
            .chain(own)
            .max()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(latest.into()))
    }

    fn discard(&self, directory: &str, file: &str) -> io::Result<()> {
        plain(file)?;
        let path = format!("{}/{file}", self.ours(directory)?);
        match self.sftp()?.remove(&path, false) {
            Err(error) if error.is_not_found() => Ok(()),
            other => Ok(other?),
        }
    }

    fn files(&self, directory: &str) -> io::Result<Vec<(String, u64)>> {
        let entries = self.entries(&self.ours(directory)?)?.into_iter();
        Ok(entries
            .filter(|(_, found)| found.is_file())
            .map(|(name, found)| (name, found.size))
            .collect())
    }

    fn files_below(&self, directory: &str) -> io::Result<Vec<(String, u64)>> {
        let path = self.ours(directory)?;
        let mut files = Vec::new();
        for (name, found) in self.entries(&path)? {
            if !found.is_directory() {
                continue;
            }
            let entries = self.entries(&self.below(&path, &name)?)?.into_iter();
            let below = entries.filter(|(_, found)| found.is_file());
            files.extend(below.map(|(file, found)| (format!("{name}/{file}"), found.size)));
        }
        Ok(files)
    }

    /// Lengths: SFTP says nothing of blocks.
    fn size(&self, directory: &str) -> u64 {
        self.ours(directory)
            .map_or(0, |path| self.lengths(&path, MAX_DEPTH))
    }

    fn sync(&self, directory: &str) -> io::Result<()> {
        let path = self.ours(directory)?;
        Ok(self.sftp()?.sync_directory(&path)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        let mut sftp = self.sftp()?;
        match sftp.look_up(&to) {
            Err(error) if error.is_not_found() => {
                sftp.rename(&from, &to)?;
                Ok(sftp.sync_directory(&self.base)?)
            }
            Err(error) => Err(error.into()),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{to} exists"),
            )),
        }
    }

    fn list(&self, seen: &mut dyn FnMut(Entry)) -> io::Result<()> {
        let owner = self.owner;
        let shown = self
            .sftp()?
            .list(&self.base, MAX_ENTRIES, &mut |name, found| {
                if found.is_directory() {
                    let ours = found.belongs_to(owner);
                    seen(Entry { name, ours });
                }
            });
        Ok(shown?)
    }

    fn remove(&self, directory: &str) -> io::Result<()> {
        let path = self.ours(directory)?;
        self.empty(&path, MAX_DEPTH)?;
        Ok(self.sftp()?.remove(&path, true)?)
    }

    fn room(&self) -> io::Result<u64> {
        let room = self.sftp()?.room(&self.base)?;
        Ok(room.available.saturating_mul(room.block))
    }
}

/// A file that is read piece by piece.
struct Reader {
    sftp: Arc<Mutex<Sftp>>,
    file: File,
    at: u64,
    /// What was read and not taken, back to front.
    read: Vec<u8>,
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.read.is_empty() {
            let poisoned = |_| io::Error::other("another thread failed in a request");
            let mut sftp = self.sftp.lock().map_err(poisoned)?;
            self.read = sftp.read(self.file, self.at, READ)?;
            self.at = self.at.saturating_add(self.read.len() as u64);
            self.read.reverse();
        }
        let n = buf.len().min(self.read.len());
        let rest = self.read.len().saturating_sub(n);
        for (to, from) in buf.iter_mut().zip(self.read.drain(rest..).rev()) {
            *to = from;
        }
        Ok(n)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Ok(mut sftp) = self.sftp.lock() {
            let _ = sftp.close(self.file);
        }
    }
}

/// Makes a directory and what is above it where it is missing. Answers what the server says of it.
///
/// # Errors
/// What the server said, with the path.
pub fn ensure(sftp: &mut Sftp, path: &str) -> io::Result<Attributes> {
    let mut walked = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        plain(part)?;
        walked = format!("{walked}/{part}");
        match sftp.look_up(&walked) {
            Err(error) if error.is_not_found() => sftp
                .make_directory(&walked)
                .map_err(|error| named(&walked, &error))?,
            // Not ours to see, perhaps: the next one is asked for.
            Ok(_) | Err(SshError::Status { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // A link at the end leads to the directory.
    let found = sftp.look_up(&format!("{walked}/."));
    found.map_err(|error| named(&walked, &error))
}

fn named(path: &str, error: &SshError) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

/// Writes all that `content` has.
fn fill(sftp: &mut Sftp, file: File, content: &mut dyn Read) -> io::Result<()> {
    let mut buf = vec![0; PIECE];
    let mut at = 0_u64;
    loop {
        let n = content.read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        sftp.write(file, at, buf.get(..n).unwrap_or_default())?;
        at = at.saturating_add(n as u64);
    }
}

/// Version 3 says only "failure" for a name that is taken.
fn taken(sftp: &mut Sftp, path: &str, error: &SshError) -> io::Error {
    match sftp.look_up(path) {
        Ok(_) => io::Error::new(io::ErrorKind::AlreadyExists, format!("{path} exists")),
        Err(_) => named(path, error),
    }
}

/// It says only "failure" for a full disk, too.
fn full(sftp: &mut Sftp, base: &str, error: io::Error) -> io::Error {
    let room = sftp.room(base);
    match room.is_ok_and(|room| room.available.saturating_mul(room.block) < PIECE as u64) {
        true => io::Error::new(io::ErrorKind::StorageFull, "the server's disk is full"),
        false => error,
    }
}

fn plain(name: &str) -> io::Result<()> {
    match is_plain(name) {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is not a plain file name"),
        )),
    }
}

fn not_ours(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{name:?} belongs to another user, or others may write to it"),
    )
}
