//! Every fall of the ladder, without a single child.

use super::*;
use plan::{Directory, FirstKernel, Target, TargetKind};

/// Answers jobs from a script: a job not named there is done as it should be.
struct Script {
    plan: Plan,
    facts: Facts,
    /// Jobs run, in order.
    ran: Vec<String>,
    /// (job, how often already, answer).
    falls: Vec<(&'static str, End)>,
    /// These join them after the first finish.
    after_finish: Vec<(&'static str, End)>,
    verdict: Verdict,
    /// The job whose fall is one into the kernel.
    stuck: &'static str,
    /// Whether the essential step brings the report along.
    reports: bool,
    /// Whether a core that fails was written in part.
    cuts_off: bool,
    /// From this job on everything is aborted.
    aborts_at: &'static str,
    /// Whether that has happened.
    aborted: bool,
}

fn script(targets: usize, falls: &[(&'static str, End)], verdict: Verdict) -> Script {
    let mut plan = Plan::new(FirstKernel::default());
    for n in 0..targets {
        plan.targets.push(Target {
            kind: TargetKind::Directory(Directory {
                path: format!("/t{n}"),
            }),
            deadline_s: 60,
            device_wait_s: 1,
            takes: plan::Takes::Dump,
            keep: None,
        });
    }
    Script {
        plan,
        facts: Facts::default(),
        ran: Vec::new(),
        falls: falls.to_vec(),
        after_finish: Vec::new(),
        verdict,
        stuck: "",
        reports: false,
        cuts_off: false,
        aborts_at: "",
        aborted: false,
    }
}

impl Runner for Script {
    fn plan(&self) -> &Plan {
        &self.plan
    }
    fn run(&mut self, job: Job, limit: Limit) -> Answer {
        let name = job.name();
        self.aborted |= name == self.aborts_at;
        if self.aborted && !limit.reserved {
            return Answer::new(End::Aborted("the time for everything is up"), Vec::new());
        }
        self.ran.push(name.into());
        let fall = self.falls.iter().position(|(job, _)| *job == name);
        let end = fall.map_or(End::Done, |at| self.falls.remove(at).1);
        let mut events = Vec::new();
        if name == "finish" {
            self.falls.append(&mut self.after_finish);
        }
        match job {
            Job::Mount { target } if end.is_done() => events.push(Event::Mounted {
                mount_point: Some("/m".into()),
                base: format!("/t{target}"),
            }),
            Job::Begin { base } if !matches!(end, End::Deadline(_)) => {
                events.push(Event::Directory(format!("{base}/d.partial")));
            }
            Job::Essential { .. } if self.reports && end.is_done() => {
                events.push(Event::Reported(Box::default()));
            }
            Job::Report { .. } if end.is_done() => {
                events.push(Event::Reported(Box::default()));
            }
            Job::Core { .. } if self.cuts_off && !end.is_done() => {
                let facts = serde_json::json!({
                    "file": "vmcore.elf.zst", "format": "elf-zst", "level": "standard",
                    "asked": "standard", "verdict": "incomplete", "size": 1, "kinds": {},
                    "pages": {"ram": 9, "kept": 5, "zero": 0, "missing": 0},
                    "threads": 1, "classify_s": 0.0, "write_s": 0.0,
                });
                events.push(Event::Core(serde_json::from_value(facts).unwrap()));
            }
            Job::Finish { .. } if end.is_done() => events.push(Event::Verdict(self.verdict)),
            _ => {}
        }
        let stuck = name == self.stuck && !end.is_done();
        Answer { end, events, stuck }
    }
    fn say(&mut self, _: &str) {}
    fn soft(&mut self, line: String) {
        self.facts.soft_errors.push(line);
    }
    fn facts(&mut self) -> &mut Facts {
        &mut self.facts
    }
    fn time_left(&self) -> Duration {
        Duration::from_secs(1000)
    }
}

/// The same with targets that take the report only.
fn with_reports(dumps: usize, reports: usize, falls: &[(&'static str, End)]) -> Script {
    let mut script = script(dumps + reports, falls, Verdict::Complete);
    for target in script.plan.targets.iter_mut().take(reports) {
        target.takes = plan::Takes::Report;
    }
    script
}

const COPY: &str = "target log report finish umount";

const WHOLE: &str = "target log report core pstore finish umount";

fn ran(script: &Script) -> String {
    let steps: Vec<_> = script
        .ran
        .iter()
        .filter(|step| *step != "essential")
        .map(String::as_str)
        .collect();
    steps.join(" ")
}

#[test]
fn all_is_well() {
    let mut all = script(2, &[], Verdict::Complete);
    assert_eq!(run(&mut all), Outcome::Complete);
    assert_eq!(ran(&all), WHOLE);
    assert!(all.facts.soft_errors.is_empty());
}

#[test]
fn a_report_that_came_with_the_essential_pages_is_not_made_again() {
    let mut all = script(1, &[], Verdict::Complete);
    all.reports = true;
    assert_eq!(run(&mut all), Outcome::Complete);
    assert_eq!(ran(&all), WHOLE.replace(" report", ""));
    assert!(all.facts.report && all.facts.soft_errors.is_empty());
    let failed = [("essential", End::Killed(9))];
    let mut all = script(1, &failed, Verdict::Degraded);
    all.reports = true;
    run(&mut all);
    assert_eq!(ran(&all), WHOLE);
    assert!(all.facts.report);
}

#[test]
fn a_failed_report_costs_the_report() {
    let killed = [("report", End::Killed(9))];
    let mut all = script(1, &killed, Verdict::Degraded);
    assert_eq!(run(&mut all), Outcome::Degraded);
    assert_eq!(ran(&all), WHOLE);
    assert!(all.facts.soft_errors[0].contains("report"));
    assert!(!all.facts.report);
}

#[test]
fn a_dead_worker_leaves_log_and_report() {
    for end in [
        End::Killed(9),
        End::Exited(101),
        End::Stalled(Duration::from_secs(120)),
    ] {
        let mut all = script(1, &[("core", end)], Verdict::Incomplete);
        assert_eq!(run(&mut all), Outcome::Incomplete);
        assert_eq!(ran(&all), WHOLE);
        assert!(all.facts.soft_errors[0].contains("core at level standard"));
    }
}

#[test]
fn the_last_resort_is_tried_where_it_is_allowed() {
    let mut all = script(1, &[("core", End::Killed(6))], Verdict::Degraded);
    all.plan.dump.allow_unfiltered = true;
    assert_eq!(run(&mut all), Outcome::Degraded);
    assert_eq!(
        ran(&all),
        "target log report core core pstore finish umount"
    );
}

#[test]
fn the_next_target_starts_over() {
    let dead = [("target", End::Deadline(Duration::from_secs(30)))];
    let mut all = script(2, &dead, Verdict::Complete);
    assert_eq!(run(&mut all), Outcome::Complete);
    assert_eq!(ran(&all), format!("target {WHOLE}"));
    let full = [("core", End::Failed("No space left".into()))];
    let mut all = script(2, &full, Verdict::Incomplete);
    run(&mut all);
    assert_eq!(ran(&all), format!("{WHOLE} {WHOLE}"));
}

#[test]
fn a_target_that_is_stuck_is_left_at_once_where_there_is_another() {
    let stalled = || [("core", End::Stalled(Duration::from_secs(120)))];
    let mut all = script(2, &stalled(), Verdict::Degraded);
    all.stuck = "core";
    assert_eq!(run(&mut all), Outcome::Degraded);
    assert_eq!(ran(&all), format!("target log report core {WHOLE}"));
    let mut all = script(1, &stalled(), Verdict::Incomplete);
    all.stuck = "core";
    assert_eq!(run(&mut all), Outcome::Incomplete);
    assert_eq!(ran(&all), WHOLE);
    let late = [("finish", End::Deadline(Duration::from_secs(120)))];
    let mut all = script(1, &late, Verdict::Complete);
    all.stuck = "finish";
    assert_eq!(run(&mut all), Outcome::Incomplete);
    assert_eq!(ran(&all), WHOLE.replace(" umount", ""));
}

#[test]
fn a_target_that_takes_no_directory_is_left() {
    let hung = [("log", End::Deadline(Duration::from_secs(60)))];
    let mut all = script(2, &hung, Verdict::Complete);
    assert_eq!(run(&mut all), Outcome::Complete);
    assert_eq!(ran(&all), format!("target log umount {WHOLE}"));
}

#[test]
fn without_any_target_the_log_goes_to_the_console() {
    let dead = [
        ("target", End::Failed("none".into())),
        ("target", End::Failed("none".into())),
    ];
    let mut all = script(2, &dead, Verdict::Complete);
    assert_eq!(run(&mut all), Outcome::Nothing);
    assert_eq!(ran(&all), "target target console");
}

#[test]
fn a_manifest_that_cannot_be_written_is_no_success() {
    let mut all = script(1, &[("finish", End::Killed(9))], Verdict::Complete);
    assert_eq!(run(&mut all), Outcome::Incomplete);
}

#[test]
fn what_finishes_has_time_of_its_own() {
    for (at, ran_until) in [
        ("log", "target log"),
        ("report", "target log"),
        ("core", "target log report"),
        ("pstore", "target log report core"),
    ] {
        let mut all = script(2, &[], Verdict::Incomplete);
        all.aborts_at = at;
        assert_eq!(run(&mut all), Outcome::Incomplete);
        assert_eq!(ran(&all), format!("{ran_until} finish umount"));
        assert!(all.facts.soft_errors[0].contains("the time for everything is up"));
    }
    // Without any crash directory the log is what can still arrive.
    let mut all = script(2, &[], Verdict::Incomplete);
    all.aborts_at = "target";
    assert_eq!(run(&mut all), Outcome::Nothing);
    assert_eq!(ran(&all), "console");
}

#[test]
fn firmware_that_hangs_costs_its_own_records_only() {
    let hung = [("pstore", End::Deadline(Duration::from_secs(60)))];
    let mut all = script(2, &hung, Verdict::Degraded);
    all.stuck = "pstore";
    assert_eq!(run(&mut all), Outcome::Degraded);
    assert_eq!(ran(&all), WHOLE);
    assert!(all.facts.soft_errors[0].contains("pstore"));
}

#[test]
fn a_core_that_was_cut_off_is_not_traded_for_an_unfiltered_one() {
    let fall = [("core", End::Failed("the disk is gone".into()))];
    for (cuts_off, tries) in [(false, 2), (true, 1)] {
        let mut all = script(1, &fall, Verdict::Incomplete);
        all.plan.dump.allow_unfiltered = true;
        all.cuts_off = cuts_off;
        run(&mut all);
        assert_eq!(all.ran.iter().filter(|job| *job == "core").count(), tries);
        assert_eq!(all.facts.core.is_some(), cuts_off);
    }
}

fn with_hooks(script: &mut Script) {
    for when in [When::Failure, When::Post, When::Pre, When::Pre] {
        script.plan.hooks.push(plan::Hook {
            when,
            program: format!("/{}", when.name()),
            args: Vec::new(),
            deadline_s: 5,
        });
    }
    script.plan.after.rescue = Some(plan::Rescue {
        shell: "/bin/sh".into(),
        deadline_s: 7,
    });
}

#[test]
fn hooks_run_before_the_targets_and_after_the_core() {
    let mut all = script(1, &[], Verdict::Complete);
    with_hooks(&mut all);
    assert_eq!(run(&mut all), Outcome::Complete);
    let whole = WHOLE.replace("pstore", "pstore hook");
    assert_eq!(ran(&all), format!("hook hook {whole}"));
    assert!(all.facts.soft_errors.is_empty());
}

#[test]
fn a_hook_that_fails_or_hangs_is_a_soft_error_and_costs_nothing_else() {
    for end in [
        End::Failed("exit code 3".into()),
        End::Deadline(Duration::from_secs(5)),
        End::Killed(9),
        End::NotStarted("no memory".into()),
    ] {
        let falls = [("hook", end.clone()), ("hook", end.clone()), ("hook", end)];
        let mut all = script(1, &falls, Verdict::Degraded);
        with_hooks(&mut all);
        assert_eq!(run(&mut all), Outcome::Degraded);
        let whole = WHOLE.replace("pstore", "pstore hook");
        assert_eq!(ran(&all), format!("hook hook {whole}"));
        let soft = &all.facts.soft_errors;
        assert_eq!(soft.len(), 3);
        assert!(soft[0].starts_with("The pre hook /pre: "), "{soft:?}");
        assert!(soft[2].starts_with("The post hook /post: "), "{soft:?}");
    }
}

#[test]
fn after_a_failure_the_failure_hook_and_the_rescue_console_run_even_when_the_time_is_over() {
    let mut all = script(1, &[], Verdict::Incomplete);
    with_hooks(&mut all);
    all.aborts_at = "core";
    assert_eq!(run(&mut all), Outcome::Incomplete);
    assert_eq!(
        ran(&all),
        "hook hook target log report finish umount hook rescue"
    );
    let fallen = [("target", End::Failed("no disk".into()))];
    let mut all = script(1, &fallen, Verdict::Complete);
    with_hooks(&mut all);
    assert_eq!(run(&mut all), Outcome::Nothing);
    assert_eq!(ran(&all), "hook hook target console hook rescue");
    let mut none = script(1, &[], Verdict::Incomplete);
    assert_eq!(run(&mut none), Outcome::Incomplete);
    assert_eq!(ran(&none), WHOLE);
}

#[test]
fn the_report_follows_when_the_dump_is_safe() {
    let mut script = with_reports(1, 2, &[]);
    assert_eq!(run(&mut script), Outcome::Complete);
    assert_eq!(ran(&script), format!("{WHOLE} {COPY} {COPY}"));
    assert!(script.facts.soft_errors.is_empty());
    let dump = script.facts.dump.unwrap();
    assert_eq!(
        (dump.name.as_str(), dump.verdict),
        ("d.partial", Verdict::Complete)
    );
    assert!(script.facts.report_only && script.facts.core.is_none());
}

#[test]
fn a_report_that_fails_costs_nothing() {
    for fall in ["target", "log", "report", "finish"] {
        let mut script = with_reports(1, 1, &[]);
        // The dump's own steps come first.
        script.after_finish = vec![(fall, End::Failed("the server is dead".into()))];
        assert_eq!(run(&mut script), Outcome::Complete, "{fall}");
        assert!(ran(&script).starts_with(WHOLE), "{fall}");
    }
    let mut script = with_reports(1, 1, &[]);
    script.after_finish = vec![("log", End::Deadline(SHORT))];
    script.stuck = "log";
    assert_eq!(run(&mut script), Outcome::Complete);
    assert_eq!(
        ran(&script),
        format!("{WHOLE} target log"),
        "nothing more on a target that hangs"
    );
}

#[test]
fn the_report_goes_out_where_no_target_takes_the_dump() {
    let dead = || End::Failed("no such device".into());
    let mut script = with_reports(2, 1, &[("target", dead()), ("target", dead())]);
    assert_eq!(run(&mut script), Outcome::Incomplete);
    assert_eq!(ran(&script), format!("target target {COPY}"));
    let mut script = with_reports(1, 1, &[("target", dead()), ("target", dead())]);
    assert_eq!(run(&mut script), Outcome::Nothing);
    assert_eq!(ran(&script), "target target console");
}
