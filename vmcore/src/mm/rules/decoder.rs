//! What the rules boil down to: where to look in a struct page and what to compare with.
//!
//! A part that is off can never match (an empty mask, an impossible comparison), so the walk asks
//! no questions about rules in its inner loop.

use crate::mm::Kind;

/// `(value & mask) == want`, on `_mapcount` read as the page type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TypeTest {
    pub mask: u32,
    pub want: u32,
}

impl TypeTest {
    /// Matches nothing.
    pub(crate) const NEVER: Self = Self { mask: 0, want: 1 };

    pub(crate) fn matches(self, page_type: u32) -> bool {
        page_type & self.mask == self.want
    }
}

/// Where the order of a compound page stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    Unknown,
    /// A byte at this offset of the second struct page.
    Byte(usize),
    /// The low byte of the second struct page's flags.
    FlagsLowByte,
}

/// How the head of a hugetlb page is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hugetlb {
    Never,
    /// A byte at `offset` of the second struct page names the destructor.
    Destructor {
        offset: usize,
        want: u8,
    },
    /// A flag in the second struct page.
    SecondFlags(u64),
    /// The head's page type.
    Type(TypeTest),
}

/// Everything the inner loop needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder {
    /// The order of the bytes in a word.
    pub words: crate::order::Order,
    /// sizeof(struct page).
    pub size: usize,
    pub flags: usize,
    pub mapping: usize,
    pub private: usize,
    pub mapcount: usize,
    /// `None`: the free blocks' insides are not looked at.
    pub refcount: Option<usize>,
    /// The word whose bit 0 marks a tail.
    pub tail: Option<usize>,
    /// Whether hugetlb's shared struct pages may show a head where there is none.
    pub fake_heads: bool,
    pub order: Order,
    pub hugetlb: Hugetlb,
    /// Bits of `flags`; 0 matches nothing.
    pub head: u64,
    pub lru: u64,
    pub swapcache: u64,
    pub swapbacked: u64,
    pub private_flag: u64,
    pub slab_flag: u64,
    pub hwpoison: u64,
    pub reserved: u64,
    pub buddy: TypeTest,
    pub unaccepted: TypeTest,
    pub offline: TypeTest,
    pub slab: TypeTest,
    pub table: TypeTest,
    /// A page type below this (as a signed number) is a type at all. `i32::MIN`: never.
    pub typed_below: i32,
    /// LENGTH(zone.free_area): orders from here on are corrupt.
    pub orders: u64,
    /// The least order of a hugetlb page.
    pub least_hugetlb_order: u32,
    /// Bits of a kernel pointer that may hold a tag.
    pub tag_mask: u64,
    /// No pointer of the kernel is below this.
    pub least_pointer: u64,
    /// Whether bit 0 of `mapping` means anonymous.
    pub anon: bool,
    /// What the walk reports for each kind: itself, or Unknown when its rule is off.
    pub report: [Kind; Kind::ALL.len()],
}

impl Decoder {
    /// The word at `at`; 0 where the bytes end before.
    pub(crate) fn word64(&self, bytes: &[u8], at: usize) -> u64 {
        self.words.u64_at(bytes, at).unwrap_or(0)
    }

    /// The half word at `at`; 0 where the bytes end before.
    pub(crate) fn word32(&self, bytes: &[u8], at: usize) -> u32 {
        self.words.u32_at(bytes, at).unwrap_or(0)
    }

    /// Everything off.
    pub(crate) const OFF: Self = Self {
        words: crate::order::Order::Little,
        size: 0,
        flags: 0,
        mapping: 0,
        private: 0,
        mapcount: 0,
        refcount: None,
        tail: None,
        fake_heads: false,
        order: Order::Unknown,
        hugetlb: Hugetlb::Never,
        head: 0,
        lru: 0,
        swapcache: 0,
        swapbacked: 0,
        private_flag: 0,
        slab_flag: 0,
        hwpoison: 0,
        reserved: 0,
        buddy: TypeTest::NEVER,
        unaccepted: TypeTest::NEVER,
        offline: TypeTest::NEVER,
        slab: TypeTest::NEVER,
        table: TypeTest::NEVER,
        typed_below: i32::MIN,
        orders: 0,
        least_hugetlb_order: 0,
        tag_mask: 0,
        least_pointer: 0,
        anon: false,
        report: Kind::ALL,
    };

    /// The kind to report where `kind` was recognised.
    pub(crate) fn reported(&self, kind: Kind) -> Kind {
        self.report
            .get(usize::from(kind as u8))
            .copied()
            .unwrap_or(Kind::Unknown)
    }

    /// Whether the fields fit a struct page of the size given, so that pages can be decoded at all.
    pub(crate) fn usable(&self) -> bool {
        let words = [self.flags, self.mapping, self.private];
        (32..=512).contains(&self.size)
            && self.size.is_multiple_of(8)
            && words.iter().all(|at| at.saturating_add(8) <= self.size)
            && self.mapcount.saturating_add(4) <= self.size
            && self
                .refcount
                .is_none_or(|at| at.saturating_add(4) <= self.size)
            && self.tail.is_none_or(|at| at.saturating_add(8) <= self.size)
    }
}

/// How page types are encoded in `_mapcount`, told by the value that stands for buddy pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Encoding {
    /// Bits that are set in every typed page (inverted encodings), or the type byte's mask.
    base: u32,
    /// Types are a number in the top byte (6.12 and newer) rather than a bit that is clear.
    numbered: bool,
    pub typed_below: i32,
    /// The value for page tables, to be passed to [`Encoding::test`].
    pub table: u32,
}

/// The encodings: the value of NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE) tells which. Source:
/// include/linux/page-flags.h.
const ENCODINGS: [(u32, Encoding); 3] = [
    (
        // 4.18 to 6.10: PG_buddy 0x80 is clear, base 0xf0000000, PAGE_MAPCOUNT_RESERVE -128.
        // PG_table moved from 0x400 to 0x200 in 5.11, when PG_kmemcg left.
        !0x80,
        Encoding {
            base: 0xf000_0000,
            numbered: false,
            typed_below: -128,
            table: !0x200,
        },
    ),
    (
        // 6.11: PG_buddy 0x40000000 is clear, base 0x80000000, PAGE_MAPCOUNT_RESERVE ~0xffff.
        !0x4000_0000,
        Encoding {
            base: 0x8000_0000,
            numbered: false,
            typed_below: -0x1_0000,
            table: !0x1000_0000,
        },
    ),
    (
        // 6.12 and newer: PGTY_buddy 0xf0 in the top byte; 0xff stands for none.
        0xf000_0000,
        Encoding {
            base: 0xff00_0000,
            numbered: true,
            typed_below: 0xff00_0000_u32.cast_signed(),
            table: 0xf200_0000,
        },
    ),
];

impl Encoding {
    /// The encoding in which buddy pages have this value.
    pub(crate) fn of(buddy: u32) -> Option<Self> {
        ENCODINGS
            .iter()
            .find(|(value, _)| *value == buddy)
            .map(|(_, encoding)| *encoding)
    }

    /// The kernel's own test for the type that the kernel gives as `value`.
    pub(crate) fn test(self, value: u32) -> TypeTest {
        if self.numbered {
            TypeTest {
                mask: self.base,
                want: value & self.base,
            }
        } else {
            TypeTest {
                mask: self.base | !value,
                want: self.base,
            }
        }
    }
}
