//! The whole image: resolved once, its inputs digested, then written and packed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use config::Config;
use plan::{self, Plan};
use sha2::{Digest, Sha256};

use crate::archive::Archive;
use crate::binary;
use crate::closure::{self, Closure, Wanted};
use crate::compress::Compression;
pub use crate::error::BuildError;
use crate::explicit;
use crate::files::{self, Taken, TakenKind};
use crate::fill;
use crate::firmware;
use crate::kernel;
use crate::modules::{Index, ModuleError};
use crate::resolve::{self, LeftOut, Secret};
use crate::root::Root;
use crate::why::{self, Inputs, Why};

/// What to build.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prefix of the machine's files: `/`.
    pub root: PathBuf,
    /// The config.
    pub config: Config,
    /// The release of the kernel that the image is for; by default the config's choice.
    pub kernel: Option<String>,
    /// The folder that holds `lib/modules`; by default the root.
    pub modules_root: Option<PathBuf>,
    /// Drivers and filesystems by name, for another machine; by default what this one needs.
    pub drivers: Option<Vec<String>>,
    /// A kept image stays as it is when nothing differs but that a server in its plan cannot be reached
    /// now: the way to it may come back.
    pub keep_servers: bool,
    /// Our static binary (see [`binary::find`]).
    pub capture: PathBuf,
    /// How to pack; by default what the kernel can unpack.
    pub compression: Option<Compression>,
}

impl Request {
    /// The usual image of the machine at `root`.
    #[must_use]
    pub fn new(root: &Path, config: Config, capture: PathBuf) -> Self {
        Self {
            root: root.to_owned(),
            config,
            kernel: None,
            modules_root: None,
            drivers: None,
            keep_servers: false,
            capture,
            compression: None,
        }
    }
}

/// A built image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The bytes that the kernel is given.
    pub bytes: Vec<u8>,
    /// Its plan.
    pub plan: Plan,
    /// What is in it and why.
    pub why: Why,
    /// How it is packed.
    pub compression: Compression,
    /// Memory that its files take when unpacked.
    pub unpacked: u64,
    /// Targets of the config that are not in its plan.
    pub left_out: Vec<LeftOut>,
}

/// Everything decided, nothing packed yet: cheap, and enough to tell whether an image is stale.
#[derive(Debug)]
pub struct Prepared {
    plan: Plan,
    index: Index,
    closure: Closure,
    files: Vec<Taken>,
    binary: Vec<u8>,
    secrets: Vec<Secret>,
    compression: Compression,
    inputs: Inputs,
    drivers: Vec<String>,
    notes: Vec<String>,
    of: Vec<usize>,
    left_out: Vec<LeftOut>,
}

/// Builds an image.
pub fn build(request: &Request) -> Result<Image, BuildError> {
    prepare(request)?.finish()
}

/// Resolves everything that an image is made from.
pub fn prepare(request: &Request) -> Result<Prepared, BuildError> {
    let root = Root::new(&request.root);
    let config = &request.config;
    let release = match &request.kernel {
        Some(release) => release.clone(),
        None => kernel::chosen(&root, &config.capture_kernel.kernel)?,
    };
    let modules_root = request.modules_root.as_ref().unwrap_or(&request.root);
    let index = Index::open(modules_root, &release)?;
    let mut resolved = match &request.drivers {
        Some(names) => explicit::resolve(names, config, &index)?,
        None => resolve::resolve(&root, config, &index)?,
    };
    let by_ssh = |target: &plan::Target| matches!(target.kind, plan::TargetKind::Ssh(_));
    let binary = match resolved.targets.iter().any(by_ssh) {
        true => binary::read(&binary::with_ssh(&request.capture)?)?,
        false => binary::read(&request.capture)?,
    };
    let drivers = resolved.wanted.iter().filter(|wanted| wanted.driver);
    let drivers: BTreeSet<String> = drivers.map(|wanted| wanted.name.clone()).collect();
    for name in &config.image.extra_modules {
        resolved
            .wanted
            .push(Wanted::required(name, "extra_modules"));
    }
    let mut closure = closure::resolve(&index, &resolved.wanted, &config.image.omit_modules)?;
    let absent = absent(&index, &mut closure);
    resolved.notes.extend(absent);
    let first = match (&request.drivers, kernel::running(&root)) {
        (None, Some(running)) => running,
        _ => plan::FirstKernel {
            release: release.clone(),
            ..plan::FirstKernel::default()
        },
    };
    let plan = fill::plan(first, config, &resolved, &closure);
    plan.validate()?;
    let extra = config.image.extra_files.iter();
    let extra = extra.map(|path| (path.clone(), "extra_files".to_owned()));
    let programs = programs(config);
    let firmware = firmware::of(&root, &index, &closure)?;
    resolved.notes.extend(firmware.notes);
    let asked = programs.iter().cloned().chain(extra).chain(firmware.files);
    let asked: Vec<(PathBuf, String)> = asked.collect();
    let files = files::closure(&root, &asked)?;
    files::executable(&root, &programs, &files)?;
    let compression = request.compression.unwrap_or_else(|| {
        let text = kernel::configuration(&root, modules_root, &release);
        Compression::for_kernel(text.as_deref(), &release)
    });
    let mut inputs = inputs(&plan, &index, &closure, &files, &binary, compression)?;
    for secret in &resolved.secrets {
        inputs.files = digest(format!("{} {}", inputs.files, digest(&secret.bytes)).as_bytes());
    }
    let left_out = resolved.left_out.iter().map(ToString::to_string);
    let notes = [resolved.notes, closure.notes.clone(), left_out.collect()].concat();
    Ok(Prepared {
        plan,
        index,
        closure,
        files,
        binary,
        secrets: resolved.secrets,
        compression,
        inputs,
        drivers: drivers.into_iter().collect(),
        notes,
        of: resolved.of,
        left_out: resolved.left_out,
    })
}

