//! The last minutes of the log on a line of time: how bad each line is, who spoke, where nobody did, and
//! where reports begin.

use crate::reason;
use crate::report::details::{Full, LogLine};
use crate::report::html::log::{Severity, lines, severity, stamp};
use crate::report::html::out::Out;
use crate::report::html::parts::{Code, Column, Look, Number, Words, percent, table};
use std::collections::BTreeMap;

/// The longest time shown.
const WINDOW: u64 = 300 * SECOND;
const SECOND: u64 = 1_000_000_000;
/// Speakers with a lane of their own.
const LANES: usize = 6;
/// Marks in a lane: lines nearer to each other than that share one.
const STEPS: u64 = 400;
/// Gaps and reports that are marked.
const MARKS: usize = 12;
/// Pixels.
const LANE: usize = 38;
const TOP: usize = 24;

/// Whether enough lines have times.
pub(in crate::report::html) fn has(full: &Full) -> bool {
    let lines = lines(full);
    let mut times = lines.iter().filter_map(|line| line.ns);
    let first = times.next();
    first.is_some_and(|first| times.any(|ns| ns > first))
}

/// The part of the log that is shown.
struct Window<'a> {
    lines: Vec<(u64, &'a LogLine)>,
    start: u64,
    end: u64,
    /// The last line before the start.
    before: Option<u64>,
}

impl<'a> Window<'a> {
    fn of(log: &'a [LogLine]) -> Self {
        let timed: Vec<_> = log
            .iter()
            .filter_map(|line| Some((line.ns?, line)))
            .collect();
        let end = timed.iter().map(|(ns, _)| *ns).max().unwrap_or(0);
        let first = timed.iter().map(|(ns, _)| *ns).min().unwrap_or(0);
        let start = end.saturating_sub(WINDOW).max(first);
        let (lines, earlier): (Vec<_>, Vec<_>) =
            timed.into_iter().partition(|(ns, _)| *ns >= start);
        Self {
            lines,
            start,
            end,
            before: earlier.last().map(|(ns, _)| *ns),
        }
    }

    fn span(&self) -> u64 {
        self.end.saturating_sub(self.start).max(1)
    }

    /// Where a time stands, 0 to 1. A little is left free at the right.
    fn at(&self, ns: u64) -> f64 {
        let part = ns.saturating_sub(self.start) as f64 / self.span() as f64;
        0.004 + part * 0.988
    }

    /// The longest times in which nobody spoke, in order.
    fn gaps(&self) -> Vec<(u64, u64)> {
        let least = (self.span() / 12).max(SECOND);
        let times = self
            .before
            .into_iter()
            .chain(self.lines.iter().map(|line| line.0));
        let gaps = times.clone().zip(times.skip(1));
        let gaps = gaps.filter(|(from, to)| to.saturating_sub(*from) >= least);
        gaps.take(MARKS).collect()
    }
}

/// The picture and the tables.
pub(in crate::report::html) fn write(full: &Full, out: &mut Out) {
    let log = lines(full);
    let window = Window::of(&log);
    let lanes = lanes(&window);
    let names = names(full);
    let gaps = window.gaps();
    let reports: Vec<_> = window
        .lines
        .iter()
        .filter(|(_, line)| severity(line) == Severity::Report)
        .collect();
    out.raw("<p>")
        .text(window.lines.len())
        .raw(" lines in the last ");
    out.text(seconds(window.span()))
        .raw(" of the log. A taller mark is a worse line; striped is silence.</p>\n");
    picture(&window, &lanes, &names, &gaps, &reports, out);
    const REPORTS: &[Column] = &[Number("At"), Words("What begins there")];
    if !reports.is_empty() {
        table(
            out,
            "Reports",
            Look::Titled,
            REPORTS,
            reports.len(),
            |table| {
                for (ns, line) in &reports {
                    table.row(&[&stamp(*ns), &line.text]);
                }
            },
        );
    }
    const SPEAKERS: &[Column] = &[
        Code("Who"),
        Number("Lines"),
        Number("Warnings"),
        Number("Errors"),
        Number("Last at"),
    ];
    table(out, "Who spoke", Look::Open, SPEAKERS, 0, |table| {
        for lane in &lanes {
            let of = |from: Severity, to: Severity| {
                lane.lines
                    .iter()
                    .filter(|(_, bad)| *bad >= from && *bad <= to)
                    .count()
            };
            let last = lane
                .lines
                .last()
                .map_or_else(String::new, |(ns, _)| stamp(*ns));
            let warnings = of(Severity::Warning, Severity::Warning);
            let errors = of(Severity::Error, Severity::Report);
            table.row(&[
                &lane.title(&names),
                &lane.lines.len(),
                &warnings,
                &errors,
                &last,
            ]);
        }
    });
    const GAPS: &[Column] = &[Number("From"), Number("To"), Number("Silent for")];
    if !gaps.is_empty() {
        table(out, "Silence", Look::Titled, GAPS, gaps.len(), |table| {
            for (from, to) in &gaps {
                let long = seconds(to.saturating_sub(*from));
                table.row(&[&stamp(*from), &stamp(*to), &long]);
            }
        });
    }
}

