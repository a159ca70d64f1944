//! Machine code of x86_64 as text, one instruction a row. Where a function lies and what its symbols
//! are, the caller knows.

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};

/// One instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instruction {
    /// Its address.
    pub address: u64,
    /// The address behind it.
    pub next: u64,
    /// It in AT&T syntax.
    pub text: String,
    /// What it branches to or reads relative to itself, where that has a name.
    pub target: Option<String>,
}

/// The instructions of `code`, which lies at `start`. `name_of` names an address.
pub fn disassemble(
    start: u64,
    code: &[u8],
    name_of: impl Fn(u64) -> Option<String>,
) -> Vec<Instruction> {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut formatter = GasFormatter::new();
    formatter.options_mut().set_uppercase_hex(false);
    let mut rows = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        // 0 for everything that is no near branch.
        let near = instruction.near_branch_target();
        let target = if near != 0 {
            name_of(near)
        } else if instruction.is_ip_rel_memory_operand() {
            name_of(instruction.ip_rel_memory_address())
        } else {
            None
        };
        rows.push(Instruction {
            address: instruction.ip(),
            next: instruction.next_ip(),
            text,
            target,
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named() {
        // call +0; mov 0x18(%rax),%rax; ret
        let code = [0xe8, 0, 0, 0, 0, 0x48, 0x8b, 0x40, 0x18, 0xc3];
        let rows = disassemble(0x1000, &code, |va| (va == 0x1005).then(|| "next".into()));
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].target.as_deref(), Some("next"));
        assert_eq!(rows[1].text, "mov 0x18(%rax),%rax");
        assert_eq!((rows[1].address, rows[1].next), (0x1005, 0x1009));
    }
}
