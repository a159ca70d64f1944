//! What the fuzz targets for the crashed kernel's own tables run: shared by the targets and by the
//! tests that replay the corpus.
//!
//! No input may panic, hang, or take memory that its own size does not justify.

use std::collections::BTreeMap;
use std::sync::Arc;
use vmcore::addr::{Pfn, PfnRange, PhysAddr, VirtAddr};
use vmcore::dump::{Absence, DumpInfo, Format, MemoryDump, ReadError};
use vmcore::kernel::{Kernel, Types, Vmcoreinfo};
use vmcore::printk;

/// BTF as a blob.
pub(crate) fn btf(data: &[u8]) {
    let Ok(types) = Types::parse(data.to_vec(), None) else {
        return;
    };
    for id in 0..types.len().saturating_add(2).min(5000) {
        let _ = (types.size(id), types.strip(id), types.name(id).len());
        let _ = types.fields(id).take(100).count();
        let _ = types.declare(id, "x");
        let _ = types.enumerators(id).take(100).count();
    }
    let _ = types.member("task", "list[1].second");
    let _ = types.enumerator("", "WIDE");
}

struct Pages {
    pages: BTreeMap<u64, Vec<u8>>,
    info: DumpInfo,
}

impl MemoryDump for Pages {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let mut at = addr;
        let mut rest = buf;
        while !rest.is_empty() {
            let start = at.page_offset() as usize;
            let page = self.pages.get(&at.pfn().0);
            let from = page.and_then(|page| page.get(start..));
            let Some(from) = from else {
                return Err(ReadError::Absent {
                    pfn: at.pfn(),
                    why: Absence::NotInDump,
                });
            };
            let n = from.len().min(rest.len());
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(&from[..n]);
            at = PhysAddr(at.0.wrapping_add(n as u64));
            rest = later;
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        let (&pfn, _) = self.pages.range(from.0..).next()?;
        Some(PfnRange::new(Pfn(pfn), Pfn(pfn + 1)))
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }
}

/// The text of VMCOREINFO.
pub(crate) fn vmcoreinfo(data: &[u8]) {
    let info = Vmcoreinfo::parse(data);
    for line in info.text().lines().take(1000) {
        let Some((key, _)) = line.split_once('=') else {
            continue;
        };
        let _ = info.value(key);
        let inside = key.split_once('(').map(|(_, name)| name);
        let name = inside
            .and_then(|name| name.strip_suffix(')'))
            .unwrap_or(key);
        let _ = (info.symbol(name), info.offset(name), info.size(name));
        let _ = (info.length(name), info.number(name));
    }
    let _ = (info.osrelease(), info.build_id(), info.crashtime());
    let _ = (
        info.kernel_offset(),
        info.page_size(),
        info.release_numbers(),
    );
}

/// The log of a small kernel, laid out as for [`kernel`].
pub(crate) fn printk(data: &[u8]) {
    let Some(kernel) = small_kernel(data) else {
        return;
    };
    let mut seen = 0u32;
    let mut text = Vec::new();
    let _ = printk::for_each(&kernel, &mut |record| {
        let _ = printk::write_record(&record, &mut text);
        text.clear();
        seen += 1;
        match seen {
            10_000 => Err(std::io::Error::other("enough")),
            _ => Ok(()),
        }
    });
}

/// A whole small kernel: the length of its VMCOREINFO (two bytes), that text, then pages, each with
/// its number before it (four bytes).
pub(crate) fn kernel(data: &[u8]) {
    let Some(kernel) = small_kernel(data) else {
        return;
    };
    let mut seen = 0u32;
    let _ = printk::for_each(&kernel, &mut |_| {
        seen += 1;
        // A ring of 2^31 slots is not read to its end here.
        if seen > 10_000 {
            return Err(std::io::Error::other("enough"));
        }
        Ok(())
    });
    if let Ok(symbols) = kernel.symbols() {
        let _ = symbols.lookup_many(&["sys_task_300", "init_task", "nothing"]);
        for at in [0, 0xffff_ffff_8100_0105, 0xffff_ffff_8fff_ffff, u64::MAX] {
            let _ = symbols.resolve(VirtAddr(at));
        }
    }
    let _ = kernel.types().map(|types| types.len());
    let _ = kernel.modules().map(<[_]>::len);
    let _ = kernel.online_cpus().map(|cpus| cpus.len());
    let _ = kernel.prstatus(0);
}

fn small_kernel(data: &[u8]) -> Option<Kernel> {
    let (len, rest) = data.split_first_chunk::<2>()?;
    let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
    let (text, rest) = rest.split_at(len);
    let mut pages = BTreeMap::new();
    for record in rest.chunks_exact(4100) {
        if let Some((pfn, page)) = record.split_first_chunk::<4>() {
            pages.insert(u64::from(u32::from_le_bytes(*pfn)), page.to_vec());
        }
    }
    let info = DumpInfo {
        vmcoreinfo: Some(text.to_vec()),
        ..DumpInfo::new(Format::Elf)
    };
    Kernel::new(Arc::new(Pages { pages, info })).ok()
}
