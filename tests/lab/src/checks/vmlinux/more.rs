//! The same for a filtered core, for a compressed core through the mount, and for a kernel that the table of
//! globals does not know.

use super::super::interop::mounted::Mounted;
use super::super::truth::output;
use super::{CRASH, DRGN, ask, differences, judge, make};
use crate::kernels;
use anyhow::{Context, Result, ensure};
use debuginfo::{Globals, Options, Table, Vmlinux};
use rehearse::guest::image::KernelFiles;
use std::fs::{self, File};
use std::io::{BufWriter, Cursor};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use vmcore::kernel::Kernel;

/// crash and drgn on a core without free, cache and user pages, with a vmlinux made from that core.
pub(super) fn filtered(afterpanic: &Path, plain: &Path, kernel: &KernelFiles) -> Result<()> {
    let core = converted(afterpanic, plain, "filtered", "plain.elf", "standard")?;
    let dir = core.parent().unwrap_or(&core);
    let (ours, theirs) = (
        make(afterpanic, &core, dir, false)?,
        kernels::vmlinux(kernel)?,
    );
    for tool in [CRASH, DRGN] {
        let ask = |vmlinux: &Path| ask(tool, vmlinux, &core, kernel, false);
        judge(tool, &ask(&ours)?, &ask(&theirs)?, dir, &core, kernel)?;
    }
    Ok(())
}

/// crash and drgn on a compressed core and its vmlinux, both in the mount, against the unpacked core.
pub(super) fn mounted(afterpanic: &Path, plain: &Path, kernel: &KernelFiles) -> Result<()> {
    let core = converted(afterpanic, plain, "mounted", "vmcore.elf.zst", "all")?;
    let dir = core.parent().unwrap_or(&core);
    let ours = make(afterpanic, plain, plain.parent().unwrap_or(plain), false)?;
    let mount = Mounted::new(afterpanic, &core, &dir.join("mnt"))?;
    for tool in [CRASH, DRGN] {
        let ask = |vmlinux: &Path, core: &Path| ask(tool, vmlinux, core, kernel, false);
        // crash's files of commands cannot be beside a core in the mount.
        let through = dir.join("through");
        let _ = fs::remove_file(&through);
        symlink(mount.dir.join("vmcore"), &through)?;
        let differs = differences(
            &ask(&mount.dir.join("vmlinux"), &through)?,
            &ask(&ours, plain)?,
        );
        let other = differs.iter().find(|differs| {
            let names = ["KERNEL: ", "DUMPFILE: "];
            !names.iter().any(|name| differs.ours.contains(name))
        });
        ensure!(
            other.is_none(),
            "{tool} through the mount: {:?}",
            other.map(|differs| (&differs.question, &differs.ours, &differs.theirs))
        );
    }
    Ok(())
}

/// crash and drgn with a vmlinux made without the table's row of this kernel.
pub(super) fn unknown(plain: &Path, kernel: &KernelFiles) -> Result<()> {
    let dir = plain.with_file_name("unknown");
    fs::create_dir_all(&dir)?;
    let ours = dir.join("vmlinux");
    let core = Kernel::new(vmcore::dump::open(plain)?)?;
    let table = Table::shipped()?.without(&kernel.release);
    let known = Globals::of_kernel(&core, None)?.with_table(table);
    let made = Vmlinux::of(&core, &known, Options::default())?;
    made.write(&mut BufWriter::new(File::create(&ours)?))?;
    println!("  without its row: missing {:?}", made.summary.missing);
    let theirs = kernels::vmlinux(kernel)?;
    for (tool, word) in [(CRASH, "vmlinux-unknown"), (DRGN, DRGN)] {
        let ask = |vmlinux: &Path| ask(tool, vmlinux, plain, kernel, false);
        judge(word, &ask(&ours)?, &ask(&theirs)?, &dir, plain, kernel)?;
    }
    Ok(())
}

/// What `vmlinux live` made before the panic, in the store, is what is made from the core.
pub(super) fn live(plain: &Path) -> Result<()> {
    let store = plain.parent().and_then(Path::parent);
    let live = store.context("a core is in a store")?.join("vmlinux.live");
    let live = fs::read(&live).with_context(|| format!("cannot read {}", live.display()))?;
    let core = Kernel::new(vmcore::dump::open(plain)?)?;
    let known = Globals::of_kernel(&core, None)?.with_table(Table::shipped()?);
    let mut ours = Vec::new();
    Vmlinux::of(&core, &known, Options::default())?.write(&mut Cursor::new(&mut ours))?;
    ensure!(
        ours == live,
        "{} and {} bytes, which differ",
        ours.len(),
        live.len()
    );
    Ok(())
}

fn converted(
    afterpanic: &Path,
    plain: &Path,
    dir: &str,
    name: &str,
    level: &str,
) -> Result<PathBuf> {
    let dir = plain.with_file_name(dir);
    fs::create_dir_all(&dir)?;
    let core = dir.join(name);
    if !core.exists() {
        let mut tool = Command::new(afterpanic);
        tool.args(["-q", "convert", "--level", level]);
        output(tool.args([plain, &core]), "afterpanic")?;
    }
    Ok(core)
}
