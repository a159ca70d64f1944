//! The free pages that CPUs hold for themselves, by the lists of the crashed kernel. A CPU takes them from the free
//! ones, and gives them back, a batch at a time: nobody uses them, and no flag of theirs tells.
//!
//! Facts: include/linux/mmzone.h (`struct per_cpu_pages`), mm/page_alloc.c (`pindex_to_order`), 5.10 to 7.2. Before 5.14
//! they are in the zone's `pageset`, and lists are of single pages before 5.13. The list runs through `page.lru`, which
//! shares its place with `page.pcp_list`.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use vmcore::addr::{PAGE_SHIFT, Pfn, VirtAddr};
use vmcore::kernel::Kernel;
use vmcore::mm::{self, Rules};

/// PAGE_ALLOC_COSTLY_ORDER: above it one order alone has lists, that of a huge page.
const COSTLY: u32 = 3;
/// More than any order of the allocator's.
const MAX_ORDER: u32 = 16;
/// More pages than any list has.
const MANY: u64 = 1 << 20;

/// The pages on those lists.
pub struct OnLists<'a> {
    kernel: &'a Kernel,
    rules: Rules,
    /// The first `struct page` of each entry, and log2 of its pages.
    orders: BTreeMap<VirtAddr, u32>,
}

impl<'a> OnLists<'a> {
    /// Reads every list of every online CPU.
    ///
    /// # Errors
    /// A list cannot be found or read.
    pub fn read(kernel: &'a Kernel) -> Result<Self> {
        let mut orders = BTreeMap::new();
        let (set, inner) = match kernel.member("zone", "per_cpu_pageset") {
            Ok(member) => (member, 0),
            Err(_) => (
                kernel.member("zone", "pageset")?,
                kernel.offset_of("per_cpu_pageset", "pcp")?,
            ),
        };
        let lists = kernel.member("per_cpu_pages", "lists")?;
        let types = kernel.types()?;
        let (element, count) = types
            .array(lists.type_id)
            .context("per_cpu_pages.lists is no array")?;
        let size = types.size(element).context("No size of a list")?;
        let kinds = types.enumerator("migratetype", "MIGRATE_PCPTYPES");
        let kinds = kinds.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        let kinds = kinds.context("No number of migrate types")?;
        let link = kernel.offset_of("page", "lru")?;
        for zone in analysis::memory::read(kernel).zones {
            let at = VirtAddr(kernel.read_member(VirtAddr(zone.address.0), &set)?);
            for cpu in kernel.online_cpus()?.iter() {
                let pages = kernel.per_cpu(at, cpu)?;
                let first = pages.wrapping_add(inner).wrapping_add(lists.offset);
                let mut huge = Vec::new();
                let mut small = 0;
                for number in 0..count {
                    let order = number / kinds;
                    let head = first.wrapping_add(u64::from(number) * size);
                    for page in kernel.list(head, link, MANY, "a CPU's list of free pages") {
                        if order > COSTLY {
                            huge.push(page?);
                        } else {
                            orders.insert(page?, order);
                            small += 1_u64 << order;
                        }
                    }
                }
                // The order of a huge page is the architecture's; what a CPU has in all tells it.
                let all = kernel.read_field(pages.wrapping_add(inner), "per_cpu_pages", "count")?;
                let each = all.saturating_sub(small).checked_div(huge.len() as u64);
                let order = each.and_then(u64::checked_ilog2).unwrap_or(0);
                orders.extend(huge.into_iter().map(|page| (page, order)));
            }
        }
        Ok(Self {
            kernel,
            rules: Rules::of(kernel),
            orders,
        })
    }

    /// How many pages of the kernel are on them.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.orders.values().map(|order| 1_u64 << order).sum()
    }

    /// Whether the page that a page frame is in is on one.
    #[must_use]
    pub fn has(&self, pfn: u64) -> bool {
        let shift = self.kernel.page_shift() - PAGE_SHIFT;
        let page = pfn >> shift;
        (0..=MAX_ORDER).any(|order| {
            let first = Pfn(page >> order << order << shift);
            let at = mm::struct_page(self.kernel, &self.rules, first);
            at.and_then(|at| self.orders.get(&at)) == Some(&order)
        })
    }
}
