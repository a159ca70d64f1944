//! A task of the toy kernel, and its stack.

use super::Kernel;
use crate::unwind::pt_regs;

/// A task to be.
pub(super) struct Spec<'a> {
    pub pid: u32,
    pub tgid: u32,
    pub parent: u64,
    pub comm: &'a str,
    pub state: u32,
    pub cpu: u32,
    pub kthread: bool,
    pub args: &'a [u8],
    /// Functions from the outermost on.
    pub calls: &'a [&'static str],
}

/// What a task runs or sleeps in.
pub(super) struct Made {
    pub task: u64,
    pub ip: u64,
    pub sp: u64,
    pub mm: u64,
    /// Where its mutex_waiter has room.
    pub mutex_waiter: Option<u64>,
}

impl Kernel {
    /// Writes a stack as the calls of `spec` leave it.
    pub(super) fn calls(&mut self, task: u64, stack: u64, spec: &Spec<'_>) -> Made {
        let mut sp = stack + 0x4000;
        if spec.calls[0] == "entry_SYSCALL_64_after_hwframe" {
            sp -= 168;
            let user = pt_regs(&[
                ("ip", 0x7f12_3456_7890),
                ("cs", 0x33),
                ("flags", 0x246),
                ("sp", 0x7ffd_0000_1000),
                ("ss", 0x2b),
                ("orig_ax", 1),
            ]);
            for (at, word) in (sp..).step_by(8).zip(user) {
                self.put64(at, word);
            }
        } else {
            sp -= 16;
        }
        let mut ip = 0;
        let mut mutex_waiter = None;
        for pair in spec.calls.windows(2) {
            let [caller, callee] = pair else { break };
            sp -= 8;
            ip = self.text.return_of(caller, callee);
            self.put64(sp, ip);
            let inside = match self.text.has(callee) {
                true => self.text.frame(callee),
                false => self.module.frame(callee),
            };
            sp -= inside;
            if *callee == "__mutex_lock" {
                mutex_waiter = Some(sp);
            }
        }
        let innermost = spec.calls[spec.calls.len() - 1];
        match innermost {
            // r15, r14, r13, r12, rbx, rbp below the return into __schedule.
            "__switch_to_asm" => sp -= 48,
            "default_idle" => ip = self.text.at(innermost) + 2,
            "crasher_write" => ip = self.module.at(innermost) + 6,
            _ => ip = self.text.at(innermost),
        }
        Made {
            task,
            ip,
            sp,
            mm: 0,
            mutex_waiter,
        }
    }
}
