//! Reads the lines of a report one by one.

use super::super::blame::{self, Groups};
use super::super::code::Code;
use super::super::frame::Location;
use super::{Oops, REGISTERS, Stack};

/// Frames of a stack that are kept. A recursion may print more.
const MOST_FRAMES: usize = 1000;
/// Stacks of a report that are kept.
const MOST_STACKS: usize = 24;
/// Lines in a row that are no frames and end a trace: other people's lines stand between frames, too.
const STRANGERS: usize = 12;

/// Lines behind a trace that say that it is over.
const ENOUGH: usize = 2;

/// The text before the instruction pointer, by architecture.
const POINTERS: [&str; 13] = [
    "RIP: ",
    "EIP: ",
    "EIP is at ",
    "PC is at ",
    "pc : ",
    "epc : ",
    "epc   : ",
    "epc: ",
    "NIP ",
    "Krnl PSW : ",
    "IP: ",
    "era   : ",
    "ERA: ",
];
/// The text before the return address.
const LINKS: [&str; 5] = ["LR is at ", "lr : ", " ra : ", "LR [", "ra    : "];

/// Reads a block line by line.
#[derive(Default)]
pub(super) struct Reader {
    oops: Oops,
    stacks: Vec<Stack>,
    /// Whether the last stack still takes frames.
    open: bool,
    /// What the next trace is, by the line before it.
    title: Option<String>,
    at: Option<Location>,
    user_mode: bool,
    /// Whether registers of aarch64 stand there, which has its code behind its trace.
    aarch64: bool,
    strangers: usize,
    /// Whether a failure that somebody asked for was reported in the middle of the trace.
    injected: bool,
    /// Lines behind the last frame.
    behind: usize,
}

impl Reader {
    pub(super) fn line(&mut self, line: &str) {
        let bare = line.trim_start();
        self.oops.read_syndrome(bare);
        self.aarch64 |= bare.starts_with("pstate: ");
        self.behind = self.behind.saturating_add(usize::from(!bare.is_empty()));
        let last = self.stacks.last_mut().filter(|last| last.frames.is_empty());
        if let Some(last) = last.filter(|_| bare.starts_with("(stack is not available)")) {
            last.absent = true;
        }
        // lib/fault-inject.c: another CPU prints its own stack in the middle of this one.
        self.injected |= bare.starts_with("FAULT_INJECTION: forcing a failure")
            && self.open
            && self.in_own_trace()
            && !self.is_entered();
        if let Some(rest) = bare.strip_prefix("CPU: ") {
            let known = self.oops.pid;
            let told = Oops::of_cpu(rest).pid;
            self.oops.mixed |= known.is_some()
                && told.is_some()
                && known != told
                && (self.open && !self.is_entered() || !self.in_own_trace());
            self.oops.read_cpu(rest);
        } else if let Some(rest) = bare.strip_prefix("Hardware name: ") {
            self.oops.hardware.get_or_insert_with(|| rest.to_string());
        } else if let Some(rest) = bare.strip_prefix("Code: ") {
            if self.oops.code.is_none() && !self.user_mode {
                if self.aarch64 {
                    self.oops.code = Code::parse_words(rest);
                } else if !self.in_trace() {
                    self.oops.code = Code::parse(rest);
                }
            }
        } else if bare.starts_with("#PF: ") {
            self.oops.read_access(bare);
        } else if is_register_line(bare) {
            // Those inside a trace are of what was interrupted.
            if !self.in_trace() && !self.user_mode {
                self.oops.read_registers(bare);
            }
        } else if let Some(title) = opens(bare) {
            self.open(title);
        } else if self.interrupt(bare) || self.pointer(bare) || self.frame(line) {
            self.strangers = 0;
        } else if let Some(title) = title(bare) {
            self.open = false;
            self.title = Some(title.to_string());
            // The frames of most follow at once, those of a task or CPU behind `Call Trace:`.
            if !title.starts_with("NMI backtrace") && !title.starts_with("task ") {
                self.open(title);
            }
        } else if bare.starts_with("</TASK>")
            || ends(bare)
            || (bare.is_empty()
                && self
                    .stacks
                    .last()
                    .is_some_and(|stack| !stack.title.is_empty()))
        {
            self.open = false;
        } else if self.open && !bare.is_empty() && !bare.starts_with('<') {
            self.strangers = self.strangers.saturating_add(1);
            self.open = self.strangers <= STRANGERS;
        }
    }

    /// Whether the open trace ends where a thread, a system call or an interrupt begins.
    fn is_entered(&self) -> bool {
        let frames = self.stacks.last().map(|stack| stack.frames.iter().rev());
        let last = frames.and_then(|mut frames| frames.find(|frame| frame.reliable));
        last.is_some_and(|frame| blame::is_helper(&frame.function, Groups::ENTRY))
    }

