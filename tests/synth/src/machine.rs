//! A toy machine with tasks: symbols, types, per-CPU data, lists. Member offsets are its own, so that
//! code which knows real ones by heart fails here.

// Builders for tests: a mistake in here is to be loud.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

use crate::btf::Btf;
use crate::kallsyms::{self, Encoding, TEXT};
use crate::ram::Ram;

/// The first task's `task_struct`; the others follow every 0x1000 bytes of the heap.
pub const INIT_TASK: u64 = TEXT + 0x40_0000;
/// Where tasks and their parts are made, in a direct map that only page tables tell of.
pub const HEAP: u64 = 0xffff_8800_0000_0000;
/// Physical address of the heap's first byte.
pub const HEAP_PHYS: u64 = 0x2000_0000;
/// The per-CPU area of CPU `n` begins here in the heap, plus `n` times 0x10000.
const AREAS: u64 = HEAP + 0x40_0000;
const PER_CPU_OFFSET: u64 = TEXT + 0x41_0000;
const MASKS: u64 = TEXT + 0x41_1000;
const BLOB: u64 = TEXT + 0x50_0000;
/// Value of the per-CPU symbol `runqueues`.
const RUNQUEUES: u64 = 0x2000;
/// Value of a per-CPU pointer for counters.
const COUNTERS: u64 = 0x3000;

const TASKS: u64 = 0x68;
const THREAD_NODE: u64 = 0x78;
const THREAD_HEAD: u64 = 0x20;

/// A machine.
pub struct Machine {
    /// Its memory.
    pub ram: Ram,
    next: u64,
    percpu_rss: bool,
    cpus: u64,
    leaders: Vec<u64>,
}

/// What a new task is.
#[derive(Clone, Copy)]
pub struct Spec<'a> {
    /// Thread id.
    pub pid: u32,
    /// Name.
    pub comm: &'a str,
    /// `__state`.
    pub state: u32,
    /// `exit_state`.
    pub exit_state: u32,
    /// CPU.
    pub cpu: u32,
    /// Flags.
    pub flags: u32,
    /// Pages: files, own, swap, shared; none for threads of the kernel.
    pub rss: Option<[i64; 4]>,
    /// Arguments with their NULs.
    pub args: &'a [u8],
}

impl Default for Spec<'_> {
    fn default() -> Self {
        Self {
            pid: 1,
            comm: "task",
            state: 1,
            exit_state: 0,
            cpu: 0,
            flags: 0,
            rss: None,
            args: b"",
        }
    }
}

fn types(percpu_rss: bool) -> Vec<u8> {
    let mut btf = Btf::new();
    let int = btf.int("int", 4, true);
    let unsigned = btf.int("unsigned int", 4, false);
    let long = btf.int("unsigned long", 8, false);
    let byte = btf.int("char", 1, true);
    let pointer = btf.add("", 2, 0, false, 0, &[]);
    let list = btf.compound(
        "list_head",
        4,
        16,
        &[("next", pointer, 0, 0), ("prev", pointer, 64, 0)],
    );
    let comm = btf.add("", 3, 0, false, 0, &[byte, unsigned, 16]);
    let at = |bytes: u64| (bytes * 8) as u32;
    let info = btf.compound(
        "thread_info",
        4,
        16,
        &[("flags", long, 0, 0), ("cpu", unsigned, 64, 0)],
    );
    let thread = btf.compound("thread_struct", 4, 16, &[("sp", long, 64, 0)]);
    btf.compound(
        "task_struct",
        4,
        0x200,
        &[
            ("thread_info", info, 0, 0),
            ("__state", unsigned, at(0x10), 0),
            ("flags", unsigned, at(0x14), 0),
            ("on_cpu", byte, at(0x18), 0),
            ("exit_state", int, at(0x1c), 0),
            ("stack", pointer, at(0x20), 0),
            ("pid", int, at(0x28), 0),
            ("tgid", int, at(0x2c), 0),
            ("real_parent", pointer, at(0x30), 0),
            ("mm", pointer, at(0x38), 0),
            ("signal", pointer, at(0x40), 0),
            ("comm", comm, at(0x48), 0),
            ("start_time", long, at(0x58), 0),
            ("utime", long, at(0x60), 0),
            ("tasks", list, at(TASKS), 0),
            ("thread_node", list, at(THREAD_NODE), 0),
            ("stime", long, at(0x88), 0),
            ("thread", thread, at(0x90), 0),
        ],
    );
    btf.compound(
        "signal_struct",
        4,
        0x40,
        &[
            ("nr_threads", int, at(8), 0),
            ("thread_head", list, at(THREAD_HEAD), 0),
        ],
    );
    let (stat, size) = if percpu_rss {
        let counter = btf.compound(
            "percpu_counter",
            4,
            24,
            &[("count", long, 64, 0), ("counters", pointer, 128, 0)],
        );
        (btf.add("", 3, 0, false, 0, &[counter, unsigned, 4]), 96)
    } else {
        let counts = btf.add("", 3, 0, false, 0, &[long, unsigned, 4]);
        (
            btf.compound("mm_rss_stat", 4, 32, &[("count", counts, 0, 0)]),
            32,
        )
    };
    btf.compound(
        "mm_struct",
        4,
        0x20 + size,
        &[
            ("pgd", pointer, at(8), 0),
            ("arg_start", long, at(0x10), 0),
            ("arg_end", long, at(0x18), 0),
            ("rss_stat", stat, at(0x20), 0),
        ],
    );
    let words = btf.add("", 3, 0, false, 0, &[long, unsigned, 1]);
    btf.compound("cpumask", 4, 8, &[("bits", words, 0, 0)]);
    btf.compound(
        "rq",
        4,
        0x40,
        &[
            ("nr_running", unsigned, at(4), 0),
            ("clock", long, at(8), 0),
            ("idle", pointer, at(0x18), 0),
            ("curr", pointer, at(0x20), 0),
        ],
    );
    btf.build(None)
}

