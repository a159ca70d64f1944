//! From struct pages to kinds: the inner loop of the walk.
//!
//! A page of a compound page has the kind of its head, and says itself which head that is; the
//! order is not needed and only compared afterwards. A page inside a free block is free when it
//! looks free itself. So no wrong order, and no stale head, ever reaches past the pages that agree:
//! what does not agree is classified alone and counted as [`Evidence`] against its rule.
//!
//! Facts: include/linux/page-flags.h, include/linux/mm_types.h, mm/internal.h, mm/hugetlb_vmemmap.c
//! (fake heads, 5.18 to 7.0), 5.10 to 7.2. No memory is read here but through [`Heads`].

use super::Kind;
use super::rules::{Decoder, Hugetlb, Order, Rule};

/// Masks of 7.1's `compound_info` are all ones above bit 6 + order, and 0 below: a compound page has at
/// most this order (4 GiB of 4 KiB pages, 64 GiB of 64 KiB ones). A pointer into the memmap that looks like that would be at
/// its very end.
const LARGEST_ORDER: u32 = 20;

/// Reads struct pages that are not in the chunk at hand.
pub(super) trait Heads {
    /// Fills `buf` from the memmap at `va`; `false` when it cannot be read.
    fn read(&self, va: u64, buf: &mut [u8]) -> bool;
}

/// Findings that speak against a rule, page by page.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Evidence {
    /// Pages (blocks, for tails and orders) that contradict the rule.
    pub count: u64,
    /// The first of them.
    pub first: Option<u64>,
}

impl Evidence {
    fn add(&mut self, pfn: u64) {
        self.count += 1;
        self.first = Some(self.first.map_or(pfn, |first| first.min(pfn)));
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first = match (self.first, other.first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// Findings against each rule that can be contradicted by single pages.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Findings {
    /// Heads without tails, and tails without a head.
    pub tail: Evidence,
    /// Compound pages whose order is not their length.
    pub order: Evidence,
    /// Free blocks with a page inside that is in use, or of an impossible order.
    pub free: Evidence,
    /// Pages marked anonymous whose `mapping` cannot be a pointer.
    pub anon: Evidence,
    /// Compound pages with fewer or more pages than hugetlb can have.
    pub hugetlb: Evidence,
    /// Pages of compound pages without a type, by their orders: no evidence, but kmalloc's large
    /// blocks are among them, which the kernel counts as slab.
    pub untyped_compound: u64,
}

impl Findings {
    pub(super) fn merge(&mut self, other: &Self) {
        self.tail.merge(other.tail);
        self.order.merge(other.order);
        self.free.merge(other.free);
        self.anon.merge(other.anon);
        self.hugetlb.merge(other.hugetlb);
        self.untyped_compound += other.untyped_compound;
    }

    /// Counted in pages of the kernel, as page frames of 4 KiB: `1 << shift` of them a page.
    #[must_use]
    pub(super) fn in_frames(mut self, shift: u32) -> Self {
        let all = [
            &mut self.tail,
            &mut self.order,
            &mut self.free,
            &mut self.anon,
            &mut self.hugetlb,
        ];
        for evidence in all {
            evidence.first = evidence.first.map(|first| first << shift);
        }
        self.untyped_compound <<= shift;
        self
    }

    /// Each rule with what speaks against it.
    #[must_use]
    pub(crate) fn by_rule(&self) -> [(Rule, Evidence); 5] {
        [
            (Rule::Tail, self.tail),
            (Rule::Order, self.order),
            (Rule::Free, self.free),
            (Rule::Anon, self.anon),
            (Rule::Hugetlb, self.hugetlb),
        ]
    }
}

/// What the pages that follow belong to.
#[derive(Clone, Copy, Debug)]
enum Block {
    None,
    /// Free or unaccepted pages up to a page frame.
    Free {
        end: u64,
        kind: Kind,
    },
    /// Tails of a head.
    Compound {
        /// Address of the head's struct page.
        head: u64,
        kind: Kind,
        /// The head's page frame, if it was met in order.
        start: Option<u64>,
        /// Pages by the head's order, if known.
        pages: Option<u64>,
    },
}

/// Walks struct pages in ascending order.
pub(super) struct Classifier<'a, H> {
    d: &'a Decoder,
    heads: &'a H,
    block: Block,
    pub(super) findings: Findings,
}

/// One page's fields.
#[derive(Clone, Copy)]
struct Page<'b> {
    bytes: &'b [u8],
    /// The rest of the chunk after it.
    next: &'b [u8],
    pfn: u64,
    va: u64,
    flags: u64,
    page_type: u32,
}

impl<'a, H: Heads> Classifier<'a, H> {
    pub(super) fn new(d: &'a Decoder, heads: &'a H) -> Self {
        Self {
            d,
            heads,
            block: Block::None,
            findings: Findings::default(),
        }
    }

    /// The pages from here on do not follow the ones before.
    pub(super) fn restart(&mut self) {
        self.block = Block::None;
    }

