//! A hook of the capture kernel, in the ways in which one can go.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Succeeds and leaves a file beside the core, fails, hangs with a child, or takes all memory.
pub(super) fn run(way: &str) -> Result<()> {
    let env = |name: &str| std::env::var(name).unwrap_or_default();
    let (when, core) = (env("AFTERPANIC_WHEN"), env("AFTERPANIC_CORE"));
    println!("the hook {way} runs: {when}, core {core}");
    match way {
        "succeeds" => {
            let dir = env("AFTERPANIC_DIR");
            if dir.is_empty() {
                return Ok(());
            }
            let note = Path::new(&dir).join("note");
            fs::write(&note, core).with_context(|| format!("cannot write {}", note.display()))
        }
        "fails" => bail!("as it was asked"),
        "hangs" => {
            let program = std::env::current_exe()?;
            let child = Command::new(program)
                .args(["hook", "sleeps"])
                .stdin(Stdio::null())
                .spawn();
            println!("a child runs, too: {}", child.is_ok());
            sleep(Duration::from_secs(3600));
            Ok(())
        }
        "sleeps" => {
            sleep(Duration::from_secs(3600));
            Ok(())
        }
        "grows" => {
            let mut taken = Vec::new();
            loop {
                taken.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        other => bail!("no hook is called {other}"),
    }
}
