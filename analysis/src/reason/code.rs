//! The bytes of a `Code:` line and their disassembly.

use serde::{Deserialize, Serialize};

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
    fn garbage_is_no_code() {
        assert_eq!(Code::parse("zz"), None);
        assert_eq!(Code::parse("90 90"), None, "no byte is marked");
    }
}
