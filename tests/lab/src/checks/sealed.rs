//! A sealed crash: nothing readable is on the target's disk, and the key opens all of it.

use super::found::Found;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// The key of C2SP's test vectors, to which the scenarios seal.
const IDENTITY: &str =
    "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0\n";
/// How a sealed file begins.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";
/// What the log of the panic says, and every core of it holds.
const SAID: &str = "sysrq: Trigger a crash";

/// Judges the crash directory; `all`: the log and the report are sealed, too.
///
/// # Errors
/// A file is open, or cannot be read with the key, or something can be read without it.
pub(super) fn check(found: &Found<'_>, all: bool) -> Result<()> {
    let dir = found.dir.as_ref().context("There is no crash directory")?;
    let key = dir.with_extension("key");
    fs::write(&key, IDENTITY)?;
    let mut sealed = 0;
    for entry in fs::read_dir(dir)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_core = name.starts_with("vmcore.") || name.starts_with("essential.");
        if name == "manifest.json" || !all && !is_core {
            continue;
        }
        let mut head = vec![0; MAGIC.len()];
        File::open(entry.path())?.read_exact(&mut head)?;
        ensure!(
            name.ends_with(".age") && head == MAGIC,
            "{name} is not sealed"
        );
        sealed += 1;
    }
    ensure!(sealed >= 1, "no file is sealed");
    let run = |words: &[&str], key: Option<&Path>| -> Result<(Option<i32>, String)> {
        let mut command = Command::new(&found.binaries.afterpanic);
        if let Some(key) = key {
            command.arg("--identity").arg(key);
        }
        let output = command.args(words).arg(dir).stdin(Stdio::null()).output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok((output.status.code(), text))
    };
    for (words, code, says) in [
        (&["verify"][..], 0, ": sound"),
        (&["report"], 0, "sysrq_handle_crash"),
        (&["dmesg"], 0, SAID),
        (&["bt"], 0, "sysrq_handle_crash"),
    ] {
        let (got, text) = run(words, Some(&key))?;
        ensure!(
            got == Some(code) && text.contains(says),
            "{words:?} with the key: {got:?}: {text}"
        );
    }
    let (got, text) = run(&["verify"], None)?;
    ensure!(
        got == Some(4) && text.contains("contents not read"),
        "verify: {got:?}: {text}"
    );
    if !all {
        return Ok(());
    }
    for verb in ["report", "dmesg", "bt"] {
        let (got, text) = run(&[verb], None)?;
        ensure!(
            got == Some(1) && text.contains("it is sealed"),
            "{verb}: {got:?}: {text}"
        );
    }
    // The disks of the run's machines lie some folders up; there is more than one where a server took the dump.
    let mut looked = 0;
    for folder in dir.ancestors().skip(2).take(4) {
        for entry in fs::read_dir(folder)?.flatten() {
            if entry.path().extension().is_some_and(|end| end == "img") {
                looked += 1;
                nothing_said(&entry.path())?;
            }
        }
        if looked > 0 {
            break;
        }
    }
    ensure!(looked > 0, "there is no disk to look into");
    Ok(())
}

/// No byte of the panic's log is on a disk.
fn nothing_said(disk: &Path) -> Result<()> {
    let mut file = File::open(disk)?;
    let keep = SAID.len();
    let mut window = vec![0; 4 << 20];
    let mut held = 0;
    loop {
        let rest = window.get_mut(held..).context("the window is full")?;
        let n = file.read(rest)?;
        let filled = window.get(..held + n).unwrap_or_default();
        if filled.windows(keep).any(|text| text == SAID.as_bytes()) {
            bail!("{} holds \"{SAID}\"", disk.display());
        }
        if n == 0 {
            return Ok(());
        }
        let from = (held + n).saturating_sub(keep);
        window.copy_within(from..held + n, 0);
        held = held + n - from;
    }
}
