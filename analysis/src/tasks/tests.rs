//! Tasks of a toy machine: what they say, and lists that lie.

use super::{Options, Rss, Task, Tasks, read};
use crate::toy::kernel;
use synth::machine::{HEAP, Machine, Spec};

const ALL: Options = Options {
    command_lines: true,
    idle: false,
};

fn tasks(machine: &Machine, options: Options) -> Tasks {
    read(&kernel(&machine.ram), options).unwrap()
}

fn pids(tasks: &Tasks) -> Vec<i32> {
    tasks.tasks.iter().map(|task| task.pid).collect()
}

fn find(tasks: &Tasks, pid: i32) -> &Task {
    tasks.tasks.iter().find(|task| task.pid == pid).unwrap()
}

#[test]
fn tasks_and_their_threads_are_found_with_what_they_are() {
    let mut machine = Machine::new(2, true);
    let first = machine.process(Spec {
        pid: 1,
        comm: "init",
        state: 0,
        rss: Some([100, 20, 5, 3]),
        args: b"/sbin/init\0--verbose\0",
        ..Spec::default()
    });
    machine.process(Spec {
        pid: 2,
        comm: "kthreadd",
        flags: 0x0020_8040,
        cpu: 1,
        ..Spec::default()
    });
    let server = machine.process(Spec {
        pid: 300,
        comm: "fifteen-bytes-x",
        state: 2,
        rss: Some([4, 4, 4, 4]),
        ..Spec::default()
    });
    machine.threads(server, &[301, 302]);
    machine.process(Spec {
        pid: 400,
        state: 0x80,
        exit_state: 0x20,
        ..Spec::default()
    });
    machine.run(1, first, 2);
    let found = tasks(&machine, ALL);
    assert_eq!(found.warnings, Vec::<String>::new());
    assert_eq!(pids(&found), [1, 2, 300, 301, 302, 400]);
    let init = find(&found, 1);
    assert_eq!(init.address.0, first);
    assert_eq!(init.command_line.as_deref(), Some("/sbin/init --verbose"));
    assert_eq!(
        init.rss,
        Some(Rss {
            file: 100 * 4096,
            anon: 20 * 4096,
            swap: 5 * 4096,
            shmem: 3 * 4096,
        })
    );
    assert_eq!(init.rss.unwrap().total(), 123 * 4096);
    assert!(init.on_cpu && init.cpu == Some(1) && init.state.letter() == 'R');
    assert_eq!(
        (init.start_ns, init.user_ns, init.system_ns),
        (Some(1_000), Some(7), Some(9))
    );
    let kthreadd = find(&found, 2);
    assert!(kthreadd.kernel_thread && kthreadd.rss.is_none() && kthreadd.mm.0 == 0);
    assert_eq!((kthreadd.cpu, kthreadd.ppid), (Some(1), Some(0)));
    let thread = find(&found, 302);
    assert!(!thread.is_leader() && thread.tgid == 300 && thread.threads == Some(3));
    assert_eq!(find(&found, 300).comm, "fifteen-bytes-x");
    assert_eq!(find(&found, 400).state.letter(), 'Z');
    // Nobody asked for command lines, but for idle tasks: one for each CPU.
    let other = tasks(
        &machine,
        Options {
            command_lines: false,
            idle: true,
        },
    );
    assert_eq!(pids(&other), [0, 0, 1, 2, 300, 301, 302, 400]);
    assert_eq!(find(&other, 1).command_line, None);
}

#[test]
fn counters_that_are_plain_words_are_read_too() {
    let mut machine = Machine::new(1, false);
    machine.process(Spec {
        rss: Some([1, -2, 3, 4]),
        ..Spec::default()
    });
    let rss = tasks(&machine, ALL).tasks[0].rss.unwrap();
    // A count below zero is one in flight.
    assert_eq!(
        (rss.file, rss.anon, rss.swap, rss.shmem),
        (4096, 0, 12288, 16384)
    );
}

#[test]
fn arguments_that_were_not_dumped_are_not_made_up() {
    let mut machine = Machine::new(1, true);
    machine.process(Spec {
        rss: Some([1, 1, 1, 1]),
        args: b"secret\0",
        ..Spec::default()
    });
    let user: Vec<u64> = machine
        .ram
        .pages()
        .map(|(pfn, _)| pfn << 12)
        .filter(|pa| (0x3000_0000..0x4000_0000).contains(pa))
        .collect();
    assert_eq!(
        tasks(&machine, ALL).tasks[0].command_line.as_deref(),
        Some("secret")
    );
    for page in user {
        machine.ram.drop_page(page);
    }
    assert_eq!(tasks(&machine, ALL).tasks[0].command_line, None);
}

