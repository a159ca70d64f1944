//! A store that is a directory of this machine.
//!
//! A store may be world-writable (Ubuntu's /var/crash is, with the sticky bit). So the store is opened
//! once, and every directory and file below it by descriptor and one name at a time, without following
//! links (`O_NOFOLLOW`) and without waiting for a FIFO (`O_NONBLOCK`). The owner is checked before
//! anything is read, written or removed. A directory is ours when its owner is the user of this process
//! or root, and group and others cannot write into it.
//! FAT has no owners: mount options make root the owner of everything. An NFS server may write what we
//! make as another user's (root squash): there the owner of the store's own directory is a writer, too.

use crate::manifest;
use crate::place::{Entry, MAX_ENTRIES, Place, is_plain};
use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Files of one directory that are looked at.
const MAX_FILES: usize = 10_000;

/// Directories inside a crash directory (`pstore/`) are removed to this depth.
const MAX_DEPTH: u32 = 4;

/// A directory of this machine with crash directories.
#[derive(Debug)]
pub(crate) struct Local {
    dir: OwnedFd,
    path: PathBuf,
    /// Who may have written here.
    writers: Writers,
}

/// The users whose directories and files are ours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writers {
    /// Root and the user of this process.
    Us,
    /// These, and the user that the server makes of us.
    UsAs(u32),
    /// Anybody.
    All,
}

impl Writers {
    /// Whether a file or directory belongs to one of them, and no other user can write to it.
    fn own(self, stat: &FileStat) -> bool {
        let others = Mode::S_IWGRP | Mode::S_IWOTH;
        let us = stat.st_uid == 0 || stat.st_uid == geteuid().as_raw();
        match self {
            Self::All => true,
            Self::Us => us && stat.st_mode & others.bits() == 0,
            Self::UsAs(user) => (us || stat.st_uid == user) && stat.st_mode & others.bits() == 0,
        }
    }

    /// Of the store in an open directory.
    fn of(dir: &OwnedFd) -> io::Result<Self> {
        // NFS_SUPER_MAGIC of include/uapi/linux/magic.h.
        let remote = fstatfs(dir)?.filesystem_type() == FsType(0x6969);
        Ok(match remote {
            true => Self::UsAs(fstat(dir)?.st_uid),
            false => Self::Us,
        })
    }
}

impl Local {
    /// Opens the store. The last component of `path` may be a link: the administrator chose it.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self {
            writers: Writers::of(&dir)?,
            dir,
            path: path.to_path_buf(),
        })
    }

    /// Where a directory is, for messages and for those who read cores.
    #[must_use]
    pub(crate) fn path_of(&self, directory: &str) -> PathBuf {
        self.path.join(directory)
    }

    /// A directory of ours, opened.
    fn directory(&self, name: &str) -> io::Result<OwnedFd> {
        plain(name)?;
        let dir = open_directory(&self.dir, name)?;
        match self.writers.own(&fstat(&dir)?) {
            true => Ok(dir),
            false => Err(not_ours(name)),
        }
    }
}

impl Place for Local {
    fn create(&self, directory: &str) -> io::Result<()> {
        plain(directory)?;
        Ok(mkdirat(&self.dir, directory, Mode::S_IRWXU)?)
    }

