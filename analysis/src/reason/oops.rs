//! The lines of an oops or a panic's own stack: where, who, registers, code, call trace.
//!
//! Sources: arch/x86/kernel/{dumpstack,process_64}.c, lib/dump_stack.c, 5.10 to 7.x. What is read
//! here is what the crashed kernel printed of itself; the unwinder reads the same from memory and is
//! preferred where it works.

use serde::{Deserialize, Serialize};

/// A place in code as the kernel prints it: `acme_poll+0x41/0x50 [acme]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Location {
    /// The function.
    pub function: String,
    /// Bytes from its start.
    pub offset: u64,
    /// Its length in bytes, when known.
    pub size: Option<u64>,
    /// The module it belongs to; `None` for the kernel image.
    pub module: Option<String>,
    /// False for frames marked `?`: found on the stack, not by the unwinder.
    pub reliable: bool,
}

impl Location {
    /// Reads `function+0xoffset/0xsize [module]`, with an optional `? ` before it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (reliable, text) = match text.strip_prefix("? ") {
            Some(rest) => (false, rest),
            None => (true, text),
        };
        let (place, rest) = text
            .split_once(' ')
            .map_or((text, ""), |(a, b)| (a, b.trim()));
        let (function, numbers) = place.rsplit_once("+0x")?;
        let (offset, size) = numbers.split_once("/0x")?;
        let first = function.bytes().next()?;
        if !(first.is_ascii_alphabetic() || first == b'_' || first == b'.') {
            return None;
        }
        let module = rest
            .strip_prefix('[')
            .and_then(|rest| rest.split([']', ' ', '(']).next());
        Some(Self {
            function: function.to_string(),
            offset: u64::from_str_radix(offset, 16).ok()?,
            size: Some(u64::from_str_radix(size, 16).ok()?),
            module: module.map(str::to_string),
            reliable,
        })
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{:#x}", self.function, self.offset)?;
        match &self.module {
            Some(module) => write!(f, " [{module}]"),
            None => Ok(()),
        }
    }
}

/// The bytes of a `Code:` line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Code {
    /// The bytes as printed, in hex.
    pub bytes: String,
    /// The instruction at the marked byte, disassembled.
    pub instruction: Option<String>,
}

impl Code {
    /// Reads `48 8b <0f> 0b …`; the byte in angle brackets is where RIP points.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut at = None;
        for word in text.split_whitespace() {
            let plain = word.trim_matches(['<', '>']);
            if plain.len() != word.len() {
                at = Some(bytes.len());
            }
            bytes.push(u8::from_str_radix(plain, 16).ok()?);
        }
        let marked = bytes.get(at?..)?;
        Some(Self {
            bytes: text.trim().to_string(),
            instruction: disassemble(marked),
        })
    }
}

impl Code {
    /// The code from the fault on, as the kernel's line would show it.
    #[must_use]
    pub fn at_start(bytes: &[u8]) -> Self {
        let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (first, rest) = words
            .split_first()
            .map_or(("", &[][..]), |(a, b)| (a.as_str(), b));
        let bytes_text = format!("<{first}> {}", rest.join(" "));
        Self {
            bytes: bytes_text.trim().to_string(),
            instruction: disassemble(bytes),
        }
    }
}

/// The first instruction of `bytes` in AT&T syntax, or `None` when it is none. Where it stands is not
/// known, so a branch is told by its distance: `jmp .-2`.
#[must_use]
pub fn disassemble(bytes: &[u8]) -> Option<String> {
    use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, OpKind};
    let mut decoder = Decoder::new(64, bytes, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return None;
    }
    let mut text = String::new();
    let mut formatter = GasFormatter::new();
    formatter.options_mut().set_uppercase_hex(false);
    formatter.format(&instruction, &mut text);
    if instruction.op0_kind() == OpKind::NearBranch64 {
        let distance = instruction.near_branch_target().cast_signed();
        let mnemonic = text.split_whitespace().next().unwrap_or_default();
        text = format!("{mnemonic} .{distance:+}");
    }
    Some(text)
}

