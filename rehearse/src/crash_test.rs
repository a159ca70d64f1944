//! A panic of the real machine, asked for: what must hold before, the mark, the panic; and at a
//! later boot, what became of it.
//!
//! The mark is an id. It goes into the state file before the panic and, through /dev/kmsg, into the
//! kernel's log, so that the core of this very test is recognized by its `dmesg.txt` and by nothing
//! else. Facts: Documentation/admin-guide/sysrq.rst, devices.txt (kmsg), utmp(5), sd-login(3).

use crate::{oops, verdict};
use config::Config;
use initramfs::modules::Index;
use loader::doctor::{self, Level};
use loader::probe::boot_id;
use loader::proof::{Proof, Proven};
use loader::state::{CrashTest, State, TestFound};
use loader::status::{Armed, status};
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};
use store::manifest;

mod found;
mod logins;

use found::find;
pub use logins::Login;

/// How long a sync may take before the panic comes without it.
const SYNC: Duration = Duration::from_secs(60);

/// What makes the machine panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// `c` into /proc/sysrq-trigger.
    Sysrq,
    /// A module that reads through a NULL pointer.
    Oops,
}

impl How {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            How::Sysrq => "sysrq",
            How::Oops => "oops",
        }
    }

    fn dies_in(name: &str) -> &'static str {
        match name {
            "oops" => oops::DIES_IN,
            _ => verdict::DIES_IN,
        }
    }
}

/// A reason not to panic now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What is wrong.
    pub why: String,
    /// What to do.
    pub fix: Option<String>,
}

/// What was looked at before.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Why not; nothing: it can go.
    pub refusals: Vec<Refusal>,
    /// Who is logged in.
    pub logins: Vec<Login>,
    /// Where the core will arrive.
    pub stores: Vec<PathBuf>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// The kernel that will panic.
    pub release: String,
    #[serde(skip)]
    with: Vec<PathBuf>,
    #[serde(skip)]
    module: Vec<u8>,
}

/// Why the machine did not panic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrashTestError {
    /// The state file.
    #[error(transparent)]
    State(#[from] loader::state::StateError),
    /// A file.
    #[error("Cannot {what} {path}; nothing was made to panic")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not take the module.
    #[error(
        "The kernel does not load the module that oopses ({0}); it may want signed modules: use --how sysrq"
    )]
    Module(io::Error),
    /// It was asked for and did not come.
    #[error("The machine is still up: the kernel did not panic")]
    StillUp,
}

fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// `path` without the root prefix.
fn plain(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root)
        .map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest))
}

fn text(root: &Path, path: &str) -> String {
    fs::read_to_string(under(root, Path::new(path))).unwrap_or_default()
}

/// Looks whether a panic now would leave a core. Nothing is changed but a file that is made in the
/// target and removed again.
#[must_use]
pub fn examine(
    root: &Path,
    config: &Config,
    config_path: &Path,
    capture: PathBuf,
    how: How,
) -> Readiness {
    let status = status(root, config);
    let mut refusals = Vec::new();
    let mut refuse = |why: String, fix: Option<String>| refusals.push(Refusal { why, fix });
    if status.armed != Armed::Yes {
        let fix = status.next.clone();
        refuse(format!("this machine is not armed: {}", status.why), fix);
    } else if status.image.is_none() {
        refuse(status.why.clone(), Some("sudo afterpanic load".into()));
    }
    let report = doctor::examine(root, config, capture);
    for finding in report.findings {
        // Without an image nobody knows whether the target can be reached.
        let image = finding.check == "image" && finding.level == Level::Fail;
        let target = finding.check == "target";
        if image || target && matches!(finding.level, Level::Fail | Level::NotMade) {
            refuse(
                format!("the {}: {}", finding.check, finding.text),
                finding.fix,
            );
        }
    }
    let loader::stores::Stores {
        paths, elsewhere, ..
    } = loader::stores::stores(config, root);
    let stores: Vec<PathBuf> = paths.iter().map(|path| plain(root, path)).collect();
    for store in &stores {
        if let Err(error) = takes_a_file(&under(root, store)) {
            let why = format!("the target {} takes no file: {error}", store.display());
            refuse(why, Some("sudo afterpanic doctor".into()));
        }
    }
    let mut notes = Vec::new();
    if stores.is_empty() && !elsewhere.is_empty() {
        notes.push(
            "no target is mounted here; after the reboot mount it and run: afterpanic collect DIR"
                .to_owned(),
        );
    }
    let release = status.running.clone().unwrap_or_default();
    let mut module = Vec::new();
    match how {
        How::Sysrq if !under(root, Path::new(TRIGGER)).exists() => {
            refuse(format!("there is no {TRIGGER}"), Some("--how oops".into()));
        }
        How::Sysrq => {}
        How::Oops => {
            if text(root, "/proc/sys/kernel/panic_on_oops").trim() != "1" {
                refuse(
                    "an oops does not panic this machine".into(),
                    Some("sysctl kernel.panic_on_oops=1".into()),
                );
            }
            match Index::open(root, &release)
                .map_err(|e| e.to_string())
                .and_then(|index| oops::Layout::of(&index).map_err(|e| e.to_string()))
            {
                Ok(layout) => module = oops::module(&layout),
                Err(why) => refuse(why, Some("--how sysrq".into())),
            }
        }
    }
    let state = State::read(root).unwrap_or_default();
    let loaded = state.loaded.iter();
    let with = loaded.flat_map(|l| [l.kernel.clone(), l.image.clone()]);
    Readiness {
        refusals,
        logins: logins::read(root),
        stores,
        notes,
        release,
        with: with.chain([config_path.to_owned()]).collect(),
        module,
    }
}

