//! md arrays, put together through sysfs: the kernel reads the members' superblocks itself, leaves out
//! those that were left behind, and decides whether what is there is enough.
//!
//! Facts: Documentation/admin-guide/md.rst, drivers/md/md.c (new_array, metadata_version, new_dev,
//! array_state), Linux 5.10 to 7.2: the way mdadm takes for metadata that the kernel knows, without
//! mdadm. Arrays with external metadata (firmware RAID) are refused while arming.

use std::fs;
use std::path::Path;

/// Assembles an array from these devices (`major:minor`); its name below /dev.
///
/// # Errors
/// What the kernel said, in one sentence.
pub(super) fn assemble(sys: &Path, version: &str, members: &[String]) -> Result<String, String> {
    let name = (0..)
        .map(|n| format!("md_afterpanic{n}"))
        .find(|name| !sys.join("class/block").join(name).exists())
        .unwrap_or_default();
    let write = |path: &Path, value: &str| {
        fs::write(path, value)
            .map_err(|error| format!("Cannot write {value} to {}: {error}", path.display()))
    };
    write(&sys.join("module/md_mod/parameters/new_array"), &name)?;
    let array = sys.join("class/block").join(&name).join("md");
    let build = || {
        write(&array.join("metadata_version"), version)?;
        let mut refused = Vec::new();
        for member in members {
            if let Err(why) = write(&array.join("new_dev"), member) {
                refused.push(why);
            }
        }
        write(&array.join("array_state"), "active").map_err(|why| {
            refused.push(why);
            refused.join("; ")
        })
    };
    if let Err(why) = build() {
        let _ = fs::write(array.join("array_state"), "clear");
        return Err(why);
    }
    // What the crash left out of step is put right by the next kernel, not while the dump is written.
    // Levels without redundancy have no such file.
    let _ = fs::write(array.join("sync_action"), "frozen");
    Ok(name)
}
