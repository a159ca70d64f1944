//! The tasks of the toy kernel, their stacks, and what the CPUs ran.

use super::stack::{Made, Spec};
use super::types::offset;
use super::{COUNTERS, Crash, INIT_TASK, Kernel, PCPU_HOT, ROOT, RUNQUEUES};

const PF_KTHREAD: u32 = 0x0020_0000;
const SYSCALL: &[&str] = &["entry_SYSCALL_64_after_hwframe", "do_syscall_64"];
const KTHREAD: &[&str] = &["ret_from_fork_asm", "ret_from_fork"];
const SLEEP: &[&str] = &["schedule", "__schedule", "__switch_to_asm"];

fn chain(parts: &[&[&'static str]]) -> Vec<&'static str> {
    parts.concat()
}

impl Kernel {
    /// All of them, and the run queues.
    pub(super) fn tasks(&mut self) {
        let idle = chain(&[&[
            "secondary_startup_64_no_verify",
            "start_secondary",
            "cpu_startup_entry",
            "do_idle",
            "default_idle",
        ]]);
        let spec = Spec {
            pid: 0,
            tgid: 0,
            parent: INIT_TASK,
            comm: "swapper/0",
            state: 0,
            cpu: 0,
            kthread: true,
            args: b"",
            calls: &idle,
        };
        let first = Spec { ..spec };
        self.task_at(INIT_TASK, &first);
        let second = self.task(&Spec {
            comm: "swapper/1",
            cpu: 1,
            ..spec
        });
        let epoll = chain(&[SYSCALL, &["do_epoll_wait"], SLEEP]);
        let init = self.task(&Spec {
            pid: 1,
            tgid: 1,
            comm: "systemd",
            state: 1,
            kthread: false,
            args: b"/sbin/init\0splash\0",
            calls: &epoll,
            ..spec
        });
        let kthreadd = chain(&[KTHREAD, &["kthreadd"], SLEEP]);
        let kthreadd = self.task(&Spec {
            pid: 2,
            tgid: 2,
            comm: "kthreadd",
            state: 1,
            calls: &kthreadd,
            ..spec
        });
        let worker = chain(&[KTHREAD, &["kthread", "worker_thread"], SLEEP]);
        let worker = self.task(&Spec {
            pid: 9,
            tgid: 9,
            parent: kthreadd.task,
            comm: "kworker/1:0",
            state: 0x402,
            cpu: 1,
            calls: &worker,
            ..spec
        });
        let hung = self.crash == Crash::HungTask;
        let end: &[&'static str] = if hung {
            &["panic", "vpanic", "__crash_kexec", "machine_kexec"]
        } else {
            SLEEP
        };
        let watchdog = chain(&[KTHREAD, &["kthread", "watchdog"], end]);
        let watchdog = self.task(&Spec {
            pid: 41,
            tgid: 41,
            parent: kthreadd.task,
            comm: "khungtaskd",
            state: u32::from(!hung),
            calls: &watchdog,
            ..spec
        });
        let write = chain(&[SYSCALL, &["ksys_write", "vfs_write"]]);
        let end: &[&'static str] = match self.crash {
            Crash::NullPointer => &["crasher_write"],
            Crash::Sysrq => &[
                "proc_reg_write",
                "write_sysrq_trigger",
                "__handle_sysrq",
                "sysrq_handle_crash",
                "panic",
                "vpanic",
                "__crash_kexec",
                "machine_kexec",
            ],
            Crash::HungTask | Crash::Running => &[],
        };
        let writer = if hung {
            epoll.clone()
        } else {
            chain(&[&write, end])
        };
        let writer = self.task(&Spec {
            pid: 4242,
            tgid: 4242,
            parent: init.task,
            comm: "writer",
            state: match self.crash {
                Crash::HungTask => 1,
                // About to sleep, and still on its CPU.
                Crash::Running => 2,
                _ => 0,
            },
            kthread: false,
            args: b"/usr/bin/writer\0--loop\0",
            calls: &writer,
            ..spec
        });
        let blocked = chain(&[SYSCALL, &["ksys_write", "fdget_pos", "__mutex_lock"], SLEEP]);
        let blocked = self.task(&Spec {
            pid: 4243,
            tgid: 4242,
            parent: init.task,
            comm: "writer-2",
            state: 2,
            cpu: 1,
            kthread: false,
            calls: &blocked,
            ..spec
        });
        self.groups(
            &[&init, &kthreadd, &worker, &watchdog, &writer],
            &writer,
            &blocked,
        );
        self.mutex(&writer, &blocked);
        let panicking = if hung { &watchdog } else { &writer };
        let pid = if hung { 41 } else { 4242 };
        self.running(0, panicking, INIT_TASK, pid);
        self.running(1, &second, second.task, 0);
    }

    fn field(&mut self, task: u64, member: &str, bytes: &[u8]) {
        self.put(task + offset("task_struct", member), bytes);
    }

    fn task(&mut self, spec: &Spec<'_>) -> Made {
        let task = self.alloc(0x200);
        self.task_at(task, spec)
    }

    fn task_at(&mut self, task: u64, spec: &Spec<'_>) -> Made {
        let cpu = offset("thread_info", "cpu");
        self.put32(task + cpu, spec.cpu);
        self.field(task, "__state", &spec.state.to_le_bytes());
        let flags = if spec.kthread { PF_KTHREAD } else { 0x40_0000 };
        self.field(task, "flags", &flags.to_le_bytes());
        self.field(task, "pid", &spec.pid.to_le_bytes());
        self.field(task, "tgid", &spec.tgid.to_le_bytes());
        self.field(task, "real_parent", &spec.parent.to_le_bytes());
        self.field(task, "comm", spec.comm.as_bytes());
        let started = 1_000_000_000 + u64::from(spec.pid) * 1_000_000;
        self.field(task, "start_time", &started.to_le_bytes());
        self.field(
            task,
            "utime",
            &(u64::from(spec.pid) * 3_000_000).to_le_bytes(),
        );
        self.field(
            task,
            "stime",
            &(u64::from(spec.pid) * 1_000_000).to_le_bytes(),
        );
        let mm = match spec.kthread {
            true => 0,
            false => self.memory(spec.args),
        };
        self.field(task, "mm", &mm.to_le_bytes());
        let stack = self.stack();
        self.field(task, "stack", &stack.to_le_bytes());
        let mut made = self.calls(task, stack, spec);
        made.mm = mm;
        let saved = offset("task_struct", "thread") + offset("thread_struct", "sp");
        self.put64(task + saved, made.sp);
        made
    }

    /// An mm_struct; arguments go to a page of user memory.
    fn memory(&mut self, args: &[u8]) -> u64 {
        let mm = self.alloc(0x100);
        let at = |member: &str| mm + offset("mm_struct", member);
        let (pgd, start, end, stat) = (at("pgd"), at("arg_start"), at("arg_end"), at("rss_stat"));
        // The kernel's own tables serve as the process's: user addresses are free in them.
        self.put64(pgd, ROOT);
        // Pages of files, own, swap and shared ones: a common part and one of each CPU.
        for (n, pages) in (0..).zip([310_u64, 120, 0, 16]) {
            let counter = stat + n * 40;
            let parts = COUNTERS + (mm & 0xffff) / 64 * 16 + n * 4;
            self.put64(counter + offset("percpu_counter", "count"), pages);
            self.put64(counter + offset("percpu_counter", "counters"), parts);
            for cpu in 0..2 {
                self.put32(Self::area(cpu) + parts, 2);
            }
        }
        if !args.is_empty() {
            let user = 0x7ffd_0000_2000 + (mm & 0xff_ffff) * 0x100;
            let page = user & !0xfff;
            let frame = self.next_user;
            self.next_user += 4096;
            self.ram.map(page, frame, 12);
            self.ram.put(frame + (user & 0xfff), args);
            self.user_pages.push((frame, page, mm));
            self.put64(start, user);
            self.put64(end, user + args.len() as u64);
        }
        mm
    }

    /// Lists of leaders and of threads.
    fn groups(&mut self, leaders: &[&Made], shared: &Made, thread: &Made) {
        let tasks = offset("task_struct", "tasks");
        let node = offset("task_struct", "thread_node");
        let nodes: Vec<u64> = leaders.iter().map(|made| made.task + tasks).collect();
        self.list(INIT_TASK + tasks, &nodes);
        for leader in leaders {
            let signal = self.alloc(0x60);
            let mut nodes = vec![leader.task + node];
            self.field(leader.task, "signal", &signal.to_le_bytes());
            if leader.task == shared.task {
                self.field(thread.task, "signal", &signal.to_le_bytes());
                self.field(thread.task, "mm", &leader.mm.to_le_bytes());
                nodes.push(thread.task + node);
            }
            let count = nodes.len() as u32;
            self.put32(signal + offset("signal_struct", "nr_threads"), count);
            self.list(signal + offset("signal_struct", "thread_head"), &nodes);
        }
    }

    /// The mutex of a file's position, which one task holds and another waits for.
    fn mutex(&mut self, owner: &Made, waiter: &Made) {
        let lock = self.alloc(40);
        let on_stack = waiter.mutex_waiter.unwrap();
        self.put64(lock + offset("mutex", "owner"), owner.task);
        let link = on_stack + offset("mutex_waiter", "list");
        self.list(lock + offset("mutex", "wait_list"), &[link]);
        self.put64(on_stack + offset("mutex_waiter", "task"), waiter.task);
    }

    /// Puts a task on a CPU that was stopped there.
    fn running(&mut self, cpu: u64, made: &Made, idle: u64, pid: u32) {
        let area = Self::area(cpu);
        let queue = area + RUNQUEUES;
        self.put32(
            queue + offset("rq", "nr_running"),
            u32::from(made.task != idle),
        );
        self.put64(queue + offset("rq", "clock"), 3_725_500_000_000 + cpu);
        self.put64(queue + offset("rq", "idle"), idle);
        self.put64(queue + offset("rq", "curr"), made.task);
        self.put64(area + PCPU_HOT, made.task);
        self.field(made.task, "on_cpu", &1u32.to_le_bytes());
        let registers = [
            ("ip", made.ip),
            ("cs", 0x10),
            ("flags", 0x1_0246),
            ("sp", made.sp),
            ("ss", 0x18),
            ("di", made.task),
        ];
        self.stopped(cpu, pid, &registers);
    }
}
