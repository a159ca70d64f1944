//! Machine code as text, one instruction a row. Where a function lies and what its symbols are, the caller
//! knows. Code of x86_64 is decoded here; for other architectures a program brings a decoder ([`add`]), so
//! that one which never shows code does not contain it.

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};
use std::sync::OnceLock;
use vmcore::arch::{Arch, x86_64};

/// One instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instruction {
    /// Its address.
    pub address: u64,
    /// The address behind it.
    pub next: u64,
    /// It in the GNU assembler's syntax (x86_64: AT&T).
    pub text: String,
    /// What it branches to or reads relative to itself, where that has a name.
    pub target: Option<String>,
}

/// An instruction before anybody named what it refers to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded {
    /// Its address.
    pub address: u64,
    /// The address behind it.
    pub next: u64,
    /// It in the GNU assembler's syntax.
    pub text: String,
    /// The address that it branches to or reads relative to itself.
    pub refers_to: Option<u64>,
}

/// A decoder of all of a piece of code that lies at the address given.
pub type Decode = fn(u64, &[u8]) -> Vec<Decoded>;

/// Decoders of other architectures than x86_64, by e_machine.
static ADDED: OnceLock<&[(u16, Decode)]> = OnceLock::new();

/// From now on code of these architectures (e_machine) is decoded too. The first call counts.
pub fn add(decoders: &'static [(u16, Decode)]) {
    ADDED.get_or_init(|| decoders);
}

/// The instructions of `code`, which lies at `start`. `name_of` names an address. Empty for an
/// architecture that has no decoder.
pub fn disassemble(
    arch: &Arch,
    start: u64,
    code: &[u8],
    name_of: impl Fn(u64) -> Option<String>,
) -> Vec<Instruction> {
    let decode = match arch.machine {
        machine if machine == x86_64::ARCH.machine => Some(decode as Decode),
        machine => {
            let mut added = ADDED.get().copied().unwrap_or_default().iter();
            added.find(|(own, _)| *own == machine).map(|(_, own)| *own)
        }
    };
    let decoded = decode.map_or(Vec::new(), |decode| decode(start, code));
    let rows = decoded.into_iter().map(|one| Instruction {
        address: one.address,
        next: one.next,
        text: one.text,
        target: one.refers_to.and_then(&name_of),
    });
    rows.collect()
}

/// The first instruction of code of a machine (e_machine) whose decoder was added. Its address is unknown, so what
/// it refers to is shown by its distance: `bl .+24`.
pub(crate) fn first(machine: u16, code: &[u8]) -> Option<String> {
    let mut added = ADDED.get().copied().unwrap_or_default().iter();
    let (_, decode) = added.find(|(own, _)| *own == machine)?;
    let one = decode(0, code).into_iter().next()?;
    let text = match one.refers_to {
        Some(target) => match one.text.strip_suffix(&format!("{target:#x}")) {
            Some(before) => format!("{before}.{:+}", target.cast_signed()),
            None => one.text,
        },
        None => one.text,
    };
    Some(text)
}

/// Code of x86_64.
fn decode(start: u64, code: &[u8]) -> Vec<Decoded> {
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
        let refers_to = if near != 0 {
            Some(near)
        } else if instruction.is_ip_rel_memory_operand() {
            Some(instruction.ip_rel_memory_address())
        } else {
            None
        };
        rows.push(Decoded {
            address: instruction.ip(),
            next: instruction.next_ip(),
            text,
            refers_to,
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
        let rows = disassemble(&x86_64::ARCH, 0x1000, &code, |va| {
            (va == 0x1005).then(|| "next".into())
        });
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].target.as_deref(), Some("next"));
        assert_eq!(rows[1].text, "mov 0x18(%rax),%rax");
        assert_eq!((rows[1].address, rows[1].next), (0x1005, 0x1009));
    }
}
