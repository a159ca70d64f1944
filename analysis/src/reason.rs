//! Why it died, as far as the log tells: the class, the message, the place and a signature.

pub mod class;
pub mod oops;
pub mod signature;

pub use class::Class;
pub use oops::{Code, Location, Oops};

use serde::{Deserialize, Serialize};

/// One line of the crashed kernel's log. A printk record of several lines is several of these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Nanoseconds since boot.
    pub ts_nsec: u64,
    /// The text, without time and level.
    pub text: String,
}

/// Lines before the panic message that are searched for its cause.
const SEARCH: usize = 1000;

/// Lines of a block that are read for registers and traces.
const BLOCK: usize = 400;

/// Why it died.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reason {
    /// The kind of death.
    pub class: Class,
    /// What panic() said; `None` when the oops itself started the capture kernel.
    pub message: Option<String>,
    /// The line that opened the trouble.
    pub headline: Option<String>,
    /// The bad address, in hex.
    pub address: Option<String>,
    /// What the block of the trouble says.
    pub oops: Oops,
    /// The first frame outside the panic machinery.
    pub culprit: Option<Location>,
    /// `class:function:hash`, the same for the same bug on every machine.
    pub signature: String,
    /// Index of the block's first line in the log.
    pub first_line: usize,
}

impl Reason {
    /// Reads the end of a log.
    #[must_use]
    pub fn from_log(log: &[Line]) -> Self {
        let text = |i: usize| log.get(i).map_or("", |line| line.text.as_str());
        let panic_at = (0..log.len())
            .rev()
            .find(|&i| class::panic_message(text(i)).is_some());
        let message = panic_at.and_then(|i| class::panic_message(text(i)));
        let told = message.and_then(class::of_message);
        let end = panic_at.unwrap_or(log.len());
        let head = find_headline(log, end, told);
        let first_line = head.map(|(i, _)| i).or(panic_at).unwrap_or(log.len());
        let class = told
            .or(head.map(|(_, class)| class))
            .unwrap_or(Class::Other);
        let block = log.get(first_line..).unwrap_or_default();
        let mut oops = Oops::read(block.iter().take(BLOCK).map(|line| line.text.as_str()));
        let headline = head.map(|(i, _)| text(i).to_string());
        if let Some((comm, pid)) = headline.as_deref().and_then(hung_task) {
            // The task that hung, not the one that noticed.
            oops.comm = Some(comm.to_string());
            oops.pid = Some(pid);
            oops.cpu = None;
        }
        // The address in the line of a stack overflow is hashed (%p); the register is not.
        let address = match class {
            Class::StackOverflow => oops.register("cr2").map(str::to_string),
            _ => headline.as_deref().and_then(bad_address),
        };
        let culprit = culprit(class, &oops);
        let signature = signature::of(class, &oops, message);
        Self {
            class,
            message: message.map(str::to_string),
            headline,
            address,
            oops,
            culprit,
            signature,
            first_line,
        }
    }
}

impl Reason {
    /// Lets the stack that was unwound from memory speak where the log does not: a message that was
    /// overwritten, a panic that printed no trace, or a trace of guesses.
    pub fn refine(&mut self, stack: &[Location]) {
        if stack.is_empty() || self.oops.trace.iter().any(|frame| frame.reliable) {
            return;
        }
        let frames = match &self.oops.location {
            None => stack,
            // The trace goes on below the place of the fault, which the log has told.
            Some(at) => {
                let found = stack.iter().position(|frame| frame.function == at.function);
                found
                    .and_then(|i| stack.get(i.saturating_add(1)..))
                    .unwrap_or_default()
            }
        };
        if !frames.is_empty() {
            self.retrace(frames.to_vec());
        }
    }

    /// Lets the stack of the task that hung speak where the log's trace knows nothing outside the
    /// scheduler and the locks: the kernel marks what lies behind code without unwind tables with `?`.
    pub fn refine_hung(&mut self, stack: Vec<Location>) {
        if self.culprit.is_none() && !stack.is_empty() {
            self.retrace(stack);
        }
    }

    fn retrace(&mut self, trace: Vec<Location>) {
        self.oops.trace = trace;
        self.culprit = culprit(self.class, &self.oops);
        self.signature = signature::of(self.class, &self.oops, self.message.as_deref());
    }
}

/// The first frame outside the panic machinery; hardware that failed has none.
fn culprit(class: Class, oops: &Oops) -> Option<Location> {
    let found = signature::culprit(oops).filter(|_| class != Class::MachineCheck);
    found.cloned()
}

