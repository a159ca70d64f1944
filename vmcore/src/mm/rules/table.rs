//! The table: for each rule its rows, newest form last, each with the kernels it holds for and the
//! keys it needs. The first row whose keys are all there, and whose kernels fit where keys alone do
//! not tell, is the one.
//!
//! Sources: include/linux/{page-flags.h,mm_types.h,mm.h}, mm/hugetlb.c, kernel/vmcore_info.c
//! (kernel/crash_core.c before 6.9) of Linux 5.10 to 7.2. Kernels before 4.18 are not covered.

use super::Rule;
use super::decoder::{Decoder, Encoding, Hugetlb, Order, TypeTest};
use crate::kernel::Vmcoreinfo;

/// One way a kernel shows one thing.
pub(crate) struct Row {
    /// The rule it serves.
    pub rule: Rule,
    /// The kernels that do it this way.
    pub kernels: &'static str,
    /// The VMCOREINFO keys it needs.
    pub keys: &'static [&'static str],
    /// Where the fact stands.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "documents the row; a test reads it")
    )]
    pub source: &'static str,
    pub(crate) apply: fn(&Vmcoreinfo, &mut Decoder) -> Option<()>,
}

/// All rows. Rows of a rule that others build on stand before theirs.
pub(crate) static ROWS: &[Row] = &[
    Row {
        rule: Rule::Fields,
        kernels: "4.18 and newer",
        keys: &[
            "SIZE(page)",
            "OFFSET(page.flags)",
            "OFFSET(page.mapping)",
            "OFFSET(page.private)",
            "OFFSET(page._mapcount)",
        ],
        source: "include/linux/mm_types.h, struct page",
        apply: |info, d| {
            d.size = size(info, "page")?;
            d.flags = offset(info, "page.flags")?;
            d.mapping = offset(info, "page.mapping")?;
            d.private = offset(info, "page.private")?;
            d.mapcount = offset(info, "page._mapcount")?;
            d.refcount = offset(info, "page._refcount");
            d.usable().then_some(())
        },
    },
    Row {
        rule: Rule::Tail,
        kernels: "4.3 to 7.0",
        keys: &["OFFSET(page.compound_head)", "NUMBER(PG_head_mask)"],
        source: "include/linux/page-flags.h, PageTail: bit 0 of compound_head",
        // 5.18 to 7.0 may map a hugetlb page's struct pages to one page, its head's.
        apply: |info, d| {
            d.fake_heads = true;
            tail(info, d, "page.compound_head")
        },
    },
    Row {
        rule: Rule::Tail,
        kernels: "7.1 and newer",
        keys: &["OFFSET(page.compound_info)", "NUMBER(PG_head_mask)"],
        source: "include/linux/page-flags.h, PageTail: bit 0 of compound_info",
        apply: |info, d| tail(info, d, "page.compound_info"),
    },
    Row {
        rule: Rule::Order,
        kernels: "4.18 to 6.2",
        keys: &["OFFSET(page.compound_order)"],
        source: "include/linux/mm_types.h, page[1].compound_order",
        apply: |info, d| {
            d.order = Order::Byte(offset(info, "page.compound_order")?);
            Some(())
        },
    },
    Row {
        rule: Rule::Order,
        kernels: "6.3 to 6.5",
        keys: &["OFFSET(folio._folio_order)"],
        source: "include/linux/mm_types.h, folio._folio_order in the second page",
        apply: |info, d| {
            d.order = Order::Byte(second_page(info, d, "folio._folio_order")?);
            Some(())
        },
    },
    Row {
        rule: Rule::Order,
        kernels: "6.6 and newer",
        keys: &["OSRELEASE"],
        source: "include/linux/mm.h, folio_order: low byte of folio._flags_1 (no key tells)",
        apply: |info, d| {
            since(info, 6, 6)?;
            d.order = Order::FlagsLowByte;
            Some(())
        },
    },
    Row {
        rule: Rule::Typed,
        kernels: "4.18 to 6.10, 6.11, 6.12 and newer: three encodings",
        keys: &["NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)"],
        source: "include/linux/page-flags.h, page_type_has_type",
        apply: |info, d| {
            let encoding = encoding(info)?;
            d.typed_below = encoding.typed_below;
            let table = match info.release_numbers() {
                Some(release) if release < (5, 11) => !0x400,
                _ => encoding.table,
            };
            d.table = encoding.test(table);
            Some(())
        },
    },
    Row {
        rule: Rule::Slab,
        kernels: "5.10 to 6.9",
        keys: &["NUMBER(PG_slab)"],
        source: "include/linux/page-flags.h, PG_slab",
        apply: |info, d| {
            d.slab_flag = flag(info, "PG_slab")?;
            Some(())
        },
    },
    Row {
        rule: Rule::Slab,
        kernels: "6.10 and newer",
        keys: &["NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)"],
        source: "include/linux/page-flags.h, PG_slab in page_type; 6.12: PGTY_slab",
        apply: |info, d| {
            d.slab = page_type(info, "PAGE_SLAB_MAPCOUNT_VALUE")?;
            Some(())
        },
    },
    Row {
        rule: Rule::Free,
        kernels: "4.18 and newer",
        keys: &[
            "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)",
            "LENGTH(zone.free_area)",
        ],
        source: "include/linux/page-flags.h, PageBuddy; mm/internal.h, buddy_order",
        apply: |info, d| {
            d.buddy = page_type(info, "PAGE_BUDDY_MAPCOUNT_VALUE")?;
            d.orders = info
                .length("zone.free_area")
                .filter(|orders| (1..=32).contains(orders))?;
            Some(())
        },
    },
    Row {
        rule: Rule::Unaccepted,
        kernels: "6.16 and newer",
        keys: &[
            "NUMBER(PAGE_UNACCEPTED_MAPCOUNT_VALUE)",
            "LENGTH(zone.free_area)",
        ],
        source: "mm/page_alloc.c, __free_unaccepted: blocks of MAX_PAGE_ORDER only",
        apply: |info, d| {
            d.unaccepted = page_type(info, "PAGE_UNACCEPTED_MAPCOUNT_VALUE")?;
            Some(())
        },
    },
    Row {
        rule: Rule::Cache,
        kernels: "4.10 and newer",
        keys: &[
            "NUMBER(PG_lru)",
            "NUMBER(PG_private)",
            "NUMBER(PG_swapcache)",
            "NUMBER(PG_swapbacked)",
        ],
        source: "include/linux/page-flags.h; PG_swapcache shares its bit and needs PG_swapbacked",
        apply: |info, d| {
            d.lru = flag(info, "PG_lru")?;
            d.private_flag = flag(info, "PG_private")?;
            d.swapcache = flag(info, "PG_swapcache")?;
            d.swapbacked = flag(info, "PG_swapbacked")?;
            Some(())
        },
    },
    Row {
        rule: Rule::Anon,
        kernels: "2.6 and newer",
        keys: &["OFFSET(page.mapping)"],
        source: "include/linux/page-flags.h, PAGE_MAPPING_ANON (7.x: FOLIO_MAPPING_ANON)",
        apply: |_, d| {
            d.anon = true;
            Some(())
        },
    },
    Row {
        rule: Rule::Hugetlb,
        kernels: "4.18 to 6.2",
        keys: &["NUMBER(HUGETLB_PAGE_DTOR)", "OFFSET(page.compound_dtor)"],
        source: "include/linux/mm.h, enum compound_dtor_id; page[1].compound_dtor",
        apply: |info, d| {
            let offset = offset(info, "page.compound_dtor")?;
            destructor(info, d, offset)
        },
    },
    Row {
        rule: Rule::Hugetlb,
        kernels: "6.3 to 6.5",
        keys: &["NUMBER(HUGETLB_PAGE_DTOR)", "OFFSET(folio._folio_dtor)"],
        source: "include/linux/mm_types.h, folio._folio_dtor in the second page",
        apply: |info, d| {
            let offset = second_page(info, d, "folio._folio_dtor")?;
            destructor(info, d, offset)
        },
    },
    Row {
        rule: Rule::Hugetlb,
        kernels: "6.6 to 6.8",
        keys: &["NUMBER(PG_hugetlb)"],
        source: "include/linux/page-flags.h, PG_hugetlb in folio._flags_1",
        apply: |info, d| {
            d.hugetlb = Hugetlb::SecondFlags(flag(info, "PG_hugetlb")?);
            Some(())
        },
    },
    Row {
        rule: Rule::Hugetlb,
        kernels: "6.9 and newer",
        keys: &["NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)"],
        source: "include/linux/page-flags.h, PG_hugetlb in page_type; 6.12: PGTY_hugetlb",
        apply: |info, d| {
            d.hugetlb = Hugetlb::Type(page_type(info, "PAGE_HUGETLB_MAPCOUNT_VALUE")?);
            Some(())
        },
    },
    Row {
        rule: Rule::HwPoison,
        kernels: "2.6.31 and newer, with CONFIG_MEMORY_FAILURE",
        keys: &["NUMBER(PG_hwpoison)"],
        source: "include/linux/page-flags.h, PG_hwpoison",
        apply: |info, d| {
            d.hwpoison = flag(info, "PG_hwpoison")?;
            Some(())
        },
    },
    Row {
        rule: Rule::Offline,
        kernels: "5.0 and newer",
        keys: &["NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)"],
        source: "include/linux/page-flags.h, PageOffline: ballooned, or never plugged in",
        apply: |info, d| {
            d.offline = page_type(info, "PAGE_OFFLINE_MAPCOUNT_VALUE")?;
            Some(())
        },
    },
    Row {
        rule: Rule::Reserved,
        kernels: "5.10 to 7.2",
        keys: &["NUMBER(PG_private)"],
        source: "include/linux/page-flags.h, enum pageflags: PG_reserved stands before PG_private",
        apply: |info, d| {
            d.reserved = flag(info, "PG_private").map(|private| private >> 1)?;
            Some(())
        },
    },
];

