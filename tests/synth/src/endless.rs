//! What memory maps without end have in common: the struct pages of a 6.12 kernel, kept and free, and
//! the VMCOREINFO text of a machine of up to 16 TiB that has nothing else.

#![allow(clippy::indexing_slicing)]

/// The struct page of a page that the kernel holds, or of a free one.
#[must_use]
pub fn struct_page(free: bool) -> [u8; 64] {
    let mut page = [0; 64];
    let (page_type, count) = match free {
        true => (0xf000_0000_u32, 0),
        false => (u32::MAX, 1),
    };
    page[48..52].copy_from_slice(&page_type.to_le_bytes());
    page[52] = count;
    page
}

/// The text: where the top page table, the roots of the sections and the kernel itself lie.
#[must_use]
pub fn vmcoreinfo(swapper_pg_dir: u64, mem_section: u64, phys_base: u64) -> String {
    format!(
        "OSRELEASE=6.12.0\nPAGESIZE=4096\nNUMBER(phys_base)={phys_base}\n\
         NUMBER(pgtable_l5_enabled)=0\nNUMBER(KERNEL_IMAGE_SIZE)=1073741824\n\
         SYMBOL(swapper_pg_dir)={swapper_pg_dir:x}\nSYMBOL(mem_section)={mem_section:x}\n\
         LENGTH(mem_section)=2048\nSIZE(mem_section)=16\n\
         OFFSET(mem_section.section_mem_map)=0\nNUMBER(SECTION_SIZE_BITS)=27\n\
         NUMBER(MAX_PHYSMEM_BITS)=46\nSIZE(page)=64\nOFFSET(page.flags)=0\n\
         OFFSET(page.mapping)=24\nOFFSET(page.private)=40\nOFFSET(page._mapcount)=48\n\
         OFFSET(page._refcount)=52\nOFFSET(page.compound_head)=8\nNUMBER(PG_head_mask)=64\n\
         NUMBER(PG_lru)=5\nNUMBER(PG_private)=14\nNUMBER(PG_swapcache)=10\n\
         NUMBER(PG_swapbacked)=17\nNUMBER(PG_hwpoison)=21\nLENGTH(zone.free_area)=11\n\
         NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-184549376\n\
         NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456\n\
         NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-201326592\n\
         NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-251658240\n"
    )
}
