//! Memory that comes and a CPU that goes after the machine was armed.
//!
//! Source of the facts: Documentation/admin-guide/mm/memory-hotplug.rst. The host is asked for the
//! memory by a line on the console; whether the capture kernel knows of it is what is tested.

use anyhow::{Context, Result, bail};
use lab::guest::WANTS_MEMORY;
use rehearse::guest::init::say;
use std::fs;
use std::time::{Duration, Instant};

const MEMORY: &str = "/sys/devices/system/memory";
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks for memory, waits until it is used, and takes the last CPU away.
pub(crate) fn change() -> Result<()> {
    let auto = format!("{MEMORY}/auto_online_blocks");
    fs::write(&auto, "online").with_context(|| format!("cannot write {auto}"))?;
    let before = online_blocks();
    say(WANTS_MEMORY);
    let start = Instant::now();
    let mut now = before;
    let mut same_since = start;
    // A module comes as many blocks, one after the other: until no more do.
    while now == before || same_since.elapsed() < Duration::from_secs(2) {
        if start.elapsed() > PATIENCE {
            bail!("the memory that was asked for does not come");
        }
        std::thread::sleep(Duration::from_millis(100));
        let blocks = online_blocks();
        if blocks != now {
            now = blocks;
            same_since = Instant::now();
        }
    }
    let cpu = "/sys/devices/system/cpu/cpu1/online";
    fs::write(cpu, "0").with_context(|| format!("cannot write 0 to {cpu}"))?;
    let cpus = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    say(format_args!(
        "{before} blocks of memory became {now}, the CPUs online are {}",
        cpus.trim_end()
    ));
    Ok(())
}

/// Blocks of memory that are in use.
fn online_blocks() -> usize {
    let state = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("state")).ok();
    let entries = fs::read_dir(MEMORY).into_iter().flatten().flatten();
    entries
        .filter_map(state)
        .filter(|s| s.trim_end() == "online")
        .count()
}