#[test]
fn lists_that_lie_cost_only_what_they_hide() {
    let broken = |next: &dyn Fn(&[u64]) -> u64| {
        let mut machine = Machine::new(1, true);
        let all: Vec<u64> = (1..=4)
            .map(|pid| {
                machine.process(Spec {
                    pid,
                    ..Spec::default()
                })
            })
            .collect();
        machine.break_tasks(all[2], next(&all));
        tasks(&machine, ALL)
    };
    // To nowhere, to an address that is not mapped, and round in a circle: the task behind the
    // break is found from the end of the list.
    let nowhere = broken(&|_| 0);
    assert_eq!(pids(&nowhere), [1, 2, 3, 4]);
    assert_eq!(nowhere.warnings.len(), 1);
    let unmapped = broken(&|_| HEAP + 0x3f_0000);
    assert_eq!(pids(&unmapped)[..3], [1, 2, 3]);
    assert!(pids(&unmapped).contains(&4) && !unmapped.warnings.is_empty());
    let circle = broken(&|all| all[1] + 0x68);
    assert!(circle.tasks.len() < 20 && !circle.warnings.is_empty());

    let mut machine = Machine::new(1, true);
    let leader = machine.process(Spec::default());
    machine.process(Spec {
        pid: 9,
        ..Spec::default()
    });
    let head = machine.threads(leader, &[2, 3]);
    machine.write(head, 0, &0u64.to_le_bytes());
    let found = tasks(&machine, ALL);
    // The threads are lost, the tasks after them are not.
    assert_eq!(pids(&found), [1, 9]);
    assert_eq!(found.warnings.len(), 1);
}

#[test]
fn run_queues_say_what_each_cpu_ran() {
    let mut machine = Machine::new(3, true);
    let task = machine.process(Spec {
        pid: 77,
        comm: "busy",
        ..Spec::default()
    });
    machine.run(2, task, 4);
    let cpus = crate::cpus::read(&kernel(&machine.ram)).unwrap();
    let seen: Vec<_> = cpus
        .iter()
        .map(|cpu| (cpu.cpu, cpu.pid, cpu.idle, cpu.nr_running, cpu.panicked))
        .collect();
    assert_eq!(
        seen,
        [
            (0, 0, true, 0, true),
            (1, 0, true, 0, false),
            (2, 77, false, 4, false)
        ]
    );
    assert_eq!(
        (cpus[2].comm.as_str(), cpus[2].clock_ns),
        ("busy", Some(5_002))
    );
    // The clock of the CPU that was awake last.
    assert_eq!(crate::cpus::clock(&kernel(&machine.ram)), Some(5_002));
}

#[test]
fn the_essential_pages_hold_every_task_and_no_user_memory() {
    let mut machine = Machine::new(2, true);
    for pid in 1..40 {
        machine.process(Spec {
            pid,
            rss: Some([1, 1, 1, 1]),
            args: b"private\0",
            ..Spec::default()
        });
    }
    let kernel = kernel(&machine.ram);
    let essential = crate::essential::ranges(&kernel, crate::essential::Options::default());
    let essential = essential.unwrap();
    let held = |pa: u64| {
        essential
            .ranges
            .iter()
            .any(|run| run.contains(vmcore::addr::Pfn(pa >> 12)))
    };
    for task in tasks(&machine, ALL).tasks {
        for at in [task.address.0, task.mm.0] {
            assert!(
                held(kernel.translate(vmcore::addr::VirtAddr(at)).unwrap().0),
                "{at:#x}"
            );
        }
    }
    let user = machine
        .ram
        .pages()
        .filter(|(pfn, _)| (0x3_0000..0x4_0000).contains(pfn))
        .filter(|(pfn, _)| held(pfn << 12));
    assert_eq!(user.count(), 0);
    assert!(!essential.is_capped());
    // Runs are ascending and do not touch.
    assert!(essential.ranges.windows(2).all(|w| w[0].end <= w[1].start));
}
