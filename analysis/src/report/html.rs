//! The report as one page that needs no other file, no network and no script to be read.
//!
//! Holds [`page`]: pure, from [`Full`] alone, so that a stored report gives the same page. Styles are in
//! `html/style.css`, the script that folds and searches in `html/script.js`; a policy in the page's head
//! names both by their hash and forbids everything else, so a browser runs and loads nothing that a dump
//! could have brought in. All text goes through `Out::text`.

mod code;
mod head;
mod log;
mod out;
mod parts;
mod pictures;
mod policy;
mod tables;
#[cfg(test)]
mod tests;

use super::details::Full;
pub use out::Out;

/// The styles.
const STYLE: &str = include_str!("html/style.css");
/// Folds and searches.
const SCRIPT: &str = include_str!("html/script.js");

/// A part of the page: its anchor, its name, whether this report has it, and what writes it.
type Part = (
    &'static str,
    &'static str,
    fn(&Full) -> bool,
    fn(&Full, &mut Out),
);

/// The parts, in the order of the page.
const PARTS: &[Part] = &[
    ("code", "Code and registers", code::has, code::write),
    ("stack", "Stack", code::has_stack, code::stack),
    (
        "timeline",
        "Log timeline",
        pictures::timeline::has,
        pictures::timeline::write,
    ),
    ("cpus", "CPUs", pictures::cpus::has, pictures::cpus::write),
    (
        "blocked",
        "Blocked tasks",
        pictures::waits::has,
        pictures::waits::write,
    ),
    (
        "memory",
        "Memory",
        pictures::memory::has,
        pictures::memory::write,
    ),
    (
        "dump",
        "The dump",
        pictures::dump::has,
        pictures::dump::write,
    ),
    ("tasks", "Tasks", tables::has_tasks, tables::tasks),
    ("modules", "Modules", tables::has_modules, tables::modules),
    ("slabs", "Slab caches", tables::has_slabs, tables::slabs),
    ("mounts", "Mounts", tables::has_mounts, tables::mounts),
    (
        "settings",
        "Command line and settings",
        tables::has_settings,
        tables::settings,
    ),
    (
        "notifiers",
        "Panic notifiers",
        tables::has_notifiers,
        tables::notifiers,
    ),
    ("checks", "Checks", tables::has_checks, tables::checks),
    ("log", "Log", log::has, log::write),
];

/// The page of a report.
#[must_use]
pub fn page(full: &Full) -> String {
    let mut out = Out::default();
    out.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.raw("<meta http-equiv=\"Content-Security-Policy\"");
    out.attr("content", policy::policy(STYLE, SCRIPT))
        .raw(">\n");
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.raw("<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.raw("<meta name=\"referrer\" content=\"no-referrer\">\n");
    out.element("title", head::title(full)).raw("\n<style>");
    out.raw(STYLE).raw("</style>\n</head>\n<body>\n");
    out.raw("<a class=\"skip\" href=\"#main\">Skip to the report</a>\n");
    head::write(full, &mut out);
    let parts = || PARTS.iter().filter(|(_, _, has, _)| has(full));
    out.raw("<div class=\"columns\">\n<nav aria-label=\"Parts of this report\">\n<ol>\n");
    for (anchor, name, _, _) in parts() {
        out.raw("<li><a href=\"#")
            .raw(anchor)
            .raw("\">")
            .raw(name)
            .raw("</a></li>\n");
    }
    out.raw("</ol>\n<div class=\"tools\" hidden>\n");
    out.raw("<label>Search <kbd>/</kbd><input type=\"search\" id=\"search\"></label>\n");
    out.raw("<p id=\"found\" role=\"status\"></p>\n");
    out.raw("<button type=\"button\" id=\"fold\">Fold all</button>\n");
    out.raw("<button type=\"button\" id=\"unfold\">Unfold all</button>\n</div>\n</nav>\n");
    out.raw("<main id=\"main\" tabindex=\"-1\">\n");
    head::doubts(full, &mut out);
    for (anchor, name, _, write) in parts() {
        out.raw("<section id=\"")
            .raw(anchor)
            .raw("\" aria-labelledby=\"")
            .raw(anchor);
        out.raw("-title\">\n<h2 id=\"")
            .raw(anchor)
            .raw("-title\">")
            .raw(name)
            .raw("</h2>\n");
        write(full, &mut out);
        out.raw("</section>\n");
    }
    out.raw("</main>\n</div>\n");
    head::foot(full, &mut out);
    out.raw("<script>")
        .raw(SCRIPT)
        .raw("</script>\n</body>\n</html>\n");
    out.finish()
}