impl Prepared {
    /// Digests of everything that goes in.
    #[must_use]
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The release of the kernel that the image is for.
    #[must_use]
    pub fn release(&self) -> &str {
        self.index.release()
    }

    /// The plan that goes in.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The place in the config of a target of the plan, both counted from 0.
    #[must_use]
    pub fn config_target(&self, planned: usize) -> Option<usize> {
        self.of.get(planned).copied()
    }

    /// Targets of the config that are not in the plan, because the network does not lead to them now.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The drivers of the devices on the way to the targets, modules and built in, by name.
    #[must_use]
    pub fn drivers(&self) -> &[String] {
        &self.drivers
    }

    /// Writes and packs the image.
    pub fn finish(self) -> Result<Image, BuildError> {
        let mut archive = Archive::new();
        archive.nodes()?;
        let plan_json = self.plan.to_json()?;
        archive.file("init", 0o755, self.binary, "afterpanic-capture, PID 1")?;
        archive.file(plan::PATH, 0o600, plan_json, "what afterpanic-capture does")?;
        for secret in self.secrets {
            archive.file(&secret.path, 0o600, secret.bytes, &secret.why)?;
        }
        archive.modules(&self.index, &self.closure)?;
        files::put(&mut archive, &self.files)?;
        let why = Why {
            schema: why::SCHEMA,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            release: self.index.release().to_owned(),
            inputs: self.inputs,
            files: archive
                .items()
                .map(|item| why::File {
                    path: item.path,
                    size: item.size,
                    why: item.why,
                })
                .collect(),
            builtin: self.closure.builtin,
            notes: self.notes,
        };
        let record = serde_json::to_vec(&why)?;
        archive.file(why::PATH, 0o600, record, "this list")?;
        Ok(Image {
            bytes: archive.pack(self.compression)?,
            unpacked: archive.unpacked(),
            plan: self.plan,
            why,
            compression: self.compression,
            left_out: self.left_out,
        })
    }
}

/// The programs that run in the capture kernel, each with the reason.
fn programs(config: &Config) -> Vec<(PathBuf, String)> {
    let hooks = config.hook.iter();
    let hooks = hooks.map(|hook| {
        (
            hook.program.clone(),
            format!("the {} hook", hook.when.name()),
        )
    });
    let rescue = config.after.rescue.iter();
    let rescue = rescue.map(|shell| (shell.clone(), "the rescue console".to_owned()));
    hooks.chain(rescue).collect()
}

/// Takes out modules that nothing depends on and whose file is not there, as in a trimmed tree.
fn absent(index: &Index, closure: &mut Closure) -> Vec<String> {
    let mut notes = Vec::new();
    closure.modules.retain(|picked| {
        let module = index.module(&picked.name);
        let there = module.is_some_and(|module| index.path(module).is_file());
        if !there && !picked.required {
            let why = picked.why.join("; ");
            notes.push(format!(
                "{} has no file and is left out ({why})",
                picked.name
            ));
        }
        there || picked.required
    });
    notes
}

fn inputs(
    plan: &Plan,
    index: &Index,
    closure: &Closure,
    files: &[Taken],
    binary: &[u8],
    compression: Compression,
) -> Result<Inputs, BuildError> {
    let mut modules = Sha256::new();
    for picked in &closure.modules {
        if let Some(module) = index.module(&picked.name) {
            let path = index.path(module);
            let bytes = std::fs::read(&path).map_err(|source| ModuleError::File {
                path: path.clone(),
                source,
            })?;
            modules.update(format!("{} {} {}\n", picked.name, module.path, bytes.len()));
            modules.update(Sha256::digest(&bytes));
        }
    }
    let options: Vec<_> = plan
        .modules
        .iter()
        .map(|m| (&m.name, &m.options, m.required))
        .collect();
    modules.update(serde_json::to_vec(&options)?);
    let mut extra = Sha256::new();
    for one in files {
        let content = match &one.kind {
            TakenKind::Link(target) => digest(target.as_os_str().as_encoded_bytes()),
            TakenKind::File(mode, bytes) => format!("{mode:o} {}", digest(bytes)),
        };
        extra.update(format!("{:?} {content}\n", one.path));
    }
    Ok(Inputs {
        afterpanic: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: format!(
            "{} for {}",
            index.release(),
            serde_json::to_string(&plan.kernel)?
        ),
        capture: digest(binary),
        config: digest(&serde_json::to_vec(&(
            &plan.dump,
            &plan.keep,
            &plan.after,
            &plan.hooks,
        ))?),
        target: digest(&serde_json::to_vec(&(&plan.targets, &plan.watchdogs))?),
        modules: hex(&modules.finalize()),
        files: hex(&extra.finalize()),
        compression: format!("{compression:?}"),
    })
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
