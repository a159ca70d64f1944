//! Where the machine's memory was: the kernel's own counters, by machine, node and zone.
//!
//! Facts: mm/vmstat.c, include/linux/mmzone.h, 5.10 to 7.2. The counters are global arrays plus what each
//! CPU has not yet added (`per_cpu_zonestats`, `per_cpu_nodestats`; before 5.14 in the zone's `pageset`).
//! Names come from the kernel's enums, in lower case and as /proc/vmstat writes them.

use crate::hex::Hex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, MemError, Member, chain};

/// MAX_NUMNODES of the largest kernels.
const MAX_NODES: u64 = 1024;
/// More zones than any kernel has in a node.
const MAX_ZONES: u64 = 16;

/// The machine's memory.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes that the kernel managed.
    pub total_bytes: Option<u64>,
    /// Bytes free.
    pub free_bytes: Option<u64>,
    /// Bytes of a page of the kernel; absent: 4096.
    #[serde(default = "four_kib", skip_serializing_if = "is_four_kib")]
    pub page_bytes: u64,
    /// Global counters by name: pages, or whatever the kernel counts under that name.
    pub counters: BTreeMap<String, i64>,
    /// Every zone that has pages.
    pub zones: Vec<Zone>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

fn four_kib() -> u64 {
    4096
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_four_kib(bytes: &u64) -> bool {
    *bytes == four_kib()
}

/// A zone of a node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Zone {
    /// Its node.
    pub node: u64,
    /// `DMA`, `DMA32`, `Normal`, `Movable` and so on.
    pub name: String,
    /// Its `struct zone`.
    pub address: Hex,
    /// Pages that exist.
    pub present: u64,
    /// Pages that the allocator manages.
    pub managed: u64,
    /// Pages free.
    pub free: i64,
    /// Below this only emergencies get memory.
    pub min: Option<u64>,
    /// Below this kswapd begins.
    pub low: Option<u64>,
    /// Above this kswapd rests.
    pub high: Option<u64>,
    /// The zone's counters by name, in pages.
    pub counters: BTreeMap<String, i64>,
}

/// Reads it; what cannot be read is named in the warnings.
#[must_use]
pub fn read(kernel: &Kernel) -> Memory {
    let mut memory = Memory {
        page_bytes: kernel.page_size(),
        ..Memory::default()
    };
    if let Err(why) = globals(kernel, &mut memory) {
        memory
            .warnings
            .push(format!("the memory counters: {}", chain(&why)));
    }
    if let Err(why) = zones(kernel, &mut memory) {
        memory
            .warnings
            .push(format!("the memory zones: {}", chain(&why)));
    }
    memory.free_bytes = memory.counters.get("nr_free_pages").map(|&pages| {
        pages
            .max(0)
            .cast_unsigned()
            .saturating_mul(kernel.page_size())
    });
    memory
}

fn reading(what: &'static str) -> impl FnOnce(MemError) -> KernelError {
    move |source| KernelError::Memory {
        what: what.to_owned(),
        source,
    }
}

/// The names of an enum of counters, in their order, without the count at its end.
fn names(kernel: &Kernel, ty: &str) -> Result<Vec<(String, u64)>, KernelError> {
    let types = kernel.types()?;
    let id = types.find_type(ty).ok_or_else(|| KernelError::NoType {
        name: ty.to_owned(),
    })?;
    let mut names: Vec<(String, u64)> = Vec::new();
    for (name, value) in types.enumerators(id) {
        let Ok(value) = u64::try_from(value) else {
            continue;
        };
        // Some enumerators are only marks (NR_LRU_BASE is NR_INACTIVE_ANON); the proper name of a
        // number is the last one given to it.
        names.retain(|(_, known)| *known != value);
        names.push((vmstat_name(name), value));
    }
    names.retain(|(name, _)| !name.ends_with("_items") && !name.starts_with("nr_vm_"));
    Ok(names)
}

