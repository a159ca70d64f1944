//! Slab caches by the memory they take.
//!
//! Facts: mm/slub.c, mm/slab.h, 5.10 to 7.2. `node[]` became `per_node[].node` in 7.x. Objects that CPUs keep
//! ready are free here, as crash's `kmem -s` counts them; /proc/slabinfo counts them as in use.

mod free;

use crate::hex::Hex;
use serde::{Deserialize, Serialize};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Member};

/// No kernel has more caches.
const MAX_CACHES: u64 = 65_536;
/// `kmem_cache.oo.x`: the order of a slab from this bit on, the objects in it below.
const OO_SHIFT: u32 = 16;

/// A slab cache.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cache {
    /// Its name.
    pub name: String,
    /// Its `struct kmem_cache`.
    pub address: Hex,
    /// Bytes that one object asks for.
    pub object_size: u64,
    /// Bytes that one object takes.
    pub size: u64,
    /// Objects it has room for, used or free.
    pub objects: u64,
    /// Objects in use, where the free ones could be counted.
    #[serde(default)]
    pub in_use: Option<u64>,
    /// Slabs.
    pub slabs: u64,
    /// Bytes of all slabs.
    pub bytes: u64,
}

/// Reads all caches, the largest first.
///
/// # Errors
/// When the list of caches or its layout is not to be had (SLUB only; no other allocator since 6.8).
pub fn read(kernel: &Kernel) -> Result<Vec<Cache>, KernelError> {
    let mut caches = read_room(kernel)?;
    let Ok(counter) = free::Counter::of(kernel) else {
        return Ok(caches);
    };
    for cache in &mut caches {
        let free = counter.free(cache);
        cache.in_use = free.ok().and_then(|free| cache.objects.checked_sub(free));
    }
    Ok(caches)
}

/// The same without the objects in use, which take a look at each partial slab.
///
/// # Errors
/// As [`read`].
pub fn read_room(kernel: &Kernel) -> Result<Vec<Cache>, KernelError> {
    let head = kernel.symbol("slab_caches")?;
    let cache = |path: &str| kernel.member("kmem_cache", path);
    let link = cache("list")?.offset;
    let (name, oo) = (cache("name")?, cache("oo.x")?);
    let (size, object_size) = (cache("size")?, cache("object_size")?);
    let nodes = node_members(kernel)?;
    let slabs = kernel.member("kmem_cache_node", "nr_slabs")?;
    let objects = kernel.member("kmem_cache_node", "total_objects")?;
    let mut caches = Vec::new();
    for at in kernel.list(head, link, MAX_CACHES, "the list of slab caches") {
        let at = at?;
        let number = |member: &Member| kernel.read_member(at, member);
        let mut this = Cache {
            name: String::from_utf8_lossy(
                &kernel
                    .read_cstr(VirtAddr(number(&name)?), 128)
                    .unwrap_or_default(),
            )
            .into_owned(),
            address: at.into(),
            object_size: number(&object_size)? & 0xffff_ffff,
            size: number(&size)? & 0xffff_ffff,
            objects: 0,
            in_use: None,
            slabs: 0,
            bytes: 0,
        };
        for node in &nodes {
            let node = VirtAddr(number(node)?);
            if node.0 == 0 {
                continue;
            }
            this.slabs = this.slabs.saturating_add(kernel.read_member(node, &slabs)?);
            this.objects = this
                .objects
                .saturating_add(kernel.read_member(node, &objects)?);
        }
        let order = u32::try_from(number(&oo)? & 0xffff_ffff).unwrap_or(0) >> OO_SHIFT;
        this.bytes = kernel
            .page_size()
            .checked_shl(order)
            .unwrap_or(0)
            .saturating_mul(this.slabs);
        caches.push(this);
    }
    caches.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    Ok(caches)
}

/// The pointers to `kmem_cache_node` in a cache, of the nodes that have memory.
fn node_members(kernel: &Kernel) -> Result<Vec<Member>, KernelError> {
    let cache = |path: &str| kernel.member("kmem_cache", path);
    let node =
        |n: u64| cache(&format!("node[{n}]")).or_else(|_| cache(&format!("per_node[{n}].node")));
    online_nodes(kernel).into_iter().map(node).collect()
}

/// The numbers of the nodes that have memory.
fn online_nodes(kernel: &Kernel) -> Vec<u64> {
    let Some(table) = kernel.vmcoreinfo().symbol("node_data") else {
        return vec![0];
    };
    let length = kernel.vmcoreinfo().length("node_data").unwrap_or(1);
    let nodes: Vec<u64> = (0..length.min(1024))
        .filter(|n| {
            kernel
                .read_u64(table.wrapping_add(n * 8))
                .is_ok_and(|node| node != 0)
        })
        .collect();
    if nodes.is_empty() { vec![0] } else { nodes }
}

#[cfg(test)]
mod tests {
    use crate::toy;
    use synth::kernel::{Crash, Kernel};

    #[test]
    fn what_cpus_keep_ready_is_free() {
        let kernel = toy::of_bytes(&Kernel::new(Crash::Sysrq).elf());
        let caches = super::read(&kernel).unwrap();
        let [cache] = caches.as_slice() else {
            panic!("{caches:?}");
        };
        // 128 in a partial slab of the node; of CPU 0 two in its list, one that somebody else gave back, and ten
        // in its partial slab.
        assert_eq!((cache.objects, cache.in_use), (510, Some(510 - 141)));
        assert_eq!(super::read_room(&kernel).unwrap()[0].in_use, None);
    }
}
