//! The bytes of a `Code:` line and their disassembly.

use crate::disassembly;
use serde::{Deserialize, Serialize};
use vmcore::arch::{aarch64, x86_64};

/// The bytes of a `Code:` line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Code {
    /// The bytes as printed, in hex: `48 <8b> 40 18`; on aarch64 words, `d503201f (f9400c00)`. The mark is at
    /// the fault.
    pub bytes: String,
    /// The instruction at the mark, disassembled.
    pub instruction: Option<String>,
}

impl Code {
    /// The address that the marked instruction accesses, by the registers of the report. `None` where it
    /// accesses none, or by a register that is not known.
    #[must_use]
    pub(super) fn accesses(&self, registers: &[(String, String)]) -> Option<u64> {
        use iced_x86::{Decoder, DecoderOptions, Register};
        let at = self.bytes.find('<')?;
        let bytes: Vec<u8> = self
            .bytes
            .get(at..)?
            .split_whitespace()
            .map_while(|word| u8::from_str_radix(word.trim_matches(['<', '>']), 16).ok())
            .collect();
        let instruction = Decoder::new(64, &bytes, DecoderOptions::NONE).decode();
        let (base, index) = (instruction.memory_base(), instruction.memory_index());
        let flat = instruction.segment_prefix() == Register::None;
        if instruction.is_invalid() || !flat || base == Register::None || base == Register::RIP {
            return None;
        }
        let value = |register: Register| {
            let name = format!("{register:?}").to_ascii_lowercase();
            // The kernel prints r8 as R08.
            let name = match name
                .strip_prefix('r')
                .filter(|rest| *rest == "8" || *rest == "9")
            {
                Some(number) => format!("r0{number}"),
                None => name,
            };
            let (_, text) = registers.iter().find(|(have, _)| *have == name)?;
            u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
        };
        let scaled = match index {
            Register::None => 0,
            _ => value(index)?.wrapping_mul(u64::from(instruction.memory_index_scale())),
        };
        // Addresses wrap, as the processor's do.
        let sum = value(base)?.wrapping_add(scaled);
        Some(sum.wrapping_add(instruction.memory_displacement64()))
    }

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
    /// Reads the line of aarch64: `aa1e03e9 d503201f (f9400c00)`; the word in brackets is at the fault
    /// (arch/arm64/kernel/traps.c, `dump_instr`).
    #[must_use]
    pub fn parse_words(text: &str) -> Option<Self> {
        let marked = text.split_once('(')?.1.split_once(')')?.0;
        let word = u32::from_str_radix(marked, 16).ok()?;
        Some(Self {
            bytes: text.trim().to_string(),
            instruction: disassembly::first(aarch64::MACHINE, &word.to_le_bytes()),
        })
    }

    /// The code of a machine (e_machine) from the fault on, as its kernel's line would show it. `None`: how
    /// that looks is not known.
    #[must_use]
    pub fn of_machine(machine: u16, bytes: &[u8]) -> Option<Self> {
        match machine {
            x86_64::MACHINE => Some(Self::at_start(bytes)),
            aarch64::MACHINE => {
                let word = u32::from_le_bytes(*bytes.first_chunk()?);
                Self::parse_words(&format!("({word:08x})"))
            }
            _ => None,
        }
    }

    /// The code of x86_64 from the fault on.
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

/// The first instruction of `bytes` in AT&T syntax, or `None` when the bytes are no instruction. Its
/// address is unknown, so a branch is shown by its distance: `jmp .-2`.
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_address_follows_from_the_registers() {
        let registers = |rows: &[(&str, &str)]| -> Vec<(String, String)> {
            let own = |(a, b): &(&str, &str)| ((*a).to_string(), (*b).to_string());
            rows.iter().map(own).collect()
        };
        // mov 0x18(%rax),%rax
        let code = Code::parse("90 <48> 8b 40 18 c3").unwrap();
        assert_eq!(code.accesses(&registers(&[("rax", "0x0")])), Some(0x18));
        assert_eq!(code.accesses(&registers(&[("rbx", "0x0")])), None);
        // mov (%r8,%rcx,4),%eax
        let code = Code::parse("<41> 8b 04 88").unwrap();
        assert_eq!(
            code.accesses(&registers(&[("r08", "0x1000"), ("rcx", "0x2")])),
            Some(0x1008)
        );
        assert_eq!(Code::parse("<0f> 0b").unwrap().accesses(&[]), None, "ud2");
    }

    #[test]
    fn garbage_is_no_code() {
        assert_eq!(Code::parse("zz"), None);
        assert_eq!(Code::parse("90 90"), None, "no byte is marked");
    }
}
