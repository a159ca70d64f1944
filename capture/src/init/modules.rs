//! Loading of the plan's modules, in the plan's order: in a child of PID 1, because a driver's probe
//! may block on its device, and there in a thread, because one that blocks must not keep the child from
//! looking for the target without it.
//!
//! Modules lie uncompressed in the image, so finit_module(2) needs no flag. Dependencies are the
//! image builder's business; here order is all.

use crate::plan::Module;
use crate::protocol;
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use std::ffi::CString;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long all of them may take before the target is looked for without the rest.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the rest may take once the target is mounted.
const REST: Duration = Duration::from_secs(10);

/// The modules of the plan that this target needs and that an earlier one has not brought.
#[must_use]
pub fn for_target(modules: &[Module], target: usize) -> Vec<Module> {
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
pub struct Loading {
    thread: Option<JoinHandle<()>>,
    /// Set before anybody is told.
    loaded: Arc<AtomicBool>,
    begun: Instant,
    done: Option<Instant>,
}

impl Loading {
    /// Begins to load; `then` is called when the last one is done.
    #[must_use]
    pub fn begin(modules: Vec<Module>, then: impl FnOnce() + Send + 'static) -> Self {
        let begun = Instant::now();
        let loaded = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&loaded);
        let body = move || {
            load(&modules);
            flag.store(true, Ordering::Release);
            then();
        };
        let thread = thread::Builder::new().stack_size(128 << 10).spawn(body);
        if let Err(error) = &thread {
            protocol::soft(format!("No thread can load the modules: {error}"));
        }
        Self {
            thread: thread.ok(),
            loaded,
            begun,
            done: None,
        }
    }

    /// Modules that take until `released` hangs up.
    #[cfg(test)]
    pub fn until(released: std::sync::mpsc::Receiver<()>) -> Self {
        let loaded = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&loaded);
        let body = move || {
            let _ = released.recv();
            flag.store(true, Ordering::Release);
        };
        Self {
            thread: Some(thread::spawn(body)),
            loaded,
            begun: Instant::now(),
            done: None,
        }
    }

    /// Nothing is to be loaded.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            thread: None,
            loaded: Arc::default(),
            begun: Instant::now(),
            done: None,
        }
    }

    /// Since when no module need be waited for.
    pub fn done(&mut self) -> Option<Instant> {
        if self.done.is_none() {
            match &self.thread {
                None => self.done = Some(self.begun),
                Some(thread) if self.loaded.load(Ordering::Acquire) || thread.is_finished() => {
                    self.done = Some(Instant::now());
                }
                Some(_) if self.begun.elapsed() > PATIENCE => {
                    self.done = Some(Instant::now());
                    let seconds = PATIENCE.as_secs();
                    protocol::soft(format!("The modules are not loaded after {seconds} s"));
                }
                Some(_) => {}
            }
        }
        self.done
    }

    /// Waits for the rest, but not for ever.
    pub fn finish(self) {
        let Some(thread) = self.thread else {
            return;
        };
        let until = Instant::now() + REST;
        while !thread.is_finished() {
            if Instant::now() > until {
                protocol::soft("A module is still being loaded; it is left alone");
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
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
        let (sender, told) = std::sync::mpsc::channel();
        let mut loading = Loading::begin(for_target(&all, 0), move || sender.send(()).unwrap());
        told.recv_timeout(Duration::from_secs(20)).unwrap();
        while loading.done().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        let done = loading.done();
        assert_eq!(loading.done(), done);
        loading.finish();
        assert!(Loading::nothing().done().is_some());
    }
}
