//! The pages: the overview, and one a signature.

use super::chart;
use super::gather::{Counts, Gathered};
use crate::ship::sha256;
use analysis::report::html::Out;
use base64::Engine as _;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Display;

/// The style of report.html, so that all pages of the project look alike.
const STYLE: &str = include_str!("../../../analysis/src/report/html/style.css");
/// Signatures of the overview.
const TOP: usize = 200;

/// Where reports can be reached, if that is known.
pub(super) struct Links {
    /// The URL before a path of the bucket.
    pub base: Option<String>,
}

/// The file of a signature's page.
pub(super) fn file_of(signature: &str) -> String {
    let hash = sha256(signature.as_bytes());
    format!("s-{}.html", crate::output::cut(&hash, 16))
}

fn begin(title: impl Display, heading: &'static str, eyebrow: impl Display) -> Out {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    let mut out = Out::default();
    out.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.raw("<meta http-equiv=\"Content-Security-Policy\"")
        .attr(
            "content",
            format_args!(
                "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
            ),
        );
    out.raw(">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
    out.raw("<meta name=\"generator\" content=\"afterpanic-fleet\">\n");
    out.element("title", title);
    out.raw("\n<style>")
        .raw(STYLE)
        .raw("</style>\n</head>\n<body>\n");
    out.raw("<header>\n<div class=\"in\">\n")
        .element("p class=\"eyebrow\"", eyebrow);
    out.raw("\n").element("h1", heading).raw("\n");
    out
}

fn facts(out: &mut Out, facts: &[(&'static str, String)]) {
    out.raw("<dl class=\"facts\">\n");
    for (name, value) in facts {
        out.raw("<div>")
            .element("dt", name)
            .element("dd", value)
            .raw("</div>\n");
    }
    out.raw("</dl>\n</div>\n</header>\n<main class=\"in\" id=\"main\" tabindex=\"-1\">\n");
}

fn end(mut out: Out) -> String {
    out.raw(
        "</main>\n<footer>Made by afterpanic-fleet from the index.</footer>\n</body>\n</html>\n",
    );
    out.finish()
}

fn section(out: &mut Out, id: &'static str, title: &'static str) {
    out.raw("<section")
        .attr("aria-labelledby", id)
        .raw(">\n<h2")
        .attr("id", id)
        .raw(">");
    out.text(title).raw("</h2>\n");
}

/// A table of names and numbers.
fn shares(
    out: &mut Out,
    caption: &'static str,
    name: &'static str,
    rows: &BTreeMap<String, u64>,
    whole: u64,
) {
    let mut rows: Vec<(&String, &u64)> = rows.iter().collect();
    rows.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
    out.raw("<div class=\"scroll\" tabindex=\"0\"><table class=\"data\">")
        .element("caption", caption);
    out.raw("<thead><tr>").element("th scope=\"col\"", name);
    out.raw("<th scope=\"col\" class=\"n\">crashes</th><th scope=\"col\">share</th></tr></thead><tbody>\n");
    for (name, count) in rows.into_iter().take(TOP) {
        out.raw("<tr>")
            .element("td", name)
            .element("td class=\"n\"", count);
        out.raw("<td class=\"wide\">");
        chart::bar(out, *count, whole);
        out.raw("</td></tr>\n");
    }
    out.raw("</tbody></table></div>\n");
}

fn first_and_last(counts: &Counts) -> (String, String) {
    let day = |day: Option<&i32>| day.map_or_else(|| "-".into(), |day| chart::day(*day));
    (
        day(counts.days.keys().next()),
        day(counts.days.keys().next_back()),
    )
}

/// The overview.
pub(super) fn overview(gathered: &Gathered, bucket: &str) -> String {
    let all = &gathered.all;
    let (first, last) = first_and_last(all);
    let mut out = begin("Crashes of the fleet", "Crashes of the fleet", bucket);
    facts(
        &mut out,
        &[
            ("crashes", all.crashes.to_string()),
            ("machines", all.machines.len().to_string()),
            ("signatures", gathered.signatures.len().to_string()),
            ("kernels", all.releases.len().to_string()),
            ("first", first),
            ("last", last),
        ],
    );
    section(&mut out, "days", "Crashes a day");
    chart::days(&mut out, &all.days);
    out.raw("</section>\n");
    section(&mut out, "top", "Signatures");
    let mut top: Vec<(&String, &Counts)> = gathered.signatures.iter().collect();
    top.sort_by_key(|(name, counts)| (std::cmp::Reverse(counts.crashes), (*name).clone()));
    out.raw("<div class=\"scroll\" tabindex=\"0\"><table class=\"data\"><caption>By crashes</caption><thead><tr>");
    out.raw("<th scope=\"col\">signature</th><th scope=\"col\" class=\"n\">crashes</th>");
    out.raw(
        "<th scope=\"col\" class=\"n\">machines</th><th scope=\"col\" class=\"n\">kernels</th>",
    );
    out.raw("<th scope=\"col\">first seen</th><th scope=\"col\">last seen</th><th scope=\"col\">share</th>");
    out.raw("</tr></thead><tbody>\n");
    for (name, counts) in top.iter().take(TOP) {
        let (first, last) = first_and_last(counts);
        out.raw("<tr><td>").link(file_of(name), name).raw("</td>");
        out.element("td class=\"n\"", counts.crashes);
        out.element("td class=\"n\"", counts.machines.len());
        out.element("td class=\"n\"", counts.releases.len());
        out.element("td class=\"c\"", first)
            .element("td class=\"c\"", last)
            .raw("<td class=\"wide\">");
        chart::bar(&mut out, counts.crashes, all.crashes);
        out.raw("</td></tr>\n");
    }
    out.raw("</tbody></table></div>\n");
    if gathered.others > 0 {
        out.element(
            "p class=\"dim\"",
            format_args!("{} crashes have no page of their own.", gathered.others),
        );
    }
    out.raw("</section>\n");
    section(&mut out, "kinds", "Classes, kernels and cores");
    out.raw("<div class=\"pair\">\n<div>");
    shares(&mut out, "Classes", "class", &all.classes, all.crashes);
    out.raw("</div>\n<div>");
    shares(&mut out, "Kernels", "release", &all.releases, all.crashes);
    out.raw("</div>\n<div>");
    shares(
        &mut out,
        "How the cores arrived",
        "verdict",
        &all.verdicts,
        all.crashes,
    );
    out.raw("</div>\n</div>\n</section>\n");
    end(out)
}

/// The page of a signature.
pub(super) fn signature(name: &str, counts: &Counts, links: &Links) -> String {
    let (first, last) = first_and_last(counts);
    let mut out = begin(name, "One signature", "Crashes of the fleet");
    out.element("p class=\"where\"", name).raw("\n");
    if !counts.headline.is_empty() {
        out.raw("<blockquote>")
            .element("p", &counts.headline)
            .raw("</blockquote>\n");
    }
    facts(
        &mut out,
        &[
            ("crashes", counts.crashes.to_string()),
            ("machines", counts.machines.len().to_string()),
            ("kernels", counts.releases.len().to_string()),
            ("first seen", first),
            ("last seen", last),
        ],
    );
    out.raw("<p>")
        .link("index.html", "All signatures")
        .raw("</p>\n");
    section(&mut out, "days", "Crashes a day");
    chart::days(&mut out, &counts.days);
    out.raw("</section>\n");
    section(&mut out, "kernels", "Kernels");
    shares(
        &mut out,
        "Crashes by kernel",
        "release",
        &counts.releases,
        counts.crashes,
    );
    out.raw("</section>\n");
    section(&mut out, "newest", "Newest crashes");
    out.raw("<div class=\"scroll\" tabindex=\"0\"><table class=\"data\"><caption>The newest first</caption><thead><tr>");
    out.raw(
        "<th scope=\"col\">day</th><th scope=\"col\">machine</th><th scope=\"col\">release</th>",
    );
    out.raw("<th scope=\"col\">verdict</th><th scope=\"col\">report</th></tr></thead><tbody>\n");
    for crash in counts.newest.iter().rev() {
        out.raw("<tr>")
            .element("td class=\"c\"", chart::day(crash.day))
            .element("td", &crash.node);
        out.element("td", &crash.release)
            .element("td", &crash.verdict)
            .raw("<td>");
        let path = crash.report_path.as_ref().unwrap_or(&crash.path);
        match (&links.base, &crash.report_path) {
            (Some(base), Some(path)) => out.link(format_args!("{base}/{path}"), path),
            _ => out.text(path),
        };
        out.raw("</td></tr>\n");
    }
    out.raw("</tbody></table></div>\n</section>\n");
    end(out)
}