/// Name and number of the task in `INFO: task NAME:PID blocked for more than …`.
fn hung_task(headline: &str) -> Option<(&str, i32)> {
    let (_, rest) = headline.split_once("INFO: task ")?;
    let (task, _) = rest.rsplit_once(" blocked ")?;
    let (comm, pid) = task.rsplit_once(':')?;
    Some((comm, pid.parse().ok()?))
}

/// The line that opened the trouble which ended at `end`: of the told class if one is told, else the
/// first headline of the last oops.
fn find_headline(log: &[Line], end: usize, told: Option<Class>) -> Option<(usize, Class)> {
    let start = end.saturating_sub(SEARCH);
    let window = log.get(start..end)?;
    let found = |(i, line): (usize, &Line)| {
        class::of_headline(&line.text).map(|class| (start.saturating_add(i), class))
    };
    if let Some(class) = told {
        return window
            .iter()
            .enumerate()
            .rev()
            .filter_map(found)
            .find(|(_, have)| *have == class);
    }
    let oops = window
        .iter()
        .rposition(|line| class::is_oops_header(&line.text))?;
    // The headline stands a few lines above the counted header, or is the header itself.
    let near = oops.saturating_sub(12);
    window
        .iter()
        .enumerate()
        .take(oops.saturating_add(1))
        .skip(near)
        .filter_map(found)
        .find(|(_, class)| !matches!(class, Class::Warn | Class::Oom))
        // A trap whose own line is not known or was overwritten.
        .or(Some((start.saturating_add(oops), Class::Trap)))
}