const TRIGGER: &str = "/proc/sysrq-trigger";

fn takes_a_file(store: &Path) -> io::Result<()> {
    // The capture kernel makes the directory itself where it is not there yet.
    let dir = store.ancestors().find(|dir| dir.is_dir()).unwrap_or(store);
    let file = tempfile::Builder::new()
        .prefix(".crash-test-")
        .tempfile_in(dir)?;
    file.as_file().sync_all()
}

/// Writes down that this machine will panic now, on disk before this returns.
///
/// # Errors
/// The mark cannot be written.
pub fn mark(root: &Path, how: How, ready: &Readiness) -> Result<CrashTest, CrashTestError> {
    let path = Path::new("/proc/sys/kernel/random/uuid");
    let id = fs::read_to_string(path).map_err(io_error("read", path))?;
    let id: String = id
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(12)
        .collect();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut with = Vec::new();
    for (what, path) in ["kernel", "image", "config"].iter().zip(&ready.with) {
        with.push(Proven::file(root, what, path).map_err(io_error("read", path))?);
    }
    let test = CrashTest {
        id,
        how: how.name().into(),
        at: i64::try_from(now).unwrap_or(i64::MAX),
        boot_id: boot_id(root),
        release: ready.release.clone(),
        stores: ready.stores.clone(),
        with,
        found: None,
    };
    State::change(root, |state| state.crash_test = Some(test.clone()))?;
    Ok(test)
}

/// Panics. Returns only when it did not.
///
/// # Errors
/// Always: something failed, or the machine is still up.
pub fn panic(root: &Path, how: How, ready: &Readiness, test: &CrashTest) -> CrashTestError {
    let kmsg = under(root, Path::new("/dev/kmsg"));
    let line = format!(
        "<4>{}: a panic by {} is asked for\n",
        said(&test.id),
        how.name()
    );
    let said = File::options()
        .write(true)
        .open(&kmsg)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = said {
        return io_error("write", &kmsg)(error);
    }
    // One filesystem that hangs must not keep the others' data from being what is on disk.
    let (done, wait) = channel();
    std::thread::spawn(move || {
        nix::unistd::sync();
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(SYNC);
    match how {
        How::Sysrq => {
            let path = under(root, Path::new(TRIGGER));
            let wrote = File::options()
                .write(true)
                .open(&path)
                .and_then(|mut file| file.write_all(b"c"));
            match wrote {
                Ok(()) => CrashTestError::StillUp,
                Err(error) => io_error("write", &path)(error),
            }
        }
        // Another tree's state is not the running kernel's.
        How::Oops if root != Path::new("/") => CrashTestError::StillUp,
        How::Oops => match nix::kmod::init_module(&ready.module, c"") {
            Ok(()) => CrashTestError::StillUp,
            Err(error) => CrashTestError::Module(error.into()),
        },
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CrashTestError {
    let path = path.to_owned();
    move |source| CrashTestError::Io { what, path, source }
}

/// What the crashed kernel's log holds.
fn said(id: &str) -> String {
    format!("afterpanic: crash-test {id}")
}

/// What has become of the last crash test, for `status`: the recorded answer, or a quick look.
#[must_use]
pub fn outcome(root: &Path, test: &CrashTest) -> Option<TestFound> {
    if let Some(found) = &test.found {
        return Some(found.clone());
    }
    (test.boot_id != boot_id(root)).then(|| find(root, test, &[], false))
}

/// Looks for the last crash test's core, reads all of it and records the answer and the proof. A proof
/// that is newer than the test stays. Nothing when there is no test, when it was settled before, or when
/// the answer is what it was: a core that has not arrived is looked for at every boot, and its absence is
/// told once. `stores` are looked into besides the test's own.
///
/// # Errors
/// The state cannot be read or written.
pub fn settle(root: &Path, stores: &[PathBuf]) -> Result<Option<CrashTest>, CrashTestError> {
    let Some(mut test) = State::read(root)?.crash_test else {
        return Ok(None);
    };
    let settled = test.found.as_ref().is_some_and(|found| found.dir.is_some());
    if settled || test.boot_id == boot_id(root) {
        return Ok(None);
    }
    let found = find(root, &test, stores, true);
    if test.found.as_ref() == Some(&found) {
        return Ok(None);
    }
    let log = found
        .dir
        .as_ref()
        .and_then(|dir| fs::read_to_string(under(root, dir).join(manifest::CAPTURE_LOG)).ok());
    let proof = Proof {
        by: "crash-test".into(),
        at: test.at,
        release: test.release.clone(),
        passed: found.passed,
        summary: found.summary.clone(),
        peak: log.and_then(|log| verdict::peak(log.lines())),
        with: test.with.clone(),
    };
    test.found = Some(found);
    // Reading the core took its time: another test may have been asked for.
    State::change(root, |state| {
        let known = state
            .crash_test
            .as_mut()
            .filter(|known| known.id == test.id)?;
        known.found.clone_from(&test.found);
        if state.proof.as_ref().is_none_or(|known| known.at <= test.at) {
            state.proof = Some(proof);
        }
        Some(test)
    })
    .map_err(Into::into)
}

#[cfg(test)]
mod tests;
