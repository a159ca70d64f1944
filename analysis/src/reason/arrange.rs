//! Puts the stack that tells why in front, as the shape of the report says, and names the function to
//! blame.

use super::blame::{self, Groups};
use super::shapes::{Blame, Shape};
use super::{Class, Location, Oops, Stack, frame};

/// Lines behind the phrase that names a lock.
const LOCK_LINES: usize = 6;

/// Calls of a function by itself that are recursion.
const SELF_CALLS: usize = 4;

/// The frames that can be to blame, innermost first.
pub(super) fn stack(oops: &Oops) -> impl Iterator<Item = &Location> {
    let sure = oops.trace.iter().any(|frame| frame.reliable);
    let trace = oops
        .trace
        .iter()
        .filter(move |frame| frame.reliable || !sure);
    // Where the fault has no place, who called there comes next.
    let link = oops
        .link
        .iter()
        .filter(|_| oops.location.is_none() && oops.trace.is_empty());
    oops.location.iter().chain(link).chain(trace)
}

/// The function to blame: the named one, or the first that is no helper when the named one is a helper.
pub(super) fn blamed(
    stack: &[&Location],
    named: Option<Location>,
    groups: Groups,
) -> Option<Location> {
    let Some(named) = named else {
        let first = blame::first(stack.iter().copied(), groups);
        // Nobody is to blame at the gate of the kernel.
        let first = first.filter(|frame| !blame::is_gate(&frame.function));
        // Helpers all the way: the innermost that does not only report, unless the stack is of one that waits.
        let stack = if groups.has(Groups::WAIT) { &[] } else { stack };
        let first = first.or_else(|| blame::first(stack.iter().copied(), Groups::REPORT));
        return first.cloned();
    };
    let at = stack
        .iter()
        .position(|frame| frame.function == named.function);
    // What the kernel names is not how it reports.
    let own = groups.and(Groups::ENTRY).without(Groups::REPORT);
    if !blame::is_helper(&named.function, own) {
        // The frame of the trace knows more, such as its line.
        let frame = at
            .and_then(|at| stack.get(at))
            .map(|frame| (*frame).clone());
        return Some(frame.unwrap_or(named));
    }
    blame::first(stack.iter().copied(), groups).cloned()
}

/// Puts the stack that tells why in front, as the shape says; answers the function that the report
/// itself names.
pub(super) fn arrange(
    shape: &Shape,
    class: Class,
    oops: &mut Oops,
    own: &[&str],
) -> Option<Location> {
    match shape.blame {
        Blame::Named => {
            oops.location = None;
            let headline = own.first()?;
            let (_, rest) = headline
                .rsplit_once(" in ")
                .or_else(|| headline.rsplit_once(" at "))?;
            let name = rest.split(['/', ' ', '+']).next()?;
            Location::parse(rest).or_else(|| bare_name(name))
        }
        Blame::Trace => {
            oops.location = None;
            None
        }
        Blame::Titled(phrase) => {
            oops.location = None;
            let stack = oops
                .stacks
                .iter()
                .find(|stack| stack.title.contains(phrase))?;
            blame::first(stack.frames.iter(), shape.skip).cloned()
        }
        Blame::Entry => entry(oops),
        Blame::At(phrase) => {
            oops.location = None;
            let places = locked_at(own, phrase);
            let groups = shape.skip.and(Groups::ENTRY);
            // A work item's lock is taken for whoever waits for it: that is in the chain.
            let chain = oops
                .stacks
                .iter()
                .filter(|stack| stack.title.starts_with("-> #"));
            let chain = chain.flat_map(|stack| &stack.frames);
            let chain = chain.filter(|_| {
                places
                    .iter()
                    .any(|place| blame::is_helper(&place.function, Groups::ENTRY))
            });
            blame::first(places.iter().chain(chain), groups).cloned()
        }
        Blame::Word(phrase) => {
            oops.location = None;
            let text = own
                .iter()
                .find_map(|line| line.split_once(phrase).map(|(_, rest)| rest))?;
            Location::parse(text).or_else(|| bare_name(text.split([' ', '[']).next()?))
        }
        Blame::Worker => in_flight(own),
        Blame::Stall => {
            stalled(class, oops);
            None
        }
        Blame::Waiter => {
            oops.location = None;
            None
        }
        Blame::Fault | Blame::Nobody => {
            if class == Class::HardLockup {
                stalled(class, oops);
            }
            let bare = oops.location.is_none() && oops.trace.is_empty();
            let headline = own.first().filter(|_| bare && shape.blame == Blame::Fault);
            headline.and_then(|headline| warned(headline))
        }
    }
}

/// The place in the headline of a warning, which may have lost its registers (kernel/panic.c, `__warn`).
fn warned(headline: &str) -> Option<Location> {
    let words = headline.strip_prefix("WARNING: ")?.split_ascii_whitespace();
    let mut places = words.filter(|word| word.contains("+0x"));
    Location::parse(places.next()?.trim_end_matches(','))
}

/// The function that entered a stack which ran out. A function that calls itself is named itself.
fn entry(oops: &Oops) -> Option<Location> {
    let frames: Vec<&Location> = stack(oops).collect();
    let innermost = blame::first(frames.iter().copied(), Groups::COMMON)?;
    let again = frames.windows(2).filter(|pair| matches!(pair, [a, b] if a.function == b.function && a.function == innermost.function));
    if again.count() >= SELF_CALLS {
        return Some(innermost.clone());
    }
    let end = frames
        .iter()
        .position(|frame| blame::dispatches(&frame.function))?;
    let before = frames.get(..end)?.iter().rev().copied();
    blame::first(before, Groups::COMMON).cloned()
}