/// The address in a headline, as `0x…`.
fn bad_address(headline: &str) -> Option<String> {
    let text = ["address: ", "address "]
        .iter()
        .find_map(|mark| headline.split_once(mark).map(|(_, rest)| rest))?;
    let word = text.split([' ', ':', ',']).next()?;
    let number = u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()?;
    Some(format!("{number:#x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> Vec<Line> {
        text.lines()
            .map(|text| Line {
                ts_nsec: 0,
                text: text.to_string(),
            })
            .collect()
    }

    #[test]
    fn sysrq_is_told_by_its_message() {
        let reason = Reason::from_log(&log("\
sysrq: Trigger a crash
Kernel panic - not syncing: sysrq triggered crash
CPU: 1 UID: 0 PID: 1 Comm: init Not tainted 6.12.1 #1
Call Trace:
 <TASK>
 panic+0x367/0x38a
 sysrq_handle_crash+0x1a/0x20
 __handle_sysrq.cold+0xa0/0xdf
 </TASK>
"));
        assert_eq!(reason.class, Class::Sysrq);
        assert_eq!(reason.culprit.unwrap().function, "sysrq_handle_crash");
        assert!(reason.signature.starts_with("sysrq:sysrq_handle_crash:"));
        assert_eq!(reason.first_line, 0);
    }

    #[test]
    fn an_oops_without_a_panic_line_is_found() {
        let reason = Reason::from_log(&log("\
WARNING: CPU: 0 PID: 9 at kernel/x.c:1 warned+0x1/0x2
---[ end trace 0000000000000000 ]---
BUG: kernel NULL pointer dereference, address: 0000000000000018
#PF: supervisor write access in kernel mode
Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI
CPU: 0 UID: 0 PID: 77 Comm: a b Tainted: G        W          6.12.1 #1
RIP: 0010:fall+0x4/0x10
"));
        assert_eq!(reason.class, Class::NullDeref);
        assert_eq!(reason.address.as_deref(), Some("0x18"));
        assert_eq!(reason.oops.comm.as_deref(), Some("a b"));
        assert_eq!(reason.culprit.unwrap().function, "fall");
        assert_eq!(reason.first_line, 2);
    }

    #[test]
    fn a_stack_overflow_has_the_address_of_the_register() {
        let reason = Reason::from_log(&log("\
BUG: TASK stack guard page was hit at 0000000059505698 (stack is 00000000aa..00000000bb)
Oops: stack guard page: 0000 [#1] PREEMPT SMP NOPTI
RIP: 0010:acme_recurse+0x2e/0x45 [acme]
CR2: ffffb0c00000fff8 CR3: 0000000003e2c000 CR4: 00000000000006f0
"));
        assert_eq!(reason.class, Class::StackOverflow);
        assert_eq!(reason.address.as_deref(), Some("0xffffb0c00000fff8"));
    }

    #[test]
    fn a_hung_task_is_named_with_what_it_wanted() {
        let reason = Reason::from_log(&log("\
INFO: task acme:forth:212 blocked for more than 4 seconds.
      Tainted: G           OE      6.12.1 #1
task:acme:forth      state:D stack:0     pid:212   tgid:212   ppid:2
Call Trace:
 <TASK>
 __schedule+0x3e2/0xb10
 schedule+0x27/0xf0
 schedule_preempt_disabled+0x15/0x30
 __mutex_lock.constprop.0+0x2d0/0x620
 acme_forth+0x30/0x60 [acme]
 kthread+0xd2/0x100
 </TASK>
Kernel panic - not syncing: hung_task: blocked tasks
CPU: 0 UID: 0 PID: 30 Comm: khungtaskd Tainted: G           OE      6.12.1 #1
Call Trace:
 <TASK>
 panic+0x118/0x2d0
 </TASK>
"));
        assert_eq!(reason.class, Class::HungTask);
        assert_eq!(reason.culprit.unwrap().function, "acme_forth");
        let oops = &reason.oops;
        assert_eq!(
            (oops.comm.as_deref(), oops.pid),
            (Some("acme:forth"), Some(212))
        );
        assert!(reason.signature.starts_with("hung-task:acme_forth:"));
    }

    #[test]
    fn a_hung_tasks_own_stack_says_what_the_log_only_guesses() {
        let mut reason = Reason::from_log(&log("\
INFO: task b:7 blocked for more than 10 seconds.
Call Trace:
 <TASK>
 __schedule+0x3e2/0xb10
 __mutex_lock.constprop.0+0x2d0/0x620
 ? acme_back+0x30/0x60 [acme]
 </TASK>
Kernel panic - not syncing: hung_task: blocked tasks
"));
        assert_eq!(reason.culprit, None);
        let frames = [
            "__schedule+0x1/0x2",
            "acme_back+0x3/0x4 [acme]",
            "kthread+0x1/0x2",
        ];
        let stack: Vec<Location> = frames.iter().filter_map(|t| Location::parse(t)).collect();
        reason.refine_hung(stack.clone());
        assert!(reason.signature.starts_with("hung-task:acme_back:"));
        let known = reason.clone();
        reason.refine_hung(stack.into_iter().skip(2).collect());
        assert_eq!(reason, known, "what is known stays");
    }

    #[test]
    fn a_log_without_trouble_is_other() {
        let reason = Reason::from_log(&log("one\ntwo\n"));
        assert_eq!(
            (reason.class, reason.message, reason.headline),
            (Class::Other, None, None)
        );
        assert_eq!(Reason::from_log(&[]).class, Class::Other);
    }

    #[test]
    fn the_stack_speaks_where_the_log_does_not() {
        let frames = [
            "__crash_kexec+0x1/0x2",
            "panic+0x1/0x2",
            "acme_stop+0x7/0x9 [acme]",
        ];
        let stack: Vec<Location> = frames
            .iter()
            .filter_map(|text| Location::parse(text))
            .collect();
        let mut reason = Reason::from_log(&log("Kernel panic - not syncing: acme: gone"));
        reason.refine(&stack);
        assert!(
            reason.signature.starts_with("other:acme_stop:"),
            "{}",
            reason.signature
        );
        let told = "Oops: 0000 [#1] SMP\nRIP: 0010:fall+0x4/0x10\nCall Trace:\n ? stale+0x1/0x2\n";
        let mut reason = Reason::from_log(&log(told));
        let before = reason.clone();
        reason.refine(&stack);
        assert_eq!(
            reason, before,
            "the stack knows nothing of the place of the fault"
        );
        let frames = ["die+0x1/0x2", "fall+0x4/0x10", "caller+0x3/0x9"];
        let stack: Vec<Location> = frames
            .iter()
            .filter_map(|text| Location::parse(text))
            .collect();
        reason.refine(&stack);
        assert_eq!(reason.oops.trace.len(), 1);
        assert_eq!(reason.oops.trace[0].function, "caller");
        let mut told = Reason::from_log(&log(&told.replace("? stale", "sure")));
        let before = told.clone();
        told.refine(&stack);
        assert_eq!(told, before, "a trace that the log is sure of stays");
    }

    #[test]
    fn the_bug_headline_wins_over_its_trap() {
        let reason = Reason::from_log(&log("\
kernel BUG at fs/x.c:9!
Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
RIP: 0010:boom+0x4/0x10
Kernel panic - not syncing: Fatal exception
"));
        assert_eq!(reason.class, Class::Bug);
        assert_eq!(reason.message.as_deref(), Some("Fatal exception"));
    }
}
