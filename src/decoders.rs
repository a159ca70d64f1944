//! Machine code of other architectures than x86_64 as text, for `dis` and the report's page: one file each. Of s390x no
//! decoder is kept.

mod aarch64;
mod ppc64le;
mod riscv64;

use analysis::disassembly::{Decode, Decoded};
use vmcore::arch;

/// The decoders, with e_machine.
pub(crate) static ALL: &[(u16, Decode)] = &[
    (arch::aarch64::MACHINE, aarch64::decode),
    (arch::riscv64::MACHINE, riscv64::decode),
    (arch::ppc64le::MACHINE, ppc64le::decode),
];

/// Reads `code`, which lies at `start`, as instructions of four bytes. `one` says what is at an address: the text, and
/// the address that it refers to.
fn words(
    start: u64,
    code: &[u8],
    one: impl Fn(u64, [u8; 4]) -> (String, Option<u64>),
) -> Vec<Decoded> {
    let mut address = start;
    let rows = code.as_chunks::<4>().0.iter().map(|bytes| {
        let (text, refers_to) = one(address, *bytes);
        let this = address;
        address = address.wrapping_add(4);
        Decoded {
            address: this,
            next: address,
            text,
            refers_to,
        }
    });
    rows.collect()
}
