//! `afterpanic mount`: a core as a directory of files that other programs open.

use super::debugger::kept;
use crate::core_arg;
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::Context;
use analysis::report;
use anyhow::Context as _;
use debuginfo::{Globals, Options, Vmlinux};
use dump::describe::meta_of;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, Request,
};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use vmcore::kernel::Kernel;
use vmcore::printk;
use vmcore::view::{ElfView, KdumpView, View};

/// How long the kernel may remember a name: nothing here ever changes.
const TTL: Duration = Duration::from_secs(3600);

/// Arguments of `mount`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A core file, a crash directory or `last`
    core: PathBuf,
    /// The mount point, an empty directory
    dir: PathBuf,
}

/// Mounts, waits for Ctrl-C or SIGTERM, unmounts.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (_, dump) = core_arg::open(context, Some(&args.core))?;
    let mut files: Vec<(&'static str, Box<dyn View>)> = Vec::new();
    let kernel = Kernel::new(Arc::clone(&dump));
    let meta = meta_of(&*dump, kernel.as_ref().ok());
    match KdumpView::new(Arc::clone(&dump), &meta) {
        Ok(view) => files.push(("vmcore.kdump", Box::new(view))),
        Err(error) => context.warn(&format!("no vmcore.kdump: {error}")),
    }
    match ElfView::new(dump, meta) {
        Ok(view) => files.insert(0, ("vmcore", Box::new(view))),
        Err(error) => context.warn(&format!("no vmcore: {error}")),
    }
    match kernel {
        Ok(kernel) => {
            match vmlinux(&kernel, context) {
                Ok(view) => files.push(("vmlinux", view)),
                Err(error) => context.warn(&format!("no vmlinux: {error:#}")),
            }
            files.extend(texts(&kernel, context));
        }
        Err(error) => context.warn(&format!("no vmlinux, no log and no report: {error}")),
    }
    // Blocked before any thread starts, so that only the wait below takes them.
    let signals = Interrupts::hold()?;
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let hint = format!(
        "{}: {}; Ctrl-C unmounts",
        args.dir.display(),
        names.join(", ")
    );
    let mut options = fuser::Config::default();
    options.mount_options = vec![
        MountOption::RO,
        MountOption::FSName("afterpanic".into()),
        MountOption::DefaultPermissions,
    ];
    let session = fuser::spawn_mount(Files { files }, &args.dir, &options).with_context(|| {
        format!(
            "Cannot mount on {}: it must be an empty directory, and /dev/fuse must be there \
             (modprobe fuse; without root also fusermount3)",
            args.dir.display()
        )
    })?;
    context.hint(&hint);
    signals.wait()?;
    session.umount_and_join().with_context(|| {
        let dir = args.dir.display();
        format!(
            "{dir} is still mounted, as a program has a file of it open; end that, then: umount {dir}"
        )
    })?;
    Ok(Exit::Done)
}

/// What debuggers need beside the core: out of the cache, or where that is no use, in memory.
fn vmlinux(kernel: &Kernel, context: &Context) -> anyhow::Result<Box<dyn View>> {
    let options = Options {
        relocated: false,
        modules: true,
    };
    match kept(kernel, options, context).and_then(|(path, _)| Ok(Kept::of(File::open(path)?)?)) {
        Ok(kept) => Ok(Box::new(kept)),
        Err(why) => {
            let made = Vmlinux::of(kernel, &Globals::of_kernel(kernel, None)?, options)?;
            context.warn(&format!("the vmlinux is not kept: {why:#}"));
            made.warnings.iter().for_each(|why| context.warn(why));
            let mut bytes = Vec::new();
            made.write(&mut bytes)?;
            Ok(Box::new(bytes))
        }
    }
}

/// A file of the cache. It may go from there: it is open.
struct Kept {
    file: File,
    size: u64,
}

impl Kept {
    fn of(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl View for Kept {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self
                .file
                .read_at(rest, offset.saturating_add(done as u64))?
            {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }
}

/// The log and the report as files.
fn texts(kernel: &Kernel, context: &Context) -> Vec<(&'static str, Box<dyn View>)> {
    let mut files: Vec<(&'static str, Box<dyn View>)> = Vec::new();
    let mut log = Vec::new();
    match printk::write_dmesg(kernel, &mut log) {
        Ok(_) => files.push(("dmesg.txt", Box::new(log))),
        Err(error) => context.warn(&format!("no dmesg.txt: {error}")),
    }
    let report = report::build(kernel, report::Options::default());
    if let Ok(json) = serde_json::to_vec_pretty(&report) {
        files.push(("report.json", Box::new(json)));
    }
    let mut text = String::new();
    if report::text::write(&report, &mut text).is_ok() {
        files.push(("report.txt", Box::new(text.into_bytes())));
    }
    files
}

/// One directory of read-only files; inode 1 is the directory, file i is inode i + 2.
struct Files {
    files: Vec<(&'static str, Box<dyn View>)>,
}

impl Files {
    fn file(&self, ino: INodeNo) -> Option<&dyn View> {
        let i = usize::try_from(u64::from(ino).checked_sub(2)?).ok()?;
        self.files.get(i).map(|(_, view)| &**view)
    }

    fn attr(&self, ino: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match self.file(ino) {
            Some(view) => (FileType::RegularFile, 0o400, view.size()),
            None if ino == INodeNo::ROOT => (FileType::Directory, 0o500, 0),
            None => return None,
        };
        Some(FileAttr {
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
        })
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self
            .files
            .iter()
            .position(|(file, _)| OsStr::new(file) == name);
        let ino = found
            .filter(|_| parent == INodeNo::ROOT)
            .map(|i| INodeNo(i as u64 + 2));
        match ino.and_then(|ino| self.attr(ino)) {
            Some(attr) => reply.entry(&TTL, &attr, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attr(ino) {
            Some(attr) => reply.attr(&TTL, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // What one program has read the next need not ask for again.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
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
        let Some(view) = self.file(ino) else {
            return reply.error(Errno::ENOENT);
        };
        let mut buf = vec![0; usize::try_from(size).unwrap_or(0)];
        match view.read_at(offset, &mut buf) {
            Ok(n) => reply.data(buf.get(..n).unwrap_or_default()),
            Err(error) => {
                log::warn!("read at {offset:#x}: {error}");
                reply.error(Errno::EIO);
            }
        }
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if ino != INodeNo::ROOT {
            return reply.error(Errno::ENOTDIR);
        }
        let dots = [
            (1, FileType::Directory, "."),
            (1, FileType::Directory, ".."),
        ];
        let files = self
            .files
            .iter()
            .zip(2..)
            .map(|((name, _), ino)| (ino, FileType::RegularFile, *name));
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (i, (ino, kind, name)) in dots.into_iter().chain(files).enumerate().skip(skip) {
            if reply.add(INodeNo(ino), i as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
