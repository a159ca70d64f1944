//! What the kernel printed while it died, against the report of its core: who was to blame, and its registers.

use super::judge::{Check, tasks_of};
use super::machines::{Fate, Machine};
use analysis::reason::{Location, Reason};
use analysis::report;
use analysis::unwind::{Frame, FrameKind, Unwinder};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;
use vmcore::addr::VirtAddr;
use vmcore::kernel::Kernel;

/// The function and the module that the guest of [`Fate::Fault`] dies in.
const CULPRIT: (&str, &str) = ("acme_poll", "acme");
/// Registers of pt_regs that no kernel prints beside the others, or not under one name.
const UNSAID: [&str; 10] = [
    "orig_a0", "orig_r3", "softe", "result", "trap", "dsisr", "dar", "ccr", "xer", "msr",
];

/// The checks of a fate that has a culprit.
///
/// # Errors
/// The console's text or the report's pages cannot be read.
pub(super) fn check(kernel: &Kernel, machine: &Machine, console: &Path) -> Result<Vec<Check>> {
    let console = std::fs::read(console)?;
    let console = String::from_utf8_lossy(&console);
    let lines: Vec<&str> = console.lines().map(bare).collect();
    let reason = || {
        let options = report::Options {
            log_tail: 0,
            sections: &[],
        };
        report::build(kernel, options).reason
    };
    Ok(match machine.fate {
        Fate::OutOfMemory => {
            let reason = reason();
            vec![
                (
                    "who asked for memory, by the console",
                    asked(&reason, &lines),
                ),
                ("who held the most, by the console", held(&reason, &lines)),
            ]
        }
        Fate::Fault => {
            let reason = reason();
            vec![
                ("the culprit, by the console", culprit(&reason, &lines)),
                ("the address, by the console", address(&reason, &lines)),
                (
                    "registers of the fault, by the console",
                    registers(kernel, &reason, machine.board.arch, &lines)?,
                ),
                ("registers of the report", told(kernel)),
            ]
        }
        Fate::Sysrq | Fate::RunsOn => Vec::new(),
    })
}

/// A line without its time.
fn bare(line: &str) -> &str {
    let timed = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    timed.map_or(line, |(_, text)| text).trim_end()
}

fn same(what: &str, ours: &str, theirs: &str) -> Result<String, String> {
    match ours == theirs {
        true => Ok(theirs.to_owned()),
        false => Err(format!("{what} is {ours}; the kernel says {theirs}")),
    }
}

fn number_behind<'l>(line: &'l str, mark: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(mark)?;
    rest.split([' ', ']', ')']).next()
}

/// The task in the report is the one that invoked the OOM killer.
fn asked(reason: &Reason, lines: &[&str]) -> Result<String, String> {
    let mut rest = lines.iter();
    let name = rest.find_map(|line| line.split_once(" invoked oom-killer"));
    let (name, _) = name.ok_or("the console names nobody")?;
    let pid = rest.find_map(|line| number_behind(line, " PID: "));
    let theirs = format!("{name} ({})", pid.unwrap_or("?"));
    let (comm, pid) = (reason.oops.comm.as_deref(), reason.oops.pid);
    let ours = format!("{} ({})", comm.unwrap_or("?"), pid.unwrap_or(-1));
    same("the task", &ours, &theirs)
}

/// The report names the process that is largest in the kernel's table.
fn held(reason: &Reason, lines: &[&str]) -> Result<String, String> {
    let header = lines.iter().position(|line| line.contains(" total_vm "));
    let rows = lines
        .iter()
        .skip(header.ok_or("there is no table")?)
        .skip(1);
    let rows = rows.take_while(|line| line.starts_with('['));
    // [pid] uid tgid total_vm rss … name; no name here has a space.
    let rows = rows.filter_map(|line| {
        let words: Vec<&str> = line
            .split(['[', ']', ' '])
            .filter(|w| !w.is_empty())
            .collect();
        Some((
            words.get(4)?.parse::<u64>().ok()?,
            *words.first()?,
            *words.last()?,
        ))
    });
    let (pages, pid, name) = rows.max().ok_or("the table is empty")?;
    let theirs = format!("{name} ({pid}) held the most memory: {pages} pages");
    let ours = reason
        .explanation
        .last()
        .map_or("not there", String::as_str);
    same("the explanation", ours, &theirs)
}

/// Module, function and offset are those that the kernel prints.
fn culprit(reason: &Reason, lines: &[&str]) -> Result<String, String> {
    let name = format!("{}+0x", CULPRIT.0);
    let theirs = lines.iter().find_map(|line| {
        let at = line.find(&name)?;
        Location::parse(line.get(at..)?.trim_end_matches([')', ']']))
    });
    let theirs = theirs.ok_or("the console names no place")?;
    let ours = reason.culprit.as_ref().ok_or("nobody is to blame")?;
    if ours.module.as_deref() != Some(CULPRIT.1) {
        return Err(format!("the module is {:?}", ours.module));
    }
    let place = |at: &Location| format!("{}+{:#x}", at.function, at.offset);
    same("the culprit", &place(ours), &place(&theirs))
}

