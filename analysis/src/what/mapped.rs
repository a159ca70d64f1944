//! Who maps a page into user space.
//!
//! Facts: mm/rmap.c, include/linux/rmap.h, include/linux/fs.h, 5.10 to 7.2. The low bits of `mapping` tell:
//! 1 is an `anon_vma` (plus 1), whose tree has an `anon_vma_chain` for each mapping; 0 is an
//! `address_space`, whose `i_mmap` has the mappings themselves; both are interval trees. A mapping shows
//! page `index` at `vm_start + (index - vm_pgoff)` pages; the tree may also hold mappings that have
//! their own copy by now, so that an answer is given only where the process's page tables lead to the page.

use super::{Page, tasks};
use crate::hex::Hex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use vmcore::addr::{PAGE_SIZE, PhysAddr, VirtAddr};
use vmcore::kernel::{Kernel, KernelError};

/// Mappings of one page that are looked at: a library's are as many as there are processes.
const MAX_MAPPINGS: u64 = 65_536;
/// Processes told.
const TOLD: usize = 16;
/// User addresses end below, with four levels of page tables and with five.
const USER_END: u64 = 1 << 56;

/// A process and where it sees the page.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Mapped {
    /// The process.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// The address in its memory.
    pub address: Hex,
    /// Where that lies in physical memory.
    pub physical: Hex,
}

/// The processes that map the page at `pa`, at most [`TOLD`].
pub(super) fn by(kernel: &Kernel, pa: PhysAddr, page: &Page) -> Vec<Mapped> {
    mappings(kernel, pa, page).unwrap_or_default()
}

/// The processes in whose memory the user address `at` is, at most [`TOLD`].
pub(super) fn at(kernel: &Kernel, at: VirtAddr) -> Vec<Mapped> {
    if at.0 >= USER_END || at.0 < PAGE_SIZE {
        return Vec::new();
    }
    let mut found = Vec::new();
    let _ = tasks::for_each(kernel, tasks::Options::default(), |task| {
        let place = Some(task.mm.0).filter(|mm| *mm != 0 && task.is_leader());
        let place = place.and_then(|mm| seen(kernel, mm, at));
        found.extend(place.map(|pa| Mapped {
            pid: task.pid,
            comm: task.comm,
            address: at.into(),
            physical: Hex(pa.0),
        }));
        match found.len() < TOLD {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    found
}

fn mappings(kernel: &Kernel, pa: PhysAddr, page: &Page) -> Result<Vec<Mapped>, KernelError> {
    let Some(struct_page) = page.struct_page.map(VirtAddr::from) else {
        return Ok(Vec::new());
    };
    // The first part of a large page has the mapping, as everything of a `struct folio` (5.16 on).
    let link = kernel.read_field(struct_page, "page", "compound_head")?;
    let head = match link & 1 {
        1 => VirtAddr(link & !1),
        _ => struct_page,
    };
    let bytes = kernel.types()?.size_of("page")?;
    let within = struct_page
        .offset_from(head)
        .and_then(|at| at.checked_div(bytes));
    let ty = match kernel.member("folio", "index") {
        Ok(_) => "folio",
        Err(_) => "page",
    };
    let mapping = kernel.read_field(head, ty, "mapping")?;
    let index = kernel.read_field(head, ty, "index")?;
    let index = index.wrapping_add(within.unwrap_or(0));
    let areas = match mapping & 3 {
        0 if mapping != 0 => of_file(kernel, VirtAddr(mapping))?,
        1 => of_anonymous(kernel, VirtAddr(mapping & !3))?,
        _ => Vec::new(),
    };
    let mut found: BTreeMap<u64, VirtAddr> = BTreeMap::new();
    for area in areas {
        let field = |name| kernel.read_field(area, "vm_area_struct", name);
        let (start, end, first) = (field("vm_start")?, field("vm_end")?, field("vm_pgoff")?);
        let offset = index
            .checked_sub(first)
            .and_then(|pages| pages.checked_mul(kernel.page_size()));
        let at = offset
            .and_then(|offset| start.checked_add(offset))
            .filter(|at| *at < end);
        let Some(at) = at.map(VirtAddr) else { continue };
        let mm = field("vm_mm")?;
        let page = |pa: PhysAddr| pa.0 / kernel.page_size();
        if seen(kernel, mm, at).is_some_and(|seen| page(seen) == page(pa)) {
            found.insert(mm, at.wrapping_add(pa.0 % kernel.page_size()));
        }
    }
    Ok(owners(kernel, pa, &found))
}

/// The tasks whose memory these are.
fn owners(kernel: &Kernel, pa: PhysAddr, found: &BTreeMap<u64, VirtAddr>) -> Vec<Mapped> {
    let mut all = Vec::new();
    if found.is_empty() {
        return all;
    }
    let _ = tasks::for_each(kernel, tasks::Options::default(), |task| {
        let at = found.get(&task.mm.0).filter(|_| task.is_leader());
        all.extend(at.map(|at| Mapped {
            pid: task.pid,
            comm: task.comm,
            address: Hex(at.0),
            physical: Hex(pa.0),
        }));
        match all.len() < TOLD {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    all
}

/// The `vm_area_struct`s that map a file.
fn of_file(kernel: &Kernel, mapping: VirtAddr) -> Result<Vec<VirtAddr>, KernelError> {
    let root = kernel.member("address_space", "i_mmap")?.offset;
    let link = kernel.member("vm_area_struct", "shared.rb")?.offset;
    let root = mapping.wrapping_add(root);
    let areas = kernel.tree(root, link, MAX_MAPPINGS, "the mappings of a file");
    // Up to where the tree is damaged.
    Ok(areas.map_while(Result::ok).collect())
}

/// The `vm_area_struct`s that may map an anonymous page.
fn of_anonymous(kernel: &Kernel, anon: VirtAddr) -> Result<Vec<VirtAddr>, KernelError> {
    let root = kernel.member("anon_vma", "rb_root")?.offset;
    let link = kernel.member("anon_vma_chain", "rb")?.offset;
    let root = anon.wrapping_add(root);
    let chains = kernel.tree(root, link, MAX_MAPPINGS, "the mappings of a page");
    let area = |chain| kernel.read_field(chain, "anon_vma_chain", "vma").ok();
    let areas = chains.map_while(Result::ok).filter_map(area);
    Ok(areas.map(VirtAddr).collect())
}

/// Where a process sees an address, by its page tables.
fn seen(kernel: &Kernel, mm: u64, at: VirtAddr) -> Option<PhysAddr> {
    let pgd = kernel.read_field(VirtAddr(mm), "mm_struct", "pgd").ok()?;
    let pgd = kernel.translate(VirtAddr(pgd)).ok()?;
    kernel.translate_user(pgd, at).ok()
}
