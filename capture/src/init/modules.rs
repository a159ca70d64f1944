//! Loading of the plan's modules, in the plan's order: a child of PID 1, because a driver's probe
//! may block on its device.
//!
//! Modules lie uncompressed in the image, so finit_module(2) needs no flag. Dependencies are the
//! image builder's business; here order is all.

use crate::plan::Module;
use crate::protocol;
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use std::ffi::CString;
use std::fs::File;
use std::time::Instant;

/// Loads the modules; what fails is a soft error, and the mount that needs it will say the rest.
pub fn load(modules: &[Module]) {
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