    fn in_trace(&self) -> bool {
        self.stacks.iter().any(|stack| !stack.frames.is_empty())
    }

    /// Whether a trace with a header began. Frames before it may be of somebody else.
    fn in_own_trace(&self) -> bool {
        self.stacks
            .iter()
            .any(|stack| !stack.frames.is_empty() && !stack.implied)
    }

    fn open(&mut self, title: &str) {
        let title = match self.title.take() {
            Some(before) if title.is_empty() => before,
            _ => title.to_string(),
        };
        self.strangers = 0;
        // A title that opened a stack, and `Call Trace:` behind it.
        if let Some(last) = self.stacks.last_mut().filter(|last| last.frames.is_empty()) {
            if !title.is_empty() {
                last.title = title;
            }
            last.at = last.at.take().or(self.at.take());
            self.open = true;
            return;
        }
        self.open = self.stacks.len() < MOST_STACKS;
        if self.open {
            self.stacks.push(Stack {
                title,
                at: self.at.take(),
                ..Stack::default()
            });
        }
    }

    /// Takes powerpc's line of what an exception interrupted: `--- interrupt: 700 at f+0x1/0x2`
    /// (arch/powerpc/kernel/process.c, `show_stack`). False for every other line.
    fn interrupt(&mut self, line: &str) -> bool {
        let Some(rest) = line.strip_prefix("--- interrupt: ") else {
            return false;
        };
        let found = rest.split_once(" at ").and_then(|(_, at)| place(at));
        if let Some(stack) = self.stacks.last_mut().filter(|_| self.open) {
            stack.interrupted = stack.interrupted.or(Some(stack.frames.len()));
            stack.frames.extend(found);
        }
        true
    }

    /// Takes a line with the instruction pointer, or the return address. False for every other line.
    fn pointer(&mut self, line: &str) -> bool {
        let behind = |keys: &[&str]| {
            keys.iter().find_map(|key| {
                line.find(key)
                    .filter(|at| *at <= 12)
                    .and_then(|at| line.get(at.saturating_add(key.len())..))
            })
        };
        if let Some(rest) = behind(&LINKS).filter(|_| !line.starts_with("epc")) {
            if self.oops.link.is_none() && !self.user_mode {
                self.oops.link = place(rest);
            }
            return true;
        }
        let Some(rest) = behind(&POINTERS) else {
            return false;
        };
        self.user_mode = rest.starts_with("0033:") || rest.starts_with("0023:");
        if self.user_mode {
            self.open = false;
            return true;
        }
        let found = place(rest);
        match self.stacks.last_mut().filter(|stack| {
            self.open && !stack.frames.is_empty() && !(stack.implied && stack.title.is_empty())
        }) {
            // The place that an interrupt found the CPU at: a frame like others.
            Some(stack) => {
                let numeric = found.is_none();
                stack.interrupted = stack.interrupted.or(Some(stack.frames.len()));
                let known = stack.frames.last() == found.as_ref();
                if !numeric && !known && stack.frames.len() < MOST_FRAMES {
                    stack.frames.extend(found);
                }
            }
            None => {
                if self.at.is_none() {
                    self.at = found;
                }
                if self.oops.location.is_none() && !self.in_own_trace() {
                    self.oops.location = self.at.clone();
                }
            }
        }
        true
    }

    /// Takes a frame. False for every other line.
    fn frame(&mut self, line: &str) -> bool {
        let (called, frame) = match Location::parse(line) {
            Some(frame) => (None, frame),
            None => match Location::parse_arm(line) {
                Some((called, frame)) => (Some(called), frame),
                None => return false,
            },
        };
        let none = self.stacks.iter().all(|stack| stack.frames.is_empty());
        if !self.open && (self.title.is_some() || none) {
            // Some reports have no header before their trace.
            self.open("");
            if let Some(stack) = self.stacks.last_mut() {
                stack.implied = true;
            }
        }
        let Some(stack) = self.stacks.last_mut().filter(|_| self.open) else {
            return true;
        };
        self.behind = 0;
        if stack.frames.len() >= MOST_FRAMES {
            return true;
        }
        // The return address of a call that never returns may be the next function's first.
        let last = stack
            .frames
            .last_mut()
            .filter(|last| last.offset == 0 && last.size.is_some());
        if let (Some(called), Some(last)) = (called, last) {
            last.function = called.to_string();
        }
        if let Some(called) = called.filter(|_| stack.frames.is_empty()) {
            stack.frames.push(Location {
                function: called.to_string(),
                reliable: true,
                ..Location::default()
            });
        }
        stack.frames.push(frame);
        true
    }

