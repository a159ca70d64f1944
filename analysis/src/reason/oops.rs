//! The lines of a report: where, who, registers, code, and its stacks.
//!
//! Sources: arch/x86/kernel/{dumpstack,process_64}.c, arch/arm/kernel/{process,traps}.c,
//! arch/arm64/kernel/{process,traps}.c, arch/riscv/kernel/{process,traps}.c,
//! arch/powerpc/kernel/process.c, arch/s390/kernel/dumpstack.c, lib/dump_stack.c, lib/nmi_backtrace.c,
//! mm/{kasan,kfence,kmsan}/report.c, kernel/locking/lockdep.c, mm/kmemleak.c; 4.4 to 7.x. What is read
//! here is what the crashed kernel printed of itself; the unwinder reads the same from memory and is
//! preferred where it works.

mod reader;

use super::code::Code;
use super::frame::Location;
use super::syndrome::{self, Syndrome};
use reader::Reader;
use serde::{Deserialize, Serialize};

/// A stack of a report, with what the kernel calls it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stack {
    /// `Freed by task 212`, `NMI backtrace for cpu 1`; empty for the trace of the report itself.
    pub title: String,
    /// Innermost first.
    pub frames: Vec<Location>,
    /// Index of the frame that an interrupt found running.
    #[serde(skip)]
    pub(super) interrupted: Option<usize>,
    /// Where the instruction pointer stood, by the registers before the trace.
    #[serde(skip)]
    pub(super) at: Option<Location>,
    /// Frames without a header before them.
    #[serde(skip)]
    pub(super) implied: bool,
    /// The kernel says that it has none.
    #[serde(skip)]
    pub(super) absent: bool,
}

/// What a block of trouble says in its lines.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Oops {
    /// The instruction pointer, of the first registers in the block.
    pub location: Option<Location>,
    /// The CPU that spoke.
    pub cpu: Option<u32>,
    /// The task on it.
    pub pid: Option<i32>,
    /// That task's name.
    pub comm: Option<String>,
    /// The taint letters, or "Not tainted".
    pub tainted: Option<String>,
    /// The machine, from `Hardware name:`.
    pub hardware: Option<String>,
    /// General registers in the order printed, names in lower case, values in hex.
    pub registers: Vec<(String, String)>,
    /// The code around the instruction pointer.
    pub code: Option<Code>,
    /// The call trace, innermost first.
    pub trace: Vec<Location>,
    /// What the access was: "read", "write" or "execute".
    pub access: Option<String>,
    /// What the processor said of the fault, where the kernel prints that (aarch64).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syndrome: Option<Syndrome>,
    /// The other stacks of the report: who freed, who allocated, what other CPUs ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<Stack>,
    /// The kernel's release, from the line of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The return address of arm, arm64, riscv and powerpc: who called, where the fault has no place.
    #[serde(skip)]
    pub(super) link: Option<Location>,
    /// Whether the trace was taken from a stack with a title, because the report has no trace of its own.
    #[serde(skip)]
    pub(super) all_titled: bool,
    /// Whether lines of another CPU's report stand between those of this one.
    #[serde(skip)]
    pub(super) mixed: bool,
    /// Whether the trace holds the stack of a failure that somebody asked for (lib/fault-inject.c).
    #[serde(skip)]
    pub(super) injected: bool,
    /// Whether a header of a stack has no frames behind it.
    #[serde(skip)]
    pub(super) headless: bool,
    /// Whether the lines end inside the trace: nothing says that it is over.
    #[serde(skip)]
    pub(super) open_end: bool,
    /// Whether the stack of a busy CPU was chosen though nothing shows that it was found busy there.
    #[serde(skip)]
    pub(super) guessed: bool,
    /// Index of the trace's frame that an interrupt found running.
    #[serde(skip)]
    pub(super) interrupted: Option<usize>,
}

/// The registers worth keeping from `RAX: 0000 RBX: …` lines.
const REGISTERS: [&str; 18] = [
    "RSP", "EFLAGS", "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "R08", "R09", "R10", "R11",
    "R12", "R13", "R14", "R15", "CR2",
];