    fn exists(&self, directory: &str) -> bool {
        fstatat(&self.dir, directory, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    fn write(&self, directory: &str, file: &str, content: &mut dyn Read) -> io::Result<()> {
        let mut dir = self.directory(directory)?;
        let file = match file.split_once('/') {
            None => file,
            Some((below, file)) => {
                dir = subdirectory(&dir, below, self.writers)?;
                file
            }
        };
        plain(file)?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut out = File::from(openat(&dir, file, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        io::copy(content, &mut out)?;
        out.sync_all()
    }

    fn open(&self, directory: &str, file: &str) -> io::Result<(Box<dyn Read>, u64)> {
        let dir = self.directory(directory)?;
        let file = match file.split_once('/') {
            None => open_file(&dir, file, self.writers)?,
            Some((below, file)) => {
                open_file(&below_of(&dir, below, self.writers)?, file, self.writers)?
            }
        };
        let len = file.metadata()?.len();
        Ok((Box::new(file), len))
    }

    fn trim(&self, directory: &str, file: &str) -> io::Result<()> {
        plain(file)?;
        let dir = self.directory(directory)?;
        let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&dir, file, flags, Mode::empty())?);
        // ext4 and xfs free blocks beyond the end even when the length stays.
        file.set_len(file.metadata()?.len())
    }

    fn changed(&self, directory: &str) -> Option<SystemTime> {
        let dir = self.directory(directory).ok()?;
        let time = |stat: FileStat| {
            let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        };
        let of = |name: &String| {
            let stat = fstatat(&dir, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
            time(stat)
        };
        let own = fstat(&dir).ok().and_then(time);
        names(&dir).ok()?.iter().filter_map(of).chain(own).max()
    }

    fn discard(&self, directory: &str, file: &str) -> io::Result<()> {
        plain(file)?;
        let dir = self.directory(directory)?;
        match unlinkat(&dir, file, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn files(&self, directory: &str) -> io::Result<Vec<(String, u64)>> {
        regular_files(&self.directory(directory)?)
    }

    fn files_below(&self, directory: &str) -> io::Result<Vec<(String, u64)>> {
        let dir = self.directory(directory)?;
        let mut files = Vec::new();
        for name in names(&dir)? {
            let stat = fstatat(&dir, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            if !stat.is_ok_and(|stat| is_kind(&stat, SFlag::S_IFDIR)) {
                continue;
            }
            let below = regular_files(&below_of(&dir, &name, self.writers)?)?.into_iter();
            files.extend(below.map(|(file, len)| (format!("{name}/{file}"), len)));
        }
        Ok(files)
    }

    fn size(&self, directory: &str) -> u64 {
        self.directory(directory)
            .map_or(0, |dir| blocks(&dir, MAX_DEPTH))
    }

    fn sync(&self, directory: &str) -> io::Result<()> {
        File::from(self.directory(directory)?).sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        plain(to)?;
        self.sync(from)?;
        if self.exists(to) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} exists", self.path_of(to).display()),
            ));
        }
        renameat(&self.dir, from, &self.dir, to)?;
        File::from(self.dir.try_clone()?).sync_all()
    }

    fn list(&self, seen: &mut dyn FnMut(Entry)) -> io::Result<()> {
        // A second descriptor, so that the position of the first does not matter.
        let mut listing = Dir::from_fd(open_directory(&self.dir, ".")?)?;
        for entry in listing.iter().take(MAX_ENTRIES) {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let Ok(stat) = fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
                continue;
            };
            if is_kind(&stat, SFlag::S_IFDIR) {
                seen(Entry {
                    name: name.to_owned(),
                    ours: self.writers.own(&stat),
                });
            }
        }
        Ok(())
    }

    fn remove(&self, directory: &str) -> io::Result<()> {
        let dir = self.directory(directory)?;
        empty(&dir, MAX_DEPTH)?;
        unlinkat(&self.dir, directory, UnlinkatFlags::RemoveDir)?;
        Ok(())
    }

    fn room(&self) -> io::Result<u64> {
        let stat = nix::sys::statvfs::fstatvfs(&self.dir)?;
        Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
    }
}

/// A directory of ours below another, made when it is missing.
fn subdirectory(dir: &OwnedFd, name: &str, writers: Writers) -> io::Result<OwnedFd> {
    plain(name)?;
    match mkdirat(dir, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    below_of(dir, name, writers)
}

/// A directory of ours below another.
fn below_of(dir: &OwnedFd, name: &str, writers: Writers) -> io::Result<OwnedFd> {
    plain(name)?;
    let below = open_directory(dir, name)?;
    match writers.own(&fstat(&below)?) {
        true => Ok(below),
        false => Err(not_ours(name)),
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

fn is_kind(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

/// A directory below another, not through a link.
fn open_directory<N: NixPath + ?Sized>(dir: &impl AsFd, name: &N) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY
        | OFlag::O_DIRECTORY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

/// A regular file below a directory, not through a link, that belongs to one of `writers`.
pub(crate) fn open_file(dir: &impl AsFd, name: &str, writers: Writers) -> io::Result<File> {
    plain(name)?;
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    if !is_kind(&stat, SFlag::S_IFREG) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{name:?} is not a regular file"),
        ));
    }
    match writers.own(&stat) {
        true => Ok(File::from(file)),
        false => Err(not_ours(name)),
    }
}

/// A whole file of at most `max` bytes.
pub(crate) fn read_file(
    dir: &impl AsFd,
    name: &str,
    max: u64,
    writers: Writers,
) -> io::Result<Vec<u8>> {
    let file = open_file(dir, name, writers)?;
    let too_large = || {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{name:?} is larger than {max} bytes"),
        )
    };
    if file.metadata()?.len() > max {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(too_large()),
        false => Ok(bytes),
    }
}

/// The names in a directory, sorted, [`MAX_FILES`] at most.
fn raw_names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut listing = Dir::from_fd(open_directory(dir, ".")?)?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        names.push(name.to_owned());
        if names.len() == MAX_FILES {
            break;
        }
    }
    names.sort();
    Ok(names)
}