    pub(super) fn finish(self) -> Oops {
        let own = |stack: &Stack| stack.title.is_empty() || stack.title.starts_with(['A', 'F']);
        let headless = self
            .stacks
            .iter()
            .any(|stack| stack.frames.is_empty() && !stack.implied && !stack.absent && own(stack));
        let last = self.stacks.last();
        // Behind the registers of an exception inside the kernel the trace goes on.
        let in_registers = last.is_some_and(|stack| {
            let found = stack.interrupted.map(|at| at.saturating_add(1));
            found.is_some_and(|next| stack.frames.len() <= next)
        });
        let open_end = self.open
            && (self.behind < ENOUGH || in_registers)
            && !self.is_entered()
            && last.is_some_and(|stack| stack.title.is_empty() && !stack.frames.is_empty());
        let mut oops = self.oops;
        oops.headless = headless;
        oops.open_end = open_end;
        let mut stacks = self.stacks;
        stacks.retain(|stack| !stack.frames.is_empty());
        if stacks
            .iter()
            .any(|stack| stack.title.is_empty() && !stack.implied)
        {
            stacks.retain(|stack| !stack.implied || !stack.title.is_empty());
        }

        let main = stacks
            .iter()
            .position(|stack| stack.title.is_empty())
            .unwrap_or(0);
        if main < stacks.len() {
            let main = stacks.remove(main);
            oops.all_titled = main.title.starts_with("Preemption disabled");
            oops.trace = main.frames;
            oops.interrupted = main.interrupted;
        }
        oops.injected = self.injected
            || oops
                .trace
                .iter()
                .any(|frame| frame.function.starts_with("should_fail"));
        oops.stacks = stacks;
        oops
    }
}

/// The place in `0010:f+0x1/0x2 [m]`, `[<ffffffff81000000>] f+0x1/0x2` or `0704… (f+0x1/0x2)`.
fn place(text: &str) -> Option<Location> {
    let text = text.trim_start();
    let text = match text.split_once(':') {
        Some((selector, rest)) if selector.len() <= 4 => rest,
        _ => text,
    };
    if let Some(place) = Location::parse(text) {
        return Some(place);
    }
    let at = text.find("+0x")?;
    let head = text.get(..at)?;
    let from = head
        .rfind([' ', '(', ']'])
        .map_or(0, |i| i.saturating_add(1));
    Location::parse(text.get(from..)?)
}

/// The title of a stack whose frames follow at once; empty for the main trace.
fn opens(line: &str) -> Option<&str> {
    const PLAIN: [&str; 4] = ["Call Trace:", "Call trace:", "Backtrace:", "backtrace:"];
    let found = PLAIN.iter().any(|text| line.starts_with(text));
    (found || line.starts_with("backtrace (crc")).then_some("")
}

/// What a line calls the stack that follows.
fn title(line: &str) -> Option<&str> {
    const STARTS: [&str; 16] = [
        "Allocated by task",
        "Freed by task",
        "Allocated:",
        "Freed:",
        "Last potentially related work",
        "Second to last potentially",
        "Uninit was ",
        "Local variable ",
        "-> #",
        "freed by task",
        "allocated by task",
        "NMI backtrace for cpu",
        "Sending NMI",
        "Freed in ",
        "Preemption disabled at",
        "RCU grace-period kthread stack dump",
    ];
    const WITHIN: [&str; 10] = [
        " allocated by task ",
        " state was registered at",
        "which became ",
        "page last allocated via",
        "page last free ",
        " freed by task ",
        " to HARDIRQ-irq-",
        " to a HARDIRQ-",
        " bytes by ",
        "likely owned by task ",
    ];
    let line = line.trim_end_matches(':');
    if STARTS.iter().any(|text| line.starts_with(text))
        || WITHIN.iter().any(|text| line.contains(text))
    {
        return Some(line);
    }
    let task = line.starts_with("task:")
        || (line.contains(" D ") || line.contains(" R ")) && line.contains(" 0x0000");
    task.then_some("task of the list")
}

/// Lines that end a trace.
fn ends(line: &str) -> bool {
    const ENDS: [&str; 10] = [
        "---[ end ",
        "Modules linked in:",
        "=====",
        "Kernel panic",
        "Memory state around",
        "The buggy address",
        "Kernel Offset",
        "Rebooting in ",
        "Last Breaking-Event-Address",
        "to a hardirq-",
    ];
    ENDS.iter().any(|text| line.starts_with(text))
}

fn is_register_line(line: &str) -> bool {
    REGISTERS.iter().any(|name| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(':'))
    })
}
