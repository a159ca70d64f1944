//! Loading of the plan's modules, in the plan's order: in a child of PID 1, because a driver's probe
//! may block on its device, and there in a thread, because one that blocks must not keep the child from
//! looking for the target without it.
//!
//! Modules are uncompressed in the image, so finit_module(2) needs no flag. Dependencies are the
//! image builder's business; here order is all.

use crate::protocol;
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use plan::Module;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long all of them may take before the target is looked for without the rest.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the rest may take once the target is mounted.
const REST: Duration = Duration::from_secs(10);

/// The modules of the plan that this target needs and that an earlier one has not brought.
#[must_use]
pub(crate) fn for_target(modules: &[Module], target: usize) -> Vec<Module> {
    let there = |module: &Module| {
        Path::new("/sys/module")
            .join(&module.name)
            .join("initstate")
            .exists()
    };
    let wanted = modules.iter().filter(|module| module.target <= target);
    wanted
        .filter(|module| target == 0 || !there(module))
        .cloned()
        .collect()
}

/// Modules that are being loaded.
#[derive(Debug)]
pub(crate) struct Loading {
    /// Hangs up when the last one is done.
    done: Receiver<()>,
}

impl Loading {
    /// Begins to load.
    #[must_use]
    pub(crate) fn begin(modules: Vec<Module>) -> Self {
        let modules: Arc<[Module]> = modules.into();
        let theirs = Arc::clone(&modules);
        Self::work(move || load(&theirs)).unwrap_or_else(|error| {
            protocol::log(format!(
                "no thread for the modules ({error}): they come first"
            ));
            load(&modules);
            Self {
                done: mpsc::channel().1,
            }
        })
    }

    fn work(work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (busy, done) = mpsc::channel();
        let body = move || {
            work();
            drop(busy);
        };
        thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(body)
            .map(|_| Self { done })
    }

    /// Waits until all are loaded, for a bounded time.
    pub(crate) fn wait(&self) {
        if !self.over(PATIENCE) {
            let seconds = PATIENCE.as_secs();
            protocol::soft(format!("The modules are not loaded after {seconds} s"));
        }
    }

    /// Waits for the rest, with the target mounted.
    pub(crate) fn finish(self) {
        if !self.over(REST) {
            protocol::soft("A module is still being loaded; it is left alone");
        }
    }

    fn over(&self, most: Duration) -> bool {
        self.done.recv_timeout(most) != Err(RecvTimeoutError::Timeout)
    }
}

/// Loads the modules; what fails is a soft error, and the mount that needs it will say the rest.
fn load(modules: &[Module]) {
    for (at, module) in modules.iter().enumerate() {
        let begun = Instant::now();
        match one(module) {
            Ok(how) => protocol::log(format!(
                "module {}/{}: {} {how} in {} ms",
                at + 1,
                modules.len(),
                module.name,
                begun.elapsed().as_millis()
            )),
            Err(why) if module.required => protocol::soft(format!(
                "Cannot load module {} from {}: {why}",
                module.name, module.path
            )),
            Err(why) => protocol::log(format!("module {} not loaded: {why}", module.name)),
        }
    }
}

fn one(module: &Module) -> Result<&'static str, String> {
    let file = File::open(&module.path).map_err(|e| e.to_string())?;
    let options = CString::new(module.options.as_str()).map_err(|e| e.to_string())?;
    match finit_module(&file, &options, ModuleInitFlags::empty()) {
        Ok(()) => Ok("loaded"),
        Err(Errno::EEXIST) => Ok("was there already,"),
        Err(errno) => Err(match errno {
            Errno::ENOENT => "a symbol that it needs is missing (a module before it?)".to_owned(),
            Errno::ENOEXEC => "it was built for another kernel".to_owned(),
            other => other.desc().to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_waits_for_its_modules_and_brings_only_its_own() {
        let module = |name: &str, target| Module {
            path: format!("/nowhere/{name}.ko"),
            name: format!("no_such_{name}"),
            options: String::new(),
            required: false,
            target,
        };
        let all = [module("watchdog", 0), module("disk", 0), module("other", 1)];
        assert_eq!(for_target(&all, 0), all[..2]);
        assert_eq!(for_target(&all, 1), all);
    }

    #[test]
    fn who_waits_goes_on_when_the_last_one_is_done() {
        let (go, gate) = mpsc::channel::<()>();
        let loading = Loading::work(move || assert!(gate.recv().is_err())).unwrap();
        assert!(!loading.over(Duration::from_millis(50)));
        drop(go);
        assert!(loading.over(Duration::from_secs(20)));
        loading.finish();
        Loading::begin(Vec::new()).wait();
    }
}
