//! What is known of the server's directory: open files, numbers, and whether the connection still lives.

use super::nodes::Nodes;
use crate::screen::Screen;
use nix::errno::Errno;
use ssh::sftp::{Attributes, File, How, PIECE, Room};
use ssh::{Sftp, SshError};
use std::collections::BTreeMap;
use std::io;

/// Entries of one directory that are shown. A server that has more is not listed further.
const MOST_ENTRIES: usize = 20_000;

/// How a file begins that has no name any more but is open: it must be there after the connection broke.
const DOOMED: &str = ".afterpanic-removed-";

/// The answer to a request: a value, or the kernel's number of the error.
pub(super) type Answer<T> = Result<T, Errno>;

/// An open file.
struct Open {
    file: File,
    number: u64,
}

/// One connection's state.
pub(super) struct State {
    sftp: Sftp,
    base: String,
    nodes: Nodes,
    open: BTreeMap<u64, Open>,
    listed: BTreeMap<u64, Vec<(String, Attributes)>>,
    /// Files without a name, by number: the names that they have on the server.
    doomed: BTreeMap<u64, String>,
    next: u64,
    /// Who owns the directory. Files of others are not ours.
    owner: Option<u32>,
    /// Nothing is asked any more: the connection could not be made again.
    dead: bool,
    revived: u32,
    screen: Option<Screen>,
}

