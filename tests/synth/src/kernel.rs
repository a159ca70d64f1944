//! A small kernel that died, whole enough for every question that is asked of a core: symbols, types,
//! unwind tables, tasks, a module, a memory map and a log.
//!
//! Its shape is that of 6.12 on x86_64 (struct pages, per-CPU symbols, `module.mem`, `pcpu_hot`); member
//! offsets are its own. 63 MiB of RAM from 1 MiB on, of which a core holds what was written here; the
//! rest reads as left out by a filter.

// A builder for tests fails loudly on a test's own mistake.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

mod code;
mod log;
mod memmap;
mod module;
mod tasks;
mod types;

use crate::elf::Elf;
use crate::kallsyms::{self, Encoding};
use crate::kdump::{Kdump, Packing};
use crate::ram::Ram;
use crate::unwind::{OrcLayout, orc_table, pt_regs};
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
const ROOT: u64 = TEXT + 0x6_0000;
/// Tables that map the image, as `level3_kernel_pgt` and its kind do.
const OWN_TABLES: u64 = ROOT + 0x1000;
const END: u64 = TEXT + 0x6_8000;

const INIT_TASK: u64 = DATA;
const PER_CPU_OFFSET: u64 = DATA + 0x1000;
const MASKS: u64 = DATA + 0x1100;
const PANIC_CPU: u64 = DATA + 0x1200;
const MODULES: u64 = DATA + 0x1300;
const SECTIONS: u64 = DATA + 0x2000;
const UTS: u64 = DATA + 0x3000;
const TOTAL_RAM: u64 = DATA + 0x3400;
const COMMAND_LINE: u64 = DATA + 0x3408;
const CRASH_NOTES: u64 = DATA + 0x3410;
const PAGE_OFFSET: u64 = DATA + 0x3418;

/// The direct map.
pub const DIRECT: u64 = 0xffff_8880_0000_0000;
const RAM_START: u64 = 0x10_0000;
const RAM_END: u64 = 0x400_0000;
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
const PCPU_HOT: u64 = 0x1000;
const RUNQUEUES: u64 = 0x2000;
const NOTES: u64 = 0x3000;
const COUNTERS: u64 = 0x4000;

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
}

/// The kernel.
pub struct Kernel {
    ram: Ram,
    crash: Crash,
    text: Code,
    module: Code,
    /// Pages mapped one by one: by page number, where they lie.
    mapped: BTreeMap<u64, u64>,
    next_frame: u64,
    next_user: u64,
    next_stack: u64,
    next_heap: u64,
    symbols: Vec<(u64, char, String)>,
    /// pid and registers of each CPU.
    saved: Vec<(u32, [u64; 21])>,
}

impl Kernel {
    /// A kernel of two CPUs that died so.
    #[must_use]
    pub fn new(crash: Crash) -> Self {
        Self::made(crash, true)
    }

    /// The same, built without kallsyms and BTF.
    #[must_use]
    pub fn without_tables(crash: Crash) -> Self {
        Self::made(crash, false)
    }

