//! What goes on in the guest when it dies: files, processes, a full disk.

use crate::pipes;
use anyhow::{Context, Result, bail};
use lab::guest::{Fill, WORK, Work};
use rehearse::guest::init::say;
use rehearse::session::CRASH_DIR;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The page-cache files hold this text; it is nobody's secret.
const LINE: &[u8] = b"a line in a file in memory, page cache, not wanted in a core\n";

/// Starts the work; processes live on until the panic.
pub(crate) fn begin() -> Result<()> {
    let work = &read()?;
    if work.files_mib > 0 {
        fs::create_dir_all("/tmp/files").context("cannot make files")?;
        let block = LINE.repeat((1 << 20) / LINE.len());
        for n in 0..work.files_mib {
            fs::write(format!("/tmp/files/{n}"), &block).context("cannot make files")?;
        }
    }
    let roles = [
        ("hold", u32::from(!work.secret.is_empty())),
        ("sleep", work.sleepers),
        ("pipe", u32::from(work.pipe_pages > 0)),
        ("write", work.writers),
        ("press", u32::from(work.press_leave_mib.is_some())),
        ("crowd", work.crowds),
        ("leave-a-zombie", work.zombies),
    ];
    let mut count = 0u32;
    for (role, how_many) in roles {
        for _ in 0..how_many {
            start(role)?;
            count = count.saturating_add(1);
        }
    }
    if let Some(fill) = &work.fill {
        fill_up(fill)?;
    }
    say(format_args!(
        "works: {} MiB of files, {count} processes",
        work.files_mib
    ));
    Ok(())
}

/// Starts a role and waits until it says that it is ready.
fn start(role: &str) -> Result<()> {
    let what = || format!("cannot start the process for {role}");
    let mut child = Command::new("/proc/self/exe")
        .args(["role", role])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(what)?;
    if let Some(mut ready) = child.stdout.take() {
        let mut byte = [0u8; 1];
        std::io::Read::read_exact(&mut ready, &mut byte).with_context(what)?;
    }
    Ok(())
}

fn fill_up(fill: &Fill) -> Result<()> {
    let what = || format!("cannot fill {}", fill.dir.display());
    let mut file = File::create(fill.dir.join("filler")).with_context(what)?;
    // In a few large pieces: what delayed allocation takes is known only after a sync.
    loop {
        let over = free_kib(&fill.dir)
            .with_context(what)?
            .saturating_sub(fill.leave_kib);
        if over < 64 {
            break;
        }
        let mut left = over.div_ceil(2).max(64).saturating_mul(1024);
        let block = vec![0xa5u8; 1 << 16];
        while left > 0 {
            if file.write_all(&block).is_err() {
                left = 0;
            }
            left = left.saturating_sub(1 << 16);
        }
        file.sync_all().with_context(what)?;
    }
    say(format_args!("filled {}", fill.dir.display()));
    Ok(())
}

fn free_kib(dir: &Path) -> std::io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(dir)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()) / 1024)
}

/// What the laboratory wants.
fn read() -> Result<Work> {
    let text = fs::read(WORK).with_context(|| format!("cannot read {WORK}"))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot parse {WORK}"))
}

/// One process of the work; never returns when all is well.
pub(crate) fn role(role: &str) -> Result<()> {
    // What it keeps until the end.
    let (mut secret, mut pages) = (String::new(), pipes::Pipes::default());
    let mut pressed = Vec::new();
    let work = read()?;
    match role {
        "hold" => secret = work.secret.repeat(4096),
        "pipe" => pages = pipes::alternate(work.pipe_pages).context("cannot fill pipes")?,
        // The child ends at once, having no such role, and nobody asks how.
        "leave-a-zombie" => {
            let child = Command::new("/proc/self/exe")
                .args(["role", "nothing"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()?;
            let stat = format!("/proc/{}/stat", child.id());
            let ended = || fs::read_to_string(&stat).is_ok_and(|text| text.contains(") Z "));
            while !ended() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        "press" => {
            let leave = work.press_leave_mib.unwrap_or_default();
            while available_mib() > leave {
                pressed.push(touched());
            }
        }
        _ => {}
    }
    if role == "crowd" {
        // The first thread is one of the hundred.
        for _ in 1..100 {
            let sleeper = std::thread::Builder::new().stack_size(64 << 10);
            sleeper.spawn(|| loop_asleep())?;
        }
    }
    // Ready: the parent waits for one byte.
    let mut out = std::io::stdout();
    out.write_all(b"\n").and_then(|()| out.flush())?;
    match role {
        "eat" => loop {
            pressed.push(std::hint::black_box(touched()));
        },
        // In use all the time, so that reclaim has something to do.
        "press" => loop {
            for block in &mut pressed {
                touch(block);
            }
        },
        "write" => write_on(Path::new(CRASH_DIR)),
        "crowd" => loop_asleep(),
        "hold" | "sleep" | "pipe" | "leave-a-zombie" => loop {
            std::thread::sleep(Duration::from_secs(3600));
            std::hint::black_box((&secret, &pages));
        },
        other => bail!("no process is called {other}"),
    }
}

fn loop_asleep() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// A MiB that takes memory.
fn touched() -> Vec<u8> {
    let mut block = vec![0u8; 1 << 20];
    touch(&mut block);
    block
}

fn touch(block: &mut [u8]) {
    for byte in block.iter_mut().step_by(4096) {
        *byte = byte.wrapping_add(1);
    }
}

fn available_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() >> 10
}

/// Files of 4 MiB, four in turn, each synced: the journal is never at rest.
fn write_on(dir: &Path) -> Result<()> {
    let block = vec![0x5au8; 4 << 20];
    let own = std::process::id();
    for n in (0..4).cycle() {
        let mut file = File::create(dir.join(format!(".io-{own}-{n}")))?;
        file.write_all(&block)?;
        file.sync_all()?;
    }
    Ok(())
}
