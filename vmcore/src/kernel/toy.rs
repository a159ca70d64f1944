//! `synth`'s RAM as a dump, for the tests of this crate.

use super::{Kernel, KernelError};
use crate::addr::{Pfn, PfnRange, PhysAddr};
use crate::dump::{Absence, DumpInfo, Format, MemoryDump, ReadError};
use std::sync::Arc;
use synth::ram::Ram;

struct RamDump {
    ram: Ram,
    info: DumpInfo,
}

impl MemoryDump for RamDump {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let mut at = addr;
        let mut rest = buf;
        while !rest.is_empty() {
            let page = self.ram.page(at.pfn().0).ok_or(ReadError::Absent {
                pfn: at.pfn(),
                why: Absence::NotInDump,
            })?;
            let start = at.page_offset() as usize;
            let n = rest.len().min(page.len() - start);
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(&page[start..start + n]);
            at = PhysAddr(at.0 + n as u64);
            rest = later;
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        let start = self
            .ram
            .pages()
            .map(|(pfn, _)| pfn)
            .find(|&p| p >= from.0)?;
        let mut end = start + 1;
        while self.ram.page(end).is_some() {
            end += 1;
        }
        Some(PfnRange::new(Pfn(start), Pfn(end)))
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }
}

/// A kernel in that RAM, its direct map said to begin at `direct`.
pub(crate) fn kernel_at(ram: &Ram, direct: Option<u64>) -> Kernel {
    let info = DumpInfo {
        vmcoreinfo: Some(ram.text.clone().into_bytes()),
        direct_map_base: direct,
        ..DumpInfo::new(Format::Elf)
    };
    let dump = RamDump {
        ram: ram.clone(),
        info,
    };
    Kernel::new(Arc::new(dump)).unwrap()
}

/// The same in a dump without a VMCOREINFO note.
pub(crate) fn kernel_without_note(ram: &Ram) -> Result<Kernel, KernelError> {
    Kernel::new(Arc::new(RamDump {
        ram: ram.clone(),
        info: DumpInfo::new(Format::Elf),
    }))
}

/// A kernel in that RAM.
pub(crate) fn kernel(ram: &Ram) -> Kernel {
    kernel_at(ram, None)
}
