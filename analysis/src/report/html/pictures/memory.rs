//! Memory by use and by zone.

use crate::memory::{Memory, Zone};
use crate::report::details::Full;
use crate::report::html::out::Out;
use crate::report::html::parts::{
    Column, Look, Number, Piece, Words, bar, share, share_words, table,
};
use crate::report::words::{count, size};

/// Uses of memory: the name, its colour, and the counters that add up to it (mm/vmstat.c), in pages.
const USES: &[(&str, &str, &[&str])] = &[
    ("Anonymous", "k1", &["nr_anon_pages"]),
    ("File cache", "k2", &["nr_file_pages"]),
    (
        "Slab",
        "k3",
        &["nr_slab_reclaimable", "nr_slab_unreclaimable"],
    ),
    ("Page tables", "k4", &["nr_page_table_pages"]),
];

/// Whether memory was counted.
pub(in crate::report::html) fn has(full: &Full) -> bool {
    full.report
        .memory
        .as_ref()
        .is_some_and(|memory| memory.total_bytes.is_some() || !memory.zones.is_empty())
}

/// One use of memory.
struct Use {
    name: &'static str,
    class: &'static str,
    bytes: u64,
}

/// Memory by use, the rest last.
fn uses(memory: &Memory, total: u64, free: u64) -> Vec<Use> {
    let mut rows = Vec::new();
    let mut known = 0_u64;
    let mut add = |name, class, bytes: u64| {
        let bytes = bytes.min(total.saturating_sub(known));
        known = known.saturating_add(bytes);
        rows.push(Use { name, class, bytes });
    };
    for (name, class, counters) in USES {
        let found = counters
            .iter()
            .filter_map(|name| memory.counters.get(*name));
        let pages = found.map(|pages| (*pages).max(0).unsigned_abs());
        let pages: u64 = pages.fold(0, u64::saturating_add);
        add(*name, *class, pages.saturating_mul(memory.page_bytes));
    }
    // KiB (kernel/fork.c, account_kernel_stack).
    let stacks = memory.counters.get("nr_kernel_stack").copied().unwrap_or(0);
    add(
        "Kernel stacks",
        "k5",
        stacks.max(0).unsigned_abs().saturating_mul(1024),
    );
    add("Free", "k0", free);
    let rest = total.saturating_sub(known);
    rows.push(Use {
        name: "Everything else",
        class: "k6",
        bytes: rest,
    });
    rows
}

/// The picture and the tables.
pub(in crate::report::html) fn write(full: &Full, out: &mut Out) {
    let Some(memory) = &full.report.memory else {
        return;
    };
    match (
        memory.total_bytes.filter(|total| *total > 0),
        memory.free_bytes,
    ) {
        (Some(total), Some(free)) => by_use(memory, total, free, out),
        (Some(total), None) => {
            out.raw("<p class=\"big\">").text(size(total));
            out.raw(" of memory; how much was free is not known.</p>\n");
        }
        (None, _) => {}
    }
    if !memory.zones.is_empty() {
        zones(&memory.zones, out);
    }
    let counters: Vec<_> = memory
        .counters
        .iter()
        .filter(|(_, value)| **value != 0)
        .collect();
    const COUNTERS: &[Column] = &[Words("Counter"), Number("Value")];
    table(
        out,
        "Counters that are not zero",
        Look::Folded,
        COUNTERS,
        counters.len(),
        |table| {
            for (name, value) in counters {
                table.row(&[name, value]);
            }
        },
    );
}

fn by_use(memory: &Memory, total: u64, free: u64, out: &mut Out) {
    let rows = uses(memory, total, free);
    let label = format!(
        "{} of {} free; the table has each use",
        size(free),
        size(total)
    );
    let mut start = 0.0;
    let pieces = rows.iter().map(|row| {
        let width = share(row.bytes, total);
        let piece = Piece {
            start,
            width,
            class: row.class,
            title: format!("{}: {}", row.name, size(row.bytes)),
        };
        start += width;
        piece
    });
    let pieces: Vec<_> = pieces.collect();
    out.raw("<p class=\"big\"><b>")
        .text(size(free))
        .raw("</b> free of ");
    out.text(size(total)).raw("</p>\n<div class=\"tall\">");
    bar(out, Some(&label), &pieces);
    out.raw("</div>\n");
    const COLUMNS: &[Column] = &[Words("Use"), Number("Size"), Number("Share")];
    table(
        out,
        "Memory by use",
        Look::Open,
        COLUMNS,
        rows.len(),
        |table| {
            for row in &rows {
                table.begin("");
                table.out.raw(
                "<td><svg class=\"key\" aria-hidden=\"true\"><rect width=\"100%\" height=\"100%\"",
            );
                table
                    .out
                    .attr("class", row.class)
                    .raw("/></svg>")
                    .text(row.name)
                    .raw("</td>");
                table.out.element("td class=\"n\"", size(row.bytes));
                table
                    .out
                    .element("td class=\"n\"", share_words(row.bytes, total));
                table.end();
            }
        },
    );
}

fn zones(zones: &[Zone], out: &mut Out) {
    const COLUMNS: &[Column] = &[
        Words("Zone"),
        Words("Free, and its watermarks"),
        Number("Managed"),
        Number("Free"),
        Number("Min"),
        Number("Low"),
        Number("High"),
    ];
    let largest = zones.iter().map(|zone| zone.managed).max().unwrap_or(0);
    table(
        out,
        "Memory by zone, in pages",
        Look::Titled,
        COLUMNS,
        zones.len(),
        |table| {
            for zone in zones {
                let free = zone.free.max(0).unsigned_abs();
                let short = zone.min.is_some_and(|min| free < min);
                table.begin(if short { "bad" } else { "" });
                table
                    .out
                    .raw("<td>")
                    .text(&zone.name)
                    .raw(" <span class=\"dim\">node ");
                table
                    .out
                    .text(zone.node)
                    .raw("</span></td><td class=\"wide\">");
                let whole = share(zone.managed, largest);
                let of = |pages: u64| share(pages, zone.managed);
                let mut pieces = vec![
                    Piece {
                        start: 0.0,
                        width: whole,
                        class: "used",
                        title: "in use".to_owned(),
                    },
                    Piece {
                        start: 0.0,
                        width: whole * of(free).min(1.0),
                        class: "k0",
                        title: "free".to_owned(),
                    },
                ];
                for (mark, name) in [(zone.min, "min"), (zone.low, "low"), (zone.high, "high")] {
                    if let Some(mark) = mark {
                        let start = whole * of(mark).min(1.0);
                        pieces.push(Piece {
                            start,
                            width: 0.004,
                            class: "mark",
                            title: name.to_owned(),
                        });
                    }
                }
                bar(table.out, None, &pieces);
                table.out.raw("</td>");
                let mark = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), count);
                let cells = [
                    count(zone.managed),
                    count(free),
                    mark(zone.min),
                    mark(zone.low),
                    mark(zone.high),
                ];
                for cell in cells {
                    table.out.element("td class=\"n\"", cell);
                }
                table.end();
            }
        },
    );
}