/// A speaker and its lines.
struct Lane<'a> {
    /// `C1`, `T212`; `None`: several, or the log does not say.
    who: Option<&'a str>,
    /// Whether it is the others together.
    others: bool,
    lines: Vec<(u64, Severity)>,
}

impl Lane<'_> {
    fn title(&self, names: &BTreeMap<String, &str>) -> String {
        match (self.who, self.others) {
            (_, true) => "others".to_owned(),
            (None, _) => "the log".to_owned(),
            (Some(who), _) => match (who.strip_prefix('C'), names.get(who)) {
                (Some(cpu), _) => format!("CPU {cpu}"),
                (None, Some(name)) => format!("{name} ({})", who.trim_start_matches('T')),
                (None, None) => format!("task {}", who.trim_start_matches('T')),
            },
        }
    }
}

/// A lane for each of those who said most, and one for the others.
fn lanes<'a>(window: &Window<'a>) -> Vec<Lane<'a>> {
    let mut by_speaker: BTreeMap<Option<&str>, Vec<(u64, Severity)>> = BTreeMap::new();
    for (ns, line) in &window.lines {
        let lane = by_speaker.entry(line.caller.as_deref()).or_default();
        lane.push((*ns, severity(line)));
    }
    let lane = |(who, lines)| Lane {
        who,
        others: false,
        lines,
    };
    let mut lanes: Vec<Lane<'_>> = by_speaker.into_iter().map(lane).collect();
    let weight = |lane: &Lane<'_>| {
        let worst = lane.lines.iter().map(|(_, bad)| *bad).max();
        (worst == Some(Severity::Report), lane.lines.len())
    };
    lanes.sort_by_key(|lane| std::cmp::Reverse(weight(lane)));
    if lanes.len() > LANES {
        let rest = lanes.split_off(LANES);
        let mut lines: Vec<_> = rest.into_iter().flat_map(|lane| lane.lines).collect();
        lines.sort_unstable();
        lanes.push(Lane {
            who: None,
            others: true,
            lines,
        });
    }
    lanes
}

/// The names of tasks, by what the log calls them.
fn names(full: &Full) -> BTreeMap<String, &str> {
    let mut names = BTreeMap::new();
    for task in full.details.task_list.iter().flatten() {
        names.insert(format!("T{}", task.pid), task.comm.as_str());
    }
    for cpu in full.report.cpus.iter().flatten().filter(|cpu| cpu.pid > 0) {
        names.insert(format!("T{}", cpu.pid), cpu.comm.as_str());
    }
    if let (Some(pid), Some(comm)) = (full.report.reason.oops.pid, &full.report.reason.oops.comm) {
        names.insert(format!("T{pid}"), comm);
    }
    names.insert("T0".to_owned(), "swapper");
    names
}

