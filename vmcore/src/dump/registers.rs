//! Registers in a file that has the other byte order than its machine.

use crate::arch;
use crate::layout::elf::{EM_NONE, NT_PRSTATUS, Note};

/// Puts the registers of a big-endian file into the order of its machine, where that is another. Some dumps (a
/// kdump file of QEMU) name no machine.
pub(super) fn put_in_order(notes: &mut [Note], machine: u16) {
    let known = arch::known().iter();
    let fixes = known.filter(|arch| machine == arch.machine || machine == EM_NONE);
    for fix in fixes.filter_map(|arch| arch.swapped_prstatus) {
        let noted = |note: &&mut Note| note.name == b"CORE" && note.n_type == NT_PRSTATUS;
        notes
            .iter_mut()
            .filter(noted)
            .for_each(|note| fix(&mut note.desc));
    }
}