/// The names of /proc/vmstat that are not the enumerator in lower case (`vmstat_text`).
const VMSTAT_NAMES: [(&str, &str); 14] = [
    ("NR_SLAB_RECLAIMABLE_B", "nr_slab_reclaimable"),
    ("NR_SLAB_UNRECLAIMABLE_B", "nr_slab_unreclaimable"),
    ("NR_ANON_MAPPED", "nr_anon_pages"),
    ("NR_FILE_MAPPED", "nr_mapped"),
    ("NR_FILE_DIRTY", "nr_dirty"),
    ("NR_SHMEM_THPS", "nr_shmem_hugepages"),
    ("NR_FILE_THPS", "nr_file_hugepages"),
    ("NR_ANON_THPS", "nr_anon_transparent_hugepages"),
    ("NR_VMSCAN_IMMEDIATE", "nr_vmscan_immediate_reclaim"),
    ("NR_KERNEL_STACK_KB", "nr_kernel_stack"),
    ("NR_PAGETABLE", "nr_page_table_pages"),
    ("NR_SECONDARY_PAGETABLE", "nr_sec_page_table_pages"),
    ("NR_SWAPCACHE", "nr_swapcached"),
    ("NR_FREE_CMA_PAGES", "nr_free_cma"),
];

fn vmstat_name(enumerator: &str) -> String {
    VMSTAT_NAMES
        .iter()
        .find(|(name, _)| *name == enumerator)
        .map_or_else(|| enumerator.to_lowercase(), |(_, name)| (*name).to_owned())
}

/// One counter array with the parts that CPUs keep back.
struct Parts {
    /// Addresses of `s8 vm_stat_diff[]`, one per CPU.
    diffs: Vec<VirtAddr>,
}

impl Parts {
    /// `base.pointer` is a per-CPU pointer to objects in which `array` stands.
    fn of(
        kernel: &Kernel,
        base: VirtAddr,
        pointer: &Member,
        array: u64,
    ) -> Result<Self, KernelError> {
        let percpu = VirtAddr(kernel.read_member(base, pointer)?);
        let diffs = kernel
            .online_cpus()?
            .iter()
            .map(|cpu| Ok(kernel.per_cpu(percpu, cpu)?.wrapping_add(array)))
            .collect::<Result<_, KernelError>>()?;
        Ok(Self { diffs })
    }

    fn sum(&self, kernel: &Kernel, index: u64) -> i64 {
        self.diffs
            .iter()
            .filter_map(|diff| kernel.read_u8(diff.wrapping_add(index)).ok())
            .map(|part| i64::from(part.cast_signed()))
            .sum()
    }
}

fn globals(kernel: &Kernel, memory: &mut Memory) -> Result<(), KernelError> {
    let total = kernel.symbol("_totalram_pages")?;
    let pages = kernel.read_u64(total).map_err(reading("_totalram_pages"))?;
    memory.total_bytes = pages.checked_mul(kernel.page_size());
    for (array, ty) in [
        ("vm_zone_stat", "zone_stat_item"),
        ("vm_node_stat", "node_stat_item"),
    ] {
        let at = kernel.symbol(array)?;
        for (name, index) in names(kernel, ty)? {
            let value = kernel
                .read_u64(at.wrapping_add(index.saturating_mul(8)))
                .map_err(reading("a memory counter"))?;
            memory.counters.insert(name, value.cast_signed());
        }
    }
    Ok(())
}

fn zones(kernel: &Kernel, memory: &mut Memory) -> Result<(), KernelError> {
    let layout = Layout::of(kernel)?;
    for (number, node) in nodes(kernel)? {
        // What CPUs keep back belongs to the global figures too.
        if let Some((pointer, array)) = &layout.node_parts
            && let Ok(parts) = Parts::of(kernel, node, pointer, *array)
        {
            for (name, index) in &layout.node_names {
                if let Some(total) = memory.counters.get_mut(name) {
                    *total += parts.sum(kernel, *index);
                }
            }
        }
        let count = kernel.read_member(node, &layout.nr_zones)?.min(MAX_ZONES);
        for index in 0..count {
            let at = node
                .wrapping_add(layout.node_zones)
                .wrapping_add(index.saturating_mul(layout.zone_size));
            let present = kernel.read_member(at, &layout.present)?;
            let zone = layout.zone(kernel, number, at, present, &mut memory.counters)?;
            if present > 0 {
                memory.zones.push(zone);
            }
        }
    }
    Ok(())
}

