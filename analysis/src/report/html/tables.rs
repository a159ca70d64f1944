//! Tables: tasks, modules, slab caches, mounts, settings, notifiers, checks.

use super::out::Out;
use super::parts::{Code, Column, Look, Number, Words, table};
use crate::notifiers::{Hook, Outcome};
use crate::report::details::Full;
use crate::report::words::size;
use crate::tasks::{State, Task};

fn some<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

/// Whether the tasks were counted.
pub(super) fn has_tasks(full: &Full) -> bool {
    full.report.tasks.is_some() || some(full.details.task_list.as_ref())
}

/// How many tasks were in which state, and each of them.
pub(super) fn tasks(full: &Full, out: &mut Out) {
    let total = full.report.tasks.as_ref().map(|states| {
        let total: u64 = states
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count));
        out.raw("<p>").text(total).raw(" tasks: ");
        for (n, (letter, count)) in states.iter().enumerate() {
            let state = State::from_letter(*letter);
            out.raw(if n > 0 { ", " } else { "" }).text(count).raw(" ");
            match state {
                Some(state) => out.raw(words(state)),
                None => out.text(letter),
            };
        }
        out.raw(".</p>\n");
        total
    });
    let Some(list) = &full.details.task_list else {
        return;
    };
    let count = u64::try_from(list.len()).unwrap_or(u64::MAX);
    if let Some(total) = total.filter(|total| *total > count) {
        out.raw("<p class=\"dim\">The table has ")
            .text(count)
            .raw(" of ")
            .text(total);
        out.raw("; those that ran or were blocked are among them.</p>\n");
    }
    const COLUMNS: &[Column] = &[
        Number("PID"),
        Words("Name"),
        Words("State"),
        Number("CPU"),
        Number("Parent"),
        Number("Resident"),
        Number("CPU time"),
        Code("task_struct"),
    ];
    table(out, "Tasks", Look::Alone, COLUMNS, list.len(), |table| {
        for task in list {
            let class = match (task.on_cpu, task.state) {
                (true, _) => "on",
                (false, State::Blocked) => "bad",
                _ => "",
            };
            let number = |n: Option<i64>| n.map_or(String::new(), |n| n.to_string());
            let name = match task.kernel_thread {
                true => format!("[{}]", task.comm),
                false => task.comm.clone(),
            };
            let resident = task.rss.map_or(String::new(), |rss| size(rss.total()));
            let (cpu, parent) = (
                number(task.cpu.map(i64::from)),
                number(task.ppid.map(i64::from)),
            );
            let state = words(task.state);
            table.marked(
                class,
                &[
                    &task.pid,
                    &name,
                    &state,
                    &cpu,
                    &parent,
                    &resident,
                    &cpu_time(task),
                    &task.address,
                ],
            );
        }
    });
}

/// `1.25 s` in user mode and in the kernel.
fn cpu_time(task: &Task) -> String {
    let both = task.user_ns.zip(task.system_ns);
    both.map_or(String::new(), |(user, system)| {
        let hundredths = user.saturating_add(system) / 10_000_000;
        format!("{}.{:02} s", hundredths / 100, hundredths % 100)
    })
}

fn words(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Sleeping => "sleeping",
        State::Blocked => "blocked",
        State::Idle => "idle",
        State::Stopped => "stopped",
        State::Traced => "traced",
        State::Parked => "parked",
        State::Zombie => "zombie",
        State::Dead => "dead",
    }
}

/// Whether a module was found.
pub(super) fn has_modules(full: &Full) -> bool {
    some(full.report.modules.as_ref())
}

/// The modules.
pub(super) fn modules(full: &Full, out: &mut Out) {
    const COLUMNS: &[Column] = &[
        Code("Module"),
        Number("Size"),
        Number("Used"),
        Words("Used by"),
        Words("Taint"),
        Words("Version"),
        Code("Text"),
    ];
    let list = full.report.modules.as_deref().unwrap_or_default();
    let culprit = full
        .report
        .reason
        .culprit
        .as_ref()
        .and_then(|at| at.module.as_deref());
    table(out, "Modules", Look::Alone, COLUMNS, list.len(), |table| {
        for module in list {
            let class = if culprit == Some(&module.name) {
                "bad"
            } else {
                ""
            };
            let used = module.used.map_or(String::new(), |n| n.to_string());
            let text = module.text.map_or(String::new(), |at| at.to_string());
            let version = module.version.as_deref().unwrap_or_default();
            let (bytes, users) = (size(module.size), module.users.join(", "));
            table.marked(
                class,
                &[
                    &module.name,
                    &bytes,
                    &used,
                    &users,
                    &module.taints,
                    &version,
                    &text,
                ],
            );
        }
    });
}

