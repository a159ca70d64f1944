//! Machine code of aarch64.

use analysis::disassembly::Decoded;
use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::{InstDecoder, Opcode, Operand};

/// The instructions of `code`, which lies at `start`. What is no instruction is shown as a word.
pub(super) fn decode(start: u64, code: &[u8]) -> Vec<Decoded> {
    let decoder = InstDecoder::default();
    super::words(start, code, |address, bytes| {
        let Ok(instruction) = decoder.decode(&mut U8Reader::new(&bytes)) else {
            return (format!(".inst {:#010x}", u32::from_le_bytes(bytes)), None);
        };
        let mut operands = instruction.operands.iter();
        let offset = operands.find_map(|operand| match operand {
            Operand::PCOffset(offset) => Some(*offset),
            _ => None,
        });
        // adrp counts from the 4 KiB that it is in.
        let from = match instruction.opcode {
            Opcode::ADRP => address & !0xfff,
            _ => address,
        };
        let target = offset.map(|offset| from.wrapping_add_signed(offset));
        (with_address(&instruction.to_string(), target), target)
    })
}

/// The text with the address in the place of the distance (`$+0x98`) that the decoder writes.
fn with_address(text: &str, target: Option<u64>) -> String {
    match (text.rsplit_once('$'), target) {
        (Some((before, _)), Some(target)) => format!("{before}{target:#x}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_read_and_their_targets_are_addresses() {
        // In the syntax of the Arm ARM; a branch shows the address that it leads to.
        let cases: [(u32, &str, Option<u64>); 9] = [
            (0xd503_233f, "paciasp", None),
            (0xa9bf_7bfd, "stp x29, x30, [sp, #-0x10]!", None),
            (0x9100_03fd, "mov x29, sp", None),
            (0x9400_0010, "bl 0x104c", Some(0x104c)),
            (0x54ff_ffc1, "b.ne 0x1008", Some(0x1008)),
            (0x9000_0008, "adrp x8, 0x1000", Some(0x1000)),
            (0xf940_0508, "ldr x8, [x8, #0x8]", None),
            (0xd65f_03c0, "ret", None),
            (0xffff_ffff, ".inst 0xffffffff", None),
        ];
        let code: Vec<u8> = cases
            .iter()
            .flat_map(|(word, ..)| word.to_le_bytes())
            .collect();
        let rows = decode(0x1000, &code);
        for (n, ((_, text, target), row)) in cases.iter().zip(&rows).enumerate() {
            assert_eq!(row.address, 0x1000 + 4 * n as u64);
            assert_eq!((row.text.as_str(), row.refers_to), (*text, *target));
        }
        assert_eq!(rows.len(), cases.len());
    }
}
