//! What stands at an address: symbol, per-CPU variable, task or stack, slab object, vmalloc area, page, and
//! who maps that.
//!
//! Facts: mm/slab.h (`struct slab` since 5.17, `page.slab_cache` before), include/linux/mmzone.h,
//! include/asm-generic/vmlinux.lds.h. Each fact is sought by itself; what this dump cannot tell is left out.

mod mapped;
mod vmalloc;

pub use mapped::Mapped;
pub use vmalloc::Area;

use crate::hex::Hex;
use crate::tasks;
use crate::unwind::{StackKind, cpu_stacks, stack_bytes};
use serde::Serialize;
use std::ops::ControlFlow;
use vmcore::addr::{Pfn, PfnRange, PhysAddr, VirtAddr};
use vmcore::kernel::{Kernel, KernelError, Member, Resolved, chain};
use vmcore::mm::{self, Kind, Rules};

/// Longest name of a slab cache.
const MAX_NAME: usize = 128;

/// What stands at an address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct What {
    /// The address.
    pub address: Hex,
    /// Where it lies in physical memory.
    pub physical: Option<Hex>,
    /// Why that is not known.
    pub unmapped: Option<String>,
    /// The symbol it belongs to.
    pub symbol: Option<Symbol>,
    /// The per-CPU variable it belongs to.
    pub per_cpu: Option<PerCpu>,
    /// The task in whose `task_struct` or stack it lies.
    pub task: Option<OfTask>,
    /// The interrupt, exception or entry stack it lies in.
    pub stack: Option<Stack>,
    /// The vmalloc area it lies in.
    pub vmalloc: Option<Area>,
    /// The slab object it lies in.
    pub slab: Option<Object>,
    /// The page it lies in.
    pub page: Option<Page>,
    /// The processes that map the page, or in whose memory the address is one; 16 at most.
    pub mapped_by: Vec<Mapped>,
}

/// A symbol and the distance from it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Bytes from its start.
    pub offset: u64,
    /// Bytes to the next symbol.
    pub size: u64,
    /// The module it is of.
    pub module: Option<String>,
}

/// A per-CPU variable of one CPU.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PerCpu {
    /// The CPU.
    pub cpu: u32,
    /// The variable.
    pub name: String,
    /// Bytes from its start.
    pub offset: u64,
    /// The module it is of.
    pub module: Option<String>,
}

/// A stack that is no task's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stack {
    /// The CPU.
    pub cpu: u32,
    /// `interrupt`, `entry`, or the exception's name: `NMI`, `DF`.
    pub kind: &'static str,
    /// Its first address.
    pub address: Hex,
    /// Bytes from there.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
}

/// A task that the address belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OfTask {
    /// Its `task_struct`.
    pub address: Hex,
    /// Its thread id.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// `task_struct` or `stack`.
    pub part: &'static str,
    /// Bytes from the start of that.
    pub offset: u64,
}

/// An object of a slab cache; it may be in use or free.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Object {
    /// The cache's name.
    pub cache: String,
    /// Its `struct kmem_cache`.
    pub cache_address: Hex,
    /// Where the object begins, space before it that a debug option adds included.
    pub object: Hex,
    /// Bytes from there.
    pub offset: u64,
    /// Bytes that each object takes.
    pub size: u64,
}

/// A page of memory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Page {
    /// Its number.
    pub number: u64,
    /// Its `struct page`.
    pub struct_page: Option<Hex>,
    /// What it was used for, as `pages` names it.
    pub kind: &'static str,
}

impl What {
    /// Whether nothing is known of the address.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.physical.is_none()
            && self.symbol.is_none()
            && self.per_cpu.is_none()
            && self.task.is_none()
            && self.mapped_by.is_empty()
    }
}

