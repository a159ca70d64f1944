//! The free objects of a slab cache.
//!
//! Facts: mm/slub.c and mm/slab.h, 5.10 to 7.2. A slab knows how many of its objects are in use, and the rest
//! is free. A CPU that works with a slab has taken its free objects: all of them count as in use there, and the
//! CPU has a list of its own (`kmem_cache_cpu.freelist`, up to 6.19). From 6.18 on, arrays of free objects
//! (sheaves) stand before the slabs: two a CPU, and full ones of each node in its barn. The third sheaf of a CPU,
//! `rcu_free`, holds objects that someone may still read, so they count as in use.

use super::Cache;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Member};

/// Slabs in one list, and full sheaves of a node.
const MAX_LIST: u64 = 65_536;
/// Objects of one slab (15 bits in `struct slab`).
const MAX_OBJECTS: u64 = 32_767;

/// Counts the free objects of caches. `struct slab` since 5.17, members of `struct page` before.
pub(super) struct Counter<'k> {
    kernel: &'k Kernel,
    nodes: Vec<Member>,
    head: u64,
    link: u64,
    slab: Slab,
    cpus: Vec<u32>,
    lists: Option<CpuLists>,
    sheaves: Option<Sheaves>,
}

/// `struct slab`
struct Slab {
    objects: Member,
    in_use: Member,
}

/// `struct kmem_cache_cpu`, and what decodes a list of free objects.
struct CpuLists {
    of_cache: Member,
    free: Member,
    slab: Member,
    /// Only with CONFIG_SLUB_CPU_PARTIAL.
    partial: Option<(Member, Member)>,
    /// Where a free object holds the address of the next.
    offset: Member,
    /// `kmem_cache.random`, with CONFIG_SLAB_FREELIST_HARDENED: the addresses are mixed with it.
    random: Option<Member>,
}

/// `struct slub_percpu_sheaves`, `struct slab_sheaf` and `struct node_barn`
struct Sheaves {
    of_cache: Member,
    cpu: [Member; 2],
    size: Member,
    full: u64,
    link: u64,
    barns: Vec<(Member, Option<Member>)>,
}

impl<'k> Counter<'k> {
    /// # Errors
    /// The layout of slabs is not to be had.
    pub(super) fn of(kernel: &'k Kernel) -> Result<Self, KernelError> {
        let slab = |path: &str| {
            let of_page = |_| kernel.member("page", path);
            kernel.member("slab", path).or_else(of_page)
        };
        let lists = CpuLists::of(kernel);
        let sheaves = Sheaves::of(kernel);
        // A kernel has one of both at least: without it, what CPUs keep is not known.
        let (lists, sheaves) = match (lists, sheaves) {
            (Err(why), Err(_)) => return Err(why),
            (lists, sheaves) => (lists.ok(), sheaves.ok()),
        };
        Ok(Self {
            kernel,
            nodes: super::node_members(kernel)?,
            head: kernel.member("kmem_cache_node", "partial")?.offset,
            link: slab("slab_list")?.offset,
            slab: Slab {
                objects: slab("objects")?,
                in_use: slab("inuse")?,
            },
            cpus: kernel.possible_cpus()?.iter().collect(),
            lists,
            sheaves,
        })
    }

    /// Free objects of a cache.
    ///
    /// # Errors
    /// A slab, a list or a sheaf cannot be read, or makes no sense.
    pub(super) fn free(&self, cache: &Cache) -> Result<u64, KernelError> {
        let at = VirtAddr::from(cache.address);
        let mut free = 0_u64;
        for node in &self.nodes {
            let node = self.pointer(at, node)?;
            if node.0 == 0 {
                continue;
            }
            let head = node.wrapping_add(self.head);
            let partial = self
                .kernel
                .list(head, self.link, MAX_LIST, "a list of partial slabs");
            for slab in partial {
                free = free.saturating_add(self.in_slab(slab?)?);
            }
        }
        if let Some(lists) = &self.lists {
            free = free.saturating_add(self.of_cpus(lists, at, cache)?);
        }
        if let Some(sheaves) = &self.sheaves {
            free = free.saturating_add(self.of_sheaves(sheaves, at)?);
        }
        Ok(free)
    }

    fn pointer(&self, at: VirtAddr, member: &Member) -> Result<VirtAddr, KernelError> {
        Ok(VirtAddr(self.kernel.read_member(at, member)?))
    }

    /// Free objects that the slab itself has.
    fn in_slab(&self, slab: VirtAddr) -> Result<u64, KernelError> {
        let objects = self.kernel.read_member(slab, &self.slab.objects)?;
        let in_use = self.kernel.read_member(slab, &self.slab.in_use)?;
        Ok(objects.saturating_sub(in_use))
    }

