//! vmalloc areas, and who maps a page of a process.

use super::types::offset;
use super::{ANON, Kernel, VMAP_AREAS, VMAP_ROOT};

/// VM_ALLOC.
const ALLOC: u64 = 2;

impl Kernel {
    /// Two areas: that of the first CPU's interrupt stack, and one to its right.
    pub(super) fn vmalloc(&mut self) {
        let stack = 0xffff_c900_0001_0000_u64;
        let caller = self.text.symbols()[0].0 + 4;
        let link = offset("vmap_area", "rb_node");
        let vm = VMAP_AREAS + 0x80;
        for (at, start, end) in [
            (0, stack, stack + 0x5000),
            (0x40, stack + 0x8000, stack + 0xd000),
        ] {
            let area = VMAP_AREAS + at;
            self.put64(area + offset("vmap_area", "va_start"), start);
            self.put64(area + offset("vmap_area", "va_end"), end);
        }
        self.put64(VMAP_ROOT, VMAP_AREAS + link);
        let right = link + offset("rb_node", "rb_right");
        self.put64(VMAP_AREAS + right, VMAP_AREAS + 0x40 + link);
        self.put64(VMAP_AREAS + offset("vmap_area", "vm"), vm);
        self.put64(vm + offset("vm_struct", "flags"), ALLOC);
        self.put64(vm + offset("vm_struct", "caller"), caller);
    }

    /// One mapping of an anonymous page, at `page` of `mm`; answers what its struct page has as `mapping`.
    pub(super) fn anonymous(&mut self, page: u64, mm: u64) -> u64 {
        let (chain, area) = (ANON + 0x40, ANON + 0x80);
        let link = offset("anon_vma_chain", "rb");
        self.put64(ANON + offset("anon_vma", "rb_root"), chain + link);
        self.put64(chain + offset("anon_vma_chain", "vma"), area);
        let at = |member: &str| area + offset("vm_area_struct", member);
        self.put64(at("vm_start"), page);
        self.put64(at("vm_end"), page + 4096);
        self.put64(at("vm_mm"), mm);
        // The page has the index 0.
        self.put64(at("vm_pgoff"), 0);
        ANON | 1
    }
}