/// What a block of trouble says in its lines.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Oops {
    /// `RIP:`, of the first one in the block.
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
    /// The code around RIP.
    pub code: Option<Code>,
    /// The call trace, innermost first.
    pub trace: Vec<Location>,
    /// What the access was: "read", "write" or "execute".
    pub access: Option<String>,
}

/// The registers worth keeping from `RAX: 0000 RBX: …` lines.
const REGISTERS: [&str; 18] = [
    "RSP", "EFLAGS", "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "R08", "R09", "R10", "R11",
    "R12", "R13", "R14", "R15", "CR2",
];

impl Oops {
    /// Reads a block of lines. Of what is said twice (user registers after kernel registers, a
    /// second trace), the first stands.
    #[must_use]
    pub fn read<'t>(lines: impl IntoIterator<Item = &'t str>) -> Self {
        let mut oops = Self::default();
        let mut in_trace = Trace::Before;
        let mut user_mode = false;
        for line in lines {
            let line = line.trim_end();
            if let Some(rest) = line.strip_prefix("CPU: ") {
                oops.read_cpu(rest);
            } else if let Some(rest) = line.strip_prefix("Hardware name: ") {
                oops.hardware.get_or_insert_with(|| rest.to_string());
            } else if let Some(rest) = line.trim_start().strip_prefix("RIP: ") {
                user_mode = rest.starts_with("0033:");
                let place = rest.split_once(':').filter(|_| !user_mode);
                let place = place.and_then(|(_, place)| Location::parse(place));
                match in_trace {
                    Trace::Before => oops.location = oops.location.take().or(place),
                    // The place that an interrupt found the CPU at: a frame like others.
                    Trace::In => oops.trace.extend(place),
                    Trace::After => {}
                }
            } else if let Some(rest) = line.trim_start().strip_prefix("Code: ") {
                if in_trace == Trace::Before && !user_mode && oops.code.is_none() {
                    oops.code = Code::parse(rest);
                }
            } else if line.starts_with("#PF: ") {
                oops.read_access(line);
            } else if line.starts_with("Call Trace:") {
                in_trace = if in_trace == Trace::Before {
                    Trace::In
                } else {
                    Trace::After
                };
            } else if is_register_line(line.trim_start()) {
                // Those inside a trace are of what was interrupted.
                if in_trace != Trace::In && !user_mode {
                    oops.read_registers(line);
                }
            } else if in_trace == Trace::In {
                match Location::parse(line) {
                    Some(location) => oops.trace.push(location),
                    None if line.trim_start().starts_with('<') || line.trim().is_empty() => {}
                    None => in_trace = Trace::After,
                }
            }
        }
        oops
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
        if rest.contains("Not tainted") {
            self.tainted = Some("Not tainted".into());
        } else if let Some((_, letters)) = rest.split_once("Tainted: ") {
            let letters: Vec<&str> = letters
                .split_whitespace()
                .take_while(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()))
                .collect();
            self.tainted = Some(letters.join(" "));
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

#[derive(PartialEq)]
enum Trace {
    Before,
    In,
    After,
}

fn is_register_line(line: &str) -> bool {
    REGISTERS.iter().any(|name| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of a 6.12 NULL dereference; numbers are made up.
    const OOPS: &str = "\
#PF: supervisor read access in kernel mode
#PF: error_code(0x0000) - not-present page
PGD 0 P4D 0
Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
CPU: 2 UID: 0 PID: 212 Comm: kworker/2:1 Kdump: loaded Tainted: G           OE      6.12.1-x #1
Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
Hardware name: QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16
RIP: 0010:acme_poll+0x41/0x50 [acme]
Code: 90 90 <48> 8b 40 18 c3 cc
RSP: 0018:ffffb0c0000f3e50 EFLAGS: 00010246
RAX: 0000000000000000 RBX: ffff9f0001234000 RCX: 0000000000000001
CR2: 0000000000000018 CR3: 0000000003e2c000 CR4: 00000000000006f0
Call Trace:
 <TASK>
 ? __die_body.cold+0x19/0x27
 process_one_work+0x174/0x330
 worker_thread+0x1b1/0x2f0
 </TASK>
Modules linked in: acme(OE)
RIP: 0033:0x7f0000001234
RAX: ffffffffffffffda RBX: 0000000000000002 RCX: 00007f0000001234
";

    #[test]
    fn an_oops_is_read() {
        let oops = Oops::read(OOPS.lines());
        assert_eq!(
            oops.location.as_ref().unwrap().to_string(),
            "acme_poll+0x41 [acme]"
        );
        assert_eq!(
            (oops.cpu, oops.pid, oops.comm.as_deref()),
            (Some(2), Some(212), Some("kworker/2:1"))
        );
        assert_eq!(oops.tainted.as_deref(), Some("G OE"));
        assert_eq!(oops.access.as_deref(), Some("read"));
        assert_eq!(
            oops.code.unwrap().instruction.as_deref(),
            Some("mov 0x18(%rax),%rax")
        );
        let trace: Vec<_> = oops
            .trace
            .iter()
            .map(|l| (l.function.as_str(), l.reliable))
            .collect();
        assert_eq!(
            trace,
            [
                ("__die_body.cold", false),
                ("process_one_work", true),
                ("worker_thread", true)
            ]
        );
        let rax = oops
            .registers
            .iter()
            .find(|(name, _)| name == "rax")
            .unwrap();
        assert_eq!(rax.1, "0x0");
        assert!(
            oops.registers
                .iter()
                .any(|(name, value)| name == "cr2" && value == "0x18")
        );
        assert!(
            oops.registers
                .iter()
                .any(|(name, value)| name == "rsp" && value == "0xffffb0c0000f3e50")
        );
    }

    /// The shape of a 6.12 panic() in an interrupt; numbers are made up.
    const IN_INTERRUPT: &str = "\
Kernel panic - not syncing: acme: gone
CPU: 0 UID: 0 PID: 0 Comm: swapper/0 Not tainted 6.12.1-x #1
Call Trace:
 <IRQ>
 dump_stack_lvl+0x5d/0x80
 panic+0x118/0x2d0
 acme_give_up+0x10/0x20 [acme]
 irq_work_run_list+0x40/0x60
 </IRQ>
 <TASK>
 asm_sysvec_irq_work+0x1a/0x20
RIP: 0010:pv_native_safe_halt+0xf/0x20
Code: 90 90 <48> 8b 40 18 c3 cc
RSP: 0018:ffffffffb0c03e98 EFLAGS: 00000246
RAX: 0000000000000001 RBX: 0000000000000000 RCX: 0000000000000001
 default_idle+0x9/0x20
 do_idle+0x1e5/0x2a0
 </TASK>
";

    #[test]
    fn what_an_interrupt_found_is_no_fault() {
        let oops = Oops::read(IN_INTERRUPT.lines());
        assert_eq!(oops.location, None);
        assert_eq!(oops.code, None);
        assert!(oops.registers.is_empty());
        let trace: Vec<_> = oops.trace.iter().map(|l| l.function.as_str()).collect();
        assert_eq!(
            trace,
            [
                "dump_stack_lvl",
                "panic",
                "acme_give_up",
                "irq_work_run_list",
                "asm_sysvec_irq_work",
                "pv_native_safe_halt",
                "default_idle",
                "do_idle"
            ]
        );
        let culprit = crate::reason::signature::culprit(&oops);
        assert_eq!(culprit.unwrap().function, "acme_give_up");
    }

    #[test]
    fn a_branch_is_told_by_its_distance() {
        assert_eq!(disassemble(&[0xeb, 0xfe]).as_deref(), Some("jmp .+0"));
        assert_eq!(disassemble(&[0xf3, 0x90]).as_deref(), Some("pause"));
        assert_eq!(disassemble(&[0xeb, 0xfc]).as_deref(), Some("jmp .-2"));
        assert_eq!(
            disassemble(&[0xe8, 0, 1, 0, 0]).as_deref(),
            Some("call .+261")
        );
    }

    #[test]
    fn garbage_is_no_location() {
        for text in [
            "",
            "RIP",
            "0x41/0x50",
            "+0x1/0x2",
            "f+0xzz/0x1",
            "f+0x1",
            "12+0x1/0x2",
        ] {
            assert_eq!(Location::parse(text), None, "{text}");
        }
        assert_eq!(Code::parse("zz"), None);
        assert_eq!(Code::parse("90 90"), None, "no byte is marked");
    }
}