/// Finds out what stands at `at`.
#[must_use]
pub fn read(kernel: &Kernel, at: VirtAddr) -> What {
    let place = kernel.translate(at);
    let physical = place.as_ref().ok().copied();
    let rules = Rules::of(kernel);
    let page = physical.and_then(|pa| page(kernel, &rules, pa));
    let slab = page
        .as_ref()
        .filter(|page| page.kind == Kind::Slab.name())
        .zip(physical)
        .and_then(|(page, pa)| object(kernel, at, pa, page));
    let mapped_by = match (physical, &page) {
        (Some(pa), Some(page)) => mapped::by(kernel, pa, page),
        _ => mapped::at(kernel, at),
    };
    What {
        address: at.into(),
        physical: physical.map(|pa| Hex(pa.0)),
        unmapped: place.err().map(|why| chain(&why)),
        symbol: kernel.resolve(at).map(symbol),
        per_cpu: per_cpu(kernel, at),
        task: of_task(kernel, at),
        stack: stack(kernel, at),
        vmalloc: vmalloc::area(kernel, at),
        slab,
        page,
        mapped_by,
    }
}

fn symbol(found: Resolved) -> Symbol {
    Symbol {
        name: found.name,
        offset: found.offset,
        size: found.size,
        module: found.module,
    }
}

/// The variable in the areas that every CPU has for the variables of the image and of modules.
fn per_cpu(kernel: &Kernel, at: VirtAddr) -> Option<PerCpu> {
    let bounds = ["__per_cpu_start", "__per_cpu_end"].map(|name| kernel.symbol(name).ok());
    let image = match bounds {
        [Some(start), Some(end)] => end.offset_from(start).map(|bytes| (None, start, bytes)),
        _ => None,
    };
    let modules = kernel.modules().unwrap_or_default().iter();
    let modules = modules.filter_map(|module| {
        let (start, bytes) = module.per_cpu?;
        Some((Some(module.name.clone()), start, bytes))
    });
    image
        .into_iter()
        .chain(modules)
        .find_map(|(module, start, bytes)| variable(kernel, at, module, start, bytes))
}

/// The variable in the area of each CPU that `start` and `bytes` are for.
fn variable(
    kernel: &Kernel,
    at: VirtAddr,
    module: Option<String>,
    start: VirtAddr,
    bytes: u64,
) -> Option<PerCpu> {
    let (cpu, offset) = kernel.possible_cpus().ok()?.iter().find_map(|cpu| {
        let area = kernel.per_cpu(start, cpu).ok()?;
        let offset = at.offset_from(area).filter(|offset| *offset < bytes)?;
        Some((cpu, offset))
    })?;
    let wanted = start.checked_add(offset)?;
    let mut best: Option<(VirtAddr, String)> = None;
    let mut nearer = |symbol: vmcore::kernel::Symbol| {
        let before = symbol.address.0 >= start.0 && symbol.address.0 <= wanted.0;
        let known = best.as_ref().map(|(address, _)| address.0);
        if before && known.is_none_or(|known| symbol.address.0 >= known) {
            best = Some((symbol.address, symbol.name));
        }
    };
    let symbols = kernel.symbols().ok()?;
    match &module {
        Some(module) => symbols.for_each_of_modules(|of, symbol| {
            if of == module {
                nearer(symbol);
            }
        }),
        None => symbols.for_each(nearer).ok()?,
    }
    let (address, name) = best?;
    Some(PerCpu {
        cpu,
        name,
        offset: wanted.offset_from(address)?,
        module,
    })
}

/// The stack of a CPU for interrupts, exceptions or entry.
fn stack(kernel: &Kernel, at: VirtAddr) -> Option<Stack> {
    kernel.possible_cpus().ok()?.iter().find_map(|cpu| {
        let mut stacks = cpu_stacks(kernel, cpu).into_iter();
        let (kind, start, end) = stacks.find(|(_, start, end)| (*start..*end).contains(&at.0))?;
        let kind = match kind {
            StackKind::Irq(_) => "interrupt",
            StackKind::Entry(_) => "entry",
            StackKind::Exception(_, name) => name,
            _ => return None,
        };
        Some(Stack {
            cpu,
            kind,
            address: Hex(start),
            offset: at.0.checked_sub(start)?,
            size: end.checked_sub(start)?,
        })
    })
}

