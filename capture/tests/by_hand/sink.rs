//! A target without end: a filesystem (by FUSE) that keeps every file but the core, of which it keeps
//! the length alone.

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TTL: Duration = Duration::from_secs(1);

/// Mounts it; it goes with the session.
pub(crate) fn mount(at: &Path) -> BackgroundSession {
    fuser::spawn_mount(Sink::new(), at, &Config::default()).unwrap()
}

enum Node {
    Directory(BTreeMap<OsString, u64>),
    /// The bytes of a file, and of the core how many there are.
    File(Vec<u8>),
    Core(u64),
}

/// Node n is inode n + 1, and stays when its last name goes: it may be open.
struct Sink(Mutex<Vec<Node>>);

impl Sink {
    fn new() -> Self {
        Self(Mutex::new(vec![Node::Directory(BTreeMap::new())]))
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        self.0.lock().unwrap()
    }

    fn add(&self, parent: INodeNo, name: &OsStr, node: Node) -> FileAttr {
        let mut nodes = self.nodes();
        nodes.push(node);
        let ino = nodes.len() as u64;
        let Node::Directory(names) = &mut nodes[at(parent)] else {
            panic!("{name:?} in a file");
        };
        names.insert(name.to_owned(), ino);
        attr(INodeNo(ino), &nodes)
    }

    fn found(&self, parent: INodeNo, name: &OsStr) -> Option<FileAttr> {
        let nodes = self.nodes();
        let Node::Directory(names) = &nodes[at(parent)] else {
            return None;
        };
        names.get(name).map(|ino| attr(INodeNo(*ino), &nodes))
    }

    fn taken(&self, parent: INodeNo, name: &OsStr) -> Option<u64> {
        match &mut self.nodes()[at(parent)] {
            Node::Directory(names) => names.remove(name),
            _ => None,
        }
    }
}

fn at(ino: INodeNo) -> usize {
    usize::try_from(u64::from(ino)).unwrap() - 1
}

fn attr(ino: INodeNo, nodes: &[Node]) -> FileAttr {
    let (kind, perm, size) = match &nodes[at(ino)] {
        Node::Directory(_) => (FileType::Directory, 0o700, 0),
        Node::File(bytes) => (FileType::RegularFile, 0o600, bytes.len() as u64),
        Node::Core(size) => (FileType::RegularFile, 0o600, *size),
    };
    FileAttr {
        ino,
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: nix::unistd::getuid().as_raw(),
        gid: nix::unistd::getgid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Sink {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.found(parent, name) {
            Some(attr) => reply.entry(&TTL, &attr, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &attr(ino, &self.nodes()));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut nodes = self.nodes();
        match (&mut nodes[at(ino)], size) {
            (Node::Core(len), Some(size)) => *len = size,
            (Node::File(bytes), Some(size)) => bytes.resize(usize::try_from(size).unwrap(), 0),
            _ => {}
        }
        reply.attr(&TTL, &attr(ino, &nodes));
    }

    fn mkdir(&self, _: &Request, to: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let attr = self.add(to, name, Node::Directory(BTreeMap::new()));
        reply.entry(&TTL, &attr, Generation(0));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let core = name.as_encoded_bytes().starts_with(b"vmcore.");
        let node = if core {
            Node::Core(0)
        } else {
            Node::File(Vec::new())
        };
        let attr = self.add(parent, name, node);
        // Nothing of the core is read again.
        let flags = match core {
            true => FopenFlags::FOPEN_DIRECT_IO,
            false => FopenFlags::empty(),
        };
        reply.created(&TTL, &attr, Generation(0), FileHandle(0), flags);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let nodes = self.nodes();
        let Node::File(bytes) = &nodes[at(ino)] else {
            return reply.error(Errno::EIO);
        };
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let end = (from + usize::try_from(size).unwrap()).min(bytes.len());
        reply.data(&bytes[from..end]);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match &mut self.nodes()[at(ino)] {
            Node::Core(size) => *size = (*size).max(offset + data.len() as u64),
            Node::File(bytes) => {
                let from = usize::try_from(offset).unwrap();
                bytes.resize(bytes.len().max(from + data.len()), 0);
                bytes[from..from + data.len()].copy_from_slice(data);
            }
            Node::Directory(_) => return reply.error(Errno::EISDIR),
        }
        reply.written(u32::try_from(data.len()).unwrap());
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.taken(parent, name) {
            Some(_) => reply.ok(),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let Some(ino) = self.taken(parent, name) else {
            return reply.error(Errno::ENOENT);
        };
        if let Node::Directory(names) = &mut self.nodes()[at(to)] {
            names.insert(new.to_owned(), ino);
        }
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let nodes = self.nodes();
        if let Node::Directory(names) = &nodes[at(ino)] {
            let skip = usize::try_from(offset).unwrap();
            for (n, (name, ino)) in names.iter().enumerate().skip(skip) {
                let kind = attr(INodeNo(*ino), &nodes).kind;
                if reply.add(INodeNo(*ino), n as u64 + 1, kind, name) {
                    break;
                }
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = 1 << 38;
        reply.statfs(blocks, blocks, blocks, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}
