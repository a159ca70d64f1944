//! The kernel's FUSE requests, answered.
//!
//! One request at a time. The kernel is told that the directory's owner is root: the store checks
//! owners, and here the server's administrator decides who writes into the directory.

use super::nodes::ROOT;
use super::state::{Answer, State};
use crate::screen::Screen;
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};
use ssh::Sftp;
use ssh::sftp::{Attributes, PIECE};
use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the kernel may believe what it was told. Nobody else writes here.
const TTL: Duration = Duration::from_secs(10);

/// How often a silent connection gives a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// The user nobody: owner of what is not ours.
const NOBODY: u32 = 65534;

/// Bytes of a block, for the kernel.
const BLOCK: u32 = 4096;

/// The filesystem.
pub(super) struct Bridge {
    state: Arc<Mutex<State>>,
}

impl Bridge {
    /// # Errors
    /// The directory cannot be opened or made.
    pub(super) fn new(sftp: Sftp, base: &str, screen: Option<Screen>) -> io::Result<Self> {
        let state = State::new(sftp, base, screen)?;
        Ok(Self {
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// Keeps the connection alive while nobody writes: finding the pages of a large machine takes minutes.
    ///
    /// # Errors
    /// There can be no other thread.
    pub(super) fn keep_alive(&self) -> io::Result<()> {
        let state = Arc::clone(&self.state);
        thread::Builder::new().spawn(move || {
            loop {
                thread::sleep(SIGN_OF_LIFE);
                // Else a request is on its way, which is a sign of life, too.
                if let Ok(mut state) = state.try_lock() {
                    state.sign_of_life();
                }
            }
        })?;
        Ok(())
    }

    fn with<T>(&self, what: impl FnOnce(&mut State) -> Answer<T>) -> Result<T, Errno> {
        let mut state = self.state.lock().map_err(|_| Errno::EIO)?;
        what(&mut state).map_err(|errno| Errno::from_i32(errno as i32))
    }

    fn shown(&self, number: u64, found: &Attributes) -> FileAttr {
        let ours = self.state.lock().is_ok_and(|state| state.is_ours(found));
        attributes(number, found, ours)
    }

    fn entry(&self, found: Result<(u64, Attributes), Errno>, reply: ReplyEntry) {
        match found {
            Ok((number, found)) => {
                reply.entry(&TTL, &self.shown(number, &found), Generation(0));
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn attr(&self, number: u64, found: Result<Attributes, Errno>, reply: ReplyAttr) {
        match found {
            Ok(found) => reply.attr(&TTL, &self.shown(number, &found)),
            Err(errno) => reply.error(errno),
        }
    }
}

/// As the kernel is shown it.
fn attributes(number: u64, found: &Attributes, ours: bool) -> FileAttr {
    let mode = found.mode.unwrap_or(0o100_600);
    let time = UNIX_EPOCH + Duration::from_secs(found.mtime.unwrap_or(0).into());
    let owner = match ours {
        true => 0,
        false => NOBODY,
    };
    FileAttr {
        ino: INodeNo(number),
        size: found.size,
        blocks: found.size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(found),
        perm: u16::try_from(mode & 0o7777).unwrap_or(0),
        nlink: 1,
        uid: owner,
        gid: owner,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

fn kind(found: &Attributes) -> FileType {
    match (found.is_directory(), found.is_file()) {
        (true, _) => FileType::Directory,
        (_, true) => FileType::RegularFile,
        // A link or something else: never opened, never followed.
        _ => FileType::NamedPipe,
    }
}

fn text(name: &OsStr) -> Result<&str, Errno> {
    name.to_str().ok_or(Errno::EINVAL)
}

fn done(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Bridge {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let piece = u32::try_from(PIECE).unwrap_or(u32::MAX);
        // A kernel that allows less keeps its own limit.
        let _ = config.set_max_write(piece);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = text(name).and_then(|name| self.with(|state| state.look_up(parent.0, name)));
        self.entry(found, reply);
    }

    fn forget(&self, _: &Request, number: INodeNo, times: u64) {
        if let Ok(mut state) = self.state.lock() {
            state.forget(number.0, times);
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.with(|state| state.attributes(number.0));
        self.attr(number.0, found, reply);
    }

    /// Lengths only: permissions are right from the start, and times are the server's.
    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let found = self.with(|state| match size {
            Some(size) => state.set_len(number.0, size),
            None => state.attributes(number.0),
        });
        self.attr(number.0, found, reply);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let made =
            text(name).and_then(|name| self.with(|state| state.make_directory(parent.0, name)));
        self.entry(made, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let gone =
            text(name).and_then(|name| self.with(|state| state.remove(parent.0, name, false)));
        done(gone, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let gone =
            text(name).and_then(|name| self.with(|state| state.remove(parent.0, name, true)));
        done(gone, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let names = text(name).and_then(|name| Ok((name, text(new_name)?)));
        let renamed = names.and_then(|(name, new)| {
            self.with(|state| state.rename((parent.0, name), (new_parent.0, new)))
        });
        done(renamed, reply);
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let write = flags.acc_mode() != OpenAccMode::O_RDONLY;
        match self.with(|state| state.open(number.0, write)) {
            // What was written is still in the cache, and is not read again to be hashed.
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_KEEP_CACHE),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match text(name).and_then(|name| self.with(|state| state.create(parent.0, name))) {
            Ok((number, found, handle)) => reply.created(
                &TTL,
                &self.shown(number, &found),
                Generation(0),
                FileHandle(handle),
                FopenFlags::FOPEN_KEEP_CACHE,
            ),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.with(|state| state.read(handle.0, offset, size)) {
            Ok(data) => reply.data(&data),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.with(|state| state.write(handle.0, offset, data)) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        done(self.with(|state| state.flush(handle.0)), reply);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        done(self.with(|state| state.release(handle.0)), reply);
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.with(|state| state.sync(handle.0)), reply);
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.with(|state| state.list(number.0)) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Ok(state) = self.state.lock() else {
            return reply.error(Errno::EIO);
        };
        let (mut at, own) = (offset, [".", ".."]);
        loop {
            let place = usize::try_from(at).unwrap_or(usize::MAX);
            let entry = match own.get(place) {
                Some(name) => Some((*name, FileType::Directory)),
                None => state
                    .entry(handle.0, place.saturating_sub(own.len()))
                    .map(|(name, found)| (name.as_str(), kind(found))),
            };
            let Some((name, kind)) = entry else {
                break;
            };
            at = at.saturating_add(1);
            // The number is asked for by `lookup`.
            let ino = match place {
                0 => number,
                _ => INodeNo(ROOT),
            };
            if reply.add(ino, at, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        if let Ok(mut state) = self.state.lock() {
            state.end_listing(handle.0);
        }
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.with(|state| state.sync_directory(number.0)), reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.with(State::room) {
            Ok(room) => {
                let block = u32::try_from(room.block).unwrap_or(BLOCK);
                let (blocks, free, available) = (room.blocks, room.free, room.available);
                reply.statfs(blocks, free, available, 0, 0, block, 255, block);
            }
            Err(errno) => reply.error(errno),
        }
    }
}