/// The names in a directory that are text.
fn names(dir: &OwnedFd) -> io::Result<Vec<String>> {
    let names = raw_names(dir)?.into_iter();
    Ok(names.filter_map(|name| name.into_string().ok()).collect())
}

/// The regular files of a directory, by name, with their length.
pub(crate) fn regular_files(dir: &OwnedFd) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for name in names(dir)? {
        // Gone meanwhile, or a name that this filesystem lists and does not find.
        let Ok(stat) = fstatat(dir, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else {
            continue;
        };
        if is_kind(&stat, SFlag::S_IFREG) {
            files.push((name, u64::try_from(stat.st_size).unwrap_or(0)));
        }
    }
    Ok(files)
}

/// Bytes of the blocks that everything in a directory uses.
fn blocks(dir: &OwnedFd, depth: u32) -> u64 {
    let mut bytes = 0_u64;
    for name in raw_names(dir).unwrap_or_default() {
        let Ok(stat) = fstatat(dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else {
            continue;
        };
        // st_blocks counts 512 bytes, independent of the filesystem's block size (stat(2)).
        let own = u64::try_from(stat.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512);
        bytes = bytes.saturating_add(own);
        if is_kind(&stat, SFlag::S_IFDIR)
            && depth > 0
            && let Ok(below) = open_directory(dir, name.as_c_str())
        {
            bytes = bytes.saturating_add(blocks(&below, depth - 1));
        }
    }
    bytes
}

/// Removes everything in a directory. The manifest goes last, so that what is left of an interrupted
/// removal is still known to be ours.
fn empty(dir: &OwnedFd, depth: u32) -> io::Result<()> {
    // A directory of more entries than are listed at once takes another round.
    loop {
        let mut found = raw_names(dir)?;
        found.sort_by_key(|name| name.as_bytes() == manifest::FILE.as_bytes());
        if found.is_empty() {
            return Ok(());
        }
        let mut removed = false;
        for name in found {
            match unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) => removed = true,
                Err(Errno::ENOENT) => {}
                Err(Errno::EISDIR | Errno::EPERM) if depth > 0 => {
                    empty(&open_directory(dir, name.as_c_str())?, depth - 1)?;
                    unlinkat(dir, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
                    removed = true;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        // A damaged filesystem lists names that it does not find: another round would be the same.
        if !removed {
            return Err(io::Error::new(
                io::ErrorKind::DirectoryNotEmpty,
                "it lists names that do not exist",
            ));
        }
    }
}

#[cfg(test)]
mod tests;
