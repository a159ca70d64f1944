//! The registers of each CPU at the time of the crash.
//!
//! Facts: kernel/crash_core.c (`crash_save_cpu`), fs/proc/vmcore.c. The n-th PRSTATUS note of a dump
//! is not necessarily CPU n (CPUs that saved nothing are left out), so the kernel's own per-CPU
//! `crash_notes` decide; the dump's notes in order are used only when those cannot be read or no CPU wrote
//! any (a dump that a hypervisor made of a living machine).

use super::{Kernel, KernelError};
use crate::addr::VirtAddr;
use crate::arch::Registers;
use crate::layout::elf::NT_PRSTATUS;

/// Elf64_Nhdr and the name `CORE\0` padded to 8.
const NOTE_HEADER: usize = 20;

impl Kernel {
    /// The registers that CPU `cpu` saved when it was stopped. `None` when it saved none.
    #[must_use]
    pub fn prstatus(&self, cpu: u32) -> Option<Registers> {
        self.saved(cpu).map(|(_, regs)| regs)
    }

    /// The pid that CPU `cpu` saved with its registers.
    #[must_use]
    pub fn prstatus_pid(&self, cpu: u32) -> Option<i32> {
        self.saved(cpu).map(|(pid, _)| pid)
    }

    fn saved(&self, cpu: u32) -> Option<(i32, Registers)> {
        match self.crash_note(cpu) {
            Ok(Some(found)) => Some(found),
            // A kernel that did not die wrote no notes: those of the hypervisor that dumped it are in
            // the order of its CPUs.
            Ok(None) if self.wrote_notes() => None,
            _ => self.nth_prstatus(cpu),
        }
    }

    /// Whether any CPU saved its registers by itself.
    fn wrote_notes(&self) -> bool {
        let any = |cpu| matches!(self.crash_note(cpu), Ok(Some(_)));
        self.vmcoreinfo().crashtime().is_some()
            || self.online_cpus().is_ok_and(|cpus| cpus.iter().any(any))
    }

    pub(super) fn crash_note(&self, cpu: u32) -> Result<Option<(i32, Registers)>, KernelError> {
        let pointer = self.symbol("crash_notes")?;
        let area = self
            .read_ptr(pointer)
            .map_err(KernelError::reading("crash_notes"))?;
        let note = self.per_cpu(VirtAddr(area.0), cpu)?;
        let mut bytes = vec![0; NOTE_HEADER + self.arch().prstatus_bytes];
        self.read(note, &mut bytes)
            .map_err(KernelError::reading("crash_notes"))?;
        let Some((header, desc)) = bytes.split_at_checked(NOTE_HEADER) else {
            return Ok(None);
        };
        let words = [5, desc.len(), NT_PRSTATUS as usize].map(|word| word as u32);
        let order = self.order();
        let told = [0, 4, 8].map(|at| order.u32_at(header, at));
        if told != words.map(Some) || header.get(12..) != Some(b"CORE\0\0\0\0".as_slice()) {
            return Ok(None);
        }
        Ok((self.arch().prstatus)(desc))
    }

    fn nth_prstatus(&self, n: u32) -> Option<(i32, Registers)> {
        self.dump()
            .info()
            .notes
            .iter()
            .filter(|note| note.name == b"CORE" && note.n_type == NT_PRSTATUS)
            .nth(n as usize)
            .and_then(|note| (self.arch().prstatus)(&note.desc))
    }
}
