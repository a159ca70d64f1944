//! A core mounted by `afterpanic mount` for as long as the value lives.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `afterpanic mount`, until it is dropped.
pub(crate) struct Mounted {
    child: Child,
    /// Where.
    pub(crate) dir: PathBuf,
}

impl Mounted {
    pub(crate) fn new(afterpanic: &Path, core: &Path, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let child = Command::new(afterpanic)
            .args(["-q", "mount"])
            .args([core, dir])
            .stdin(Stdio::null())
            .spawn()
            .context("afterpanic mount cannot be run")?;
        let mut mounted = Self {
            child,
            dir: dir.to_owned(),
        };
        let start = Instant::now();
        while !dir.join("vmcore").exists() {
            ensure!(
                mounted.child.try_wait()?.is_none() && start.elapsed() < Duration::from_secs(120),
                "afterpanic mount did not mount on {}; it needs /dev/fuse",
                dir.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Not the signal of Ctrl-C, which what is started in the background is told to ignore.
        let _ = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        let _ = self.child.wait();
    }
}
