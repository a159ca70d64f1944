//! PID 1 of the capture kernel.
//!
//! It mounts the kernel's own filesystems, which no device can block, and from then on only
//! supervises: every call that can touch a device happens in a child with a deadline. It never
//! exits, and its last act is always the final action.
//!
//! By hand (`afterpanic-capture PLAN`) the same supervisor runs the same steps, without mounts,
//! modules and final action, and answers with an exit code.

mod child;
mod console;
mod last;
mod memory;
mod relay;
mod supervisor;
mod watchdog;

use crate::ladder::{self, Outcome};
use child::Follow;
use console::Console;
use nix::mount::{MsFlags, mount};
use plan::{FinalAction, Plan};
use std::fs;
use std::path::{Path, PathBuf};
use supervisor::Supervisor;
use vmcore::kernel::chain;

/// Runs the capture kernel's user space. Never returns.
pub(crate) fn pid1(follow: Follow) -> ! {
    let mounts = mount_kernel_filesystems();
    do_not_wait_for_readers();
    do_not_ask_for_modprobe();
    protect_from_oom();
    let mut console = Console::for_init();
    for problem in mounts {
        console.say(&problem);
    }
    console.say(plan::BANNER.trim_end());
    let plan = match fs::read(plan::PATH)
        .map_err(|e| format!("Cannot read {}: {e}", plan::PATH))
        .and_then(|text| Plan::parse(&text).map_err(|e| chain(&e)))
    {
        Ok(plan) => plan,
        Err(why) => {
            console.say(&why);
            emergency(console, follow)
        }
    };
    // Ctrl-Alt-Del becomes SIGINT to us instead of an immediate reset.
    let _ = nix::sys::reboot::set_cad_enabled(false);
    let after = plan.after.clone();
    match Supervisor::new(plan, PathBuf::from("/init"), follow, console, true) {
        Ok(mut supervisor) => {
            let outcome = ladder::run(&mut supervisor);
            supervisor.say_peak();
            let action = if outcome.arrived() {
                after.success
            } else {
                after.failure
            };
            last::act(&mut supervisor, action)
        }
        Err((error, mut console)) => {
            console.say(&format!("Cannot supervise: {}", chain(&error)));
            last::force(&mut console, after.failure)
        }
    }
}

/// Follows a plan on this running system; the final action is the exit code.
#[must_use]
pub(crate) fn by_hand(plan: Plan, program: PathBuf, follow: Follow) -> u8 {
    match Supervisor::new(plan, program, follow, Console::for_hand(), false) {
        Ok(mut supervisor) => match ladder::run(&mut supervisor) {
            Outcome::Complete => 0,
            Outcome::Degraded => 4,
            Outcome::Incomplete => 5,
            Outcome::Nothing => 1,
        },
        Err((error, mut console)) => {
            console.say(&format!("Cannot supervise: {}", chain(&error)));
            1
        }
    }
}

/// Without a plan: writes the log to the console, then reboots.
fn emergency(console: Console, follow: Follow) -> ! {
    let mut plan = Plan::new(plan::FirstKernel::default());
    plan.after.deadline_s = 120;
    match Supervisor::new(plan, PathBuf::from("/init"), follow, console, true) {
        Ok(mut supervisor) => {
            supervisor.run(crate::protocol::Job::Console, ladder::CONSOLE);
            last::act(&mut supervisor, FinalAction::Reboot)
        }
        Err((_, mut console)) => last::force(&mut console, FinalAction::Reboot),
    }
}

/// Mounts the kernel's own filesystems. Answers a sentence for each failure.
fn mount_kernel_filesystems() -> Vec<String> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    let wanted = [
        ("proc", "/proc", quiet, ""),
        ("sysfs", "/sys", quiet, ""),
        ("devtmpfs", "/dev", MsFlags::MS_NOSUID, "mode=0755"),
    ];
    let mut problems = Vec::new();
    for (fstype, point, flags, data) in wanted {
        let _ = fs::create_dir_all(point);
        match mount(Some(fstype), point, Some(fstype), flags, Some(data)) {
            Ok(()) | Err(nix::errno::Errno::EBUSY) => {}
            Err(error) => problems.push(format!("Cannot mount {fstype} on {point}: {error}")),
        }
    }
    problems
}

/// Inserting a module and mounting wait for RCU again and again: tens of milliseconds each time, or a
/// few interrupts (Documentation/RCU/, `rcu_expedited`). Interrupts cost nothing here.
fn do_not_wait_for_readers() {
    let _ = fs::write("/sys/kernel/rcu_expedited", "1");
}

/// A driver or a filesystem that asks for a module has the kernel start modprobe and wait for it. Where
/// the image has none that only takes time (kernel/module/kmod.c, 5.10 to 7.2: an empty path is ENOENT).
fn do_not_ask_for_modprobe() {
    const PATH: &str = "/proc/sys/kernel/modprobe";
    let program = fs::read_to_string(PATH).unwrap_or_default();
    if !program.trim().is_empty() && !Path::new(program.trim()).exists() {
        let _ = fs::write(PATH, "\n");
    }
}

/// The OOM killer takes workers first and PID 1 never.
fn protect_from_oom() {
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
}