    /// Writes the kind of each struct page in `chunk` to `kinds`. The first stands for page frame
    /// `pfn` and lies at `va`.
    pub(super) fn run(&mut self, chunk: &[u8], pfn: u64, va: u64, kinds: &mut [u8]) {
        let d = self.d;
        let mut rest = chunk;
        let mut at = (pfn, va);
        for out in kinds {
            let Some((bytes, next)) = rest.split_at_checked(d.size) else {
                *out = Kind::Unknown as u8;
                continue;
            };
            rest = next;
            let page = Page {
                bytes,
                next,
                pfn: at.0,
                va: at.1,
                flags: d.word64(bytes, d.flags),
                page_type: d.word32(bytes, d.mapcount),
            };
            let kind = self.page(page);
            *out = d.reported(kind) as u8;
            at = (at.0 + 1, at.1.wrapping_add(d.size as u64));
        }
    }

    fn page(&mut self, page: Page<'_>) -> Kind {
        let kind = self.in_block(page);
        if page.flags & self.d.hwpoison != 0 {
            return Kind::HwPoison;
        }
        kind
    }

    fn in_block(&mut self, page: Page<'_>) -> Kind {
        if let Block::Free { end, kind } = self.block {
            if page.pfn < end {
                if self.looks_free(page) {
                    return kind;
                }
                self.findings.free.add(page.pfn);
            }
            self.block = Block::None;
        }
        if let Some(head) = self.head_of(page) {
            if let Block::Compound {
                head: open, kind, ..
            } = self.block
                && open == head
            {
                return kind;
            }
            self.close(page.pfn);
            return self.tail_of(head, page);
        }
        self.close(page.pfn);
        if page.flags & self.d.head != 0 {
            return self.head(page);
        }
        self.single(page)
    }

    /// A page inside a free block: nobody holds it, it has no type, and it is no head.
    fn looks_free(&self, page: Page<'_>) -> bool {
        let held = self
            .d
            .refcount
            .map_or(0, |at| self.d.word32(page.bytes, at));
        held == 0
            && page.page_type == u32::MAX
            && page.flags & (self.d.head | self.d.slab_flag | self.d.lru) == 0
    }

    /// The address of the head's struct page, when this is a tail (or a fake head, whose struct
    /// page is the true head's own, seen a second time).
    fn head_of(&self, page: Page<'_>) -> Option<u64> {
        let at = self.d.tail?;
        let word = self.d.word64(page.bytes, at);
        if word & 1 != 0 {
            return Some(resolve(word, page.va));
        }
        if !self.d.fake_heads || page.flags & self.d.head == 0 {
            return None;
        }
        let second = page.next.get(..self.d.size)?;
        let word = self.d.word64(second, at);
        let head = resolve(word, page.va.wrapping_add(self.d.size as u64));
        // Only a shared page of struct pages points backwards from behind a head.
        (word & 1 != 0 && head < page.va).then_some(head)
    }

    /// A tail whose head was not the last one met: reads the head.
    fn tail_of(&mut self, head: u64, page: Page<'_>) -> Kind {
        let d = self.d;
        let mut pair = [0u8; 1024];
        let kind = pair
            .get_mut(..2 * d.size)
            .filter(|_| head < page.va && (page.va - head).is_multiple_of(d.size as u64))
            .filter(|_| (page.va - head) / (d.size as u64) <= page.pfn)
            .and_then(|pair| self.heads.read(head, pair).then_some(&*pair))
            .and_then(|pair| {
                let (bytes, next) = pair.split_at_checked(d.size)?;
                let first = Page {
                    bytes,
                    next,
                    pfn: page.pfn - (page.va - head) / d.size as u64,
                    va: head,
                    flags: d.word64(bytes, d.flags),
                    page_type: d.word32(bytes, d.mapcount),
                };
                let word = d.word64(bytes, d.tail?);
                (first.flags & d.head != 0 && word & 1 == 0).then(|| self.compound(first))
            });
        if kind.is_none() {
            self.findings.tail.add(page.pfn);
        }
        let kind = kind.unwrap_or(Kind::Unknown);
        self.block = Block::Compound {
            head,
            kind,
            start: None,
            pages: None,
        };
        kind
    }

    fn head(&mut self, page: Page<'_>) -> Kind {
        let kind = self.compound(page);
        let has_tail = page.next.get(..self.d.size).is_some_and(|second| {
            let word = self.d.tail.map_or(0, |at| self.d.word64(second, at));
            word & 1 != 0 && resolve(word, page.va.wrapping_add(self.d.size as u64)) == page.va
        });
        if !has_tail {
            self.findings.tail.add(page.pfn);
        }
        let pages = self.order(page).and_then(|order| 1u64.checked_shl(order));
        if kind == Kind::Kernel {
            self.findings.untyped_compound += pages.unwrap_or(1);
        }
        self.block = Block::Compound {
            head: page.va,
            kind,
            start: Some(page.pfn),
            pages,
        };
        kind
    }

    /// Ends the block before `pfn` and compares its length with its order.
    fn close(&mut self, pfn: u64) {
        if let Block::Compound {
            start: Some(start),
            pages: Some(pages),
            ..
        } = self.block
            && (pfn - start != pages || start % pages != 0)
        {
            self.findings.order.add(start);
        }
        self.block = Block::None;
    }

