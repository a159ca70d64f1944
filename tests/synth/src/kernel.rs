//! A small kernel that died, whole enough for every question that is asked of a core: symbols, types,
//! unwind tables, tasks, a module, a memory map and a log.
//!
//! Its shape is that of 6.12 on x86_64 (struct pages, per-CPU symbols, `module.mem`, `pcpu_hot`); member
//! offsets are its own. 63 MiB of RAM from 1 MiB on, of which a core holds what was written here; the
//! rest reads as left out by a filter.

// A builder for tests fails loudly on a test's own mistake.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

mod areas;
mod code;
mod dump;
mod image;
mod log;
mod memmap;
mod module;
mod stack;
mod tasks;
mod types;

use crate::ram::Ram;
use crate::unwind::pt_regs;
use code::Code;
use std::collections::BTreeMap;

/// `_text`.
pub const TEXT: u64 = 0xffff_ffff_8100_0000;
const RODATA: u64 = TEXT + 0x4000;
const ORC_IPS: u64 = TEXT + 0x5020;
const ORC: u64 = TEXT + 0x6000;
const KALLSYMS: u64 = TEXT + 0x8000;
const BTF: u64 = TEXT + 0xc000;
const DATA: u64 = TEXT + 0x1_0000;
const LOG: u64 = TEXT + 0x2_0000;
/// A log that does not fit there: 256 MiB further up.
const LARGE_LOG: u64 = TEXT + 0x1000_0000;
const ROOT: u64 = TEXT + 0x6_0000;
/// Tables that map the image, as `level3_kernel_pgt` and its kind do.
const OWN_TABLES: u64 = ROOT + 0x1000;
const END: u64 = TEXT + 0x6_8000;

const INIT_TASK: u64 = DATA;
const PER_CPU_OFFSET: u64 = DATA + 0x1000;
const MASKS: u64 = DATA + 0x1100;
const PANIC_CPU: u64 = DATA + 0x1200;
const MODULES: u64 = DATA + 0x1300;
const BTF_MODULES: u64 = DATA + 0x1310;
const SLAB_CACHES: u64 = DATA + 0x1320;
const SECTIONS: u64 = DATA + 0x2000;
const UTS: u64 = DATA + 0x3000;
const TOTAL_RAM: u64 = DATA + 0x3400;
const COMMAND_LINE: u64 = DATA + 0x3408;
const CRASH_NOTES: u64 = DATA + 0x3410;
const PAGE_OFFSET: u64 = DATA + 0x3418;
const VMAP_ROOT: u64 = DATA + 0x3500;
const VMAP_AREAS: u64 = DATA + 0x3540;
const ANON: u64 = DATA + 0x3600;

/// The direct map.
pub const DIRECT: u64 = 0xffff_8880_0000_0000;
/// Where RAM begins.
pub const RAM_START: u64 = 0x10_0000;
/// Where RAM ends.
pub const RAM_END: u64 = 0x400_0000;
const HEAP: u64 = DIRECT + 0x180_0000;
const HEAP_END: u64 = HEAP + 0x8_0000;
const AREAS: u64 = DIRECT + 0x240_0000;
const AREA_BYTES: u64 = 0x1_0000;
/// Frames for memory that is mapped page by page.
const FRAMES: u64 = 0x280_0000;
const TABLES: u64 = 0x2c0_0000;
const USER_FRAMES: u64 = 0x300_0000;

/// Offsets in a per-CPU area, of which so many bytes are in use.
const AREA_USED: u64 = 0x5000;
/// What modules have of it, behind the variables of the image.
const MODULE_AREA: u64 = 0x4e00;
const PCPU_HOT: u64 = 0x1000;
const RUNQUEUES: u64 = 0x2000;
const NOTES: u64 = 0x3000;
const COUNTERS: u64 = 0x4000;
const CPU_SLAB: u64 = 0x4800;

/// The release it names.
pub const RELEASE: &str = "6.12.1-toy";
/// When it died: 2026-11-21 23:15:00 UTC.
pub const CRASH_TIME: u64 = 1_795_302_900;

/// How it died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// A module read through a null pointer in a system call.
    NullPointer,
    /// `echo c > /proc/sysrq-trigger`.
    Sysrq,
    /// khungtaskd found a task that had waited for a mutex too long.
    HungTask,
    /// It did not: it was stopped while it ran.
    Running,
}

/// The kernel.
pub struct Kernel {
    ram: Ram,
    crash: Crash,
    /// The size of a log ring larger than usual.
    log_bits: Option<u32>,
    text: Code,
    module: Code,
    /// Pages mapped one by one: by page number, where they lie.
    mapped: BTreeMap<u64, u64>,
    next_frame: u64,
    next_user: u64,
    next_stack: u64,
    next_heap: u64,
    symbols: Vec<(u64, char, String)>,
    /// Pages of processes' arguments: where each lies, its address, and its `mm_struct`.
    user_pages: Vec<(u64, u64, u64)>,
    /// pid and registers of each CPU.
    saved: Vec<(u32, [u64; 21])>,
}

