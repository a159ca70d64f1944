//! The dump itself: what was kept and why, and how long each step of the capture kernel took.

use crate::report::details::{Full, Saved};
use crate::report::html::out::Out;
use crate::report::html::parts::{
    Column, Look, Number, Piece, Words, bar, share, share_words, table,
};
use crate::report::words::{count, size};
use vmcore::addr::PAGE_SIZE;

/// Whether it is known how the dump was saved.
pub(in crate::report::html) fn has(full: &Full) -> bool {
    full.details.saved.is_some()
}

/// The pictures.
pub(in crate::report::html) fn write(full: &Full, out: &mut Out) {
    let Some(saved) = &full.details.saved else {
        return;
    };
    summary(saved, out);
    if !saved.kinds.is_empty() {
        kinds(saved, out);
    }
    if !saved.steps.is_empty() {
        steps(saved, out);
    }
    const OFF: &[Column] = &[Words("Rule"), Words("Why it was off")];
    if !saved.rules_off.is_empty() {
        table(
            out,
            "Rules of the filter that were off",
            Look::Titled,
            OFF,
            saved.rules_off.len(),
            |table| {
                for (rule, why) in &saved.rules_off {
                    table.row(&[rule, why]);
                }
            },
        );
    }
    const CHECKS: &[Column] = &[
        Words("Check"),
        Number("Found"),
        Number("Expected"),
        Words("Verdict"),
    ];
    let failed = |verdict: &str| if verdict == "failed" { "bad" } else { "" };
    if !saved.checks.is_empty() {
        table(
            out,
            "Checks of the filter, in pages",
            Look::Folded,
            CHECKS,
            saved.checks.len(),
            |table| {
                for row in &saved.checks {
                    let cells = (count(row.found), count(row.expected));
                    table.marked(
                        failed(&row.verdict),
                        &[&row.name, &cells.0, &cells.1, &row.verdict],
                    );
                }
            },
        );
    }
}

fn summary(saved: &Saved, out: &mut Out) {
    let Some(file) = &saved.file else {
        out.raw("<p class=\"big\">No core was written: ")
            .text(&saved.verdict)
            .raw("</p>\n");
        return;
    };
    out.raw("<p class=\"big\"><b>")
        .text(size(saved.bytes))
        .raw("</b> in ")
        .element("code", file);
    let (level, asked) = (saved.level.as_deref(), saved.asked.as_deref());
    if let Some(level) = level {
        out.raw(", level ").text(level);
        if let Some(asked) = asked.filter(|asked| *asked != level) {
            out.raw(" (asked for: ").text(asked).raw(")");
        }
    }
    out.raw("</p>\n<p>")
        .text(count(saved.kept_pages))
        .raw(" of ");
    out.text(count(saved.ram_pages))
        .raw(" pages of memory were kept: ");
    out.text(size(saved.kept_pages.saturating_mul(PAGE_SIZE)));
    if saved.bytes > 0 && saved.kept_pages > 0 {
        let times = share(saved.kept_pages.saturating_mul(PAGE_SIZE), saved.bytes);
        out.raw(", compressed ")
            .text(format_args!("{times:.1}"))
            .raw(" times");
    }
    if saved.missing_pages > 0 {
        out.raw("; <b>")
            .text(count(saved.missing_pages))
            .raw(" could not be read</b>");
    }
    out.raw(".</p>\n");
}

fn kinds(saved: &Saved, out: &mut Out) {
    const COLUMNS: &[Column] = &[
        Words("Kind of page"),
        Words("Share of memory"),
        Number("Pages"),
        Number("Share"),
        Words("In the core"),
    ];
    let mut rows: Vec<_> = saved.kinds.iter().collect();
    rows.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.pages));
    let largest = rows.first().map_or(0, |(_, kind)| kind.pages);
    table(out, "What was kept", Look::Open, COLUMNS, 0, |table| {
        for (name, kind) in rows {
            table.begin("");
            table.out.element("td", name).raw("<td class=\"wide\">");
            let piece = Piece {
                start: 0.0,
                width: share(kind.pages, largest),
                class: if kind.kept { "kept" } else { "left" },
                title: format!("{name}: {}", size(kind.pages.saturating_mul(PAGE_SIZE))),
            };
            bar(table.out, None, &[piece]);
            table
                .out
                .raw("</td>")
                .element("td class=\"n\"", count(kind.pages));
            table
                .out
                .element("td class=\"n\"", share_words(kind.pages, saved.ram_pages));
            table.out.raw(if kind.kept {
                "<td>kept</td>"
            } else {
                "<td class=\"dim\">left out</td>"
            });
            table.end();
        }
    });
}

fn steps(saved: &Saved, out: &mut Out) {
    const COLUMNS: &[Column] = &[
        Words("Step"),
        Words("When"),
        Number("Seconds"),
        Words("End"),
    ];
    let seconds = |step: f64| if step.is_finite() { step.max(0.0) } else { 0.0 };
    let total: f64 = saved.steps.iter().map(|step| seconds(step.seconds)).sum();
    out.raw("<p>The capture kernel's steps took ")
        .text(format_args!("{total:.1}"));
    out.raw(" s together.");
    if saved.classify_s > 0.0 || saved.write_s > 0.0 {
        out.raw(" Of the core's, ")
            .text(format_args!("{:.1}", seconds(saved.classify_s)));
        out.raw(" s went into telling what each page is and ");
        out.text(format_args!("{:.1}", seconds(saved.write_s)))
            .raw(" s into writing pages.");
    }
    out.raw("</p>\n");
    table(
        out,
        "How long each step took",
        Look::Open,
        COLUMNS,
        0,
        |table| {
            let mut begun = 0.0;
            for step in &saved.steps {
                let took = seconds(step.seconds);
                let part = |at: f64| if total > 0.0 { at / total } else { 0.0 };
                let good = step.end == "done";
                table.begin(if good { "" } else { "bad" });
                table
                    .out
                    .element("td", &step.name)
                    .raw("<td class=\"wide\">");
                let piece = Piece {
                    start: part(begun),
                    width: part(took).max(0.004),
                    class: if good { "kept" } else { "failed" },
                    title: format!("{took:.1} s"),
                };
                bar(table.out, None, &[piece]);
                table
                    .out
                    .raw("</td>")
                    .element("td class=\"n\"", format_args!("{took:.1}"));
                table.out.element("td", &step.end);
                table.end();
                begun += took;
            }
        },
    );
}