    fn order(&self, page: Page<'_>) -> Option<u32> {
        let second = page.next.get(..self.d.size)?;
        match self.d.order {
            Order::Unknown => None,
            Order::Byte(at) => second.get(at).copied().map(u32::from),
            Order::FlagsLowByte => Some((self.d.word64(second, self.d.flags) & 0xff) as u32),
        }
    }

    /// The kind of a compound page, by its head.
    fn compound(&mut self, page: Page<'_>) -> Kind {
        if !self.is_hugetlb(page) {
            return self.single(page);
        }
        // hugetlb keeps the poison of any of its pages on the head (6.0 and newer), and the pages
        // themselves may share struct pages: all of it is then unreadable.
        if page.flags & self.d.hwpoison != 0 {
            return Kind::HwPoison;
        }
        if self
            .order(page)
            .is_some_and(|order| !(self.d.least_hugetlb_order..=18).contains(&order))
        {
            self.findings.hugetlb.add(page.pfn);
        }
        Kind::Hugetlb
    }

    fn is_hugetlb(&self, page: Page<'_>) -> bool {
        let second = page.next.get(..self.d.size);
        match self.d.hugetlb {
            Hugetlb::Never => false,
            Hugetlb::Type(test) => test.matches(page.page_type),
            Hugetlb::Destructor { offset, want } => {
                second.and_then(|second| second.get(offset)) == Some(&want)
            }
            Hugetlb::SecondFlags(bits) => {
                second.is_some_and(|second| self.d.word64(second, self.d.flags) & bits != 0)
            }
        }
    }

    /// A page that is no tail, by itself. Sets the block when it heads a free one.
    fn single(&mut self, page: Page<'_>) -> Kind {
        let d = self.d;
        let Page {
            flags, page_type, ..
        } = page;
        if flags & d.slab_flag != 0 || d.slab.matches(page_type) {
            return Kind::Slab;
        }
        if page_type.cast_signed() < d.typed_below || page_type >> 31 != 0 && page_type != u32::MAX
        {
            return self.typed(page);
        }
        if flags & d.reserved != 0 {
            return Kind::Reserved;
        }
        let mapping = d.word64(page.bytes, d.mapping);
        let anon = d.anon && mapping & 1 != 0;
        if anon {
            // The two low bits are flags; what is left points to an anon_vma or a KSM node.
            let pointer = match mapping >> 55 & 1 {
                1 => mapping | d.tag_mask,
                _ => mapping,
            };
            if pointer & !3 < d.least_pointer || mapping & 4 != 0 {
                self.findings.anon.add(page.pfn);
                return Kind::Unknown;
            }
            return Kind::Anon;
        }
        let swap = d.swapbacked | d.swapcache;
        if flags & d.lru != 0 || (swap != 0 && flags & swap == swap) {
            return if flags & d.private_flag != 0 {
                Kind::CachePrivate
            } else {
                Kind::Cache
            };
        }
        Kind::Kernel
    }

    fn typed(&mut self, page: Page<'_>) -> Kind {
        let d = self.d;
        let page_type = page.page_type;
        if d.buddy.matches(page_type) {
            return self.free(page, Kind::Free, d.word64(page.bytes, d.private));
        }
        if d.unaccepted.matches(page_type) {
            return self.free(page, Kind::Unaccepted, d.orders.saturating_sub(1));
        }
        if d.offline.matches(page_type) {
            return Kind::Offline;
        }
        if let Hugetlb::Type(test) = d.hugetlb
            && test.matches(page_type)
        {
            // Only heads carry this type, and this page is none.
            self.findings.hugetlb.add(page.pfn);
            return Kind::Typed;
        }
        if d.table.matches(page_type) {
            return Kind::PageTable;
        }
        if page_type.cast_signed() < d.typed_below {
            return Kind::Typed;
        }
        // An underflowed count, or an encoding that is not known.
        Kind::Unknown
    }

    fn free(&mut self, page: Page<'_>, kind: Kind, order: u64) -> Kind {
        let pages = u32::try_from(order)
            .ok()
            .filter(|_| order < self.d.orders)
            .and_then(|order| 1u64.checked_shl(order))
            .filter(|pages| page.pfn.is_multiple_of(*pages));
        let Some(pages) = pages else {
            self.findings.free.add(page.pfn);
            return Kind::Unknown;
        };
        self.block = Block::Free {
            end: page.pfn + pages,
            kind,
        };
        kind
    }
}

/// The head that a tail's word names: a pointer with bit 0 set, or (7.1 and newer, where struct
/// pages are a power of two) a mask for the tail's own address with bit 0 set.
fn resolve(word: u64, va: u64) -> u64 {
    let value = word & !1;
    let low = value.wrapping_neg();
    if low.is_power_of_two() && low.trailing_zeros() <= 6 + LARGEST_ORDER {
        va & value
    } else {
        value
    }
}

#[cfg(test)]
mod tests;
