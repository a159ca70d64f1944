//! Blocked tasks as a graph: who waits for whom.

use super::graph::{Layout, layout};
use crate::locks::{Blocked, Waiter};
use crate::report::details::Full;
use crate::report::html::out::Out;
use crate::report::html::parts::{Code, Column, Look, Number, Words, table};
use crate::report::sections::{kind_words, sentence};
use std::collections::BTreeMap;

/// Boxes in the picture.
const BOXES: usize = 60;
/// Letters in a box.
const LETTERS: usize = 26;
/// A box, and the distance from one to the next, in pixels.
const WIDTH: usize = 204;
const HEIGHT: usize = 44;
const STEP_X: usize = 260;
const STEP_Y: usize = 60;
/// Around the picture.
const EDGE: usize = 12;
/// What a ring's lines bend over at the right.
const BEND: usize = 40;

/// Whether it is known which tasks were blocked.
pub(in crate::report::html) fn has(full: &Full) -> bool {
    full.report.blocked.is_some()
}

/// The picture and the table.
pub(in crate::report::html) fn write(full: &Full, out: &mut Out) {
    let Some(blocked) = &full.report.blocked else {
        return;
    };
    if blocked.waiters.is_empty() {
        out.raw("<p>No task was blocked.</p>\n");
        return;
    }
    for ring in &blocked.cycles {
        let pids: Vec<String> = ring.iter().map(ToString::to_string).collect();
        out.raw("<p class=\"alarm\"><b>Deadlock:</b> tasks ")
            .text(pids.join(" \u{2192} "));
        out.raw(" wait for each other in a ring.</p>\n");
    }
    let graph = Graph::of(blocked);
    if graph.boxes.iter().any(|one| one.next.is_some()) {
        graph.write(blocked, out);
    }
    const COLUMNS: &[Column] = &[
        Words("Task"),
        Number("PID"),
        Words("Waits for"),
        Code("Lock"),
        Words("Held by"),
        Code("In"),
    ];
    table(
        out,
        "Blocked tasks",
        Look::Alone,
        COLUMNS,
        blocked.waiters.len(),
        |table| {
            for waiter in &blocked.waiters {
                let held = waiter.holder.as_ref().map_or(String::new(), |holder| {
                    let reader = if holder.reader {
                        ", the last reader"
                    } else {
                        ""
                    };
                    format!("{} ({}){reader}", holder.task.comm, holder.task.pid)
                });
                let function = waiter.function.as_deref().unwrap_or_default();
                let (task, kind) = (&waiter.task, kind_words(waiter.kind));
                table.row(&[
                    &task.comm,
                    &task.pid,
                    &kind,
                    &lock_of(waiter),
                    &held,
                    &function,
                ]);
            }
        },
    );
    for warning in &blocked.warnings {
        out.raw("<p class=\"dim\">Not known: ")
            .text(warning)
            .raw("</p>\n");
    }
}

/// The lock's name, or its address.
fn lock_of(waiter: &Waiter) -> String {
    let address = || waiter.lock.map_or(String::new(), |lock| lock.to_string());
    waiter.symbol.clone().unwrap_or_else(address)
}

/// A task in the picture.
struct Node {
    name: String,
    /// What it waits for.
    below: String,
    next: Option<usize>,
}

struct Graph {
    boxes: Vec<Node>,
    /// Tasks that found no room.
    left_out: usize,
}

impl Graph {
    /// Tasks that wait for a task, and those tasks.
    fn of(blocked: &Blocked) -> Self {
        let mut boxes: Vec<Node> = Vec::new();
        let mut known: BTreeMap<u64, usize> = BTreeMap::new();
        let mut left_out = 0;
        for waiter in &blocked.waiters {
            let Some(holder) = &waiter.holder else {
                continue;
            };
            if boxes.len() + 2 > BOXES {
                left_out += 1;
                continue;
            }
            let mut place = |who: &crate::locks::Who| {
                *known.entry(who.address.0).or_insert_with(|| {
                    boxes.push(Node {
                        name: format!("{} ({})", who.comm, who.pid),
                        below: String::new(),
                        next: None,
                    });
                    boxes.len() - 1
                })
            };
            let (from, to) = (place(&waiter.task), place(&holder.task));
            if let Some(node) = boxes.get_mut(from) {
                node.below = format!("waits: {}", lock_of(waiter));
                node.next = Some(to);
            }
        }
        Self { boxes, left_out }
    }

