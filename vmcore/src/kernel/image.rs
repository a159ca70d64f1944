//! The kernel image's mapping, where no segment of the dump shows it.

use super::Kernel;
use crate::addr::VirtAddr;
use crate::dump::KernelImage;

/// What is looked at from the first byte of the text: no kernel image is as large.
const MOST: u64 = 256 << 20;
/// The largest hole that is looked beyond. The largest there is is the memory that only the start needed, which is
/// no longer mapped (arch/arm64/mm/init.c, `free_initmem`).
const HOLE: u64 = 32 << 20;

impl Kernel {
    /// The mapping by its symbols. Without symbols of data (CONFIG_KALLSYMS_ALL is off: Debian's 6.1 for arm64) and
    /// where all of the image is in page tables: what they map at the image's distance from physical memory,
    /// from `_stext` on.
    #[must_use]
    pub fn image(&self) -> Option<KernelImage> {
        let bounds = ["_text", "_end"].map(|name| self.symbol(name));
        let [Ok(start), Ok(end)] = bounds else {
            return self.image_in_tables();
        };
        Some(KernelImage {
            vaddr: start,
            paddr: self.translate(start).ok()?,
            size: end.offset_from(start)?,
        })
    }

    fn image_in_tables(&self) -> Option<KernelImage> {
        let layout = self.layout();
        if !layout.image_in_tables || layout.image.len > 0 {
            return None;
        }
        let text = self.vmcoreinfo().symbol("_stext")?;
        let page = self.page_size();
        let start = VirtAddr(text.0 & !page.checked_sub(1)?);
        let (mut at, mut size) = (0, 0);
        while at < MOST && at.saturating_sub(size) < HOLE {
            let va = start.checked_add(at)?;
            let run = match self.translate_run(va) {
                Ok((phys, run)) if phys == layout.image.phys(va) => {
                    size = at.saturating_add(run);
                    run
                }
                Ok((_, run)) => run,
                Err(_) => page,
            };
            at = at.saturating_add(run);
        }
        (size > 0).then(|| KernelImage {
            vaddr: start,
            paddr: layout.image.phys(start),
            size,
        })
    }
}