    fn made(crash: Crash, tables: bool) -> Self {
        let mut this = Self {
            ram: Ram::with_tables(4, 0, ROOT, OWN_TABLES - TEXT + 0x100_0000),
            crash,
            text: code::kernel(TEXT),
            module: code::module(module::BASE),
            mapped: BTreeMap::new(),
            next_frame: FRAMES,
            next_user: USER_FRAMES,
            next_stack: 0xffff_c900_0001_0000,
            next_heap: HEAP,
            symbols: Vec::new(),
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
        this.memmap();
        if tables {
            this.tables();
        }
        this
    }

    /// Names an address of the image.
    fn name(&mut self, at: u64, kind: char, name: &str) {
        self.symbols.push((at, kind, name.to_owned()));
    }

    /// Names an address in VMCOREINFO, too.
    fn line_symbol(&mut self, at: u64, name: &str) {
        self.name(at, 'D', name);
        self.ram.line(&format!("SYMBOL({name})={at:x}"));
    }

    /// What stands in the image itself.
    fn image(&mut self) {
        let text = self.text.build();
        let etext = (TEXT + text.len() as u64).next_multiple_of(4096);
        self.ram.put_image(TEXT, &text);
        let (ips, orc) = orc_table(OrcLayout::Types, &self.text.rules, ORC_IPS);
        // `.orc_header` of 6.4 to 7.0.
        let hash = [
            0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9, 0xa5, 0xc6, 0x5b, 0xa5,
            0xa6, 0x25, 0xea, 0xb3, 0xfe, 0x24,
        ];
        self.ram.put_image(ORC_IPS - 20, &hash);
        self.ram.put_image(ORC_IPS, &ips);
        self.ram.put_image(ORC, &orc);
        let banner = format!("Linux version {RELEASE} (root@build) #1 SMP PREEMPT_DYNAMIC\n\0");
        self.ram.put_image(RODATA, banner.as_bytes());
        let version = "#1 SMP PREEMPT_DYNAMIC Sat Nov 21 12:00:00 UTC 2026";
        for (n, text) in (0..).zip(["Linux", "web-03", RELEASE, version, "x86_64"]) {
            self.ram.put_image(UTS + n * 65, text.as_bytes());
        }
        self.ram
            .put_image64(TOTAL_RAM, (RAM_END - RAM_START) / 4096);
        self.ram.put_image64(PAGE_OFFSET, DIRECT);
        let line = self.alloc(0x80);
        self.put(line, b"root=/dev/vda1 ro quiet crashkernel=256M\0");
        self.put64(COMMAND_LINE, line);
        for (at, name) in self.text.symbols() {
            self.name(at, 'T', name);
        }
        for (at, kind, name) in [
            (TEXT, 'T', "_text"),
            (etext, 'T', "_etext"),
            (RODATA, 'R', "linux_banner"),
            (ORC_IPS, 'R', "__start_orc_unwind_ip"),
            (ORC_IPS + ips.len() as u64, 'R', "__stop_orc_unwind_ip"),
            (ORC, 'R', "__start_orc_unwind"),
            (ORC + orc.len() as u64, 'R', "__stop_orc_unwind"),
            (INIT_TASK, 'D', "init_task"),
            (PER_CPU_OFFSET, 'D', "__per_cpu_offset"),
            (MASKS, 'D', "__cpu_possible_mask"),
            (MASKS + 8, 'D', "__cpu_online_mask"),
            (PANIC_CPU, 'D', "panic_cpu"),
            (MODULES, 'd', "modules"),
            (TOTAL_RAM, 'B', "_totalram_pages"),
            (COMMAND_LINE, 'D', "saved_command_line"),
            (CRASH_NOTES, 'D', "crash_notes"),
            (PAGE_OFFSET, 'D', "page_offset_base"),
            (RODATA, 'R', "__start_rodata"),
            (DATA, 'R', "__end_rodata"),
            (DATA, 'D', "_sdata"),
            (LOG, 'D', "__init_begin"),
            (LOG, 'B', "__bss_start"),
            (END, 'B', "_end"),
            (0, 'A', "__per_cpu_start"),
            (AREA_USED, 'A', "__per_cpu_end"),
            (PCPU_HOT, 'A', "pcpu_hot"),
            (RUNQUEUES, 'A', "runqueues"),
        ] {
            self.name(at, kind, name);
        }
        self.line_symbol(TEXT, "_stext");
        self.line_symbol(UTS, "init_uts_ns");
        self.ram.line("OFFSET(uts_namespace.name)=0");
        self.ram
            .line("BUILD-ID=5f9d2c0a7be14d36a8c1f0e2d3b4a59687786950");
        self.ram.line(&format!("CRASHTIME={CRASH_TIME}"));
    }

    fn percpu(&mut self) {
        self.ram.put_image64(MASKS, 3);
        self.ram.put_image64(MASKS + 8, 3);
        self.ram.put_image(PANIC_CPU, &0u32.to_le_bytes());
        self.ram.put_image64(CRASH_NOTES, NOTES);
        for cpu in 0..2 {
            let area = Self::area(cpu);
            self.put(area, &[0; AREA_USED as usize]);
            self.ram.put_image64(PER_CPU_OFFSET + cpu * 8, area);
            let stack = self.stack();
            let hot = area + PCPU_HOT;
            let pointer = hot + types::offset("pcpu_hot", "hardirq_stack_ptr");
            self.put64(pointer, stack + 0x4000 - 8);
        }
    }

    fn area(cpu: u64) -> u64 {
        AREAS + cpu * AREA_BYTES
    }

    /// What a CPU left when it was stopped.
    fn stopped(&mut self, cpu: u64, pid: u32, registers: &[(&str, u64)]) {
        let regs = pt_regs(registers);
        self.saved.push((pid, regs));
        let mut note = Vec::new();
        for word in [5u32, 336, 1] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"CORE\0\0\0\0");
        note.extend(prstatus(pid, &regs));
        self.put(Self::area(cpu) + NOTES, &note);
    }

