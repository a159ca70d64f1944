//! The first step on a target: makes the crash directory and writes the crashed kernel's log into it,
//! before anything else can fail.

use super::{raw, source};
use crate::protocol::{self, Event, say};
use dump::files;
use dump::seal::{NewFile, Sealer};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use plan::Plan;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use store::Store;
use store::manifest::{DMESG, RESERVE};
use vmcore::kernel::{Kernel, chain};
use vmcore::printk;

/// Bytes of the reserve.
const RESERVED: i64 = 2 << 20;

pub(super) fn run(plan: &Plan, base: &Path) -> Result<(), String> {
    let kernel = source::kernel(plan);
    let (node, stamp) = source::name_of(plan, kernel.as_ref().ok());
    let dir = Store::open(base)
        .and_then(|store| Ok(store.path_of(&store.begin(&node, &stamp)?)))
        .map_err(|error| format!("Cannot make a directory in {}: {error}", base.display()))?;
    say(&Event::Directory(dir.to_string_lossy().into_owned()));
    let _ = files::sync(base);
    raw::name(&dir).unwrap_or_else(protocol::soft);
    let kernel = kernel?;
    if let Some(release) = kernel.vmcoreinfo().osrelease()
        && !plan.kernel.release.is_empty()
        && release != plan.kernel.release
    {
        protocol::soft(format!(
            "The crashed kernel is {release}, the plan was made for {}",
            plan.kernel.release
        ));
    }
    let records = write_log(&kernel, &dir, &plan.dump.sealer())?;
    protocol::log(format!("{DMESG}: {records} records in {}", dir.display()));
    if raw::append(&dir)? {
        return Ok(());
    }
    if let Err(error) = reserve(&dir) {
        protocol::soft(format!("The target is full: {error}"));
    }
    Ok(())
}

/// Writes the crashed kernel's log; how many records it has.
fn write_log(kernel: &Kernel, dir: &Path, sealer: &Sealer) -> Result<u64, String> {
    let mut out = sealer
        .create(dir, DMESG)
        .map(Counted::new)
        .map_err(|error| format!("Cannot make {DMESG}: {error}"))?;
    let written = printk::write_dmesg(kernel, &mut out).map_err(|error| chain(&error));
    let len = out.len;
    let closed = out.file.close();
    let records = written.inspect_err(|_| {
        // An empty file would look like a log that is there.
        if len == 0 {
            let _ = fs::remove_file(dir.join(sealer.log_name(DMESG)));
        }
    })?;
    closed.map_err(|error| format!("Cannot write {DMESG}: {error}"))?;
    files::sync(dir).map_err(|error| format!("Cannot sync {}: {error}", dir.display()))?;
    Ok(records)
}

/// A file, and how many bytes of content it got.
struct Counted {
    file: NewFile,
    len: u64,
}

impl Counted {
    fn new(file: NewFile) -> Self {
        Self { file, len: 0 }
    }
}

impl Write for Counted {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buf)?;
        self.len = self.len.saturating_add(n as u64);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The same again, on a target that was full and has room now.
pub(super) fn again(kernel: &Kernel, dir: &Path, sealer: &Sealer) -> Result<(), String> {
    for name in [&sealer.log_name(DMESG), RESERVE] {
        let _ = fs::remove_file(dir.join(name));
    }
    let records = write_log(kernel, dir, sealer)?;
    protocol::log(format!("{DMESG}: {records} records, written again"));
    reserve(dir).map_err(|error| format!("The target is full: {error}"))
}

/// Keeps a little space for the manifest and the log, should the core fill the disk.
fn reserve(dir: &Path) -> std::io::Result<()> {
    let file = files::create_file(dir, RESERVE)?;
    match fallocate(&file, FallocateFlags::empty(), 0, RESERVED) {
        // Some filesystems have no fallocate.
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
