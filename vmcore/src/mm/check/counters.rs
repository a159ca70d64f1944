//! The kernel's own account of its memory: zones, vmstat with every CPU's part, hugetlb's pools. The kernel
//! counts in its own pages; everything here answers in page frames of 4 KiB.
//!
//! Facts: include/linux/mmzone.h, mm/vmstat.c, mm/hugetlb.c, 5.10 to 7.2. A counter is the sum of
//! the zone's or node's value and each CPU's `vm_stat_diff`, which is folded in only now and then.
//! Members and enumerators are taken by name from VMCOREINFO and BTF; what is absent answers why.

use crate::addr::{PAGE_SIZE, Pfn, PfnRange, VirtAddr};
use crate::kernel::{Kernel, KernelError};

/// The most nodes and zones looked at: NODES_SHIFT 10, MAX_NR_ZONES 6.
const MAX_NODES: u64 = 1024;
const MAX_ZONES: u64 = 8;

/// One zone that has pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    /// `Normal`, `DMA32` ….
    pub name: String,
    /// Its node.
    pub node: u64,
    /// From `zone_start_pfn`, `spanned_pages` long.
    pub span: PfnRange,
    /// Pages that are there, of those spanned.
    pub present: u64,
    /// NR_FREE_PAGES, every CPU's part added.
    pub free: u64,
    /// Free pages that NR_FREE_PAGES leaves out, because their block is isolated.
    pub isolated: u64,
    /// Whether a CPU was stopped with the zone's lock held, in the middle of moving a block.
    pub locked: bool,
}

/// vmstat's counters for the whole machine, in page frames. `None`: this kernel has no such counter.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs)]
pub struct Totals {
    pub slab: Option<u64>,
    pub page_tables: Option<u64>,
    pub anon_mapped: Option<u64>,
    pub file: Option<u64>,
    pub swap_cache: Option<u64>,
    pub isolated_anon: u64,
    pub isolated_file: u64,
    /// Pages in hugetlb's pools, and whether a pool was being changed.
    pub hugetlb: Option<u64>,
    pub hugetlb_locked: bool,
}

/// The number of CPUs that can have work in flight: those online, or those that left registers.
#[must_use]
pub fn cpus(kernel: &Kernel) -> u64 {
    let online = kernel.online_cpus().map_or(0, |mask| mask.len() as u64);
    let notes = &kernel.dump().info().notes;
    let noted = notes
        .iter()
        .filter(|note| note.n_type == 1 && note.name == b"CORE")
        .count() as u64;
    online.max(noted).max(1)
}

/// Reads every populated zone.
///
/// # Errors
/// When the nodes cannot be found or a zone's members are not known.
pub fn zones(kernel: &Kernel) -> Result<Vec<Zone>, KernelError> {
    let at = ZoneLayout::of(kernel)?;
    let mut zones = Vec::new();
    for (node, pgdat) in nodes(kernel)? {
        let nr_zones = kernel.offset_of("pglist_data", "nr_zones")?;
        let count = read32(kernel, pgdat.wrapping_add(nr_zones))?.min(MAX_ZONES as u32);
        for number in 0..u64::from(count) {
            let zone = pgdat.wrapping_add(at.node_zones + number * at.size);
            let spanned = read(kernel, zone.wrapping_add(at.spanned))?;
            if spanned > 0 {
                zones.push(at.read(kernel, node, zone, spanned)?);
            }
        }
    }
    Ok(zones)
}

struct ZoneLayout {
    node_zones: u64,
    size: u64,
    spanned: u64,
    start: u64,
    present: u64,
    name: u64,
    vm_stat: u64,
    free_item: u64,
    lock: Option<u64>,
    isolate: Option<u64>,
    cpu_pointer: u64,
    cpu_diff: u64,
}