    fn write(&self, blocked: &Blocked, out: &mut Out) {
        let next: Vec<_> = self.boxes.iter().map(|node| node.next).collect();
        let plan = layout(&next);
        let ring = plan.places.iter().any(|place| place.ring);
        let width =
            plan.columns * STEP_X - (STEP_X - WIDTH) + 2 * EDGE + if ring { BEND } else { 0 };
        let height = plan.rows * STEP_Y - (STEP_Y - HEIGHT) + 2 * EDGE;
        out.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Who waits for whom\">");
        out.raw("<svg class=\"graph\" role=\"img\" aria-labelledby=\"waits-t waits-d\"");
        out.attr("width", width).attr("height", height);
        out.attr("viewBox", format_args!("0 0 {width} {height}"));
        out.raw(">\n<title id=\"waits-t\">Who waits for whom</title>\n<desc id=\"waits-d\">");
        for waiter in blocked
            .waiters
            .iter()
            .filter(|waiter| waiter.holder.is_some())
            .take(BOXES)
        {
            out.text(sentence(waiter)).raw(". ");
        }
        out.raw("</desc>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n");
        for (n, node) in self.boxes.iter().enumerate() {
            if let Some(to) = node.next {
                edge(&plan, n, to, out);
            }
        }
        for (n, node) in self.boxes.iter().enumerate() {
            node.write(&plan, n, out);
        }
        out.raw("</svg></div>\n");
        if self.left_out > 0 {
            out.raw("<p class=\"dim\">").text(self.left_out);
            out.raw(" more tasks are in the table only.</p>\n");
        }
    }
}

/// The left upper corner of a box.
fn corner(plan: &Layout, n: usize) -> (usize, usize, bool) {
    let place = plan.places.get(n).copied().unwrap_or_default();
    let from_left = plan.columns.saturating_sub(place.column.saturating_add(1));
    (
        EDGE + from_left * STEP_X,
        EDGE + place.row * STEP_Y,
        place.ring,
    )
}

fn edge(plan: &Layout, from: usize, to: usize, out: &mut Out) {
    let (x, y, ring) = corner(plan, from);
    let (to_x, to_y, to_ring) = corner(plan, to);
    let (x, y, to_y) = (x + WIDTH, y + HEIGHT / 2, to_y + HEIGHT / 2);
    if ring && to_ring {
        // From the right side of one to the right side of the other.
        let (out_y, in_y) = (y.saturating_add(6), to_y.saturating_sub(6));
        let bend = x + BEND;
        out.raw("<path class=\"ring\" marker-end=\"url(#tip)\"");
        out.attr(
            "d",
            format_args!("M{x} {out_y}C{bend} {out_y} {bend} {in_y} {x} {in_y}"),
        )
        .raw("/>\n");
        return;
    }
    let middle = (x + to_x) / 2;
    out.raw("<path class=\"edge\" marker-end=\"url(#tip)\"");
    out.attr(
        "d",
        format_args!("M{x} {y}C{middle} {y} {middle} {to_y} {to_x} {to_y}"),
    )
    .raw("/>\n");
}

impl Node {
    fn write(&self, plan: &Layout, n: usize, out: &mut Out) {
        let (x, y, ring) = corner(plan, n);
        let class = match (ring, self.next.is_some()) {
            (true, _) => "box ring",
            (false, true) => "box",
            (false, false) => "box holder",
        };
        out.raw("<g")
            .attr("class", class)
            .raw("><title>")
            .text(&self.name)
            .raw(" ")
            .text(&self.below);
        out.raw("</title><rect")
            .attr("x", x)
            .attr("y", y)
            .attr("width", WIDTH)
            .attr("height", HEIGHT);
        out.raw(" rx=\"7\"/><text").attr("x", x + 10);
        let below = if self.next.is_some() {
            self.below.as_str()
        } else {
            "waits for nobody"
        };
        out.attr("y", y + 18)
            .raw(">")
            .text(short(&self.name))
            .raw("</text><text class=\"dim\"");
        out.attr("x", x + 10)
            .attr("y", y + 35)
            .raw(">")
            .text(short(below))
            .raw("</text></g>\n");
    }
}

fn short(text: &str) -> String {
    match text.chars().count() > LETTERS {
        true => text.chars().take(LETTERS - 1).chain(['\u{2026}']).collect(),
        false => text.to_owned(),
    }
}