/// Whether a slab cache was found.
pub(super) fn has_slabs(full: &Full) -> bool {
    some(full.report.slabs.as_ref())
}

/// The slab caches, the largest first.
pub(super) fn slabs(full: &Full, out: &mut Out) {
    const COLUMNS: &[Column] = &[
        Code("Cache"),
        Number("Memory"),
        Number("Objects"),
        Number("In use"),
        Number("Object size"),
        Number("Slabs"),
    ];
    let list = full.report.slabs.as_deref().unwrap_or_default();
    table(
        out,
        "Slab caches, the largest first",
        Look::Alone,
        COLUMNS,
        list.len(),
        |table| {
            for cache in list {
                let used = cache
                    .in_use
                    .map_or_else(|| "?".to_owned(), |n| n.to_string());
                table.row(&[
                    &cache.name,
                    &size(cache.bytes),
                    &cache.objects,
                    &used,
                    &cache.size,
                    &cache.slabs,
                ]);
            }
        },
    );
}

/// Whether a mount was found.
pub(super) fn has_mounts(full: &Full) -> bool {
    some(full.report.mounts.as_ref())
}

/// The mounts.
pub(super) fn mounts(full: &Full, out: &mut Out) {
    const COLUMNS: &[Column] = &[
        Code("Source"),
        Code("Mounted on"),
        Words("Type"),
        Words("Mode"),
    ];
    let list = full.report.mounts.as_deref().unwrap_or_default();
    table(out, "Mounts", Look::Alone, COLUMNS, list.len(), |table| {
        for mount in list {
            let mode = if mount.read_only {
                "read-only"
            } else {
                "read-write"
            };
            table.row(&[&mount.source, &mount.target, &mount.fs_type, &mode]);
        }
    });
}

/// Whether there is a command line or a setting.
pub(super) fn has_settings(full: &Full) -> bool {
    full.report.system.command_line.is_some() || some(full.details.sysctls.as_ref())
}

/// The command line and the sysctls.
pub(super) fn settings(full: &Full, out: &mut Out) {
    if let Some(line) = &full.report.system.command_line {
        out.raw("<pre class=\"wrap\">").text(line).raw("</pre>\n");
    }
    const COLUMNS: &[Column] = &[Code("Setting"), Number("Value")];
    if let Some(list) = &full.details.sysctls {
        table(out, "sysctl", Look::Titled, COLUMNS, list.len(), |table| {
            for row in list {
                table.row(&[&row.name, &row.value]);
            }
        });
    }
}

/// Whether notifiers were looked for.
pub(super) fn has_notifiers(full: &Full) -> bool {
    full.report.notifiers.is_some()
}

/// What was registered to run at a panic.
pub(super) fn notifiers(full: &Full, out: &mut Out) {
    let Some(all) = &full.report.notifiers else {
        return;
    };
    out.element("p", &all.evidence).raw("\n");
    const COLUMNS: &[Column] = &[
        Code("Function"),
        Words("Module"),
        Words("Kind"),
        Number("Priority"),
        Words("Outcome"),
    ];
    let rows = all.notifiers.len().saturating_add(all.dumpers.len());
    let named = |kind: &'static str| move |hook| (kind, hook);
    table(
        out,
        "Registered for a panic, in the order of calling",
        Look::Titled,
        COLUMNS,
        rows,
        |table| {
            let notifiers = all.notifiers.iter().map(named("notifier"));
            let hooks: Vec<(&'static str, &Hook)> = notifiers
                .chain(all.dumpers.iter().map(named("kmsg dumper")))
                .collect();
            for (kind, hook) in hooks {
                let outcome = match hook.outcome {
                    Outcome::Ran => "ran",
                    Outcome::NotReached => "not reached",
                    Outcome::Unknown => "unknown",
                };
                let module = hook.module.as_deref().unwrap_or_default();
                let priority = hook.priority.map_or(String::new(), |n| n.to_string());
                table.row(&[&hook.function, &module, &kind, &priority, &outcome]);
            }
        },
    );
}

/// Whether the core was checked.
pub(super) fn has_checks(full: &Full) -> bool {
    some(full.report.checks.as_ref())
}

/// Whether the core agrees with itself.
pub(super) fn checks(full: &Full, out: &mut Out) {
    const COLUMNS: &[Column] = &[Words("Check"), Words("Answer"), Words("Detail")];
    let list = full.report.checks.as_deref().unwrap_or_default();
    table(
        out,
        "Checks of the core",
        Look::Alone,
        COLUMNS,
        list.len(),
        |table| {
            for check in list {
                let (class, word) = if check.ok {
                    ("", "ok")
                } else {
                    ("bad", "WRONG")
                };
                table.marked(class, &[&check.what, &word, &check.detail]);
            }
        },
    );
}