impl ZoneLayout {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let size = match kernel.vmcoreinfo().size("zone") {
            Some(size) => size,
            None => kernel.types()?.size_of("zone")?,
        };
        // 5.14 split the per-CPU page sets from the per-CPU statistics.
        let (cpu_pointer, cpu_diff) = match kernel.offset_of("zone", "per_cpu_zonestats") {
            Ok(pointer) => {
                let diff = kernel.offset_of("per_cpu_zonestat", "vm_stat_diff")?;
                (pointer, diff)
            }
            Err(_) => (
                kernel.offset_of("zone", "pageset")?,
                kernel.offset_of("per_cpu_pageset", "vm_stat_diff")?,
            ),
        };
        let free_item = kernel.vmcoreinfo().number("NR_FREE_PAGES").unwrap_or(0);
        Ok(Self {
            node_zones: kernel.offset_of("pglist_data", "node_zones")?,
            size,
            spanned: kernel.offset_of("zone", "spanned_pages")?,
            start: kernel.offset_of("zone", "zone_start_pfn")?,
            present: kernel.offset_of("zone", "present_pages")?,
            name: kernel.offset_of("zone", "name")?,
            vm_stat: kernel.offset_of("zone", "vm_stat")?,
            free_item: u64::try_from(free_item).unwrap_or(0),
            lock: kernel.offset_of("zone", "lock").ok(),
            isolate: kernel.offset_of("zone", "nr_isolate_pageblock").ok(),
            cpu_pointer,
            cpu_diff,
        })
    }

    fn read(
        &self,
        kernel: &Kernel,
        node: u64,
        zone: VirtAddr,
        spanned: u64,
    ) -> Result<Zone, KernelError> {
        let start = Pfn(kernel.frames(read(kernel, zone.wrapping_add(self.start))?));
        let spanned = kernel.frames(spanned);
        let name = kernel
            .read_ptr(zone.wrapping_add(self.name))
            .and_then(|name| kernel.read_cstr(name, 16))
            .map_or_else(
                |_| format!("zone@{start}"),
                |name| String::from_utf8_lossy(&name).into_owned(),
            );
        let item = zone.wrapping_add(self.vm_stat + 8 * self.free_item);
        let percpu = kernel
            .read_ptr(zone.wrapping_add(self.cpu_pointer))
            .map_err(KernelError::reading("struct zone"))?;
        let diff = percpu.wrapping_add(self.cpu_diff + self.free_item);
        let locked = self
            .lock
            .and_then(|at| kernel.read_u32(zone.wrapping_add(at)).ok());
        let blocks = self
            .isolate
            .and_then(|at| kernel.read_u64(zone.wrapping_add(at)).ok());
        Ok(Zone {
            name,
            node,
            span: PfnRange::new(start, start.checked_add(spanned).unwrap_or(start)),
            present: kernel.frames(read(kernel, zone.wrapping_add(self.present))?),
            free: kernel.frames(with_cpus(kernel, read(kernel, item)?, diff)?),
            isolated: kernel.frames(blocks.unwrap_or(0).saturating_mul(largest_block(kernel))),
            locked: locked.is_some_and(|word| word != 0),
        })
    }
}

/// Pages of the kernel in the largest block of the buddy allocator; a pageblock has no more.
#[must_use]
pub(crate) fn largest_block(kernel: &Kernel) -> u64 {
    let orders = kernel.vmcoreinfo().length("zone.free_area");
    let order = orders
        .filter(|n| (1..=20).contains(n))
        .map_or(10, |n| n - 1);
    1 << order
}

/// Every online node with the address of its pglist_data.
fn nodes(kernel: &Kernel) -> Result<Vec<(u64, VirtAddr)>, KernelError> {
    let info = kernel.vmcoreinfo();
    if let Some(only) = info.symbol("contig_page_data") {
        return Ok(vec![(0, only)]);
    }
    let table = kernel.symbol("node_data")?;
    let count = info.length("node_data").unwrap_or(1).min(MAX_NODES);
    let mut nodes = Vec::new();
    for node in 0..count {
        let pgdat = read(kernel, table.wrapping_add(node * 8))?;
        if pgdat != 0 {
            nodes.push((node, VirtAddr(pgdat)));
        }
    }
    Ok(nodes)
}

/// Pages set aside for the capture kernel, which are no part of a dump.
pub fn reserved(kernel: &Kernel) -> u64 {
    let len = |name: &str| {
        let at = kernel.symbol(name).ok()?;
        let start = kernel.read_field(at, "resource", "start").ok()?;
        let last = kernel.read_field(at, "resource", "end").ok()?;
        (last > start).then(|| (last - start) / PAGE_SIZE + 1)
    };
    let places = ["crashk_res", "crashk_low_res"].into_iter();
    places.filter_map(len).fold(0, u64::saturating_add)
}

/// Reads the machine's totals.
///
/// # Errors
/// When BTF or the nodes cannot be found.
pub fn totals(kernel: &Kernel) -> Result<Totals, KernelError> {
    let nodes = nodes(kernel)?;
    let node = |name: &str| node_item(kernel, &nodes, name);
    let slab = node("NR_SLAB_RECLAIMABLE_B")?
        .zip(node("NR_SLAB_UNRECLAIMABLE_B")?)
        .map(|(a, b)| a + b);
    // 5.11 moved page tables from the zones to the nodes.
    let page_tables = match node("NR_PAGETABLE")? {
        None => zone_item(kernel, "NR_PAGETABLE")?,
        some => some,
    };
    let swap_cache = match node("NR_SWAPCACHE")? {
        // Before 5.12 only the absence of swap is certain.
        None => kernel
            .symbol("total_swap_pages")
            .ok()
            .and_then(|at| kernel.read_u64(at).ok())
            .filter(|pages| *pages == 0),
        some => some,
    };
    Ok(Totals {
        slab,
        page_tables,
        anon_mapped: node("NR_ANON_MAPPED")?,
        file: node("NR_FILE_PAGES")?,
        swap_cache,
        isolated_anon: node("NR_ISOLATED_ANON")?.unwrap_or(0),
        isolated_file: node("NR_ISOLATED_FILE")?.unwrap_or(0),
        hugetlb: hugetlb(kernel),
        hugetlb_locked: kernel
            .symbol("hugetlb_lock")
            .ok()
            .and_then(|at| kernel.read_u32(at).ok())
            .is_some_and(|word| word != 0),
    })
}

