//! The running kernel read through /proc/kcore, against what /proc says of it.
//!
//! Source of the facts: proc(5): /proc/version is `linux_banner` with other words in no place, a
//! process's directory has `stat` with its parent and `comm` with its name, to which kworkers add
//! what they work on. That of other kernel threads is whole there since 5.17 (fs/proc/array.c,
//! `proc_task_name`), where the task's own holds its first 15 bytes. What began or ended meanwhile
//! is not judged.

use anyhow::{Context, Result, bail};
use rehearse::guest::init::say;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

const AFTERPANIC: &str = "/usr/bin/afterpanic";

/// Bytes of a name that the task itself has room for.
const COMM: usize = 15;

/// Name and parent of a process.
type Process = (String, i64);

/// Makes the comparisons; says what was compared.
pub(crate) fn compare() -> Result<()> {
    banner()
        .and_then(|()| processes())
        .and_then(|()| report())
        .and_then(|()| uptime())
        .context("live")
}

/// Runs a question to the live kernel; its answer, and the process that it was.
fn ask(arguments: &[&str]) -> Result<(Vec<u8>, u32)> {
    let what = || format!("cannot run afterpanic {}", arguments.join(" "));
    let child = Command::new(AFTERPANIC)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(what)?;
    let id = child.id();
    let output = child.wait_with_output().with_context(what)?;
    match output.status.code() {
        // 4: something in a kernel that runs was read while it changed.
        Some(0 | 4) => Ok((output.stdout, id)),
        _ => bail!("afterpanic {}: {}", arguments.join(" "), output.status),
    }
}

fn banner() -> Result<()> {
    let version = fs::read("/proc/version").context("cannot read /proc/version")?;
    let length = version.len().to_string();
    let (read, _) = ask(&["read", "live", "linux_banner", &length, "--raw"])?;
    if read != version {
        let read = String::from_utf8_lossy(&read).into_owned();
        bail!("linux_banner is not /proc/version: {read}");
    }
    say(format_args!(
        "live: {length} bytes of linux_banner are /proc/version"
    ));
    Ok(())
}

fn listed() -> BTreeMap<i64, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let process = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let comm = fs::read_to_string(entry.path().join("comm")).ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // pid (name) state parent: the name may hold anything.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
        Some((pid, (comm.trim_end().to_owned(), parent.parse().ok()?)))
    };
    entries.filter_map(process).collect()
}

fn processes() -> Result<()> {
    let what = "cannot compare the processes with /proc";
    let before = listed();
    let (answer, itself) = ask(&["ps", "live", "--json"])?;
    let after = listed();
    let answer: Value = serde_json::from_slice(&answer).context(what)?;
    let number = |task: &Value, key: &str| task.get(key).and_then(Value::as_i64);
    let ours: BTreeMap<i64, Process> = answer
        .get("tasks")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|task| number(task, "pid") == number(task, "tgid"))
        .filter_map(|task| {
            let comm = task.get("comm")?.as_str()?.to_owned();
            Some((number(task, "pid")?, (comm, number(task, "ppid")?)))
        })
        .filter(|(pid, _)| *pid != 0 && *pid != i64::from(itself))
        .collect();
    let mut equal = 0u32;
    for (pid, (comm, parent)) in &before {
        if !after.contains_key(pid) {
            continue;
        }
        let same = ours.get(pid).is_some_and(|(ours, ours_parent)| {
            let longer = ours.starts_with("kworker/") || ours.len() == COMM;
            let name = ours == comm || (longer && comm.starts_with(ours.as_str()));
            name && ours_parent == parent
        });
        if !same {
            let found = ours.get(pid);
            bail!("process {pid} is {comm} of {parent}, and we say {found:?}");
        }
        equal = equal.saturating_add(1);
    }
    if let Some(pid) = ours
        .keys()
        .find(|pid| !before.contains_key(pid) && !after.contains_key(pid))
    {
        bail!("there is no process {pid}");
    }
    say(format_args!("live: {equal} processes are those of /proc"));
    Ok(())
}

/// Seconds by which two clocks of the kernel may differ, and the last tick be old.
const CLOCKS: u64 = 2;

/// By the kernel's own clock and not by its last words, which are made old here.
fn uptime() -> Result<()> {
    let what = "cannot compare how long the kernel has been up";
    std::thread::sleep(Duration::from_secs(3 * CLOCKS));
    let now = || {
        let text = fs::read_to_string("/proc/uptime").context("cannot read /proc/uptime")?;
        let seconds = text.split('.').next().and_then(|n| n.parse::<u64>().ok());
        seconds.with_context(|| format!("cannot read /proc/uptime: {text}"))
    };
    let before = now()?;
    let (answer, _) = ask(&["report", "live", "--json", "--section", "reason"])?;
    let after = now()?;
    let answer: Value = serde_json::from_slice(&answer).context(what)?;
    let ours = answer.get("uptime_seconds").and_then(Value::as_u64);
    let fits =
        |ours: u64| before <= ours.saturating_add(CLOCKS) && ours <= after.saturating_add(CLOCKS);
    if !ours.is_some_and(fits) {
        bail!("the kernel is up for {before} to {after} s, and we say {ours:?}");
    }
    say(format_args!(
        "live: up for {before} s, as /proc/uptime says"
    ));
    Ok(())
}

fn report() -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("cannot read the kernel's release")?;
    let (text, _) = ask(&["report", "live"])?;
    let text = String::from_utf8_lossy(&text).into_owned();
    if !text.contains(release.trim_end()) {
        bail!("the report does not name the release: {text}");
    }
    say(format_args!(
        "live: the report names {}",
        release.trim_end()
    ));
    Ok(())
}
