//! The order of steps and what follows when one fails: something always arrives.
//!
//! Per target: mount, log, essential, report, core, pstore, finish, umount. After that each target that takes
//! the report only: mount, log, report, finish, umount; its failure costs nothing. The core step itself takes a
//! smaller level where the core does not fit; one that fails is tried once more without classification,
//! where the config allows that. When a target fails midway, the next one starts over. When no target
//! works, the log goes to the console. The operator's hooks run before the first target, after the core of
//! a target, and at the end of a failure; a hook that fails or hangs is a soft error. What finishes ([`Limit::reserved`]) has time of its own: it also
//! runs after the time for everything is over, and after PID 1 got a signal. Written against [`Runner`],
//! so that tests need no child.

mod operator;
mod report_only;
use operator::{hooks, rescue};

use crate::protocol::{DumpAt, Event, Facts, Job};
use dump::Level;
use dump::facts::Verdict;
use plan::{Plan, Takes, When};
use std::time::{Duration, Instant};
use store::manifest::ESSENTIAL;

/// How a job ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It reported that it is done.
    Done,
    /// It reported why it failed.
    Failed(String),
    /// It exited with this code and reported nothing.
    Exited(i32),
    /// A signal ended it: a crash, the OOM killer.
    Killed(i32),
    /// It went over its deadline.
    Deadline(Duration),
    /// It made no progress for this long.
    Stalled(Duration),
    /// It could not be started.
    NotStarted(String),
    /// PID 1 got a signal, or the time for everything is over.
    Aborted(&'static str),
}

impl End {
    /// Whether the step is done.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// Text that completes "core: …".
    #[must_use]
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Done => "done".into(),
            Self::Failed(why) => format!("failed: {why}"),
            Self::Exited(code) => format!("exited with code {code} and no message"),
            Self::Killed(9) => "was killed (out of memory?)".into(),
            Self::Killed(signal) => format!("was ended by signal {signal}"),
            Self::Deadline(limit) => format!("not done within {:.0} s", limit.as_secs_f64()),
            Self::Stalled(limit) => format!("made no progress for {:.0} s", limit.as_secs_f64()),
            Self::NotStarted(why) => format!("could not be started: {why}"),
            Self::Aborted(why) => format!("given up: {why}"),
        }
    }
}

/// The events of a child and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// How it ended.
    pub end: End,
    /// Its events, without log lines, soft errors and progress.
    pub events: Vec<Event>,
    /// Whether it hangs in the kernel and could not be killed.
    pub stuck: bool,
}

impl Answer {
    /// How it ended, with its events.
    #[must_use]
    pub(crate) fn new(end: End, events: Vec<Event>) -> Self {
        Self {
            end,
            events,
            stuck: false,
        }
    }
}

/// How long a job may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limit {
    /// It is killed after this time.
    pub deadline: Duration,
    /// It is killed after this time without a line from it.
    pub stall: Option<Duration>,
    /// Whether it runs even when everything else was aborted.
    pub reserved: bool,
}

impl Limit {
    /// For a step of the capture: it does not start after an abort, and an abort ends it.
    #[must_use]
    pub(crate) fn step(deadline: Duration) -> Self {
        Self {
            deadline,
            stall: None,
            reserved: false,
        }
    }

    /// For what finishes: an abort does not touch it.
    #[must_use]
    pub(crate) fn reserved(deadline: Duration) -> Self {
        Self {
            reserved: true,
            ..Self::step(deadline)
        }
    }

    /// The same, killed after `stall` without a line.
    #[must_use]
    pub(crate) fn or_stalled(self, stall: Duration) -> Self {
        Self {
            stall: Some(stall),
            ..self
        }
    }
}

/// What runs jobs: PID 1's supervisor, or a test's script.
pub(crate) trait Runner {
    /// The plan.
    fn plan(&self) -> &Plan;
    /// Runs a job within its limit.
    fn run(&mut self, job: Job, limit: Limit) -> Answer;
    /// Writes a line to the log.
    fn say(&mut self, line: &str);
    /// Adds a soft error to the log and the manifest.
    fn soft(&mut self, line: String);
    /// What was collected so far.
    fn facts(&mut self) -> &mut Facts;
    /// Time left for everything.
    fn time_left(&self) -> Duration;
}

/// What was saved in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// All that was asked for.
    Complete,
    /// All of it, with soft errors or more than asked.
    Degraded,
    /// A crash directory without everything.
    Incomplete,
    /// Nothing was saved on any target.
    Nothing,
}

impl Outcome {
    /// Whether this counts as success for the final action.
    #[must_use]
    pub(crate) fn arrived(self) -> bool {
        matches!(self, Self::Complete | Self::Degraded)
    }
}

/// For small steps: modules, a mount, the log, the manifest.
const SHORT: Duration = Duration::from_secs(60);

/// The log on the console has this long for the next line.
const CONSOLE_STALL: Duration = Duration::from_secs(15);

/// The limit of [`Job::Console`].
pub(crate) const CONSOLE: Limit = Limit {
    deadline: SHORT,
    stall: Some(CONSOLE_STALL),
    reserved: true,
};