fn item(kernel: &Kernel, of: &str, name: &str) -> Result<Option<u64>, KernelError> {
    let number = kernel.types()?.enumerator(of, name);
    Ok(number.and_then(|number| u64::try_from(number).ok()))
}

fn node_item(
    kernel: &Kernel,
    nodes: &[(u64, VirtAddr)],
    name: &str,
) -> Result<Option<u64>, KernelError> {
    let Some(item) = item(kernel, "node_stat_item", name)? else {
        return Ok(None);
    };
    let vm_stat = kernel.offset_of("pglist_data", "vm_stat")?;
    let pointer = kernel.offset_of("pglist_data", "per_cpu_nodestats")?;
    let diff = kernel.offset_of("per_cpu_nodestat", "vm_node_stat_diff")?;
    let mut sum = 0u64;
    for (_, pgdat) in nodes {
        let value = read(kernel, pgdat.wrapping_add(vm_stat + 8 * item))?;
        let percpu = VirtAddr(read(kernel, pgdat.wrapping_add(pointer))?);
        let part = with_cpus(kernel, value, percpu.wrapping_add(diff + item))?;
        sum = sum.saturating_add(part);
    }
    Ok(Some(kernel.frames(sum)))
}

/// A counter kept in the zones, from the machine's total and the zones' per-CPU parts.
fn zone_item(kernel: &Kernel, name: &str) -> Result<Option<u64>, KernelError> {
    let Some(item) = item(kernel, "zone_stat_item", name)? else {
        return Ok(None);
    };
    let at = ZoneLayout::of(kernel)?;
    let mut sum = 0u64;
    for (_, pgdat) in nodes(kernel)? {
        let nr_zones = kernel.offset_of("pglist_data", "nr_zones")?;
        let count = read32(kernel, pgdat.wrapping_add(nr_zones))?.min(MAX_ZONES as u32);
        for number in 0..u64::from(count) {
            let zone = pgdat.wrapping_add(at.node_zones + number * at.size);
            if read(kernel, zone.wrapping_add(at.spanned))? == 0 {
                continue;
            }
            let value = read(kernel, zone.wrapping_add(at.vm_stat + 8 * item))?;
            let percpu = VirtAddr(read(kernel, zone.wrapping_add(at.cpu_pointer))?);
            let part = with_cpus(kernel, value, percpu.wrapping_add(at.cpu_diff + item))?;
            sum = sum.saturating_add(part);
        }
    }
    Ok(Some(kernel.frames(sum)))
}

/// A counter with each CPU's signed part added. Below zero, which the kernel shows as zero, is zero.
fn with_cpus(kernel: &Kernel, value: u64, diff: VirtAddr) -> Result<u64, KernelError> {
    let mut sum = value.cast_signed();
    // One that panic stopped is not online, and its part was never added.
    for cpu in kernel.possible_cpus()?.iter() {
        let at = kernel.per_cpu(diff, cpu)?;
        let part = kernel
            .read_u8(at)
            .map_err(KernelError::reading("a CPU's vm_stat_diff"))?;
        sum = sum.saturating_add(i64::from(part.cast_signed()));
    }
    Ok(u64::try_from(sum).unwrap_or(0))
}

/// Pages in all pools of hugetlb, in use or not. `None` when the kernel has no hugetlb.
fn hugetlb(kernel: &Kernel) -> Option<u64> {
    let states = kernel.symbol("hstates").ok()?;
    let count = kernel.symbol("hugetlb_max_hstate").ok()?;
    let count = u64::from(kernel.read_u32(count).ok()?).min(8);
    let size = kernel.types().ok()?.size_of("hstate").ok()?;
    let order = kernel.offset_of("hstate", "order").ok()?;
    let pages = kernel.offset_of("hstate", "nr_huge_pages").ok()?;
    let pages = (0..count).try_fold(0u64, |sum, number| {
        let state = states.wrapping_add(number * size);
        let order = kernel.read_u32(state.wrapping_add(order)).ok()?;
        let pages = kernel.read_u64(state.wrapping_add(pages)).ok()?;
        sum.checked_add(pages.checked_mul(1u64.checked_shl(order)?)?)
    });
    pages.map(|pages| kernel.frames(pages))
}

fn read(kernel: &Kernel, va: VirtAddr) -> Result<u64, KernelError> {
    kernel
        .read_u64(va)
        .map_err(KernelError::reading("a zone or node"))
}

fn read32(kernel: &Kernel, va: VirtAddr) -> Result<u32, KernelError> {
    kernel
        .read_u32(va)
        .map_err(KernelError::reading("a zone or node"))
}
