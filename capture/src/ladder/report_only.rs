//! Log and report on a target that takes no more. The dump is safe by then, or no target took it: nothing that
//! fails here costs anything else.

use super::{Clock, Limit, Runner, SHORT, Stuck, directory_of, mounted, take_report};
use crate::protocol::Job;
use std::time::{Duration, Instant};

/// A target that takes the report only has this long: the reboot waits for it.
const MOST: Duration = Duration::from_secs(300);

/// Log and report on a target that takes no more, whatever became of the dump. Answers whether the log or the
/// report is there.
pub(super) fn run(runner: &mut dyn Runner, target: usize) -> bool {
    let facts = runner.facts();
    (facts.report_only, facts.report) = (true, false);
    (facts.core, facts.skipped) = (None, None);
    let settings = runner.plan().targets.get(target);
    let whole = settings.map_or(0, |settings| settings.deadline_s);
    let clock = Clock {
        until: Instant::now() + Duration::from_secs(whole).min(MOST),
    };
    let Some((mount_point, base)) = mounted(runner, target, &clock) else {
        return false;
    };
    let done = in_place(runner, target, &base, &clock);
    match (done, mount_point) {
        (Ok(done), Some(mount_point)) => {
            runner.run(Job::Umount { mount_point }, Limit::reserved(SHORT));
            done
        }
        (Ok(done) | Err(Stuck { left: done }), _) => done,
    }
}

/// The steps on a mounted target that takes the report only.
fn in_place(
    runner: &mut dyn Runner,
    target: usize,
    base: &str,
    clock: &Clock,
) -> Result<bool, Stuck<bool>> {
    let limit = clock.at_most(SHORT, runner);
    let answer = runner.run(Job::Begin { base: base.into() }, limit);
    let begun = answer.end.is_done();
    let Some(dir) = directory_of(&answer) else {
        let how = answer.end.words();
        runner.soft(format!("Target {}: cannot begin: {how}", target + 1));
        return match answer.stuck {
            true => Err(Stuck { left: false }),
            false => Ok(false),
        };
    };
    if answer.stuck {
        return Err(Stuck { left: false });
    }
    let limit = Duration::from_secs(runner.plan().dump.report_deadline_s);
    let job = Job::Report { dir: dir.clone() };
    let report = runner.run(job, clock.at_most(limit, runner));
    if !report.end.is_done() {
        let how = report.end.words();
        runner.soft(format!("Target {}: no report: {how}", target + 1));
    }
    let reported = take_report(runner, report.events);
    if report.stuck {
        return Err(Stuck { left: begun });
    }
    let facts = Box::new(runner.facts().clone());
    let answer = runner.run(Job::Finish { dir, facts }, clock.at_most(SHORT, runner));
    match answer.stuck {
        true => Err(Stuck {
            left: begun || reported,
        }),
        false => Ok(begun || reported),
    }
}
