//! Machine code of ppc64le. The decoder knows 64-bit PowerPC and AltiVec; what is newer (VSX, prefixed instructions) is
//! shown as words.

use analysis::disassembly::Decoded;
use powerpc::{Extension, Extensions, Ins, Opcode};

/// The instructions of `code`, which lies at `start`. What is no instruction is shown as a word.
pub(super) fn decode(start: u64, code: &[u8]) -> Vec<Decoded> {
    let known = [Extension::Ppc64, Extension::AltiVec].map(Extension::bitmask);
    let known = Extensions::from_bitmask(known.into_iter().fold(0, |all, one| all | one));
    super::words(start, code, |address, bytes| {
        let word = u32::from_le_bytes(bytes);
        let instruction = Ins::new(word, known);
        let offset = instruction.branch_offset();
        let target = offset.map(|offset| address.wrapping_add_signed(i64::from(offset)));
        let text = match instruction.op {
            Opcode::Illegal => format!(".long {word:#010x}"),
            _ => with_address(&instruction.simplified().to_string(), target),
        };
        (text, target)
    })
}

/// The text with the address in the place of the distance, which is the last operand.
fn with_address(text: &str, target: Option<u64>) -> String {
    match (text.rsplit_once(' '), target) {
        (Some((before, _)), Some(target)) => format!("{before} {target:#x}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_read_and_their_targets_are_addresses() {
        let cases: [(u32, &str, Option<u64>); 8] = [
            (0x7c08_02a6, "mflr r0", None),
            (0xf801_0010, "std r0, 0x10(r1)", None),
            (0xf821_ffc1, "stdu r1, -0x40(r1)", None),
            (0x4800_0011, "bl 0x101c", Some(0x101c)),
            (0x4182_fff0, "beq 0x1000", Some(0x1000)),
            (0x3821_0040, "addi r1, r1, 0x40", None),
            (0x4e80_0020, "blr", None),
            (0x0000_0000, ".long 0x00000000", None),
        ];
        let code: Vec<u8> = cases
            .iter()
            .flat_map(|(word, ..)| word.to_le_bytes())
            .collect();
        let rows = decode(0x1000, &code);
        for ((_, text, target), row) in cases.iter().zip(&rows) {
            assert_eq!((row.text.as_str(), row.refers_to), (*text, *target));
        }
        assert_eq!(rows.len(), cases.len());
    }
}