    fn of_cpus(&self, lists: &CpuLists, at: VirtAddr, cache: &Cache) -> Result<u64, KernelError> {
        let of_cache = self.pointer(at, &lists.of_cache)?;
        let mut free = 0_u64;
        for cpu in &self.cpus {
            let own = self.kernel.per_cpu(of_cache, *cpu)?;
            let slab = self.pointer(own, &lists.slab)?;
            if slab.0 != 0 {
                let first = self.pointer(own, &lists.free)?;
                let taken = self.list_of(lists, at, first, cache)?;
                free = free.saturating_add(taken + self.in_slab(slab)?);
            }
            let Some((first, next)) = &lists.partial else {
                continue;
            };
            let mut slab = self.pointer(own, first)?;
            let mut left = MAX_LIST;
            while slab.0 != 0 {
                free = free.saturating_add(self.in_slab(slab)?);
                slab = self.pointer(slab, next)?;
                left = left
                    .checked_sub(1)
                    .ok_or_else(|| endless("slabs of a CPU"))?;
            }
        }
        Ok(free)
    }

    /// Objects in a list of free ones.
    fn list_of(
        &self,
        lists: &CpuLists,
        at: VirtAddr,
        first: VirtAddr,
        cache: &Cache,
    ) -> Result<u64, KernelError> {
        let offset = self.kernel.read_member(at, &lists.offset)?;
        let random = match &lists.random {
            Some(random) => Some(self.kernel.read_member(at, random)?),
            None => None,
        };
        // A slab is no larger than its objects, whatever order it has.
        let reach = cache.size.saturating_mul(MAX_OBJECTS);
        let mut object = first;
        let mut count = 0;
        while object.0 != 0 {
            count += 1;
            if count > MAX_OBJECTS || object.0.abs_diff(first.0) > reach {
                return Err(endless("free objects of a CPU"));
            }
            let link = object.wrapping_add(offset);
            let stored = self
                .kernel
                .read_u64(link)
                .map_err(|source| KernelError::Memory {
                    what: "a free object".into(),
                    source,
                })?;
            object = VirtAddr(match random {
                Some(random) => stored ^ random ^ link.0.swap_bytes(),
                None => stored,
            });
        }
        Ok(count)
    }

    fn of_sheaves(&self, sheaves: &Sheaves, at: VirtAddr) -> Result<u64, KernelError> {
        let of_cache = self.pointer(at, &sheaves.of_cache)?;
        let mut free = 0_u64;
        if of_cache.0 == 0 {
            return Ok(0);
        }
        for cpu in &self.cpus {
            let own = self.kernel.per_cpu(of_cache, *cpu)?;
            for sheaf in &sheaves.cpu {
                let sheaf = self.pointer(own, sheaf)?;
                if sheaf.0 != 0 {
                    free = free.saturating_add(self.kernel.read_member(sheaf, &sheaves.size)?);
                }
            }
        }
        for (outer, inner) in &sheaves.barns {
            let mut barn = self.pointer(at, outer)?;
            if let (Some(inner), true) = (inner, barn.0 != 0) {
                barn = self.pointer(barn, inner)?;
            }
            if barn.0 == 0 {
                continue;
            }
            let head = barn.wrapping_add(sheaves.full);
            let full = self
                .kernel
                .list(head, sheaves.link, MAX_LIST, "the full sheaves of a node");
            for sheaf in full {
                free = free.saturating_add(self.kernel.read_member(sheaf?, &sheaves.size)?);
            }
        }
        Ok(free)
    }
}

fn endless(what: &'static str) -> KernelError {
    KernelError::Corrupt {
        what: "A list in a slab cache",
        why: format!("the {what} lead nowhere"),
    }
}

impl CpuLists {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let cache = |path: &str| kernel.member("kmem_cache", path);
        let cpu = |path: &str| kernel.member("kmem_cache_cpu", path);
        let next = kernel
            .member("slab", "next")
            .or_else(|_| kernel.member("page", "next"));
        Ok(Self {
            of_cache: cache("cpu_slab")?,
            free: cpu("freelist")?,
            slab: cpu("slab").or_else(|_| cpu("page"))?,
            partial: cpu("partial").ok().zip(next.ok()),
            offset: cache("offset")?,
            random: cache("random").ok(),
        })
    }
}

impl Sheaves {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let cpu = |path: &str| kernel.member("slub_percpu_sheaves", path);
        let node_barn = kernel.member("kmem_cache_node", "barn");
        // In the node's own structure in 6.18 and 6.19, beside its pointer since.
        let barns = match node_barn {
            Ok(barn) => {
                let nodes = super::node_members(kernel)?.into_iter();
                nodes.map(|node| (node, Some(barn))).collect()
            }
            Err(_) => super::online_nodes(kernel)
                .into_iter()
                .map(|n| kernel.member("kmem_cache", &format!("per_node[{n}].barn")))
                .map(|barn| barn.map(|barn| (barn, None)))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            of_cache: kernel.member("kmem_cache", "cpu_sheaves")?,
            cpu: [cpu("main")?, cpu("spare")?],
            size: kernel.member("slab_sheaf", "size")?,
            full: kernel.member("node_barn", "sheaves_full")?.offset,
            link: kernel.member("slab_sheaf", "barn_list")?.offset,
            barns,
        })
    }
}