impl Kernel {
    /// A kernel of two CPUs that died so.
    #[must_use]
    pub fn new(crash: Crash) -> Self {
        Self::made(crash, true, None)
    }

    /// The same with a log ring of 2^`bits` bytes that is full, mostly of what says nothing.
    #[must_use]
    pub fn with_log(crash: Crash, bits: u32) -> Self {
        Self::made(crash, true, Some(bits))
    }

    /// The same, built without kallsyms and BTF.
    #[must_use]
    pub fn without_tables(crash: Crash) -> Self {
        Self::made(crash, false, None)
    }

    fn made(crash: Crash, tables: bool, log_bits: Option<u32>) -> Self {
        let mut this = Self {
            ram: Ram::with_tables(4, 0, ROOT, OWN_TABLES - TEXT + 0x100_0000),
            crash,
            log_bits,
            text: code::kernel(TEXT),
            module: code::module(module::BASE),
            mapped: BTreeMap::new(),
            next_frame: FRAMES,
            next_user: USER_FRAMES,
            next_stack: 0xffff_c900_0001_0000,
            next_heap: HEAP,
            symbols: Vec::new(),
            user_pages: Vec::new(),
            saved: Vec::new(),
        };
        for va in (TEXT..END).step_by(4096) {
            let pa = this.ram.image_pa(va);
            this.ram.map(va, pa, 12);
            this.ram.put(pa, &[0]);
        }
        this.ram.tables_from(TABLES);
        for at in (0..RAM_END).step_by(1 << 21) {
            this.ram.map(DIRECT + at, at, 21);
        }
        this.ram.put(RAM_START, b"low memory");
        this.image();
        this.percpu();
        this.module();
        this.tasks();
        this.log();
        this.vmalloc();
        this.memmap();
        if tables {
            this.tables();
        }
        this
    }

    fn area(cpu: u64) -> u64 {
        AREAS + cpu * AREA_BYTES
    }

    /// What a CPU left when it was stopped.
    fn stopped(&mut self, cpu: u64, pid: u32, registers: &[(&str, u64)]) {
        let regs = pt_regs(registers);
        self.saved.push((pid, regs));
        if self.crash == Crash::Running {
            // Nobody asked the CPU to save anything.
            return;
        }
        let mut note = Vec::new();
        for word in [5u32, 336, 1] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"CORE\0\0\0\0");
        note.extend(dump::prstatus(pid, &regs));
        self.put(Self::area(cpu) + NOTES, &note);
    }

    /// Zeroed room in the direct map.
    fn alloc(&mut self, len: u64) -> u64 {
        let at = self.next_heap;
        self.next_heap += len.next_multiple_of(64);
        assert!(self.next_heap <= HEAP_END, "the toy heap is full");
        at
    }

    /// A new task's stack: four pages of vmalloc.
    fn stack(&mut self) -> u64 {
        let at = self.next_stack;
        self.next_stack += 0x8000;
        for page in 0..4 {
            self.map_page(at + page * 4096);
        }
        at
    }

    /// Maps a zeroed page of its own.
    fn map_page(&mut self, va: u64) {
        let pa = self.next_frame;
        self.next_frame += 4096;
        self.ram.map(va, pa, 12);
        self.ram.put(pa, &[0]);
        self.mapped.insert(va >> 12, pa);
    }

    /// Writes at a virtual address of the kernel; a piece of vmalloc memory must not cross a page.
    fn put(&mut self, va: u64, bytes: &[u8]) {
        if let Some(pa) = self.mapped.get(&(va >> 12)) {
            self.ram.put(pa + (va & 4095), bytes);
        } else if (DIRECT..DIRECT + RAM_END).contains(&va) {
            self.ram.put(va - DIRECT, bytes);
        } else {
            assert!((TEXT..END).contains(&va), "{va:#x} is nowhere");
            self.ram.put_image(va, bytes);
        }
    }

    fn put32(&mut self, va: u64, value: u32) {
        self.put(va, &value.to_le_bytes());
    }

    fn put64(&mut self, va: u64, value: u64) {
        self.put(va, &value.to_le_bytes());
    }

    /// Links nodes into a ring behind `head`.
    fn list(&mut self, head: u64, nodes: &[u64]) {
        let mut at = head;
        for &node in nodes.iter().chain([&head]) {
            self.put64(at, node);
            self.put64(node + 8, at);
            at = node;
        }
    }
}
