//! What a plan must satisfy. Checked when an image is built and again in the capture kernel.

mod network;

use crate::hook::{Hook, LONGEST_HOOK, LONGEST_RESCUE, MOST_HOOKS, Rescue};
use crate::{Filesystem, FsType, Identity, Plan, Takes, TargetKind, VERSION};
use dump::policy;
use std::collections::HashSet;

/// A plan that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// It does not parse.
    #[error("The plan is not valid JSON of version {VERSION}")]
    Json(#[from] serde_json::Error),
    /// A value makes no sense.
    #[error("The plan's {key} is wrong: {why}; build the image again")]
    Value {
        /// Which key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

fn wrong<T>(key: impl Into<String>, why: impl Into<String>) -> Result<T, PlanError> {
    Err(PlanError::Value {
        key: key.into(),
        why: why.into(),
    })
}

impl Plan {
    /// Whether the plan can be followed at all.
    ///
    /// # Errors
    /// [`PlanError::Value`] names the first key that is wrong.
    pub fn validate(&self) -> Result<(), PlanError> {
        if self.version != VERSION {
            return wrong(
                "version",
                format!("it is {}, this binary reads {VERSION}", self.version),
            );
        }
        if self.targets.is_empty() {
            return wrong("targets", "there is none");
        }
        absolute("source", &self.source)?;
        self.check_dump()?;
        for (at, target) in self.targets.iter().enumerate() {
            let key = format!("targets[{at}]");
            if target.deadline_s == 0 {
                return wrong(format!("{key}.deadline_s"), "it is 0");
            }
            match &target.kind {
                TargetKind::Directory(dir) => absolute(&format!("{key}.path"), &dir.path)?,
                TargetKind::Filesystem(fs) => check_filesystem(&key, fs)?,
                TargetKind::Nfs(nfs) => network::check(&key, nfs)?,
                TargetKind::Ssh(ssh) => network::check_ssh(&key, ssh)?,
            }
        }
        if self.targets.iter().all(|one| one.takes == Takes::Report) {
            return wrong("targets", "none takes the dump");
        }
        let mut names = HashSet::new();
        for (at, module) in self.modules.iter().enumerate() {
            let key = format!("modules[{at}]");
            absolute(&format!("{key}.path"), &module.path)?;
            if module.name.is_empty() || !names.insert(module.name.as_str()) {
                return wrong(
                    format!("{key}.name"),
                    format!("\"{}\" is empty or named twice", module.name),
                );
            }
            no_nul(&format!("{key}.options"), &module.options)?;
        }
        if self.after.deadline_s == 0 {
            return wrong("after.deadline_s", "it is 0");
        }
        check_hooks(&self.hooks, self.after.rescue.as_ref())
    }

    fn check_dump(&self) -> Result<(), PlanError> {
        let dump = &self.dump;
        for (key, names) in [
            ("dump.keep_kinds", &dump.keep_kinds),
            ("dump.never", &dump.never),
        ] {
            for name in names {
                if policy::kinds_of_name(name).is_none() {
                    return wrong(key, format!("no page kind is called \"{name}\""));
                }
            }
        }
        if let Some(threads) = dump.threads
            && !(1..=512).contains(&threads)
        {
            return wrong("dump.threads", format!("{threads} is not in 1 to 512"));
        }
        if let Some(effort) = dump.effort
            && !(1..=4).contains(&effort)
        {
            return wrong("dump.effort", format!("{effort} is not in 1 to 4"));
        }
        if dump.essential_max == 0 {
            return wrong("dump.essential_max", "it is 0");
        }
        if dump.stall_s == 0 || dump.report_deadline_s == 0 {
            return wrong("dump.stall_s or dump.report_deadline_s", "it is 0");
        }
        Ok(())
    }
}

fn check_filesystem(key: &str, fs: &Filesystem) -> Result<(), PlanError> {
    absolute(&format!("{key}.path"), &fs.path)?;
    let value = match &fs.identity {
        Identity::Uuid(v) | Identity::Label(v) | Identity::Partuuid(v) => Some(v),
        Identity::Stack => None,
    };
    if value.is_some_and(String::is_empty) {
        return wrong(format!("{key}.identity"), "it is empty");
    }
    if value.is_none() != (fs.fstype == FsType::Raw) {
        return wrong(
            format!("{key}.identity"),
            "a device without a filesystem, and no other, is found by its stack",
        );
    }
    if value.is_none() && fs.stack.is_empty() {
        return wrong(format!("{key}.stack"), "it is empty");
    }
    check_options(key, &fs.options)
}

fn check_options(key: &str, options: &[String]) -> Result<(), PlanError> {
    for option in options {
        no_nul(&format!("{key}.options"), option)?;
        if option.contains(',') || option == "ro" {
            return wrong(
                format!("{key}.options"),
                format!("\"{option}\" holds a comma, or makes the target read-only"),
            );
        }
    }
    Ok(())
}

/// Whether hooks can run.
fn check_hooks(hooks: &[Hook], rescue: Option<&Rescue>) -> Result<(), PlanError> {
    if hooks.len() > MOST_HOOKS {
        return wrong("hooks", format!("more than {MOST_HOOKS}"));
    }
    for (at, hook) in hooks.iter().enumerate() {
        let key = format!("hooks[{at}]");
        absolute(&format!("{key}.program"), &hook.program)?;
        for word in &hook.args {
            no_nul(&format!("{key}.args"), word)?;
        }
        within(&format!("{key}.deadline_s"), hook.deadline_s, LONGEST_HOOK)?;
    }
    if let Some(rescue) = rescue {
        absolute("after.rescue.shell", &rescue.shell)?;
        within("after.rescue.deadline_s", rescue.deadline_s, LONGEST_RESCUE)?;
    }
    Ok(())
}

fn within(key: &str, seconds: u64, longest: u64) -> Result<(), PlanError> {
    match seconds {
        0 => wrong(key, "it is 0"),
        _ if seconds > longest => wrong(key, format!("it is more than {longest} s")),
        _ => Ok(()),
    }
}

/// Paths are absolute and climb nowhere.
fn absolute(key: &str, path: &str) -> Result<(), PlanError> {
    no_nul(key, path)?;
    if !path.starts_with('/') {
        return wrong(key, format!("\"{path}\" is not absolute"));
    }
    if path.split('/').any(|part| part == "..") {
        return wrong(key, format!("\"{path}\" climbs with .."));
    }
    Ok(())
}

fn no_nul(key: &str, text: &str) -> Result<(), PlanError> {
    if text.contains('\0') {
        return wrong(key, "it holds a NUL byte");
    }
    Ok(())
}
