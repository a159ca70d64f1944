//! The vmalloc area that an address lies in.
//!
//! Facts: mm/vmalloc.c, include/linux/vmalloc.h: `struct vmap_area`s are nodes of a red-black tree in the
//! order of their addresses: `vmap_area_root` up to 6.8, one tree in each of `nr_vmap_nodes`
//! `struct vmap_node`s since. `vm` is null for what vm_map_ram mapped.

use crate::hex::Hex;
use serde::Serialize;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, MemError};

/// The offsets of rb_right and rb_left in `struct rb_node`, the same since 2.6.
const RB_RIGHT: u64 = 8;
const RB_LEFT: u64 = 16;
/// A red-black tree of 2^40 nodes is no deeper.
const MAX_DEPTH: usize = 80;
/// The kernel makes one node a CPU, 128 at most; more is damage.
const MAX_NODES: u64 = 1024;

/// Flags of `vm_struct` that say what an area is for, the same from 5.10 to 7.2.
const KINDS: [(u64, &str); 3] = [(1, "ioremap"), (2, "vmalloc"), (4, "vmap")];

/// A vmalloc area.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Area {
    /// Its first address.
    pub address: Hex,
    /// Its length in bytes, a guard page behind it included.
    pub size: u64,
    /// Bytes from its start.
    pub offset: u64,
    /// `vmalloc`, `vmap`, `ioremap` or `vm_map_ram`.
    pub kind: &'static str,
    /// Who asked for it.
    pub caller: Option<String>,
}

/// The area that `at` lies in.
pub(super) fn area(kernel: &Kernel, at: VirtAddr) -> Option<Area> {
    roots(kernel)
        .ok()?
        .into_iter()
        .find_map(|root| find(kernel, root, at).ok().flatten())
}

/// Where the roots of the trees are.
fn roots(kernel: &Kernel) -> Result<Vec<VirtAddr>, KernelError> {
    if let Ok(root) = kernel.symbol("vmap_area_root") {
        return Ok(vec![root]);
    }
    let first = pointer(kernel, kernel.symbol("vmap_nodes")?)?;
    let count = kernel.read_i32(kernel.symbol("nr_vmap_nodes")?);
    let count = count.map_err(unreadable)?;
    let each = kernel.types()?.size_of("vmap_node")?;
    let root = kernel.member("vmap_node", "busy.root")?.offset;
    let count = u64::try_from(count).unwrap_or(0).min(MAX_NODES);
    let nodes = (0..count).map(|n| first.wrapping_add(n.saturating_mul(each)));
    Ok(nodes.map(|node| node.wrapping_add(root)).collect())
}

fn unreadable(source: MemError) -> KernelError {
    KernelError::Memory {
        what: "the vmalloc areas".to_owned(),
        source,
    }
}

fn pointer(kernel: &Kernel, at: VirtAddr) -> Result<VirtAddr, KernelError> {
    kernel.read_ptr(at).map_err(unreadable)
}

fn find(kernel: &Kernel, root: VirtAddr, at: VirtAddr) -> Result<Option<Area>, KernelError> {
    let link = kernel.member("vmap_area", "rb_node")?.offset;
    let start = kernel.member("vmap_area", "va_start")?;
    let end = kernel.member("vmap_area", "va_end")?;
    let mut next = root;
    for _ in 0..MAX_DEPTH {
        let node = pointer(kernel, next)?;
        if node.0 == 0 {
            return Ok(None);
        }
        let area = VirtAddr(node.0.wrapping_sub(link));
        let first = kernel.read_member(area, &start)?;
        let last = kernel.read_member(area, &end)?;
        if at.0 < first {
            next = node.wrapping_add(RB_LEFT);
        } else if at.0 >= last {
            next = node.wrapping_add(RB_RIGHT);
        } else {
            let (kind, caller) = described(kernel, area);
            return Ok(Some(Area {
                address: Hex(first),
                size: last.saturating_sub(first),
                offset: at.0.saturating_sub(first),
                kind,
                caller,
            }));
        }
    }
    Ok(None)
}

/// What an area is for, and who asked for it.
fn described(kernel: &Kernel, area: VirtAddr) -> (&'static str, Option<String>) {
    let vm = kernel.read_field(area, "vmap_area", "vm").unwrap_or(0);
    if vm == 0 {
        return ("vm_map_ram", None);
    }
    let field = |name| kernel.read_field(VirtAddr(vm), "vm_struct", name).ok();
    let flags = field("flags").unwrap_or(0);
    let kind = KINDS.iter().find(|(flag, _)| flags & flag != 0);
    let caller = field("caller").and_then(|at| kernel.resolve(VirtAddr(at)));
    (
        kind.map_or("unknown", |(_, kind)| kind),
        caller.map(|at| at.to_string()),
    )
}