/// The task, idle ones included, whose memory it is.
fn of_task(kernel: &Kernel, at: VirtAddr) -> Option<OfTask> {
    let size = kernel.types().ok()?.size_of("task_struct").ok()?;
    let stack = kernel.member("task_struct", "stack").ok()?;
    let bytes = stack_bytes(kernel);
    let options = tasks::Options {
        idle: true,
        ..tasks::Options::default()
    };
    let mut found = None;
    let walked = tasks::for_each(kernel, options, |task| {
        let address = VirtAddr::from(task.address);
        let base = kernel.read_member(address, &stack).unwrap_or(0);
        let within = |base: VirtAddr, bytes| at.offset_from(base).filter(|offset| *offset < bytes);
        let parts = [
            ("task_struct", address, size),
            ("stack", VirtAddr(base), bytes),
        ];
        let part = parts
            .into_iter()
            .find_map(|(part, base, bytes)| Some((part, within(base, bytes)?)));
        let Some((part, offset)) = part else {
            return ControlFlow::Continue(());
        };
        found = Some(OfTask {
            address: task.address,
            pid: task.pid,
            comm: task.comm,
            part,
            offset,
        });
        ControlFlow::Break(())
    });
    walked.ok()?;
    found
}

fn page(kernel: &Kernel, rules: &Rules, at: PhysAddr) -> Option<Page> {
    let pfn = at.pfn();
    let range = PfnRange::new(pfn, Pfn(pfn.0.checked_add(1)?));
    let mut kind = None;
    let mut take = |run: mm::KindRun| {
        kind = Some(run.kind);
        Ok(())
    };
    mm::walk_ranges(kernel, rules, &[range], &mut take).ok()?;
    Some(Page {
        number: at.0 / kernel.page_size(),
        struct_page: mm::struct_page(kernel, rules, pfn).map(Hex::from),
        kind: kind?.name(),
    })
}

/// The object of a slab page.
fn object(kernel: &Kernel, at: VirtAddr, pa: PhysAddr, page: &Page) -> Option<Object> {
    let struct_page = VirtAddr::from(page.struct_page?);
    let head_link = kernel
        .read_field(struct_page, "page", "compound_head")
        .ok()?;
    let head = match head_link & 1 {
        1 => VirtAddr(head_link & !1),
        _ => struct_page,
    };
    let page_bytes = kernel.types().ok()?.size_of("page").ok()?;
    let before = struct_page.offset_from(head)?.checked_div(page_bytes)?;
    let first = page.number.checked_sub(before)?;
    let first = first.checked_mul(kernel.page_size())?;
    let cache_member = kernel
        .member("slab", "slab_cache")
        .or_else(|_| kernel.member("page", "slab_cache"))
        .ok()?;
    let cache = VirtAddr(kernel.read_member(head, &cache_member).ok()?);
    let size =
        u64_of(kernel, cache, kernel.member("kmem_cache", "size")).filter(|size| *size > 0)?;
    let name = u64_of(kernel, cache, kernel.member("kmem_cache", "name"))?;
    let name = kernel.read_cstr(VirtAddr(name), MAX_NAME).ok()?;
    let within = pa.0.checked_sub(first)?;
    let offset = within.checked_rem(size)?;
    Some(Object {
        cache: String::from_utf8_lossy(&name).into_owned(),
        cache_address: cache.into(),
        object: Hex(at.0.checked_sub(offset)?),
        offset,
        size,
    })
}

fn u64_of(kernel: &Kernel, base: VirtAddr, member: Result<Member, KernelError>) -> Option<u64> {
    kernel.read_member(base, &member.ok()?).ok()
}