/// Follows the plan to its end.
pub(crate) fn run(runner: &mut dyn Runner) -> Outcome {
    hooks(runner, When::Pre, None, Limit::step);
    let outcome = targets(runner);
    if !outcome.arrived() {
        hooks(runner, When::Failure, None, Limit::reserved);
        rescue(runner);
    }
    outcome
}

/// The targets for the dump, then those for the report. Where no target works, the log goes to the console.
fn targets(runner: &mut dyn Runner) -> Outcome {
    let dumps = of_kind(runner, Takes::Dump);
    let best = dump_to(runner, &dumps);
    let reports = of_kind(runner, Takes::Report);
    let copied = reports
        .into_iter()
        .filter(|at| report_only::run(runner, *at));
    match (best, copied.count()) {
        (Outcome::Nothing, 0) => {
            runner.say("no target works: the log of the crashed kernel follows on the console");
            runner.run(Job::Console, CONSOLE);
            Outcome::Nothing
        }
        (Outcome::Nothing, _) => Outcome::Incomplete,
        (best, _) => best,
    }
}

/// The plan's targets that take this.
fn of_kind(runner: &dyn Runner, takes: Takes) -> Vec<usize> {
    let targets = (0..).zip(&runner.plan().targets);
    let of_kind = targets.filter(|(_, target)| target.takes == takes);
    of_kind.map(|(at, _)| at).collect()
}

/// Tries one target after the other.
fn dump_to(runner: &mut dyn Runner, targets: &[usize]) -> Outcome {
    let mut best = Outcome::Nothing;
    for (n, target) in targets.iter().enumerate() {
        let another = n + 1 < targets.len();
        match on_target(runner, *target, another) {
            Outcome::Nothing => {}
            Outcome::Incomplete if another => {
                best = Outcome::Incomplete;
                runner.say("this target took less than asked; the next one starts over");
            }
            outcome => return outcome,
        }
        // These facts are about one target.
        let facts = runner.facts();
        facts.core = None;
        facts.skipped = None;
        facts.report = false;
        facts.essential = false;
    }
    best
}

/// The time of one target: no step gets more than what is left of it.
struct Clock {
    until: Instant,
}

impl Clock {
    fn at_most(&self, wanted: Duration, runner: &dyn Runner) -> Limit {
        let left = self.until.saturating_duration_since(Instant::now());
        Limit::step(wanted.min(left).min(runner.time_left()))
    }
}

/// Mounts a target: the mount point, where it has one, and the directory for crashes.
fn mounted(
    runner: &mut dyn Runner,
    target: usize,
    clock: &Clock,
) -> Option<(Option<String>, String)> {
    let wait = runner.plan().targets.get(target)?.device_wait_s;
    // Modules, the wait for the device, putting it together, the mount.
    let mounting = Duration::from_secs(wait) + SHORT * 3;
    let answer = runner.run(Job::Mount { target }, clock.at_most(mounting, runner));
    let place = answer.events.into_iter().find_map(|event| match event {
        Event::Mounted { mount_point, base } => Some((mount_point, base)),
        _ => None,
    });
    if place.is_none() {
        runner.soft(format!(
            "Target {} of {}: {}",
            target + 1,
            runner.plan().targets.len(),
            answer.end.words()
        ));
    }
    place
}

fn on_target(runner: &mut dyn Runner, target: usize, another: bool) -> Outcome {
    let Some(settings) = runner.plan().targets.get(target) else {
        return Outcome::Nothing;
    };
    let clock = Clock {
        until: Instant::now() + Duration::from_secs(settings.deadline_s),
    };
    let Some((mount_point, base)) = mounted(runner, target, &clock) else {
        return Outcome::Nothing;
    };
    match in_place(runner, target, &base, &clock, another) {
        Ok(outcome) => {
            if let Some(mount_point) = mount_point {
                runner.run(Job::Umount { mount_point }, Limit::reserved(SHORT));
            }
            outcome
        }
        Err(Stuck { left }) => {
            runner.soft(format!(
                "giving up on target {}: an operation on it is hung in the kernel",
                target + 1
            ));
            left
        }
    }
}

/// A step hangs in the kernel. Every other step on this target would hang too, until its deadline.
struct Stuck<T> {
    /// What the target has so far.
    left: T,
}