impl State {
    /// Opens the directory; what is missing of it is made.
    pub(super) fn new(mut sftp: Sftp, base: &str, screen: Option<Screen>) -> io::Result<Self> {
        let owner = ssh::ensure(&mut sftp, base)?.uid;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self {
            sftp,
            nodes: Nodes::new(&base),
            base,
            open: BTreeMap::new(),
            listed: BTreeMap::new(),
            doomed: BTreeMap::new(),
            next: 1,
            owner,
            dead: false,
            revived: 0,
            screen,
        })
    }

    fn say(&mut self, line: &str) {
        match &mut self.screen {
            Some(screen) => screen.show(line),
            None => eprintln!("{line}"),
        }
    }

    /// The number of an error. One that ends the connection ends every later request at once.
    fn number(&mut self, error: &SshError) -> Errno {
        match error.kind() {
            io::ErrorKind::NotFound => Errno::ENOENT,
            io::ErrorKind::PermissionDenied => Errno::EACCES,
            io::ErrorKind::Unsupported => Errno::EOPNOTSUPP,
            _ if matches!(error, SshError::Status { .. }) => match self.sftp.room(&self.base) {
                // Version 3 says only "failure" of a full disk.
                Ok(room) if room.available.saturating_mul(room.block) < PIECE as u64 => {
                    Errno::ENOSPC
                }
                _ => Errno::EIO,
            },
            _ => {
                if !self.dead {
                    self.dead = true;
                    self.say(&format!("ssh: giving up on the server: {error}"));
                }
                Errno::EIO
            }
        }
    }

    /// Asks the server.
    fn ask<T>(&mut self, what: impl FnOnce(&mut Sftp) -> Result<T, SshError>) -> Answer<T> {
        if self.dead {
            return Err(Errno::EIO);
        }
        let answer = what(&mut self.sftp);
        if self.sftp.revived() != self.revived {
            self.revived = self.sftp.revived();
            self.say("ssh: the connection broke and was made again");
        }
        answer.map_err(|error| self.number(&error))
    }

    /// A harmless question, so that neither side takes the connection for dead.
    pub(super) fn sign_of_life(&mut self) {
        let base = self.base.clone();
        let _ = self.ask(|sftp| sftp.look_up(&base));
    }

    /// Whether it belongs to the owner of the directory, whom the kernel is shown as root.
    pub(super) fn is_ours(&self, found: &Attributes) -> bool {
        found.uid == self.owner
    }

    fn path(&self, number: u64) -> Answer<String> {
        let path = self.nodes.path(number).map(str::to_owned);
        path.ok_or(Errno::ESTALE)
    }

    fn below(&self, parent: u64, name: &str) -> Answer<String> {
        Ok(format!("{}/{name}", self.path(parent)?))
    }

    /// An open file with this number.
    fn opened(&self, number: u64) -> Option<File> {
        let mut open = self.open.values();
        open.find(|open| open.number == number)
            .map(|open| open.file)
    }

    fn file(&self, handle: u64) -> Answer<File> {
        self.open
            .get(&handle)
            .map(|open| open.file)
            .ok_or(Errno::EBADF)
    }

    pub(super) fn look_up(&mut self, parent: u64, name: &str) -> Answer<(u64, Attributes)> {
        let path = self.below(parent, name)?;
        let found = self.ask(|sftp| sftp.look_up(&path))?;
        let number = self.nodes.of(&path);
        // The server may not have every write yet.
        match self.opened(number) {
            Some(file) => Ok((number, self.ask(|sftp| sftp.look_at(file))?)),
            None => Ok((number, found)),
        }
    }

    pub(super) fn forget(&mut self, number: u64, times: u64) {
        self.nodes.forget(number, times);
    }

    pub(super) fn attributes(&mut self, number: u64) -> Answer<Attributes> {
        if let Some(file) = self.opened(number) {
            return self.ask(|sftp| sftp.look_at(file));
        }
        // A link in the path of the directory itself is the administrator's choice.
        let path = match number {
            super::nodes::ROOT => format!("{}/.", self.base),
            _ => self.path(number)?,
        };
        self.ask(|sftp| sftp.look_up(&path))
    }

    pub(super) fn set_len(&mut self, number: u64, len: u64) -> Answer<Attributes> {
        if let Some(file) = self.opened(number) {
            self.ask(|sftp| sftp.set_len(file, len))?;
            return self.attributes(number);
        }
        let path = self.path(number)?;
        self.ask(|sftp| {
            let file = sftp.open(&path, How::Write)?;
            let set = sftp.set_len(file, len);
            set.and(sftp.close(file))
        })?;
        self.attributes(number)
    }

    pub(super) fn make_directory(&mut self, parent: u64, name: &str) -> Answer<(u64, Attributes)> {
        let path = self.below(parent, name)?;
        let made = self.ask(|sftp| sftp.make_directory(&path));
        self.unless_taken(&path, made)?;
        self.look_up(parent, name)
    }

    /// Version 3 says only "failure" of a name that is taken.
    fn unless_taken<T>(&mut self, path: &str, made: Answer<T>) -> Answer<T> {
        match made {
            Err(Errno::EIO) if self.ask(|sftp| sftp.look_up(path)).is_ok() => Err(Errno::EEXIST),
            other => other,
        }
    }

    pub(super) fn remove(&mut self, parent: u64, name: &str, directory: bool) -> Answer<()> {
        let path = self.below(parent, name)?;
        let number = self.nodes.of(&path);
        self.nodes.forget(number, 1);
        if self.opened(number).is_some() {
            let doomed = self.below(parent, &format!("{DOOMED}{number}"))?;
            self.ask(|sftp| sftp.rename(&path, &doomed))?;
            self.doomed.insert(number, doomed);
        } else {
            self.ask(|sftp| sftp.remove(&path, directory))?;
        }
        self.nodes.removed(&path);
        Ok(())
    }

    pub(super) fn sync_directory(&mut self, number: u64) -> Answer<()> {
        let path = self.path(number)?;
        self.ask(|sftp| sftp.sync_directory(&path))
    }

    pub(super) fn rename(&mut self, from: (u64, &str), to: (u64, &str)) -> Answer<()> {
        let (from, to) = (self.below(from.0, from.1)?, self.below(to.0, to.1)?);
        self.ask(|sftp| sftp.rename(&from, &to))?;
        self.nodes.renamed(&from, &to);
        let within = format!("{from}/");
        for path in self.doomed.values_mut() {
            if let Some(name) = path.strip_prefix(&within) {
                *path = format!("{to}/{name}");
            }
        }
        Ok(())
    }

    pub(super) fn create(&mut self, parent: u64, name: &str) -> Answer<(u64, Attributes, u64)> {
        let path = self.below(parent, name)?;
        let made = self.ask(|sftp| sftp.open(&path, How::New));
        let file = self.unless_taken(&path, made)?;
        let found = self.ask(|sftp| sftp.look_at(file))?;
        let number = self.nodes.of(&path);
        Ok((number, found, self.keep(Open { file, number })))
    }

    pub(super) fn open(&mut self, number: u64, write: bool) -> Answer<u64> {
        let path = self.path(number)?;
        let how = match write {
            true => How::Write,
            false => How::Read,
        };
        let file = self.ask(|sftp| sftp.open(&path, how))?;
        Ok(self.keep(Open { file, number }))
    }

    fn keep(&mut self, open: Open) -> u64 {
        let handle = self.take_handle();
        self.open.insert(handle, open);
        handle
    }

    fn take_handle(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    pub(super) fn read(&mut self, handle: u64, offset: u64, size: u32) -> Answer<Vec<u8>> {
        let file = self.file(handle)?;
        let size = usize::try_from(size).unwrap_or(0);
        let mut read = Vec::new();
        while read.len() < size {
            let at = offset.saturating_add(read.len() as u64);
            let left = size.saturating_sub(read.len());
            let piece = self.ask(|sftp| sftp.read(file, at, left))?;
            if piece.is_empty() {
                break;
            }
            read.extend(piece);
        }
        Ok(read)
    }

    pub(super) fn write(&mut self, handle: u64, offset: u64, data: &[u8]) -> Answer<()> {
        let file = self.file(handle)?;
        self.ask(|sftp| sftp.write(file, offset, data))
    }

    pub(super) fn flush(&mut self, handle: u64) -> Answer<()> {
        let file = self.file(handle)?;
        self.ask(|sftp| sftp.flush(file))
    }

    pub(super) fn sync(&mut self, handle: u64) -> Answer<()> {
        let file = self.file(handle)?;
        self.ask(|sftp| sftp.sync(file))
    }

    pub(super) fn release(&mut self, handle: u64) -> Answer<()> {
        let Some(open) = self.open.remove(&handle) else {
            return Err(Errno::EBADF);
        };
        let closed = self.ask(|sftp| sftp.close(open.file));
        if self.opened(open.number).is_none()
            && let Some(path) = self.doomed.remove(&open.number)
        {
            self.ask(|sftp| sftp.remove(&path, false))?;
        }
        closed
    }

    pub(super) fn list(&mut self, number: u64) -> Answer<u64> {
        let path = self.path(number)?;
        let mut entries = Vec::new();
        self.ask(|sftp| {
            sftp.list(&path, MOST_ENTRIES, &mut |name, found| {
                if !name.starts_with(DOOMED) {
                    entries.push((name, found));
                }
            })
        })?;
        let handle = self.take_handle();
        self.listed.insert(handle, entries);
        Ok(handle)
    }

    /// An entry of a listing, by its place.
    pub(super) fn entry(&self, handle: u64, at: usize) -> Option<&(String, Attributes)> {
        self.listed.get(&handle)?.get(at)
    }

    pub(super) fn end_listing(&mut self, handle: u64) {
        self.listed.remove(&handle);
    }

    pub(super) fn room(&mut self) -> Answer<Room> {
        let base = self.base.clone();
        self.ask(|sftp| sftp.room(&base))
    }
}
