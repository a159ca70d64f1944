//! `afterpanic signature`: the signature of a crash, and the frames that made it.

use crate::core_arg::SymbolsArg;
use crate::evidence;
use crate::evidence::EvidenceArg;
use crate::exit::Exit;
use crate::output::{self, Context};
use analysis::reason::{Class, Location, Reason, Trust};
use analysis::report::{Options, Section};
use serde::Serialize;
use std::io::Write;

/// Arguments of `signature`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    core: EvidenceArg,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Signature<'r> {
    signature: &'r str,
    signature_version: u8,
    class: Class,
    culprit: Option<&'r Location>,
    frames: &'r [Location],
    trust: &'r Trust,
}

/// Prints the signature; exit code 4 when something could not be read.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let options = Options {
        log_tail: 0,
        sections: &[Section::Reason],
    };
    let core = args.core.core.as_deref();
    let (report, _, incomplete) = evidence::report(context, core, &args.symbols, options)?;
    let reason = &report.reason;
    if args.json {
        let data = Signature {
            signature: &reason.signature,
            signature_version: reason.signature_version,
            class: reason.class,
            culprit: reason.culprit.as_ref(),
            frames: &reason.signature_frames,
            trust: &reason.trust,
        };
        output::json("afterpanic.signature/1", &report.warnings, &data)?;
    } else {
        let mut out = output::stdout();
        writeln!(out, "{}", reason.signature)?;
        for line in lines(reason) {
            writeln!(out, "  {line}")?;
        }
        report.warnings.iter().for_each(|why| context.warn(why));
    }
    let exit = match report.warnings.is_empty() {
        true => Exit::Done,
        false => Exit::Degraded,
    };
    Ok(exit.of_incomplete(incomplete))
}

/// What made the signature.
fn lines(reason: &Reason) -> Vec<String> {
    let mut lines: Vec<String> = reason
        .signature_frames
        .iter()
        .map(ToString::to_string)
        .collect();
    if lines.is_empty() {
        lines.push("made from the message; the log names no function".into());
    }
    let trust = &reason.trust;
    lines.push(format!(
        "{}, because {}",
        trust.verdict.name(),
        trust.because
    ));
    lines
}