impl Machine {
    /// A machine of `cpus` CPUs (at most 8) with the initial task alone.
    pub fn new(cpus: u64, percpu_rss: bool) -> Self {
        let mut ram = Ram::new(4, 0x200_0000);
        let blob = types(percpu_rss);
        ram.line(&format!("SYMBOL(_stext)={TEXT:x}"));
        let mut symbols: Vec<(u64, char, String)> = vec![(RUNQUEUES, 'A', "runqueues".into())];
        let mut add = |at, name: &str| symbols.push((at, 'D', name.to_owned()));
        add(TEXT, "_text");
        add(TEXT, "_stext");
        add(TEXT + 0x1000, "_etext");
        add(INIT_TASK, "init_task");
        add(PER_CPU_OFFSET, "__per_cpu_offset");
        add(MASKS, "__cpu_possible_mask");
        add(MASKS + 8, "__cpu_online_mask");
        add(MASKS + 16, "panic_cpu");
        add(BLOB, "__start_BTF");
        add(BLOB + blob.len() as u64, "__stop_BTF");
        add(TEXT + 0x100_0000, "_end");
        kallsyms::put(&mut ram, &symbols, Encoding::AbsolutePerCpu, true);
        ram.put_image(BLOB, &blob);
        for page in 0..0x80_u64 {
            ram.map(HEAP + page * 4096, HEAP_PHYS + page * 4096, 12);
            ram.put(HEAP_PHYS + page * 4096, &[0]);
        }
        for page in 0x400..0x480_u64 {
            ram.map(HEAP + page * 4096, HEAP_PHYS + page * 4096, 12);
            ram.put(HEAP_PHYS + page * 4096, &[0]);
        }
        ram.put_image64(MASKS, (1 << cpus) - 1);
        ram.put_image64(MASKS + 8, (1 << cpus) - 1);
        ram.put_image(MASKS + 16, &0u32.to_le_bytes());
        let mut this = Self {
            ram,
            next: HEAP,
            percpu_rss,
            cpus,
            leaders: Vec::new(),
        };
        let signal = this.alloc(0x40);
        this.write(INIT_TASK, 0x40, &signal.to_le_bytes());
        this.write(INIT_TASK, 0x48, b"swapper/0\0");
        this.write(INIT_TASK, 0x30, &INIT_TASK.to_le_bytes());
        for cpu in 0..cpus {
            // Symbols of per-CPU variables are small; the offset makes them addresses.
            let offset = AREAS + cpu * 0x1_0000;
            this.ram.put_image64(PER_CPU_OFFSET + cpu * 8, offset);
            let rq = offset + RUNQUEUES;
            this.write(rq, 0x18, &INIT_TASK.to_le_bytes());
            this.write(rq, 0x20, &INIT_TASK.to_le_bytes());
        }
        this.relink();
        this
    }

    /// Room in the heap, zeroed, on a line of its own.
    pub fn alloc(&mut self, len: u64) -> u64 {
        let at = self.next;
        self.next += (len + 63) & !63;
        assert!(self.next < HEAP + 0x80 * 4096, "the toy heap is full");
        at
    }

    /// Writes into a structure, in the image or in the heap.
    pub fn write(&mut self, base: u64, offset: u64, bytes: &[u8]) {
        let at = base + offset;
        if at >= TEXT {
            self.ram.put_image(at, bytes);
        } else {
            self.ram.put(at - HEAP + HEAP_PHYS, bytes);
        }
    }

    fn describe(&mut self, task: u64, spec: &Spec<'_>, tgid: u32, signal: u64) {
        self.write(task, 8, &spec.cpu.to_le_bytes());
        self.write(task, 0x10, &spec.state.to_le_bytes());
        self.write(task, 0x14, &spec.flags.to_le_bytes());
        self.write(task, 0x1c, &spec.exit_state.to_le_bytes());
        self.write(task, 0x28, &spec.pid.to_le_bytes());
        self.write(task, 0x2c, &tgid.to_le_bytes());
        self.write(task, 0x30, &INIT_TASK.to_le_bytes());
        self.write(task, 0x40, &signal.to_le_bytes());
        let mut comm = [0; 16];
        comm[..spec.comm.len()].copy_from_slice(spec.comm.as_bytes());
        self.write(task, 0x48, &comm);
        self.write(task, 0x58, &(1_000 * u64::from(spec.pid)).to_le_bytes());
        self.write(task, 0x60, &7u64.to_le_bytes());
        self.write(task, 0x88, &9u64.to_le_bytes());
        let stack = self.alloc(0x40);
        self.write(task, 0x20, &stack.to_le_bytes());
    }

