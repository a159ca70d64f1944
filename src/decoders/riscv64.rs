//! Machine code of riscv64, as objdump writes it.

use analysis::disassembly::Decoded;
use disc_v::{Instruction, Isa, disassemble};

/// The instructions of `code`, which lies at `start`. What is no instruction is shown as a word.
pub(super) fn decode(start: u64, code: &[u8]) -> Vec<Decoded> {
    let one = |instruction: Instruction| {
        let text = instruction.to_string();
        Decoded {
            address: instruction.pc(),
            next: instruction.pc().wrapping_add(instruction.length() as u64),
            refers_to: target(instruction.mnemonic(), &text),
            text,
        }
    };
    disassemble(Isa::Rv64, start, code).map(one).collect()
}

/// Where a branch leads: its last operand.
fn target(mnemonic: &str, text: &str) -> Option<u64> {
    const BRANCHES: [&str; 6] = ["beq", "bne", "blt", "bge", "bgt", "ble"];
    let jumps = matches!(mnemonic, "j" | "jal");
    if !jumps && !BRANCHES.iter().any(|name| mnemonic.starts_with(name)) {
        return None;
    }
    let last = text.rsplit([',', ' ']).next()?;
    u64::from_str_radix(last.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_of_two_and_four_bytes_are_read() {
        // As objdump -M numeric has them, but for the names of the registers.
        let cases: [(&[u8], &str, Option<u64>); 7] = [
            (&[0x13, 0x01, 0x01, 0xfe], "addi sp,sp,-32", None),
            (&[0x06, 0xec], "sd ra,24(sp)", None),
            (&[0xef, 0x00, 0x00, 0x01], "jal 0x1016", Some(0x1016)),
            (&[0x63, 0x04, 0x05, 0x00], "beqz a0,0x1012", Some(0x1012)),
            (&[0x11, 0xa0], "j 0x1012", Some(0x1012)),
            (&[0x73, 0x25, 0x00, 0x10], "csrr a0,sstatus", None),
            (&[0x82, 0x80], "ret", None),
        ];
        let code: Vec<u8> = cases
            .iter()
            .flat_map(|(bytes, ..)| bytes.to_vec())
            .collect();
        let rows = decode(0x1000, &code);
        let mut at = 0x1000;
        for ((bytes, text, target), row) in cases.iter().zip(&rows) {
            assert_eq!((row.address, row.text.as_str()), (at, *text));
            assert_eq!(row.refers_to, *target);
            at += bytes.len() as u64;
            assert_eq!(row.next, at);
        }
        assert_eq!(rows.len(), cases.len());
    }
}