/// The steps on a mounted target. If there is `another` target, a target that hangs is left at once.
fn in_place(
    runner: &mut dyn Runner,
    target: usize,
    base: &str,
    clock: &Clock,
    another: bool,
) -> Result<Outcome, Stuck<Outcome>> {
    // An abort does not touch it: it takes a moment, and a child that is killed between making the
    // directory and reporting it would leave an unfinished one.
    let limit = Limit {
        reserved: true,
        ..clock.at_most(SHORT, runner)
    };
    let answer = runner.run(Job::Begin { base: base.into() }, limit);
    let begun = answer.end.is_done();
    let going_on = |stuck: bool| match stuck && another {
        true if begun => Err(Stuck {
            left: Outcome::Incomplete,
        }),
        true => Err(Stuck {
            left: Outcome::Nothing,
        }),
        false => Ok(()),
    };
    going_on(answer.stuck)?;
    let Some(dir) = directory_of(&answer) else {
        runner.soft(format!("Cannot begin in {base}: {}", answer.end.words()));
        return Ok(Outcome::Nothing);
    };
    if !begun {
        runner.soft(format!("The log was not saved: {}", answer.end.words()));
    }
    let report_limit = Duration::from_secs(runner.plan().dump.report_deadline_s);
    let stall = Duration::from_secs(runner.plan().dump.stall_s);

    let job = Job::Essential {
        dir: dir.clone(),
        target,
    };
    let essential = runner.run(job, clock.at_most(report_limit * 2, runner));
    runner.facts().essential = essential.end.is_done();
    if !essential.end.is_done() {
        runner.soft(format!("{ESSENTIAL}: {}", essential.end.words()));
    }
    going_on(essential.stuck)?;
    if take_report(runner, essential.events) {
        runner.say("report: done with the essential pages");
    } else {
        let job = Job::Report { dir: dir.clone() };
        let report = runner.run(job, clock.at_most(report_limit, runner));
        if !report.end.is_done() {
            runner.soft(format!("No report was made: {}", report.end.words()));
        }
        take_report(runner, report.events);
        going_on(report.stuck)?;
    }
    going_on(core(runner, target, (&dir, base), clock, stall))?;
    // Firmware that hangs while it is asked for its records must not cost the core.
    let job = Job::Pstore { dir: dir.clone() };
    let pstore = runner.run(job, clock.at_most(SHORT, runner));
    if !pstore.end.is_done() {
        runner.soft(format!(
            "The pstore records were not saved: {}",
            pstore.end.words()
        ));
    }

    let whole = clock.at_most(Duration::MAX, runner).deadline;
    let at_most = |deadline: Duration| Limit::step(deadline.min(whole));
    hooks(runner, When::Post, Some(&dir), at_most);

    let facts = Box::new(runner.facts().clone());
    let has_answer = facts.core.is_some() || facts.report;
    let job = Job::Finish {
        dir: dir.clone(),
        facts,
    };
    let answer = runner.run(job, Limit::reserved(SHORT * 2));
    let verdict = answer.events.iter().find_map(|event| match event {
        Event::Verdict(verdict) => Some(*verdict),
        _ => None,
    });
    if let Some(verdict) = verdict {
        let settled = directory_of(&answer).unwrap_or(dir);
        runner.facts().dump = Some(DumpAt {
            name: settled.rsplit('/').next().unwrap_or_default().to_owned(),
            verdict,
        });
    }
    let left = match (answer.end.is_done(), verdict) {
        (true, Some(Verdict::Complete)) => Outcome::Complete,
        (true, Some(Verdict::Degraded)) => Outcome::Degraded,
        _ if has_answer || begun => Outcome::Incomplete,
        _ => Outcome::Nothing,
    };
    match answer.stuck {
        true => Err(Stuck { left }),
        false => Ok(left),
    }
}

/// Keeps the crash facts of a report for the next steps. Answers whether there was a report.
fn take_report(runner: &mut dyn Runner, events: Vec<Event>) -> bool {
    for event in events {
        if let Event::Reported(crash) = event {
            let facts = runner.facts();
            (facts.report, facts.crash) = (true, *crash);
            return true;
        }
    }
    false
}

/// The core, then all of RAM without classification where that is allowed. Answers whether the last try
/// hangs.
fn core(
    runner: &mut dyn Runner,
    target: usize,
    (dir, base): (&str, &str),
    clock: &Clock,
    stall: Duration,
) -> bool {
    let dump = &runner.plan().dump;
    if dump.format.is_none() || dump.level == Level::Essential {
        return false;
    }
    let mut stuck = false;
    let mut steps = vec![(dump.level, false)];
    if dump.allow_unfiltered {
        steps.push((Level::ALL, true));
    }
    for (level, unfiltered) in steps {
        let job = Job::Core {
            dir: dir.into(),
            base: base.into(),
            target,
            crash: Box::new(runner.facts().crash.clone()),
            level,
            unfiltered,
        };
        let limit = clock.at_most(Duration::MAX, runner).or_stalled(stall);
        let answer = runner.run(job, limit);
        stuck = answer.stuck;
        for event in answer.events {
            match event {
                Event::Core(core) => runner.facts().core = Some(*core),
                Event::Skipped(why) => {
                    let kept = match runner.facts().essential {
                        true => ". The essential pages are kept instead",
                        false => "",
                    };
                    runner.soft(format!("No core: {why}{kept}"));
                    runner.facts().skipped = Some(why);
                }
                _ => {}
            }
        }
        if answer.end.is_done() {
            return stuck;
        }
        runner.soft(format!("The core at level {level}: {}", answer.end.words()));
        // A core that was cut off is worth more than a larger one that may not get that far.
        if stuck || runner.facts().core.is_some() {
            break;
        }
    }
    stuck
}

fn directory_of(answer: &Answer) -> Option<String> {
    answer.events.iter().rev().find_map(|event| match event {
        Event::Directory(path) => Some(path.clone()),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