fn size(info: &Vmcoreinfo, name: &str) -> Option<usize> {
    usize::try_from(info.size(name)?).ok()
}

fn offset(info: &Vmcoreinfo, member: &str) -> Option<usize> {
    usize::try_from(info.offset(member)?).ok()
}

fn flag(info: &Vmcoreinfo, name: &str) -> Option<u64> {
    1u64.checked_shl(u32::try_from(info.number(name)?).ok()?)
}

/// A page type's value: the kernel prints the low 32 bits as a signed number.
fn number32(info: &Vmcoreinfo, name: &str) -> Option<u32> {
    let value = info.number(name)?;
    i32::try_from(value)
        .map(i32::cast_unsigned)
        .or_else(|_| u32::try_from(value))
        .ok()
}

fn encoding(info: &Vmcoreinfo) -> Option<Encoding> {
    Encoding::of(number32(info, "PAGE_BUDDY_MAPCOUNT_VALUE")?)
}

fn page_type(info: &Vmcoreinfo, name: &str) -> Option<TypeTest> {
    let value = number32(info, name)?;
    Some(encoding(info)?.test(value))
}

fn since(info: &Vmcoreinfo, major: u32, minor: u32) -> Option<()> {
    (info.release_numbers()? >= (major, minor)).then_some(())
}

fn tail(info: &Vmcoreinfo, d: &mut Decoder, member: &str) -> Option<()> {
    let head = info.number("PG_head_mask")?.cast_unsigned();
    let at = offset(info, member).filter(|at| at.saturating_add(8) <= d.size)?;
    d.head = (head != 0).then_some(head)?;
    d.tail = Some(at);
    Some(())
}

/// An offset in struct folio that lies in its second page, as an offset in that page.
fn second_page(info: &Vmcoreinfo, d: &Decoder, member: &str) -> Option<usize> {
    offset(info, member)?
        .checked_sub(d.size)
        .filter(|at| *at < d.size)
}

fn destructor(info: &Vmcoreinfo, d: &mut Decoder, offset: usize) -> Option<()> {
    let want = u8::try_from(info.number("HUGETLB_PAGE_DTOR")?).ok()?;
    d.hugetlb = Hugetlb::Destructor { offset, want };
    Some(())
}
