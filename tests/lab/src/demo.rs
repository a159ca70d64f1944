//! `cargo xtask demo`: the whole way once, narrated in about a dozen lines.

use crate::checks::Found;
use crate::runner::{Lab, Options};
use crate::scenario::Scenario;
use anyhow::{Context, Result, bail};
use rehearse::guest::SAYS;
use rehearse::vm::Accel;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How our capture kernel's lines begin on the console.
const CAPTURE: &str = "afterpanic: ";

/// Runs it; whether the core arrived complete.
///
/// # Errors
/// A part of it failed.
pub fn run(options: Options) -> Result<bool> {
    let start = Instant::now();
    let dir = crate::cache().join("demo");
    let _ = fs::remove_dir_all(&dir);
    println!("build    afterpanic and afterpanic-capture, static (the first time takes minutes)");
    let kernel_given = options.kernel.clone();
    let lab = Lab::new(options)?;
    let scenario = Scenario {
        name: "demo".into(),
        kernel: kernel_given.unwrap_or_else(|| Scenario::default().kernel),
        ..Scenario::default()
    };
    let kernel = lab.kernel(&scenario)?;
    println!(
        "kernel   Linux {}, {}",
        kernel.release,
        origin(&kernel.image)
    );
    let accel = Accel::choose(&kernel.image, &crate::cache())?;
    let session = lab.session(&scenario, kernel.clone(), accel)?;
    println!(
        "machine  {} MiB, {} CPUs, crashkernel={}, a disk with {}, under {}; its init is afterpanic",
        scenario.memory,
        scenario.vcpus,
        scenario.crashkernel,
        scenario.fs.name(),
        match accel {
            Accel::Kvm => "KVM",
            Accel::Tcg | Accel::TcgOneThread => "TCG (slow, works everywhere)",
        }
    );
    let crash = session.crash(&dir, &mut |at, line| narrate(at, line))?;
    if let Some(said) = crash.guest_failure() {
        bail!(
            "The guest failed: {said}. Its console: {}",
            crash.console.display()
        );
    }
    let saved = dir.join("saved");
    session.fetch(&crash, &saved)?;
    let found = Found::new(&scenario, &crash, Some(&saved), &lab.binaries);
    let Some((from, _)) = found.dir.as_ref().zip(found.core.as_ref()) else {
        bail!("No core arrived. The console: {}", crash.console.display());
    };
    let to = crate::cache()
        .join("demo")
        .join(from.file_name().context("A directory without a name")?);
    fs::rename(from, &to)?;
    for rest in [saved, crash.disk.clone()] {
        let _ = fs::remove_dir_all(&rest).or_else(|_| fs::remove_file(&rest));
    }
    println!("saved    {}: {}", found.saved, contents(&to)?);
    println!("\n$ afterpanic report {}", shown(&to));
    let report = Command::new(&lab.binaries.afterpanic)
        .arg("report")
        .arg(&to)
        .output()?;
    // The end of the log is in the report; here its first lines say what it is.
    let text = String::from_utf8_lossy(&report.stdout).into_owned();
    for line in text.lines().take_while(|l| !l.contains("the log's ")) {
        println!("{line}");
    }
    next(&lab.binaries.afterpanic, &to);
    println!("{} seconds", start.elapsed().as_secs());
    Ok(found.saved == "complete" && report.status.success())
}

fn origin(image: &Path) -> String {
    if image.starts_with(crate::cache()) {
        "Debian's package, unpacked, not installed".into()
    } else {
        image.display().to_string()
    }
}

/// Says what matters of the console.
fn narrate(at: Duration, line: &str) {
    let say = |word: &str, text: &str| println!("{word:<8} {:5.1} s  {text}", at.as_secs_f64());
    if let Some(text) = line.strip_prefix(SAYS) {
        match text {
            _ if text.starts_with("works") => say("guest", text),
            PANICS => say("panic", "echo c > /proc/sysrq-trigger"),
            _ => {}
        }
    } else if line.starts_with("loaded ") {
        say("armed", line);
    } else if let Some((_, text)) = line.split_once(CAPTURE) {
        let telling = [
            "afterpanic-capture",
            "mounted",
            "dmesg.txt",
            "report: done",
            "core: level",
            "core: done",
            "last:",
        ];
        if telling.iter().any(|t| text.starts_with(t)) || text.contains("complete") {
            say("capture", text);
        }
    }
}

const PANICS: &str = rehearse::guest::PANICS_NOW;

/// The files and their sizes, largest first.
fn contents(dir: &Path) -> Result<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        files.push((
            entry.metadata()?.len(),
            entry.file_name().to_string_lossy().into_owned(),
        ));
    }
    files.sort_by(|a, b| b.cmp(a));
    let words: Vec<String> = files
        .iter()
        .map(|(size, name)| match size >> 20 {
            0 => format!("{name} {} KiB", size.div_ceil(1024)),
            mib => format!("{name} {mib} MiB"),
        })
        .collect();
    Ok(words.join(", "))
}

/// A path as the user would type it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here)
        .unwrap_or(path)
        .display()
        .to_string()
}

fn next(afterpanic: &Path, dir: &Path) {
    let core: PathBuf = dir.join("vmcore.elf.zst");
    println!("\nThe core stays in {}. Next:", shown(dir));
    for verb in ["dmesg", "bt", "ps", "verify"] {
        println!("  {} {verb} {}", shown(afterpanic), shown(dir));
    }
    println!(
        "  zstd -d {} -o core.elf && gdb -core core.elf    # or drgn -c core.elf",
        shown(&core)
    );
}