/// The bad address is the one that the kernel prints, in whatever words.
fn address(reason: &Reason, lines: &[&str]) -> Result<String, String> {
    let marks = ["virtual address ", " on read at ", "Failing address: "];
    let mut found = lines
        .iter()
        .flat_map(|line| marks.iter().filter_map(|mark| number_behind(line, mark)));
    let theirs = found.next().ok_or("the console names none")?;
    let theirs = u64::from_str_radix(theirs.trim_start_matches("0x"), 16);
    let theirs = theirs.map_err(|why| why.to_string())?;
    let ours = reason.address.as_deref().unwrap_or("none");
    same("the address", ours, &format!("{theirs:#x}"))
}

/// The registers that the unwinder finds saved on the stack are those that the kernel printed.
fn registers(
    kernel: &Kernel,
    reason: &Reason,
    arch: &str,
    lines: &[&str],
) -> Result<Result<String, String>> {
    let all = tasks_of(kernel)?;
    let pid = reason.oops.pid;
    let task = all.iter().find(|(_, task)| Some(task.pid) == pid);
    let (at, _) = task.context("The task is not in the core")?;
    let at = u64::from_str_radix(at.trim_start_matches("0x"), 16)?;
    let trace = Unwinder::new(kernel).task(VirtAddr(at));
    let is_fault = |frame: &&Frame| {
        let symbol = frame.symbol.as_ref();
        frame.kind == FrameKind::Interrupted && symbol.is_some_and(|at| at.name == CULPRIT.0)
    };
    let Some(frame) = trace.frames.iter().find(is_fault) else {
        return Ok(Err("the stack has no frame of the fault".into()));
    };
    let saved = frame.registers.as_ref().context("It has no registers")?;
    let theirs = printed(arch, lines);
    let (mut alike, mut wrong) = (0, Vec::new());
    for (name, value) in saved.registers.named() {
        match theirs.get(name) {
            Some(their) if *their == value => alike += 1,
            None if UNSAID.contains(&name) => {}
            their => wrong.push(format!("{name} {value:#x}, printed {their:x?}")),
        }
    }
    // No machine here has fewer than sixteen.
    Ok(match wrong.is_empty() && alike > 16 {
        true => Ok(format!("{alike} registers")),
        false => Err(format!("{alike} alike; {}", wrong.join(", "))),
    })
}

/// The registers of a fault by the names of pt_regs. Those of user mode follow later.
fn printed(arch: &str, lines: &[&str]) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut add = |name: String, word: &str| {
        if let Ok(value) = u64::from_str_radix(word, 16) {
            found.entry(name).or_insert(value);
        }
    };
    let mut row = 0;
    for line in lines.iter().skip_while(|line| !line.contains("Oops")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (arch, words.as_slice()) {
            ("riscv64", _) => {
                // Names stand apart from their colon, or not: `a0 : 1`, `s10: 2`.
                for (name, rest) in line.split(": ").zip(line.split(": ").skip(1)) {
                    let name = name.split_whitespace().next_back().unwrap_or_default();
                    let word = rest.split_whitespace().next().unwrap_or_default();
                    add(name.to_owned(), word);
                }
            }
            ("ppc64le", ["NIP:", nip, "LR:", lr, "CTR:", ctr]) => {
                add("nip".into(), nip);
                add("lr".into(), lr);
                add("ctr".into(), ctr);
            }
            ("ppc64le", [first, words @ ..]) if first.starts_with("GPR") => {
                let first = first.trim_matches(|c: char| !c.is_ascii_digit());
                let first: usize = first.parse().unwrap_or(99);
                for (n, word) in (first..).zip(words) {
                    add(format!("r{n}"), word);
                }
            }
            ("s390x", ["Krnl", "PSW", ":", mask, address, ..]) => {
                add("psw_mask".into(), mask);
                add("psw_addr".into(), address);
                row = 0;
            }
            ("s390x", ["Krnl", "GPRS:", words @ ..] | words) if words.len() == 4 && row < 16 => {
                for (n, word) in (row..).zip(words) {
                    add(format!("r{n}"), word);
                }
                row += 4;
            }
            _ => {}
        }
    }
    found
}

/// A full report shows what the registers point to.
fn told(kernel: &Kernel) -> Result<String, String> {
    let rows = report::details::full(kernel).details.registers;
    let rows = rows.ok_or("it has none")?;
    let acme = format!("[{}]", CULPRIT.1);
    let shown = rows.iter().filter_map(|row| row.points_to.as_deref());
    let module = shown.clone().find(|words| words.contains(&acme));
    let module = module.ok_or("none points into the module")?;
    Ok(format!(
        "{} of {} explained: {module}",
        shown.count(),
        rows.len()
    ))
}
