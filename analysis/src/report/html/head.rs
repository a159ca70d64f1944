//! The head of the page: what died, why, how sure that is, where and when; and what is not known.

use super::out::Out;
use super::parts::place;
use crate::report::details::Full;
use crate::report::model::Report;
use crate::report::text;
use crate::report::words::{class_words, duration, size};
use vmcore::time::Utc;

/// Whether nothing in the report says that the kernel died.
fn lives(report: &Report) -> bool {
    report.crash_time.is_none() && report.reason.message.is_none()
}

/// What happened, in a few words.
fn what(report: &Report) -> &'static str {
    match lives(report) && report.reason.headline.is_none() {
        true => "no panic found",
        false => class_words(report.reason.class),
    }
}

fn host(report: &Report) -> &str {
    match report.system.uts.nodename.as_str() {
        "" => "A machine without a name",
        name => name,
    }
}

/// The title of the page.
pub(super) fn title(full: &Full) -> String {
    let report = &full.report;
    let place = report.reason.culprit.as_ref();
    let place = place.map_or(String::new(), |at| format!(" in {at}"));
    format!("{}: {}{place}", host(report), what(report))
}

/// The head.
pub(super) fn write(full: &Full, out: &mut Out) {
    let report = &full.report;
    let reason = &report.reason;
    out.raw("<header>\n<div class=\"in\">\n<p class=\"eyebrow\">")
        .text(host(report));
    if let Some(time) = &report.crash_time_utc {
        let time = time.replace('T', " ");
        out.raw(" <span>")
            .text(time.trim_end_matches('Z'))
            .raw(" UTC</span>");
    }
    if !report.system.uts.release.is_empty() {
        out.raw(" <span>Linux ")
            .text(&report.system.uts.release)
            .raw("</span>");
    }
    out.raw("</p>\n").element("h1", what(report)).raw("\n");
    let headline = text::headline(reason);
    let rest = headline.strip_prefix(class_words(reason.class));
    let rest = rest.unwrap_or_default().trim_start_matches(", ");
    if !rest.is_empty() && what(report) != "no panic found" {
        out.element("p class=\"where\"", rest).raw("\n");
    }
    out.raw("<div class=\"chips\">");
    if !reason.trust.because.is_empty() {
        let class = reason.trust.verdict.name();
        out.raw("<span")
            .attr("class", format_args!("chip {class}"))
            .raw("><b>");
        out.text(class)
            .raw("</b> because ")
            .text(&reason.trust.because)
            .raw("</span>");
    }
    if let Some(seen) = report.seen.filter(|seen| *seen > 0) {
        let often = match seen {
            1 => "first time on this machine".to_owned(),
            2 => "seen twice on this machine".to_owned(),
            n => format!("seen {n} times on this machine"),
        };
        out.element("span class=\"chip\"", often);
    }
    if let Some(saved) = &full.details.saved {
        out.raw("<span")
            .attr("class", format_args!("chip {}", saved.verdict));
        out.raw(">dump ").text(&saved.verdict).raw("</span>");
    }
    out.raw("</div>\n");
    said(report, out);
    facts(report, out);
    out.raw("</div>\n</header>\n");
}

/// The kernel's own sentences.
fn said(report: &Report, out: &mut Out) {
    let reason = &report.reason;
    let lines: Vec<&String> = reason.headline.iter().chain(&reason.explanation).collect();
    if lines.is_empty() && reason.message.is_none() {
        return;
    }
    out.raw("<blockquote aria-label=\"What the kernel said\">\n");
    for line in lines {
        out.element("p", line).raw("\n");
    }
    if let Some(message) = &reason.message {
        out.raw("<p>Kernel panic - not syncing: ")
            .text(message)
            .raw("</p>\n");
    }
    out.raw("</blockquote>\n");
    if let Some(task) = &reason.blocker {
        out.raw("<p>The kernel names the task that holds it: <b>")
            .text(task)
            .raw("</b></p>\n");
    }
}

/// A term and what it is.
fn fact(out: &mut Out, term: &'static str, value: &str) {
    if !value.is_empty() {
        out.raw("<div>")
            .element("dt", term)
            .element("dd", value)
            .raw("</div>\n");
    }
}

