//! The first step on a target: the crash directory, and the crashed kernel's log in it before anything
//! else can go wrong.

use super::source;
use crate::protocol::{self, Event, say};
use dump::files;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::mount::{MsFlags, mount};
use plan::Plan;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use store::Store;
use store::manifest::{DMESG, RESERVE};
use vmcore::kernel::chain;
use vmcore::printk;

/// Most bytes saved of one pstore record, and most records.
const PSTORE_MAX: (u64, usize) = (4 << 20, 64);

/// Where the records show.
const PSTORE: &str = "/sys/fs/pstore";

/// Bytes of the reserve.
const RESERVED: i64 = 2 << 20;

pub fn run(plan: &Plan, base: &Path, init: bool) -> Result<(), String> {
    let kernel = source::kernel(plan);
    let (node, stamp) = source::name_of(plan, kernel.as_ref().ok());
    let dir = Store::open(base)
        .and_then(|store| Ok(store.path_of(&store.begin(&node, &stamp)?)))
        .map_err(|error| format!("Cannot make a directory in {}: {error}", base.display()))?;
    let _ = files::sync(base);
    say(&Event::Directory(dir.to_string_lossy().into_owned()));
    let kernel = kernel.inspect_err(|_| save_pstore(&dir, init))?;
    if let Some(release) = kernel.vmcoreinfo().osrelease()
        && !plan.kernel.release.is_empty()
        && release != plan.kernel.release
    {
        protocol::soft(format!(
            "The crashed kernel is {release}, the plan was made for {}",
            plan.kernel.release
        ));
    }
    let file =
        files::create_file(&dir, DMESG).map_err(|error| format!("Cannot make {DMESG}: {error}"))?;
    let mut out = BufWriter::new(file);
    let records = printk::write_dmesg(&kernel, &mut out).map_err(|error| {
        // An empty file would look like a log that is there.
        let _ = out.flush();
        if out.get_ref().metadata().is_ok_and(|meta| meta.len() == 0) {
            let _ = fs::remove_file(dir.join(DMESG));
        }
        chain(&error)
    })?;
    let synced = out.flush().and_then(|()| out.get_ref().sync_all());
    synced.map_err(|error| format!("Cannot write {DMESG}: {error}"))?;
    files::sync(&dir).map_err(|error| format!("Cannot sync {}: {error}", dir.display()))?;
    protocol::log(format!("{DMESG}: {records} records in {}", dir.display()));
    save_pstore(&dir, init);
    if let Err(error) = reserve(&dir) {
        protocol::soft(format!("The target is full: {error}"));
    }
    Ok(())
}

/// Keeps a little space for the manifest and the log, should the core fill the disk.
fn reserve(dir: &Path) -> std::io::Result<()> {
    let file = files::create_file(dir, RESERVE)?;
    match fallocate(&file, FallocateFlags::empty(), 0, RESERVED) {
        // Filesystems without fallocate must do without.
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// What firmware and ramoops kept of this or an earlier death.
fn save_pstore(dir: &Path, init: bool) {
    // Mounting reads every record from the firmware: no call for PID 1. By hand it is mounted already.
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    if init && Path::new(PSTORE).is_dir() {
        let _ = mount(Some("pstore"), PSTORE, Some("pstore"), quiet, None::<&str>);
    }
    let Ok(entries) = fs::read_dir(PSTORE) else {
        return;
    };
    let to = dir.join("pstore");
    for entry in entries.flatten().take(PSTORE_MAX.1) {
        let copy = || -> std::io::Result<()> {
            use std::io::Read;
            use std::os::unix::fs::DirBuilderExt;
            if !to.is_dir() {
                fs::DirBuilder::new().mode(0o700).create(&to)?;
            }
            let mut from = fs::File::open(entry.path())?.take(PSTORE_MAX.0);
            let mut file = files::create_file(&to, &entry.file_name().to_string_lossy())?;
            std::io::copy(&mut from, &mut file)?;
            file.sync_all()
        };
        if let Err(error) = copy() {
            protocol::soft(format!(
                "Cannot save the pstore record {}: {error}",
                entry.file_name().display()
            ));
        }
    }
}
