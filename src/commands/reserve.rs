//! `afterpanic reserve`: computes the memory that the capture kernel needs; `--apply` sets `crashkernel=`.

use crate::exit::Exit;
use crate::output::{self, Context};
use anyhow::Context as _;
use config::Auto;
use initramfs::{binary, build};
use loader::bootloader::{self, BootLoader, BootLoaderError, Effect};
use loader::crashkernel::Value;
use loader::reserve::{self, Estimate, Inputs, Proposal};
use plan::TargetKind;
use serde::Serialize;
use std::io::Write;

/// Arguments of `reserve`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Write the boot configuration. Without this option nothing is changed
    #[arg(long)]
    apply: bool,
    /// Use this value instead of the computed one: SIZE, SIZE,high, START-END:SIZE,…
    #[arg(long, value_name = "VALUE")]
    size: Option<String>,
    /// Explain this value of crashkernel= and exit
    #[arg(long, value_name = "VALUE", conflicts_with_all = ["apply", "size"])]
    explain: Option<String>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    estimate: Estimate,
    proposal: Proposal,
    applied: bool,
}

/// Prints the estimate and the change; with `--apply` writes it.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if let Some(value) = &args.explain {
        writeln!(output::stdout(), "{}", Value::parse(value)?.explain())?;
        return Ok(Exit::Done);
    }
    let config = context.load_config()?;
    let (inputs, mut warnings) = inputs(context, &config);
    let estimate = reserve::estimate(&inputs);
    let value = match (&args.size, &config.capture_kernel.crashkernel) {
        (Some(value), _) | (None, Auto::Set(value)) => value.clone(),
        (None, Auto::Auto) => reserve::value_of(&estimate),
    };
    let proposal = reserve::propose(&context.root, &value)?;
    let answer = Answer {
        applied: args.apply && !proposal.already,
        estimate,
        proposal,
    };
    let mut exit = Exit::Done;
    if !args.json {
        warnings.iter().for_each(|w| context.warn(w));
        print(&answer)?;
    }
    if answer.applied {
        bootloader::apply(&context.root, &answer.proposal.change)
            .context("cannot change the boot configuration")?;
        if let Some(doubt) = doubt(context, &answer.proposal)? {
            if !args.json {
                context.warn(&doubt);
            }
            warnings.push(doubt);
            exit = Exit::Degraded;
        }
    }
    if args.json {
        output::json("afterpanic.reserve/1", &warnings, &answer)?;
    } else {
        writeln!(output::stdout(), "{}", end(&answer, context))?;
    }
    Ok(exit)
}

/// Reads back what GRUB makes of the written files. `Some`: it cannot be told, and why.
fn doubt(context: &Context, proposal: &Proposal) -> anyhow::Result<Option<String>> {
    if proposal.change.boot_loader != BootLoader::Grub {
        return Ok(None);
    }
    match bootloader::effect(&context.root, &proposal.value) {
        Effect::Taken => Ok(None),
        Effect::NotTaken(why) => Err(BootLoaderError::NotTaken { why }.into()),
        Effect::Unknown(why) => Ok(Some(format!(
            "cannot tell whether the next boot reserves the memory: {why}. After the reboot check it: afterpanic doctor"
        ))),
    }
}

/// The inputs of the estimate: this machine, and the image if it can be built here.
fn inputs(context: &Context, config: &config::Config) -> (Inputs, Vec<String>) {
    let mut warnings = Vec::new();
    let release = loader::probe::running_release(&context.root).unwrap_or_default();
    let kernel = loader::kimage::find_any(&context.root, &release).ok();
    let kernel = kernel.and_then(|path| std::fs::read(context.path(&path.to_string_lossy())).ok());
    let kernel = kernel.map(initramfs::kernel::uki::kernel_of);
    let mut inputs = Inputs::read(&context.root, kernel.as_deref());
    let image = binary::find()
        .map_err(anyhow::Error::from)
        .and_then(|capture| {
            let request = build::Request::new(&context.root, config.clone(), capture);
            Ok(build::build(&request)?)
        });
    match image {
        Ok(image) => {
            inputs.image = image.bytes.len() as u64;
            inputs.unpacked = image.unpacked;
            let modules = image.plan.modules.iter();
            inputs.drivers = modules.map(|module| module.name.clone()).collect();
            for target in &image.plan.targets {
                if let TargetKind::Filesystem(fs) = &target.kind {
                    inputs.filesystems.push(fs.fstype.name().to_owned());
                }
            }
        }
        Err(why) => {
            warnings.push(format!(
                "the image cannot be built here, so its size is an estimate: {why:#}"
            ));
            inputs.image = 2 << 20;
            inputs.unpacked = 8 << 20;
            inputs.filesystems.push("xfs".to_owned());
        }
    }
    if let Auto::Set(cpus) = config.capture_kernel.cpus {
        inputs.cpus = cpus;
    }
    if let Auto::Set(limit) = config.dump.worker_memory {
        inputs.worker = limit.bytes();
    }
    (inputs, warnings)
}

fn print(answer: &Answer) -> anyhow::Result<()> {
    let mut out = output::stdout();
    for part in &answer.estimate.parts {
        writeln!(
            out,
            "  {:<42} {:>9}  {}",
            part.what,
            output::size(part.bytes),
            part.why
        )?;
    }
    let line = format!("crashkernel={}", answer.proposal.value);
    writeln!(
        out,
        "{line:<38} Debian's kdump-tools: {}; Fedora: {}",
        answer.estimate.debian, answer.estimate.fedora
    )?;
    writeln!(out, "  that is {}", answer.proposal.explained)?;
    for note in &answer.proposal.change.notes {
        writeln!(out, "  note: {note}")?;
    }
    let change = &answer.proposal.change;
    if let Some(command) = &change.by_hand {
        writeln!(out, "By hand: {command}")?;
    }
    if !change.edits.is_empty() {
        let then = match &change.command {
            Some(command) => format!(", then run {}", command.join(" ")),
            None => String::new(),
        };
        let verb = if answer.applied {
            "Writing"
        } else {
            "Would write"
        };
        writeln!(out, "{verb}{then}:")?;
        out.write_all(change.diff().to_string().as_bytes())?;
    }
    Ok(())
}

fn end(answer: &Answer, context: &Context) -> String {
    if answer.proposal.already {
        "The boot configuration already has this value. Next: reboot, then sudo afterpanic load"
            .into()
    } else if answer.applied {
        let elsewhere = context.root != std::path::Path::new("/");
        match answer
            .proposal
            .change
            .command
            .as_ref()
            .filter(|_| elsewhere)
        {
            Some(command) => format!(
                "Written. Next: run {} on that machine, reboot it, then sudo afterpanic doctor",
                command.join(" ")
            ),
            None => "Written. Next: reboot, then sudo afterpanic doctor".into(),
        }
    } else if answer.proposal.change.by_hand.is_some() {
        "Nothing was changed. Next: the steps above, then reboot".into()
    } else {
        "Nothing was changed. Next: sudo afterpanic reserve --apply".into()
    }
}
