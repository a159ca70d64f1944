//! A store that another user has filled with crash directories, as anybody can where it is writable by
//! everybody.

use anyhow::{Context, Result};
use rehearse::guest::init::say;
use rehearse::session::CRASH_DIR;
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// Somebody else.
const NOBODY: u32 = 65_534;
/// A manifest larger than any of ours.
const HUGE: usize = 6 << 20;

/// Makes the store writable by everybody and puts so many directories into it. Their manifests say that
/// this machine has panicked in a loop, minutes ago, and that each core is whole.
pub(crate) fn fill(count: u32) -> Result<()> {
    let store = Path::new(CRASH_DIR);
    let what = || format!("cannot fill {CRASH_DIR} with strangers");
    fs::set_permissions(store, Permissions::from_mode(0o3777)).with_context(what)?;
    for n in 0..count {
        // In the past and in the future of every clock.
        let year = 1970_u32.saturating_add(n % 200);
        let second = n / 200;
        let dir = store.join(format!("evil-{year}0101T0000{second:02}Z"));
        fs::create_dir(&dir).with_context(what)?;
        let manifest = match n {
            0 => "[".repeat(HUGE),
            _ => forged(),
        };
        for (name, text) in [
            ("manifest.json", manifest.as_str()),
            ("vmcore.elf.zst", "x"),
        ] {
            let path = dir.join(name);
            fs::write(&path, text).with_context(what)?;
            chown(&path, Some(NOBODY), None).with_context(what)?;
        }
        chown(&dir, Some(NOBODY), None).with_context(what)?;
    }
    nix::unistd::sync();
    say(format_args!("{count} directories of a stranger"));
    Ok(())
}

fn forged() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    json!({
        "schema": 1, "afterpanic": "0.1.0", "verdict": "complete", "release": "6",
        "crash_time": now, "signature": "forged:loop:1", "uptime_s": 1,
        "files": [], "soft_errors": [], "steps": [],
        "core": {
            "file": "vmcore.elf.zst", "format": "elf-zst", "level": "all", "asked": "all",
            "verdict": "complete", "size": 1, "kinds": {}, "threads": 1,
            "pages": { "ram": 1, "kept": 1, "zero": 0, "missing": 0 },
            "classify_s": 0, "write_s": 0,
        },
    })
    .to_string()
}
