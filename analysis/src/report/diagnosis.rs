//! The words of the diagnosis: the sentences that explain it, its stacks, other reports of the log, and
//! how sure it is.

use crate::reason::{Class, Location, Reason};
use std::fmt::{self, Write};

/// Frames of the stack shown.
const FRAMES: usize = 8;
/// The same of a CPU or task that hangs: the loop may be in any caller.
const FRAMES_OF_HANG: usize = 64;
/// Frames shown of a further stack.
const SHORT: usize = 6;
/// Further stacks shown.
const STACKS: usize = 4;

/// The kernel's own sentences, and how sure the diagnosis is.
pub(super) fn explain(reason: &Reason, out: &mut dyn Write) -> fmt::Result {
    let headline = reason.headline.as_ref();
    for line in headline.into_iter().chain(&reason.explanation) {
        writeln!(out, "  {line}")?;
    }
    if let Some(told) = &reason.oops.syndrome {
        let parts = [Some(&told.class), told.fault.as_ref(), told.access.as_ref()];
        let parts = parts.into_iter().flatten().chain(&told.notes);
        let words: Vec<&str> = parts.map(String::as_str).collect();
        writeln!(
            out,
            "  the processor: {} (ESR {})",
            words.join(", "),
            told.value
        )?;
    }
    if let Some(task) = &reason.blocker {
        writeln!(out, "  the kernel names the task that holds it: {task}")?;
    }
    let trust = &reason.trust;
    if !trust.because.is_empty() {
        writeln!(out, "  {}, because {}", trust.verdict.name(), trust.because)?;
    }
    Ok(())
}

/// The log's own trace where it has one, with the instruction at fault; else the unwound stack. Then
/// the other stacks of the report, shortened.
pub(super) fn stacks(reason: &Reason, out: &mut dyn Write) -> fmt::Result {
    main_stack(reason, out)?;
    let titled = reason
        .oops
        .stacks
        .iter()
        .filter(|stack| !stack.title.is_empty());
    for stack in titled.take(STACKS) {
        writeln!(out, "  {}:", stack.title)?;
        let sure = stack.frames.iter().any(|frame| frame.reliable);
        let frames = stack.frames.iter().filter(|frame| frame.reliable || !sure);
        for frame in frames.filter(|frame| !reason.is_helper(frame)).take(SHORT) {
            writeln!(out, "    {frame}")?;
        }
    }
    Ok(())
}

fn main_stack(reason: &Reason, out: &mut dyn Write) -> fmt::Result {
    let oops = &reason.oops;
    let sure = oops.trace.iter().any(|frame| frame.reliable);
    let trace = oops.trace.iter().filter(|frame| frame.reliable || !sure);
    // Traces of aarch64 and riscv64 begin with the place itself.
    let place = oops
        .location
        .as_ref()
        .map(|at| (at.function.as_str(), at.offset));
    let first = trace.clone().next();
    let first = first.map(|frame| (frame.function.as_str(), frame.offset));
    let again = place.is_some() && place == first;
    let all = oops.location.iter().chain(trace.skip(usize::from(again)));
    let hang = matches!(
        reason.class,
        Class::HungTask | Class::SoftLockup | Class::HardLockup | Class::RcuStall
    );
    // What the panic machinery itself did tells nothing; a fault's own place always stands first.
    let skip = if oops.location.is_some() || hang {
        0
    } else {
        let name = reason.culprit.as_ref().map(|at| &at.function);
        let at = all.clone().position(|frame| Some(&frame.function) == name);
        at.unwrap_or_else(|| {
            all.clone()
                .take_while(|frame| reason.is_report(frame))
                .count()
        })
    };
    let instruction = oops
        .code
        .as_ref()
        .and_then(|code| code.instruction.as_deref());
    let most = if hang { FRAMES_OF_HANG } else { FRAMES };
    let mut shown: Vec<(String, usize)> = Vec::new();
    for frame in all.skip(skip).map(Location::to_string) {
        let full = shown.len() == most;
        match shown.last_mut() {
            Some((last, times)) if *last == frame => *times = times.saturating_add(1),
            _ if full => break,
            _ => shown.push((frame, 1)),
        }
    }
    for (i, (frame, times)) in shown.iter().enumerate() {
        // Recursion would fill the page.
        if *times > 1 {
            writeln!(out, "    {frame:<24} ({times} times)")?;
            continue;
        }
        match instruction.filter(|_| i == 0 && oops.location.is_some()) {
            Some(instruction) => writeln!(out, "    {frame:<24} {instruction}")?,
            None => writeln!(out, "    {frame}")?,
        }
    }
    Ok(())
}

/// The other reports of the log.
pub(super) fn others(reason: &Reason, out: &mut dyn Write) -> fmt::Result {
    let count = match (reason.oops_number, reason.reports) {
        (Some(number), _) => format!("the {} oops of this boot", ordinal(number)),
        (None, reports) if reports > 1 => format!("one of {reports} reports in the log"),
        _ => return Ok(()),
    };
    let Some(first) = &reason.first else {
        return writeln!(out, "  {count}");
    };
    write!(
        out,
        "  {count}; the first: {}",
        super::words::class_words(first.class)
    )?;
    if let Some(place) = &first.culprit {
        write!(out, " in {place}")?;
    }
    if first.seconds_earlier > 0 {
        write!(
            out,
            ", {} earlier",
            super::words::duration(first.seconds_earlier)
        )?;
    }
    writeln!(out)
}

fn ordinal(number: u32) -> String {
    let end = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}
