//! The objects in use of every slab cache, beside drgn, which walks all objects.

use super::super::truth::output;
use crate::tools;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::Path;
use vmcore::kernel::Kernel;

/// Prints the address of each cache and how many objects of it are in use.
const COUNT: &str = "\
import sys
import drgn
from drgn.helpers.linux.slab import for_each_slab_cache, slab_cache_for_each_allocated_object
prog = drgn.Program()
prog.set_core_dump(sys.argv[2])
prog.load_debug_info([sys.argv[1]], default=False)
for cache in for_each_slab_cache(prog):
    print(hex(cache), sum(1 for _ in slab_cache_for_each_allocated_object(cache, 'void')))
";

/// Compares.
///
/// # Errors
/// drgn cannot be had, or a cache differs.
pub(super) fn check(theirs: &Path, core: &Path) -> Result<()> {
    let mut python = tools::reader("python3")?;
    python.args(["-c", COUNT]).args([theirs, core]);
    let said = output(&mut python, "python3-drgn")?;
    let mut counted = BTreeMap::new();
    for line in said.lines() {
        let (address, count) = line.split_once(' ').context("drgn's answer")?;
        let address = u64::from_str_radix(address.trim_start_matches("0x"), 16)?;
        counted.insert(address, count.parse::<u64>()?);
    }
    let kernel = Kernel::new(vmcore::dump::open(core)?)?;
    let ours = analysis::slabs::read(&kernel)?;
    ensure!(ours.len() > 50, "only {} caches", ours.len());
    ensure!(
        ours.len() == counted.len(),
        "drgn finds {} caches, not {}",
        counted.len(),
        ours.len()
    );
    for cache in &ours {
        let count = counted.get(&cache.address.0).copied();
        ensure!(
            cache.in_use == count,
            "{}: {:?} objects in use, and {count:?} by drgn",
            cache.name,
            cache.in_use
        );
    }
    println!(
        "  slab caches with drgn's number of objects in use: {}",
        ours.len()
    );
    Ok(())
}
