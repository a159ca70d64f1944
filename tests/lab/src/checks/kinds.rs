//! The kinds of pages against two judges: the kernel's own word just before the panic, and
//! makedumpfile's bitmaps of the same memory. What differs is bounded in `expected/`.

use super::found::Found;
use super::truth;
use crate::compare::{self, Bitmap, KpageFlags, OnLists, PageCounts};
use crate::elf::Core;
use crate::{expected, tools};
use anyhow::{Context, Result, ensure};
use rehearse::guest::image::KernelFiles;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use vmcore::dump::map::MapReader;
use vmcore::kernel::Kernel;
use vmcore::mm::Kind;

/// Levels at which makedumpfile's bitmap is compared: each bit alone, and all.
const LEVELS: [u32; 6] = [1, 2, 4, 8, 16, 31];

fn map(dir: &Path) -> Result<MapReader> {
    let file = fs::File::open(dir.join("pages.map")).context("There is no pages.map")?;
    Ok(MapReader::open(Box::new(file))?)
}

/// Page by page with what the crashed kernel recorded.
pub(super) fn kpageflags(found: &Found<'_>, kernel: &KernelFiles) -> Result<()> {
    let dir = found.dir.as_ref().context("There is no crash directory")?;
    let target = dir.parent().unwrap_or(dir);
    let flags = KpageFlags::open(&target.join("kpageflags"))?;
    let counts = PageCounts::open(&target.join("kpagecount"))?;
    let absent = flags.absent();
    ensure!(
        absent.is_empty(),
        "the guest had no pages of {}",
        absent.join(", ")
    );
    let map = map(dir)?;
    let known = expected::kinds(&kernel.release)?;
    let core = found.core.as_ref().context("There is no core")?;
    let crashed = Kernel::new(vmcore::dump::open(core)?)?;
    let lists = OnLists::read(&crashed)?;
    let changes = compare::with_kpageflags(&map, &flags, &|pfn| lists.has(pfn))?;
    let bound = known.changed;
    let changed = compare::changed(&changes, bound)?;
    // What a process had mapped is neither free nor one of the kernel's own.
    let (mapped, wrong) = compare::with_counts(&map, &counts)?;
    eprintln!(
        "lab: {changed} pages differ; {} are on lists of CPUs; {mapped} were mapped, {wrong} of them by nobody here",
        lists.pages()
    );
    ensure!(
        mapped > 1000,
        "only {mapped} pages were mapped by processes"
    );
    ensure!(
        wrong <= bound,
        "{wrong} pages were mapped that no process can map"
    );
    Ok(())
}

/// The rule of free pages was switched off, and no other: free pages are in the core, every one, and
/// of caches and processes none but those that the kernel maps too.
pub(super) fn free_kept(dir: &Path, core: &Core) -> Result<()> {
    let mut pages: BTreeMap<(&str, bool), u64> = BTreeMap::new();
    map(dir)?.for_each(&mut |run| {
        for pfn in run.pages.start.0..run.pages.end.0 {
            let kept = core.pages.contains_key(&pfn);
            *pages.entry((run.kind.name(), kept)).or_default() += 1;
        }
        Ok(())
    })?;
    let of = |kind: Kind, kept| pages.get(&(kind.name(), kept)).copied().unwrap_or(0);
    let (free, lost) = (of(Kind::Free, true), of(Kind::Free, false));
    eprintln!("lab: {free} free pages are in the core, {lost} are not");
    ensure!(free > 10_000, "only {free} free pages are in the core");
    ensure!(lost == 0, "{lost} free pages are not in the core");
    for kind in [Kind::Cache, Kind::CachePrivate, Kind::Anon, Kind::Hugetlb] {
        let (kept, out) = (of(kind, true), of(kind, false));
        let name = kind.name();
        eprintln!("lab: of {name} {kept} are in the core, {out} are not");
        // One that the kernel maps, too, is kept by itself.
        ensure!(kept <= 64, "{kept} pages of kind {name} are in the core");
    }
    let out = of(Kind::Cache, false) + of(Kind::Anon, false);
    ensure!(out > 1000, "only {out} pages were left out");
    Ok(())
}

/// An unfiltered core: at each level makedumpfile keeps the pages that our kinds say.
pub(super) fn levels(dir: &Path, plain: &Path, kernel: &KernelFiles) -> Result<()> {
    let map = map(dir)?;
    let theirs = dir.join("level.kdump");
    let known = expected::bitmaps(&kernel.release)?;
    for level in LEVELS {
        let _ = fs::remove_file(&theirs);
        let made = tools::makedumpfile_of(truth::machine(plain)?)?
            .args(["-l", "-d", &level.to_string()])
            .args([plain, &theirs])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(made.success(), "makedumpfile -d {level}: {made}");
        let bitmap = Bitmap::open(&theirs)?;
        let _ = fs::remove_file(&theirs);
        let kept = bitmap.count();
        ensure!(kept > 1000, "makedumpfile -d {level} keeps {kept} pages");
        for ((kind, ours), difference) in compare::with_bitmap(&map, &bitmap, level)? {
            let explained = known
                .iter()
                .find(|known| known.kind == kind.name() && known.kept == ours);
            let bound = explained.map_or(0, |known| known.pages);
            let word = if ours { "kept" } else { "left out" };
            ensure!(
                difference.pages <= bound,
                "level {level}: {} pages of kind {} are {word} here and not by makedumpfile, the first {:#x}; explained are {bound}",
                difference.pages,
                kind.name(),
                difference.first.unwrap_or(0)
            );
        }
        eprintln!("lab: level {level}: makedumpfile keeps {kept} pages, and so do we");
    }
    Ok(())
}