fn picture(
    window: &Window<'_>,
    lanes: &[Lane<'_>],
    names: &BTreeMap<String, &str>,
    gaps: &[(u64, u64)],
    reports: &[&(u64, &LogLine)],
    out: &mut Out,
) {
    let bottom = TOP + lanes.len() * LANE;
    out.raw("<svg class=\"time\" role=\"img\" aria-labelledby=\"time-t time-d\"");
    out.attr("height", bottom + 22)
        .raw(">\n<title id=\"time-t\">The last ");
    out.text(seconds(window.span()))
        .raw(" of the log</title>\n<desc id=\"time-d\">");
    out.text(lanes.len())
        .raw(" lanes, one for each speaker; ")
        .text(reports.len());
    out.raw(" reports; ")
        .text(gaps.len())
        .raw(" gaps. The tables below have them.</desc>\n");
    out.raw("<defs><pattern id=\"stripes\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"2\" height=\"6\"/></pattern></defs>\n");
    for (from, to) in gaps {
        let (x, end) = (window.at(*from), window.at(*to));
        out.raw("<rect class=\"gap\" fill=\"url(#stripes)\"")
            .attr("x", percent(x));
        out.attr("y", TOP)
            .attr("width", percent(end - x))
            .attr("height", bottom - TOP);
        out.raw("><title>")
            .text(seconds(to.saturating_sub(*from)))
            .raw(" of silence</title></rect>\n");
        if end - x > 0.2 {
            out.raw("<text class=\"axis\" text-anchor=\"middle\"");
            out.attr("x", percent((x + end) / 2.0))
                .attr("y", TOP.saturating_sub(8))
                .raw(">");
            out.text(seconds(to.saturating_sub(*from)))
                .raw(" of silence</text>\n");
        }
    }
    for (n, lane) in lanes.iter().enumerate() {
        let base = TOP + (n + 1) * LANE;
        out.raw("<line class=\"lane\" x1=\"0\" x2=\"100%\"")
            .attr("y1", base)
            .attr("y2", base)
            .raw("/>");
        out.raw("<text class=\"who\" x=\"2\"")
            .attr("y", base - LANE + 13)
            .raw(">");
        out.text(lane.title(names)).raw("</text>\n");
        marks(window, lane, base, out);
    }
    // Reports that begin together share a line.
    let mut last = f64::MIN;
    for (ns, line) in reports.iter().take(MARKS * 4) {
        let x = window.at(*ns);
        if x - last < 0.004 {
            continue;
        }
        last = x;
        out.raw("<line class=\"report\" y1=\"16\"")
            .attr("y2", bottom)
            .attr("x1", percent(x));
        out.attr("x2", percent(x))
            .raw("><title>")
            .text(stamp(*ns))
            .raw(" ")
            .text(&line.text)
            .raw("</title></line>\n");
    }
    if let Some((ns, line)) = reports.last() {
        let word = match reason::class::panic_message(&line.text) {
            Some(_) => "panic",
            None => "report",
        };
        out.raw("<text class=\"top\" y=\"12\" text-anchor=\"end\"")
            .attr("x", percent(window.at(*ns)));
        out.raw(">").raw(word).raw("</text>\n");
    }
    axis(window, bottom, out);
    out.raw("</svg>\n");
}

/// The lines of a lane; of those in one place the worst.
fn marks(window: &Window<'_>, lane: &Lane<'_>, base: usize, out: &mut Out) {
    let mut worst: BTreeMap<u64, (Severity, usize)> = BTreeMap::new();
    for (ns, bad) in &lane.lines {
        let after = u128::from(ns.saturating_sub(window.start)) * u128::from(STEPS);
        let step = u64::try_from(after / u128::from(window.span())).unwrap_or(STEPS);
        let mark = worst.entry(step).or_insert((*bad, 0));
        *mark = (mark.0.max(*bad), mark.1.saturating_add(1));
    }
    for (step, (bad, count)) in worst {
        let x = percent(0.004 + step as f64 / STEPS as f64 * 0.988);
        let more = if count > 4 { 3 } else { 0 };
        let tall = match bad {
            Severity::Plain => 6,
            Severity::Warning => 11,
            Severity::Error => 16,
            Severity::Report => 20,
        };
        out.raw("<line")
            .attr("class", bad.class())
            .attr("x1", &x)
            .attr("x2", &x);
        out.attr("y1", base.saturating_sub(tall + more))
            .attr("y2", base)
            .raw("/>");
    }
    out.raw("\n");
}

/// Times below the lanes.
fn axis(window: &Window<'_>, bottom: usize, out: &mut Out) {
    let nice = [1, 2, 5, 10, 20, 30, 60, 120].map(|s| s * SECOND);
    let step = nice
        .into_iter()
        .find(|step| window.span() / step <= 6)
        .unwrap_or(60 * SECOND);
    let mut at = window.start.next_multiple_of(step);
    for _ in 0..8 {
        if at > window.end {
            break;
        }
        let x = window.at(at);
        let anchor = match x {
            left if left < 0.06 => "start",
            right if right > 0.94 => "end",
            _ => "middle",
        };
        out.raw("<text class=\"axis\"")
            .attr("x", percent(x))
            .attr("y", bottom + 16);
        out.attr("text-anchor", anchor)
            .raw(">")
            .text(at / SECOND)
            .raw(" s</text>");
        at = at.saturating_add(step);
    }
    out.raw("\n");
}

/// `4.2 s`, `3 min 20 s`.
fn seconds(ns: u64) -> String {
    let whole = ns / SECOND;
    match whole {
        0 => format!("{} ms", ns / 1_000_000),
        1..=59 => format!("{whole}.{} s", ns % SECOND / (SECOND / 10)),
        _ => format!("{} min {} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(seconds: &[u64]) -> Vec<LogLine> {
        let line = |at: &u64| LogLine {
            ns: Some(at * SECOND),
            level: None,
            caller: None,
            text: "x".to_owned(),
        };
        seconds.iter().map(line).collect()
    }

    #[test]
    fn silence_is_found_also_at_the_start_of_the_window() {
        let gaps = |seconds: &[u64]| Window::of(&log(seconds)).gaps();
        assert_eq!(gaps(&[0, 1, 2]), [(0, SECOND), (SECOND, 2 * SECOND)]);
        assert_eq!(gaps(&[5, 900, 901]), [(5 * SECOND, 900 * SECOND)]);
        assert_eq!(
            gaps(&[599, 600, 700, 800, 810, 820]),
            [(600 * SECOND, 700 * SECOND), (700 * SECOND, 800 * SECOND)]
        );
    }

    #[test]
    fn the_window_ends_with_the_log() {
        let all = log(&[5, 899, 900]);
        let window = Window::of(&all);
        assert_eq!(window.lines.len(), 2);
        assert_eq!((window.start, window.end), (600 * SECOND, 900 * SECOND));
        assert!(window.at(window.end) < 1.0 && window.at(0) > 0.0);
    }
}
