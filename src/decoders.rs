//! Machine code of other architectures than x86_64 as text, for `dis` and the report's page: one file each. Of s390x no
//! decoder is kept.

mod aarch64;
mod ppc64le;
mod riscv64;

use analysis::disassembly::Decode;
use vmcore::arch;

/// The decoders, with e_machine.
pub(crate) static ALL: &[(u16, Decode)] = &[
    (arch::aarch64::MACHINE, aarch64::decode),
    (arch::riscv64::MACHINE, riscv64::decode),
    (arch::ppc64le::MACHINE, ppc64le::decode),
];
