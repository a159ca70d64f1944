//! `synth`'s RAM as a dump, for the tests of this crate.

use std::sync::Arc;
use synth::ram::Ram;
use vmcore::addr::{Pfn, PfnRange, PhysAddr};
use vmcore::dump::{Absence, DumpInfo, Format, MemoryDump, ReadError};
use vmcore::kernel::Kernel;

struct RamDump {
    ram: Ram,
    info: DumpInfo,
}

impl MemoryDump for RamDump {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        for (i, byte) in buf.iter_mut().enumerate() {
            let at = PhysAddr(addr.0 + i as u64);
            let page = self.ram.page(at.pfn().0).ok_or(ReadError::Absent {
                pfn: at.pfn(),
                why: Absence::NotInDump,
            })?;
            *byte = page[at.page_offset() as usize];
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        let pfn = self
            .ram
            .pages()
            .map(|(pfn, _)| pfn)
            .find(|&p| p >= from.0)?;
        Some(PfnRange::new(Pfn(pfn), Pfn(pfn + 1)))
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }
}

/// A kernel in that RAM.
pub(crate) fn kernel(ram: &Ram) -> Kernel {
    let info = DumpInfo {
        vmcoreinfo: Some(ram.text.clone().into_bytes()),
        ..DumpInfo::new(Format::Elf)
    };
    let dump = RamDump {
        ram: ram.clone(),
        info,
    };
    Kernel::new(Arc::new(dump)).unwrap()
}

/// The kernel in the bytes of an ELF core.
pub(crate) fn of_bytes(core: &[u8]) -> Kernel {
    let source = Arc::new(vmcore::dump::source::BytesSource(core.to_vec()));
    let dump = vmcore::dump::open_source(std::path::Path::new("core"), source).unwrap();
    Kernel::new(dump).unwrap()
}
