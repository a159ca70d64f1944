//! What the operator adds: hooks at some moments, and a shell after a failure.

use super::{Limit, Runner};
use crate::protocol::Job;
use plan::When;
use std::time::Duration;

/// Runs the hooks of a moment, each within its deadline and what `limit` makes of it.
pub(super) fn hooks(
    runner: &mut dyn Runner,
    when: When,
    dir: Option<&str>,
    limit: impl Fn(Duration) -> Limit,
) {
    for at in 0..runner.plan().hooks.len() {
        let Some(hook) = runner.plan().hooks.get(at).filter(|hook| hook.when == when) else {
            continue;
        };
        let (program, deadline) = (hook.program.clone(), Duration::from_secs(hook.deadline_s));
        let core = match &runner.facts().core {
            Some(core) => core.verdict.name(),
            None => "none",
        };
        let job = Job::Hook {
            at,
            dir: dir.map(str::to_owned),
            core: core.to_owned(),
        };
        let mut limit = limit(deadline);
        limit.deadline = match limit.reserved {
            true => limit.deadline,
            false => limit.deadline.min(runner.time_left()),
        };
        runner.say(&format!("{} hook: {program}", when.name()));
        let answer = runner.run(job, limit);
        if !answer.end.is_done() {
            let how = answer.end.words();
            runner.soft(format!("The {} hook {program}: {how}", when.name()));
        }
    }
}

/// Opens the rescue console, where the plan has one.
pub(super) fn rescue(runner: &mut dyn Runner) {
    let Some(rescue) = &runner.plan().after.rescue else {
        return;
    };
    let deadline = Duration::from_secs(rescue.deadline_s);
    let action = runner.plan().after.failure.name();
    let line = format!(
        "rescue console: exit the shell to go on; after {} s the next step is {action}",
        deadline.as_secs()
    );
    runner.say(&line);
    runner.run(Job::Rescue, Limit::reserved(deadline));
}