/// The work item that runs in the stuck pool: `in-flight: 812:acme_stats_work [acme]` below the line of
/// that pool (kernel/workqueue.c, `show_pwq`).
fn in_flight(own: &[&str]) -> Option<Location> {
    let (_, pool) = own.first()?.split_once(" - pool ")?;
    let (pool, _) = pool.split_once(" stuck for ")?;
    let mut lines = own.iter();
    lines.find(|line| line.contains("pwq ") && line.contains(pool))?;
    // The next line of a pool ends what belongs to this one.
    let work = lines
        .take_while(|line| !line.contains("pwq "))
        .find_map(|line| line.split_once("in-flight: "))?;
    let (_, function) = work.1.split_once(':')?;
    let mut found = bare_name(function.split([' ', ',', '[']).next()?)?;
    let module = function
        .split_once(" [")
        .and_then(|(_, rest)| rest.split_once(']'));
    found.module = module.map(|(name, _)| name.to_string());
    Some(found)
}

/// A function without an offset.
fn bare_name(name: &str) -> Option<Location> {
    let name = name.trim();
    let address = name.len() >= 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (frame::is_name(name) && !name.starts_with('<') && !address).then(|| Location {
        function: name.to_string(),
        reliable: true,
        ..Location::default()
    })
}

/// The places behind `at:` on the line with the phrase and on those behind it.
fn locked_at(own: &[&str], phrase: &str) -> Vec<Location> {
    let from = own.iter().position(|line| line.contains(phrase));
    let lines = own
        .iter()
        .skip(from.unwrap_or(own.len()))
        .take(LOCK_LINES)
        // What is held already is not what was asked for.
        .take_while(|line| !line.contains("other info that might help"))
        .enumerate();
    lines
        .filter_map(|(i, line)| {
            let line = if i == 0 {
                line.split_once(phrase)?.1
            } else {
                line
            };
            let place = match line.split_once(" at: ") {
                Some((_, rest)) => rest,
                // `… is trying to release lock (&a->lock) at:`, and the place on the next line.
                None if i == 1 => line.trim_start().strip_prefix("[<")?.split_once(">] ")?.1,
                None => line
                    .split_once(" at ")
                    .map(|(_, rest)| rest)
                    .filter(|_| i == 0)?,
            };
            Location::parse(place.trim_start_matches(','))
        })
        .collect()
}

/// Of a CPU that was found busy: what it ran, without the interrupt that found it.
fn stalled(class: Class, oops: &mut Oops) {
    let idle = |stack: &Stack| {
        let first = stack.at.as_ref().or(stack.frames.first());
        first.is_some_and(|frame| blame::is_idle(&frame.function))
    };
    let mut all: Vec<Stack> = Vec::new();
    all.push(Stack {
        at: oops.location.take(),
        frames: std::mem::take(&mut oops.trace),
        interrupted: oops.interrupted,
        ..Stack::default()
    });
    all.append(&mut oops.stacks);
    // A stack of the interrupt alone says nothing: the next one may be of the CPU that was asked.
    let told = |stack: &Stack| {
        stack.at.is_some() || stack.interrupted.is_some() || below_tick(&stack.frames).is_some()
    };
    let by_nmi = |stack: &Stack| stack.title.starts_with("NMI backtrace");
    let best = all.iter().position(|stack| {
        told(stack)
            && !idle(stack)
            && (class != Class::RcuStall
                || by_nmi(stack)
                || stack.interrupted.is_some()
                || below_tick(&stack.frames).is_some())
    });
    let best = best.or_else(|| all.iter().position(|stack| told(stack) && !idle(stack)));
    oops.guessed = best.is_none();
    let best = best.or_else(|| {
        all.iter()
            .position(|stack| !stack.frames.is_empty() && !idle(stack))
    });
    let Some(best) = best.or_else(|| all.iter().position(told)) else {
        return;
    };
    let mut chosen = all.remove(best);
    let from = match (chosen.interrupted, &chosen.at) {
        // The registers before the trace are of what the tick found, and the interrupt in the trace is older.
        (Some(from), Some(_)) if !has_tick(&chosen.frames, from) => None,
        (Some(from), _) => Some(from),
        (None, Some(_)) => None,
        (None, None) => below_tick(&chosen.frames),
    };
    if let Some(from) = from {
        chosen.frames = chosen.frames.split_off(from.min(chosen.frames.len()));
        chosen.at = None;
    }
    oops.location = chosen.at;
    oops.trace = chosen.frames;
    all.retain(|stack| !stack.frames.is_empty());
    oops.stacks = all;
}

/// Whether the frames above this one are of the tick or the NMI that made the report.
fn has_tick(frames: &[Location], end: usize) -> bool {
    let reports = |frame: &Location| {
        [
            "watchdog_",
            "rcu_",
            "update_process_times",
            "nmi_cpu_backtrace",
            "panic",
        ]
        .iter()
        .any(|name| frame.function.starts_with(name))
    };
    frames.iter().take(end).any(reports)
}

/// Index of the first frame below the interrupt of a tick. Below it may be more interrupts, which the tick
/// itself interrupted.
fn below_tick(frames: &[Location]) -> Option<usize> {
    let first = frames
        .iter()
        .position(|frame| blame::is_interrupt(&frame.function))?;
    let rest = frames.get(first..)?;
    let entry = rest
        .iter()
        .take_while(|frame| {
            blame::is_interrupt(&frame.function)
                || ["interrupt", "sysvec"]
                    .iter()
                    .any(|word| frame.function.contains(word))
        })
        .count();
    let from = first.saturating_add(entry);
    (from < frames.len()).then_some(from)
}
