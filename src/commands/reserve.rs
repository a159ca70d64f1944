//! `afterpanic reserve`: computes the memory that the capture kernel needs; `--apply` sets `crashkernel=`.

use crate::exit::Exit;
use crate::output::{self, Context};
use anyhow::Context as _;
use config::Auto;
use initramfs::{binary, build};
use loader::bootloader::{self, BootLoaderError, Change, Effect, Undo};
use loader::crashkernel::Value;
use loader::reserve::{self, Estimate, Inputs, Proposal};
use plan::TargetKind;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Arguments of `reserve`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Write the boot configuration. Without this option nothing is changed
    #[arg(long)]
    apply: bool,
    /// Use this value instead of the computed one: SIZE, SIZE,high, START-END:SIZE,…
    #[arg(long, value_name = "VALUE")]
    size: Option<String>,
    /// Take back what --apply wrote. Changes nothing without --apply
    #[arg(long, conflicts_with_all = ["size", "explain"])]
    undo: bool,
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

#[derive(Serialize)]
struct Undone {
    value: Option<String>,
    former: Vec<String>,
    change: Option<Change>,
    applied: bool,
}

/// Prints the estimate and the change; with `--apply` writes it.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if let Some(value) = &args.explain {
        writeln!(output::stdout(), "{}", Value::parse(value)?.explain())?;
        return Ok(Exit::Done);
    }
    if args.undo {
        return undo(args, context);
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
        let change = &answer.proposal.change;
        // Under another root no tool runs, and nothing is done.
        let done = !change.edits.is_empty() || elsewhere(change, context).is_none();
        let kept = change.by_hand.is_none() && done;
        let kept = kept.then(|| bootloader::keep(&context.root, change, &value));
        bootloader::apply(&context.root, change).context("cannot change the boot configuration")?;
        let lost = kept.and_then(Result::err);
        let lost = lost.map(|why| format!("`reserve --undo` will not know of this change: {why}"));
        for doubt in doubt(context, &answer.proposal)?.into_iter().chain(lost) {
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

/// Reads back what the boot loader will use. `Some`: it cannot be told, and why.
fn doubt(context: &Context, proposal: &Proposal) -> anyhow::Result<Option<String>> {
    match bootloader::effect(&context.root, &proposal.value) {
        Effect::Taken => Ok(None),
        // Under another root no tool has run yet.
        _ if context.root != Path::new("/") && !proposal.change.commands.is_empty() => Ok(None),
        Effect::NotTaken(why) => Err(BootLoaderError::NotTaken { why }.into()),
        Effect::Unknown(why) => Ok(Some(format!(
            "cannot tell whether the next boot reserves the memory: {why}. After the reboot check it: afterpanic doctor"
        ))),
    }
}

/// Takes back what `--apply` wrote.
fn undo(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let undo = bootloader::propose_undo(&context.root)?;
    let mut warnings = Vec::new();
    let some = undo.as_ref().filter(|undo| !undo.change.is_empty());
    let applied = args.apply && some.is_some();
    if !args.json {
        print_undo(undo.as_ref(), applied)?;
    }
    if let Some(undo) = some.filter(|_| applied) {
        bootloader::apply(&context.root, &undo.change)
            .context("cannot change the boot configuration")?;
        warnings.extend(left(context, undo)?);
    }
    if args.apply && undo.is_some() {
        let kept = bootloader::forget(&context.root).err();
        warnings.extend(kept.map(|why| format!("the change is still on record: {why}")));
    }
    let exit = match warnings.is_empty() {
        true => Exit::Done,
        false => Exit::Degraded,
    };
    if args.json {
        let answer = Undone {
            value: undo.as_ref().map(|undo| undo.value.clone()),
            former: undo
                .as_ref()
                .map(|undo| undo.former.clone())
                .unwrap_or_default(),
            change: undo.map(|undo| undo.change),
            applied,
        };
        output::json("afterpanic.reserve.undo/1", &warnings, &answer)?;
        return Ok(exit);
    }
    warnings.iter().for_each(|warning| context.warn(warning));
    let end = match (&undo, some.is_some()) {
        (None, _) => {
            "Nothing to undo: no change by `afterpanic reserve --apply` is on record".to_owned()
        }
        (Some(_), false) => "Nothing to undo: the boot configuration is as it was".to_owned(),
        (Some(undo), true) if applied => match elsewhere(&undo.change, context) {
            Some(command) => {
                format!("Taken back. Next: run {command} on that machine, then reboot it")
            }
            None => "Taken back. Next: reboot".to_owned(),
        },
        (Some(undo), true) if undo.change.by_hand.is_some() => {
            "Nothing was changed. Next: the steps above, then reboot".to_owned()
        }
        _ => "Nothing was changed. Next: sudo afterpanic reserve --undo --apply".to_owned(),
    };
    writeln!(output::stdout(), "{end}")?;
    Ok(exit)
}

/// Reads back that the value is gone. `Some`: it cannot be told, and why.
fn left(context: &Context, undo: &Undo) -> anyhow::Result<Option<String>> {
    match bootloader::still_there(&context.root, undo) {
        _ if elsewhere(&undo.change, context).is_some() => Ok(None),
        Ok(None) => Ok(None),
        Ok(Some(name)) => anyhow::bail!(
            "{name} still has crashkernel={}. Remove it there, then reboot",
            undo.value
        ),
        Err(why) => Ok(Some(format!(
            "cannot tell whether the next boot still has crashkernel={}: {why}",
            undo.value
        ))),
    }
}

/// The commands that only the machine under another root can run.
fn elsewhere(change: &Change, context: &Context) -> Option<String> {
    change
        .command_line()
        .filter(|_| context.root != Path::new("/"))
}

fn print_undo(undo: Option<&Undo>, applied: bool) -> anyhow::Result<()> {
    let Some(undo) = undo else {
        return Ok(());
    };
    let former = match undo.former.as_slice() {
        [] => "no crashkernel=".to_owned(),
        values => format!("crashkernel={}", values.join(" and crashkernel=")),
    };
    writeln!(
        output::stdout(),
        "crashkernel={} goes; before it: {former}",
        undo.value
    )?;
    print_change(&undo.change, applied)
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
    print_change(&answer.proposal.change, answer.applied)
}

/// What would be done, or is done now.
fn print_change(change: &Change, applied: bool) -> anyhow::Result<()> {
    let mut out = output::stdout();
    for note in &change.notes {
        writeln!(out, "  note: {note}")?;
    }
    let by_hand = change.by_hand.as_deref();
    if let Some(steps) = by_hand {
        let colon = if change.edits.is_empty() { "" } else { ":" };
        writeln!(out, "By hand: {steps}{colon}")?;
    }
    let commands = change.command_line();
    match (applied, change.edits.is_empty(), &commands) {
        _ if by_hand.is_some() => {}
        (false, false, None) => writeln!(out, "Would write:")?,
        (false, false, Some(line)) => writeln!(out, "Would write, then run {line}:")?,
        (false, true, Some(line)) => writeln!(out, "Would run: {line}")?,
        (true, false, None) => writeln!(out, "Writing:")?,
        (true, false, Some(line)) => writeln!(out, "Writing, then run {line}:")?,
        (true, true, Some(line)) => writeln!(out, "Running: {line}")?,
        (_, true, None) => {}
    }
    out.write_all(change.diff().as_bytes())?;
    Ok(())
}

fn end(answer: &Answer, context: &Context) -> String {
    if answer.proposal.already {
        "The boot configuration already has this value. Next: reboot, then sudo afterpanic load"
            .into()
    } else if answer.applied {
        match elsewhere(&answer.proposal.change, context) {
            Some(command) => format!(
                "Written. Next: run {command} on that machine, reboot it, then sudo afterpanic doctor"
            ),
            None => "Written. Next: reboot, then sudo afterpanic doctor".into(),
        }
    } else if answer.proposal.change.by_hand.is_some() {
        "Nothing was changed. Next: the steps above, then reboot".into()
    } else {
        "Nothing was changed. Next: sudo afterpanic reserve --apply".into()
    }
}