fn facts(report: &Report, out: &mut Out) {
    let reason = &report.reason;
    let oops = &reason.oops;
    out.raw("<dl class=\"facts\">\n");
    if let Some(at) = &reason.culprit {
        out.raw("<div><dt>Culprit</dt><dd class=\"c\">");
        place(out, at);
        out.raw("</dd></div>\n");
    }
    out.raw("<div><dt>Signature</dt><dd class=\"c\">")
        .text(&reason.signature)
        .raw("</dd></div>\n");
    if let Some(seconds) = report.uptime_seconds {
        let booted = report.crash_time.and_then(|died| died.checked_sub(seconds));
        let since = booted.and_then(Utc::of).map(|utc| {
            let text = utc.to_string().replace('T', " ");
            format!(", since {} UTC", text.trim_end_matches('Z'))
        });
        fact(
            out,
            "Up",
            &format!("{}{}", duration(seconds), since.unwrap_or_default()),
        );
    }
    let pid = oops.pid.map_or(String::new(), |pid| format!(" ({pid})"));
    let cpu = oops.cpu.map_or(String::new(), |cpu| format!(", CPU {cpu}"));
    if let Some(comm) = &oops.comm {
        fact(out, "Task", &format!("{comm}{pid}{cpu}"));
    }
    fact(out, "Taint", oops.tainted.as_deref().unwrap_or_default());
    let system = &report.system;
    let cpus = match (system.cpus_online, system.cpus_possible) {
        (Some(online), Some(all)) if all != online => format!("{online} of {all} CPUs"),
        (Some(1), _) => "1 CPU".to_owned(),
        (Some(online), _) => format!("{online} CPUs"),
        _ => String::new(),
    };
    let memory = system
        .memory_bytes
        .map_or(String::new(), |bytes| format!("{} of memory", size(bytes)));
    let both = [cpus, memory].into_iter().filter(|text| !text.is_empty());
    fact(out, "Machine", &both.collect::<Vec<_>>().join(", "));
    fact(
        out,
        "Hardware",
        oops.hardware.as_deref().unwrap_or_default(),
    );
    fact(out, "Kernel", &system.uts.version);
    fact(
        out,
        "Build id",
        system.build_id.as_deref().unwrap_or_default(),
    );
    others(report, out);
    if let Some(made) = &report.made_from {
        fact(out, "Made from", &made.what);
    }
    out.raw("</dl>\n");
}

/// The other reports of the log.
fn others(report: &Report, out: &mut Out) {
    let reason = &report.reason;
    let count = match (reason.oops_number, reason.reports) {
        (Some(number), _) => format!("oops number {number} of this boot"),
        (None, reports) if reports > 1 => format!("one of {reports} reports in the log"),
        _ => return,
    };
    let first = reason.first.as_ref().map(|first| {
        let place = first.culprit.as_ref();
        let place = place.map_or(String::new(), |at| format!(" in {at}"));
        let earlier = match first.seconds_earlier {
            0 => String::new(),
            seconds => format!(", {} earlier", duration(seconds)),
        };
        format!("; the first: {}{place}{earlier}", class_words(first.class))
    });
    fact(
        out,
        "Reports",
        &format!("{count}{}", first.unwrap_or_default()),
    );
}

/// What is not known, and how far the dump is not what was asked for.
pub(super) fn doubts(full: &Full, out: &mut Out) {
    let report = &full.report;
    let made = report.made_from.as_ref();
    if report.warnings.is_empty() && report.dump.is_empty() && made.is_none() {
        return;
    }
    out.raw("<aside class=\"doubts\" aria-labelledby=\"doubts\">\n");
    out.raw("<h2 id=\"doubts\">What this report cannot tell</h2>\n<ul>\n");
    if let Some(made) = made {
        out.raw("<li>It was made without a core: it cannot tell ")
            .text(&made.cannot_tell)
            .raw(".</li>\n");
    }
    for line in &report.dump {
        out.raw("<li><b>The dump:</b> ").text(line).raw("</li>\n");
    }
    for line in &report.warnings {
        out.raw("<li><b>Not known:</b> ").text(line).raw("</li>\n");
    }
    out.raw("</ul>\n</aside>\n");
}

/// The foot of the page.
pub(super) fn foot(full: &Full, out: &mut Out) {
    out.raw("<footer>");
    out.text(&full.report.schema)
        .raw(", afterpanic ")
        .text(env!("CARGO_PKG_VERSION"));
    out.raw(". Times are UTC; times in brackets are seconds after boot.</footer>\n");
}
