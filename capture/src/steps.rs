//! The steps that run in children, one file each. A step that blocks, crashes or uses up its memory
//! costs that step only.

mod begin;
mod console;
mod core;
mod essential;
mod finish;
mod hook;
mod last;
mod pstore;
mod raw;
mod report;
mod room;
mod source;

use crate::fault;
use crate::modules;
use crate::protocol::{self, Event, Job, Order, say};
use crate::target;
use dump::budget::Budget;
use nix::sys::resource::{Resource, setrlimit};
use plan::Plan;
use std::fs;
use std::path::Path;

/// Runs a child from its order to its exit code.
#[must_use]
pub(crate) fn child() -> u8 {
    let order = match protocol::read_order() {
        Ok(order) => order,
        Err(error) => {
            say(&Event::Failed(format!("Cannot read the order: {error}")));
            return 1;
        }
    };
    follow(&order)
}

/// Does the job of an order, in a process that has nothing else to do. Answers the exit code.
pub(crate) fn follow(order: &Order) -> u8 {
    // The OOM killer must choose a child, never PID 1. Raising the own score is always allowed.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let fault = match order.init {
        true => fault::arm(order.job.name()),
        false => None,
    };
    let outcome = work(order);
    if let Some(fault) = fault {
        let _ = fault.join();
    }
    match outcome {
        Ok(()) => {
            say(&Event::Done);
            0
        }
        Err(why) => {
            say(&Event::Failed(why));
            1
        }
    }
}

fn work(order: &Order) -> Result<(), String> {
    let here;
    let plan = match &order.job {
        Job::Essential { target, .. } | Job::Core { target, .. } => {
            here = Plan {
                keep: order.plan.keep_on(*target),
                ..order.plan.clone()
            };
            &here
        }
        _ => &order.plan,
    };
    match &order.job {
        Job::Mount { target } => {
            let modules = match order.init {
                true => modules::for_target(&plan.modules, *target),
                false => Vec::new(),
            };
            let point = target::mount_point(*target);
            let target = plan.targets.get(*target).ok_or("There is no such target")?;
            target::prepare(target, modules, &point, &plan.kernel.nodename)
        }
        Job::Begin { base } => begin::run(plan, Path::new(base)),
        Job::Essential { dir, .. } => {
            let budget = limit(plan);
            raw::after(Path::new(dir), essential::run(plan, Path::new(dir), budget))
        }
        Job::Report { dir } => {
            limit(plan);
            raw::after(Path::new(dir), report::run(plan, Path::new(dir)))
        }
        Job::Core {
            dir,
            base,
            crash,
            level,
            unfiltered,
            ..
        } => {
            let budget = limit(plan);
            core::run(&core::Request {
                plan,
                dir: Path::new(dir),
                base: Path::new(base),
                crash,
                level: *level,
                unfiltered: *unfiltered,
                budget,
            })
        }
        Job::Pstore { dir } => pstore::run(Path::new(dir), &plan.dump.sealer(), order.init),
        Job::Finish { dir, facts } => finish::run(plan, Path::new(dir), facts),
        Job::Umount { mount_point } => target::mount::umount(Path::new(mount_point)),
        Job::Console => console::run(plan, order.init),
        Job::Hook { at, dir, core } => {
            limit(plan);
            let hook = plan.hooks.get(*at).ok_or("There is no such hook")?;
            hook::run(hook, dir.as_deref(), core)
        }
        Job::Rescue => match &plan.after.rescue {
            Some(rescue) => hook::rescue(rescue),
            None => Ok(()),
        },
        Job::Last(action) => {
            last::run(*action);
            Ok(())
        }
    }
}

/// Holds this process to its share of the memory. By hand the source may be a compressed
/// core, whose unpacked frames need memory too; the capture kernel's source is never compressed.
fn limit(plan: &Plan) -> Budget {
    const UNPACKED: u64 = 12 << 20;
    let budget = Budget::here(&plan.dump);
    let compressed = plan.source != "/proc/vmcore"
        && source::dump(plan).is_ok_and(|dump| dump.info().compression != "none");
    let limit = budget.limit + if compressed { UNPACKED } else { 0 };
    if let Err(errno) = setrlimit(Resource::RLIMIT_DATA, limit, limit) {
        protocol::soft(format!("Cannot limit the worker's memory: {errno}"));
    }
    budget
}

/// The most memory this process had at once (VmHWM counts file pages it mapped, too).
fn peak_rss_kib() -> u64 {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse().ok())
        .unwrap_or(0)
}
