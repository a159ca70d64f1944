//! `afterpanic dmesg`: the crashed kernel's log.

use crate::core_arg::{self, SymbolsArg};
use crate::evidence::EvidenceArg;
use crate::evidence::{self, Text};
use crate::exit::Exit;
use crate::output::{self, Context};
use analysis::evidence::Form;
use analysis::reason::{Collector, Line, Reason};
use anyhow::Context as _;
use serde::Serialize;
use std::io::Write;
use vmcore::printk::{self, Log, Record};

/// Arguments of `dmesg`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    core: EvidenceArg,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Print only messages at least this urgent: 0 (emergency) to 7 (debug)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=7))]
    level: Option<u8>,
    /// Print only messages from this many seconds after boot
    #[arg(long, value_name = "SECONDS")]
    since: Option<u64>,
    /// Print from the panic message on, or from the oops if that started the capture kernel
    #[arg(long)]
    follow_panic: bool,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    records: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    seq: u64,
    seconds: f64,
    level: u8,
    facility: u8,
    caller: Option<String>,
    text: String,
}

/// Prints the log.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let core = args.core.core.as_deref();
    let (log, incomplete) = match evidence::text(context, core)? {
        Some(text) => {
            let dir = text.dir.clone().filter(|dir| core_arg::is_incomplete(dir));
            let log = of_text(text)?;
            if let Some(dir) = &dir {
                core_arg::warn_incomplete(context, dir);
            }
            (log, dir.is_some())
        }
        None => {
            let (found, kernel) = core_arg::kernel_with(context, core, &args.symbols)?;
            (printk::records(&kernel)?, found.incomplete)
        }
    };
    let mut out = output::buffered();
    let panic_at = log.records.iter().rposition(is_panic);
    let from = match (
        args.follow_panic,
        panic_at.or_else(|| trouble(&log.records)),
    ) {
        (false, _) => 0,
        (true, Some(at)) => at,
        (true, None) => {
            context.warn("there is no panic in the log");
            log.records.len()
        }
    };
    let wanted = log.records.iter().skip(from).filter(|record| {
        args.level.is_none_or(|level| record.level <= level)
            && args
                .since
                .is_none_or(|since| record.ts_nsec / 1_000_000_000 >= since)
    });
    if args.json {
        let records = wanted.map(entry).collect();
        output::json("afterpanic.dmesg/1", &log.warnings, &Shown { records })?;
    } else {
        for record in wanted {
            printk::write_record(record, &mut out)?;
        }
        out.flush()?;
    }
    let exit = if log.warnings.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    };
    Ok(exit.of_incomplete(incomplete))
}

/// The messages of a text as records. Where it has no levels they count as warnings, as the kernel's
/// own default does (CONFIG_MESSAGE_LOGLEVEL_DEFAULT).
fn of_text(mut text: Text) -> anyhow::Result<Log> {
    const DEFAULT_LEVEL: u8 = 4;
    let mut log = Log::default();
    let mut reports = Collector::new();
    let facts = analysis::evidence::read(&mut *text.input, &mut |line| {
        reports.push(line.clone());
        log.records.push(Record {
            seq: log.records.len() as u64,
            ts_nsec: line.ts_nsec,
            level: line.level.unwrap_or(DEFAULT_LEVEL),
            caller: line.caller,
            text: line.text.into_bytes(),
            stored: true,
            ..Record::default()
        });
    })
    .with_context(|| format!("Cannot read {}", text.name))?;
    if facts.form() == Form::Plain && text.dir.is_none() && reports.finish().is_blank() {
        return Err(evidence::no_log(&text.name));
    }
    Ok(log)
}

/// The record where the trouble begins. With panic_on_oops an oops boots the capture kernel before
/// panic() says anything (oops_end, arch/x86/kernel/dumpstack.c).
fn trouble(records: &[Record]) -> Option<usize> {
    let mut lines = Vec::new();
    let mut owners = Vec::new();
    for (owner, record) in records.iter().enumerate() {
        for text in String::from_utf8_lossy(&record.text).lines() {
            lines.push(Line {
                ts_nsec: record.ts_nsec,
                caller: record.caller,
                level: Some(record.level),
                text: text.to_string(),
                untimed: false,
            });
            owners.push(owner);
        }
    }
    owners.get(Reason::from_log(&lines).first_line).copied()
}

fn is_panic(record: &Record) -> bool {
    let text = String::from_utf8_lossy(&record.text);
    analysis::reason::class::panic_message(&text).is_some()
}

/// Who printed a record: bit 31 of the caller id tells CPUs from tasks (kernel/printk/printk.c).
fn entry(record: &Record) -> Entry {
    let caller = record.caller.map(|id| match id & (1 << 31) {
        0 => format!("T{id}"),
        bit => format!("C{}", id ^ bit),
    });
    let micros = record.ts_nsec / 1000;
    Entry {
        seq: record.seq,
        // Below 2^53 microseconds (285 years) this is exact.
        #[allow(clippy::cast_precision_loss)]
        seconds: micros as f64 / 1e6,
        level: record.level,
        facility: record.facility,
        caller,
        text: String::from_utf8_lossy(&record.text).into_owned(),
    }
}