    /// Adds a process; answers its `task_struct`.
    pub fn process(&mut self, spec: Spec<'_>) -> u64 {
        let task = self.alloc(0x200);
        let signal = self.alloc(0x40);
        self.describe(task, &spec, spec.pid, signal);
        self.write(signal, 8, &1u32.to_le_bytes());
        self.list(signal + THREAD_HEAD, &[task + THREAD_NODE]);
        if let Some(rss) = spec.rss {
            let mm = self.memory(rss, spec.args);
            self.write(task, 0x38, &mm.to_le_bytes());
        }
        self.leaders.push(task);
        self.relink();
        task
    }

    /// Gives a process threads of these pids; answers the address of their list's head.
    pub fn threads(&mut self, leader: u64, pids: &[u32]) -> u64 {
        let at = (leader - HEAP + HEAP_PHYS) & !4095;
        let page = self.ram.page(at >> 12).unwrap();
        let word = |offset: u64| {
            let start = ((leader & 4095) + offset) as usize;
            u64::from_le_bytes(page[start..start + 8].try_into().unwrap())
        };
        let (signal, tgid) = (word(0x40), word(0x28) as u32);
        let mut nodes = vec![leader + THREAD_NODE];
        for &pid in pids {
            let task = self.alloc(0x200);
            let spec = Spec {
                pid,
                comm: "thread",
                ..Spec::default()
            };
            self.describe(task, &spec, tgid, signal);
            nodes.push(task + THREAD_NODE);
        }
        self.write(signal, 8, &(nodes.len() as u32).to_le_bytes());
        self.list(signal + THREAD_HEAD, &nodes);
        signal + THREAD_HEAD
    }

    fn memory(&mut self, rss: [i64; 4], args: &[u8]) -> u64 {
        let mm = self.alloc(0x100);
        for (n, pages) in rss.iter().enumerate() {
            let n = n as u64;
            if self.percpu_rss {
                // All but the last CPU's part is in the common count.
                let counters = COUNTERS + (mm & 0xfff) / 4 + n * 4;
                let part = 3i64;
                self.write(mm, 0x20 + n * 24 + 8, &(pages - part).to_le_bytes());
                self.write(mm, 0x20 + n * 24 + 16, &counters.to_le_bytes());
                let last = AREAS + (self.cpus - 1) * 0x1_0000 + counters;
                self.write(last, 0, &(part as i32).to_le_bytes());
            } else {
                self.write(mm, 0x20 + n * 8, &pages.to_le_bytes());
            }
        }
        // The kernel's own tables serve as the process's: user addresses are free in them.
        let user = 0x7ff0_0000_0000 + (mm & 0xff_ffff) * 0x100;
        let pgd = 0xffff_ffff_8300_0000u64;
        self.write(mm, 8, &pgd.to_le_bytes());
        self.write(mm, 0x10, &user.to_le_bytes());
        self.write(mm, 0x18, &(user + args.len() as u64).to_le_bytes());
        if !args.is_empty() {
            let page = 0x3000_0000 + (mm & 0xff_ffff) * 0x10;
            self.ram.map(user & !4095, page & !4095, 12);
            self.ram.put((page & !4095) + (user & 4095), args);
        }
        mm
    }

    /// Links nodes into a ring behind `head`.
    pub fn list(&mut self, head: u64, nodes: &[u64]) {
        let mut at = head;
        for &node in nodes.iter().chain([&head]) {
            self.write(at, 0, &node.to_le_bytes());
            self.write(node, 8, &at.to_le_bytes());
            at = node;
        }
    }

    fn relink(&mut self) {
        let nodes: Vec<u64> = self.leaders.iter().map(|task| task + TASKS).collect();
        self.list(INIT_TASK + TASKS, &nodes);
    }

    /// Overwrites the next pointer of a leader in the list of all tasks.
    pub fn break_tasks(&mut self, leader: u64, next: u64) {
        self.write(leader, TASKS, &next.to_le_bytes());
    }

    /// Puts a task on a CPU.
    pub fn run(&mut self, cpu: u64, task: u64, ready: u32) {
        let rq = AREAS + cpu * 0x1_0000 + RUNQUEUES;
        self.write(rq, 4, &ready.to_le_bytes());
        self.write(rq, 8, &(5_000 + cpu).to_le_bytes());
        self.write(rq, 0x20, &task.to_le_bytes());
        self.write(task, 0x18, &[1]);
        self.write(task, 8, &(cpu as u32).to_le_bytes());
    }
}