/// The nodes that are online, with their numbers.
fn nodes(kernel: &Kernel) -> Result<Vec<(u64, VirtAddr)>, KernelError> {
    if let Ok(single) = kernel.symbol("contig_page_data") {
        return Ok(vec![(0, single)]);
    }
    let table = kernel.symbol("node_data")?;
    let length = kernel
        .vmcoreinfo()
        .length("node_data")
        .unwrap_or(1)
        .min(MAX_NODES);
    let mut nodes = Vec::new();
    for number in 0..length {
        let node = kernel
            .read_ptr(table.wrapping_add(number * 8))
            .map_err(reading("node_data"))?;
        if node.0 != 0 {
            nodes.push((number, node));
        }
    }
    Ok(nodes)
}

struct Layout {
    zone_size: u64,
    node_zones: u64,
    nr_zones: Member,
    name: Member,
    present: Member,
    managed: Member,
    watermarks: Option<u64>,
    boost: Option<Member>,
    vm_stat: u64,
    zone_names: Vec<(String, u64)>,
    node_names: Vec<(String, u64)>,
    /// The per-CPU pointer and the offset of the array of differences in what it points to.
    zone_parts: Option<(Member, u64)>,
    node_parts: Option<(Member, u64)>,
}

impl Layout {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let types = kernel.types()?;
        let zone = |path: &str| types.member("zone", path);
        let node = |path: &str| types.member("pglist_data", path);
        let parts = |pointer: Result<Member, _>, ty: &str, array: &str| -> Option<(Member, u64)> {
            let pointer: Result<Member, KernelError> = pointer;
            Some((pointer.ok()?, types.member(ty, array).ok()?.offset))
        };
        Ok(Self {
            zone_size: types.size_of("zone")?,
            node_zones: node("node_zones")?.offset,
            nr_zones: node("nr_zones")?,
            name: zone("name")?,
            present: zone("present_pages")?,
            managed: zone("managed_pages.counter").or_else(|_| zone("managed_pages"))?,
            watermarks: zone("_watermark").ok().map(|member| member.offset),
            boost: zone("watermark_boost").ok(),
            vm_stat: zone("vm_stat")?.offset,
            zone_names: names(kernel, "zone_stat_item")?,
            node_names: names(kernel, "node_stat_item")?,
            zone_parts: parts(
                zone("per_cpu_zonestats"),
                "per_cpu_zonestat",
                "vm_stat_diff",
            )
            .or_else(|| parts(zone("pageset"), "per_cpu_pageset", "vm_stat_diff")),
            node_parts: parts(
                node("per_cpu_nodestats"),
                "per_cpu_nodestat",
                "vm_node_stat_diff",
            ),
        })
    }

    fn zone(
        &self,
        kernel: &Kernel,
        node: u64,
        at: VirtAddr,
        present: u64,
        totals: &mut BTreeMap<String, i64>,
    ) -> Result<Zone, KernelError> {
        let name = kernel.read_member(at, &self.name)?;
        let name = kernel.read_cstr(VirtAddr(name), 32).unwrap_or_default();
        let boost = self
            .boost
            .as_ref()
            .and_then(|boost| kernel.read_member(at, boost).ok())
            .unwrap_or(0);
        let watermark = |index: u64| -> Option<u64> {
            let at = at.wrapping_add(self.watermarks?).wrapping_add(index * 8);
            kernel.read_u64(at).ok()?.checked_add(boost)
        };
        let parts = match &self.zone_parts {
            Some((pointer, array)) => Parts::of(kernel, at, pointer, *array).ok(),
            None => None,
        };
        let mut counters = BTreeMap::new();
        for (name, index) in &self.zone_names {
            let slot = at
                .wrapping_add(self.vm_stat)
                .wrapping_add(index.saturating_mul(8));
            let value = kernel
                .read_u64(slot)
                .map_err(reading("a counter of a zone"))?
                .cast_signed();
            let part = parts.as_ref().map_or(0, |parts| parts.sum(kernel, *index));
            counters.insert(name.clone(), value.saturating_add(part));
            if let Some(total) = totals.get_mut(name) {
                *total = total.saturating_add(part);
            }
        }
        Ok(Zone {
            node,
            name: String::from_utf8_lossy(&name).into_owned(),
            address: at.into(),
            present,
            managed: kernel.read_member(at, &self.managed)?,
            free: counters.get("nr_free_pages").copied().unwrap_or(0),
            min: watermark(0),
            low: watermark(1),
            high: watermark(2),
            counters,
        })
    }
}