impl Oops {
    /// Reads a block of lines. Of what is said twice (user registers after kernel registers, a second
    /// trace), the first stands.
    #[must_use]
    pub fn read<'t>(lines: impl IntoIterator<Item = &'t str>) -> Self {
        let mut reader = Reader::default();
        for line in lines {
            reader.line(line.trim_end());
        }
        reader.finish()
    }

    /// `1 UID: 0 PID: 212 Comm: kworker/2:1 Kdump: loaded Tainted: G  OE …`.
    fn read_cpu(&mut self, rest: &str) {
        if self.cpu.is_some() {
            return;
        }
        self.cpu = rest.split_whitespace().next().and_then(|n| n.parse().ok());
        let Some((_, rest)) = rest.split_once("PID: ") else {
            return;
        };
        self.pid = rest.split_whitespace().next().and_then(|n| n.parse().ok());
        let Some((_, rest)) = rest.split_once("Comm: ") else {
            return;
        };
        let end = ["Kdump: ", "Tainted: ", "Not tainted"]
            .iter()
            .filter_map(|mark| rest.find(mark))
            .min();
        self.comm = rest
            .get(..end.unwrap_or(rest.len()))
            .map(|comm| comm.trim().to_string());
        self.read_taint(rest);
    }

    /// The taint letters and the release behind them.
    fn read_taint(&mut self, rest: &str) {
        if rest.contains("Not tainted") {
            self.tainted = Some("Not tainted".into());
            let behind = rest.split_once("Not tainted ").map(|(_, behind)| behind);
            self.release = behind.and_then(release);
        } else if let Some((_, letters)) = rest.split_once("Tainted: ") {
            let letters: Vec<&str> = letters
                .split_whitespace()
                .take_while(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()))
                .collect();
            self.tainted = Some(letters.join(" "));
            let words = rest.split_once("Tainted: ").map_or("", |(_, words)| words);
            self.release = words.split_whitespace().find_map(release);
        }
    }

    /// `#PF: supervisor read access in kernel mode`.
    fn read_access(&mut self, line: &str) {
        const ROWS: [(&str, &str); 3] = [
            ("read access", "read"),
            ("write access", "write"),
            ("instruction fetch", "execute"),
        ];
        if let Some((_, word)) = ROWS.iter().find(|(text, _)| line.contains(text)) {
            self.access.get_or_insert_with(|| (*word).to_string());
        }
    }

    /// The processor's syndrome, and what it says of the access.
    fn read_syndrome(&mut self, line: &str) {
        if self.syndrome.is_some() {
            return;
        }
        self.syndrome = syndrome::of_line(line);
        if let (None, Some(told)) = (&self.access, &self.syndrome) {
            self.access.clone_from(&told.access);
        }
    }

    /// Fills in what is the same for the whole machine from the lines behind the report.
    pub(super) fn complete<'t>(&mut self, lines: impl Iterator<Item = &'t str>) {
        for line in lines {
            if let Some(rest) = line.strip_prefix("Hardware name: ") {
                self.hardware.get_or_insert_with(|| rest.to_string());
            } else if self.tainted.is_none() && line.contains("ainted") {
                self.read_taint(line);
            }
        }
    }

    /// What a line of the task says alone.
    fn of_cpu(rest: &str) -> Self {
        let mut oops = Self::default();
        oops.read_cpu(rest);
        oops
    }

    /// Whether it has a trace of its own, or a place.
    pub(super) fn has_stack(&self) -> bool {
        self.location.is_some() || !self.trace.is_empty() && !self.all_titled
    }

    /// A register by its name in lower case.
    #[must_use]
    pub fn register(&self, name: &str) -> Option<&str> {
        let found = self.registers.iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value.as_str())
    }

    fn read_registers(&mut self, line: &str) {
        let mut words = line.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let Some(name) = word
                .strip_suffix(':')
                .filter(|name| REGISTERS.contains(name))
            else {
                continue;
            };
            let Some(value) = words.peek() else { break };
            let value = value.strip_prefix("0018:").unwrap_or(value);
            let name = name.to_ascii_lowercase();
            let known = self.registers.iter().any(|(have, _)| *have == name);
            if let (false, Ok(number)) = (known, u64::from_str_radix(value, 16)) {
                self.registers.push((name, format!("{number:#x}")));
            }
        }
    }
}

/// The first word, if it begins like a release: `6.12.1-x`.
fn release(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let (major, rest) = word.split_once('.')?;
    let number = |text: &str| {
        text.bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_digit())
    };
    (major.parse::<u16>().is_ok() && number(rest)).then(|| word.to_string())
}

#[cfg(test)]
mod tests;