    /// kallsyms and BTF.
    fn tables(&mut self) {
        let blob = types::blob();
        self.ram.put_image(BTF, &blob);
        self.name(BTF, 'R', "__start_BTF");
        self.name(BTF + blob.len() as u64, 'R', "__stop_BTF");
        let mut symbols = self.symbols.clone();
        // Stable: names of one address keep their order.
        symbols.sort_by_key(|symbol| symbol.0);
        kallsyms::put_at(
            &mut self.ram,
            KALLSYMS,
            &symbols,
            Encoding::AbsolutePerCpu,
            true,
        );
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

    /// Runs of pages that were written: first page and bytes.
    fn runs(&self) -> Vec<(u64, Vec<u8>)> {
        let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
        for (pfn, page) in self.ram.pages() {
            match runs.last_mut() {
                Some((start, bytes)) if *start + bytes.len() as u64 / 4096 == pfn => {
                    bytes.extend_from_slice(page);
                }
                _ => runs.push((pfn, page.to_vec())),
            }
        }
        runs
    }

    /// As an ELF core that a filter wrote: what is left out is in p_memsz and not in p_filesz.
    #[must_use]
    pub fn elf(&self) -> Vec<u8> {
        let mut elf = Elf::new();
        for (pid, regs) in &self.saved {
            elf = elf.note("CORE", 1, &prstatus(*pid, regs));
        }
        elf = elf.note("VMCOREINFO", 0, self.ram.text.as_bytes());
        let runs = self.runs();
        let image = (TEXT..END).map_pa(|va| self.ram.image_pa(va));
        for (i, (pfn, bytes)) in runs.iter().enumerate() {
            let start = pfn * 4096;
            let end = runs.get(i + 1).map_or(RAM_END, |next| next.0 * 4096);
            elf = elf.sparse_load(DIRECT, start, bytes, end - start);
            if image.contains(&start) {
                let va = TEXT + (start - image.start);
                elf = elf.alias(i, 0, va, start, bytes.len() as u64);
            }
        }
        elf.build()
    }

    /// As a kdump-compressed file with zlib.
    #[must_use]
    pub fn kdump(&self) -> Vec<u8> {
        let mut kdump = Kdump::new(RAM_END / 4096)
            .packing(Packing::Zlib)
            .time(CRASH_TIME)
            .ram(RAM_START / 4096, RAM_END / 4096);
        for (pid, regs) in &self.saved {
            kdump = kdump.note("CORE", 1, &prstatus(*pid, regs));
        }
        kdump = kdump.note("VMCOREINFO", 0, self.ram.text.as_bytes());
        for (pfn, page) in self.ram.pages() {
            kdump = kdump.page(pfn, page);
        }
        kdump.build()
    }
}

/// elf_prstatus: the pid at 32, the registers at 112.
fn prstatus(pid: u32, regs: &[u64; 21]) -> Vec<u8> {
    let mut desc = vec![0; 336];
    desc[32..36].copy_from_slice(&pid.to_le_bytes());
    for (slot, word) in desc[112..].chunks_mut(8).zip(regs) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    desc
}

trait MapPa {
    fn map_pa(self, to: impl Fn(u64) -> u64) -> std::ops::Range<u64>;
}

impl MapPa for std::ops::Range<u64> {
    fn map_pa(self, to: impl Fn(u64) -> u64) -> Self {
        to(self.start)..to(self.end)
    }
}
