//! The toy kernel's log, from its banner to its last words.

use super::{Crash, Kernel, LARGE_LOG, LOG, RELEASE};
use crate::printk::Ring;

/// A writer of records: seconds, level, text.
struct Writer<'k> {
    kernel: &'k mut Kernel,
    ring: Ring,
}

impl Writer<'_> {
    fn say(&mut self, micros: u64, level: u8, text: &str) {
        self.ring.clock = micros * 1000;
        self.ring.level = level;
        self.ring.print(&mut self.kernel.ram, text.as_bytes());
    }

    /// Lines that follow each other by 7 microseconds.
    fn all(&mut self, micros: u64, level: u8, lines: &[String]) {
        for (n, line) in (0..).zip(lines) {
            self.say(micros + n * 7, level, line);
        }
    }
}

impl Kernel {
    pub(super) fn log(&mut self) {
        let ring = match self.log_bits {
            None => Ring::at(&mut self.ram, LOG, 8, 14, true),
            // Behind all else: records of 1000 bytes, more of them than the ring holds.
            Some(bits) => {
                let mut ring = Ring::large(&mut self.ram, LARGE_LOG, bits - 10, bits);
                for n in 0..1_u64 << (bits - 10) {
                    let text = format!("chatter: message {n:08} {}", "of no use ".repeat(97));
                    ring.print(&mut self.ram, text.as_bytes());
                }
                ring
            }
        };
        let last = match self.crash {
            Crash::NullPointer => self.oops(),
            Crash::Sysrq => self.sysrq(),
            Crash::HungTask => self.hung(),
            Crash::Running => (6, vec!["crasher: device 1 is ready".to_owned()]),
        };
        let mut out = Writer { kernel: self, ring };
        out.ring.caller = 0;
        let banner = format!("Linux version {RELEASE} (root@build) #1 SMP PREEMPT_DYNAMIC");
        out.say(0, 5, &banner);
        out.say(
            0,
            6,
            "Command line: root=/dev/vda1 ro quiet crashkernel=256M",
        );
        out.say(12_345, 6, "smp: Brought up 1 node, 2 CPUs");
        out.ring.caller = 1;
        out.say(2_004_417, 6, "systemd[1]: Detected virtualization kvm.");
        out.say(2_104_417, 5, "audit: type=1403\nlines of one record");
        out.ring.caller = 812;
        out.say(
            61_000_021,
            4,
            "crasher: loading out-of-tree module taints kernel.",
        );
        let bad = "crasher: module verification failed: signature missing";
        out.say(61_000_100, 5, bad);
        out.ring.caller = if out.kernel.crash == Crash::HungTask {
            41
        } else {
            4242
        };
        let (level, lines) = last;
        out.all(3_725_430_012, level, &lines);
    }

    /// `name+0x8/0x10`, with the module's name where it is in one.
    fn place(&self, pc: u64) -> String {
        let (code, module) = match pc >= super::module::BASE {
            true => (&self.module, " [crasher]"),
            false => (&self.text, ""),
        };
        let symbols = code.symbols();
        let after = symbols.partition_point(|(at, _)| *at <= pc);
        let (at, name) = symbols[after - 1];
        let end = symbols.get(after).map_or(at + 16, |next| next.0);
        format!("{name}+{:#x}/{:#x}{module}", pc - at, end - at)
    }

    /// The frames of a call trace, innermost first.
    fn trace(&self, calls: &[&str]) -> Vec<String> {
        let mut lines = vec!["Call Trace:".to_owned(), " <TASK>".to_owned()];
        for pair in calls.windows(2) {
            let [callee, caller] = pair else { break };
            let pc = self.text.return_of(caller, callee);
            lines.push(format!(" {}", self.place(pc)));
        }
        lines.push(" </TASK>".to_owned());
        lines
    }

    fn oops(&self) -> (u8, Vec<String>) {
        let fault = self.module.at("crasher_write") + 6;
        let mut lines = vec![
            "BUG: kernel NULL pointer dereference, address: 0000000000000018".into(),
            "#PF: supervisor read access in kernel mode".into(),
            "#PF: error_code(0x0000) - not-present page".into(),
            "PGD 0 P4D 0 ".into(),
            "Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI".into(),
            format!(
                "CPU: 0 UID: 0 PID: 4242 Comm: writer Tainted: G           OE      {RELEASE} #1"
            ),
            "Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE".into(),
            "Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.3 04/01/2014".into(),
            format!("RIP: 0010:{}", self.place(fault)),
            "Code: 53 48 89 fb 31 c0 <48> 8b 40 18 5b c3".into(),
            format!("RSP: 0018:{:016x} EFLAGS: 00010246", self.saved[0].1[19]),
        ];
        lines.extend(self.trace(&[
            "crasher_write",
            "vfs_write",
            "ksys_write",
            "do_syscall_64",
            "entry_SYSCALL_64_after_hwframe",
        ]));
        lines.push("RIP: 0033:0x7f1234567890".into());
        lines.push("Modules linked in: crasher(OE)".into());
        lines.push("CR2: 0000000000000018".into());
        (1, lines)
    }

    fn sysrq(&self) -> (u8, Vec<String>) {
        let mut lines = vec![
            "sysrq: Trigger a crash".to_owned(),
            "Kernel panic - not syncing: sysrq triggered crash".to_owned(),
            format!(
                "CPU: 0 UID: 0 PID: 4242 Comm: writer Tainted: G           OE      {RELEASE} #1"
            ),
        ];
        lines.extend(self.trace(&[
            "vpanic",
            "panic",
            "sysrq_handle_crash",
            "__handle_sysrq",
            "write_sysrq_trigger",
            "proc_reg_write",
            "vfs_write",
            "ksys_write",
            "do_syscall_64",
            "entry_SYSCALL_64_after_hwframe",
        ]));
        (0, lines)
    }

    fn hung(&self) -> (u8, Vec<String>) {
        let mut lines = vec![
            "INFO: task writer-2:4243 blocked for more than 122 seconds.".to_owned(),
            format!("      Tainted: G           OE      {RELEASE} #1"),
            "\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.".to_owned(),
            "task:writer-2        state:D stack:0     pid:4243  tgid:4242  ppid:1      flags:0x00400000"
                .to_owned(),
        ];
        lines.extend(self.trace(&[
            "__schedule",
            "schedule",
            "__mutex_lock",
            "fdget_pos",
            "ksys_write",
            "do_syscall_64",
            "entry_SYSCALL_64_after_hwframe",
        ]));
        lines.push("Kernel panic - not syncing: hung_task: blocked tasks".to_owned());
        lines.push(format!(
            "CPU: 0 UID: 0 PID: 41 Comm: khungtaskd Tainted: G           OE      {RELEASE} #1"
        ));
        lines.extend(self.trace(&[
            "vpanic",
            "panic",
            "watchdog",
            "kthread",
            "ret_from_fork",
            "ret_from_fork_asm",
        ]));
        (0, lines)
    }
}
