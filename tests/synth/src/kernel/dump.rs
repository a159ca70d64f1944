//! The toy kernel as core files: as the capture kernel writes them, and as QEMU's dump-guest-memory
//! does (dump/dump.c, target/i386/arch_dump.c, docs/specs/vmcoreinfo.rst of QEMU).

use super::{CRASH_TIME, DIRECT, END, Kernel, RAM_END, RAM_START, TEXT};
use crate::elf::Elf;
use crate::kdump::{Kdump, Packing};

/// A page that nothing else is in: where the kernel keeps the text of VMCOREINFO.
const VMCOREINFO_PAGE: u64 = RAM_START + 0x8000;
/// Bytes of struct QEMUCPUState.
const QEMU_CPU_STATE: usize = 440;

impl Kernel {
    /// The pages that were written, ascending: number and bytes.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.ram.pages()
    }

    /// Runs of pages that were written: first page and bytes.
    fn runs(&self) -> Vec<(u64, Vec<u8>)> {
        let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
        for (pfn, page) in self.ram.pages() {
            match runs.last_mut() {
                Some((start, bytes)) if *start + bytes.len() as u64 / 4096 == pfn => {
                    bytes.extend_from_slice(page);
                }
                _ => runs.push((pfn, page.to_vec())),
            }
        }
        runs
    }

    /// As an ELF core that a filter wrote: what is left out is in p_memsz and not in p_filesz.
    #[must_use]
    pub fn elf(&self) -> Vec<u8> {
        let mut elf = Elf::new();
        for (pid, regs) in &self.saved {
            elf = elf.note("CORE", 1, &prstatus(*pid, regs));
        }
        elf = elf.note("VMCOREINFO", 0, self.ram.text.as_bytes());
        let runs = self.runs();
        let image = self.ram.image_pa(TEXT)..self.ram.image_pa(END);
        for (i, (pfn, bytes)) in runs.iter().enumerate() {
            let start = pfn * 4096;
            let end = runs.get(i + 1).map_or(RAM_END, |next| next.0 * 4096);
            let end = end.max(start + bytes.len() as u64);
            elf = elf.sparse_load(DIRECT, start, bytes, end - start);
            if image.contains(&start) {
                let va = TEXT + (start - image.start);
                elf = elf.alias(i, 0, va, start, bytes.len() as u64);
            }
        }
        elf.build()
    }

    /// As QEMU writes it, in ELF or as a kdump-compressed file with zlib: segments without virtual
    /// addresses, the registers of each CPU in a note of the kernel's kind and in one of its own, and
    /// VMCOREINFO only if the guest has a `device` for it. In memory the text is always.
    #[must_use]
    pub fn by_qemu(mut self, kdump: bool, device: bool) -> Vec<u8> {
        // CRASHTIME is appended where a capture kernel is started; nobody started one.
        let lines = self.ram.text.lines();
        let lines = lines.filter(|line| !line.starts_with("CRASHTIME="));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        let text = text.into_bytes();
        self.ram.put(VMCOREINFO_PAGE, &text);
        // Note header, then QEMUCPUState: version, size, registers.
        let mut own = vec![0; QEMU_CPU_STATE];
        own[0] = 1;
        own[4..8].copy_from_slice(&(QEMU_CPU_STATE as u32).to_le_bytes());
        let cpus = self.saved.iter().enumerate();
        let mut notes: Vec<(&str, u32, Vec<u8>)> = cpus
            .map(|(cpu, (_, regs))| ("CORE", 1, prstatus(cpu as u32 + 1, regs)))
            .collect();
        notes.extend(self.saved.iter().map(|_| ("QEMU", 0, own.clone())));
        if device {
            notes.push(("VMCOREINFO", 0, text));
        }
        if kdump {
            let mut kdump = Kdump::new(RAM_END / 4096)
                .packing(Packing::Zlib)
                .ram(RAM_START / 4096, RAM_END / 4096);
            for (name, kind, desc) in &notes {
                kdump = kdump.note(name, *kind, desc);
            }
            for (pfn, page) in self.ram.pages() {
                kdump = kdump.page(pfn, page);
            }
            return kdump.build();
        }
        let mut elf = Elf::new();
        for (name, kind, desc) in &notes {
            elf = elf.note(name, *kind, desc);
        }
        for (pfn, bytes) in self.runs() {
            // p_vaddr is 0: QEMU was not asked to walk page tables.
            elf = elf.short_load(pfn * 4096, &bytes, bytes.len() as u64);
        }
        elf.build()
    }

    /// As a kdump-compressed file with zlib.
    #[must_use]
    pub fn kdump(&self) -> Vec<u8> {
        let mut kdump = Kdump::new(RAM_END / 4096)
            .packing(Packing::Zlib)
            .time(CRASH_TIME)
            .ram(RAM_START / 4096, RAM_END / 4096);
        for (pid, regs) in &self.saved {
            kdump = kdump.note("CORE", 1, &prstatus(*pid, regs));
        }
        kdump = kdump.note("VMCOREINFO", 0, self.ram.text.as_bytes());
        for (pfn, page) in self.ram.pages() {
            kdump = kdump.page(pfn, page);
        }
        kdump.build()
    }
}

/// elf_prstatus: the pid at 32, the registers at 112.
pub(super) fn prstatus(pid: u32, regs: &[u64; 21]) -> Vec<u8> {
    let mut desc = vec![0; 336];
    desc[32..36].copy_from_slice(&pid.to_le_bytes());
    for (slot, word) in desc[112..].chunks_mut(8).zip(regs) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    desc
}
