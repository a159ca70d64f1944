//! Pieces that several parts of the page are made of: tables, folds, bars, frames of a stack.

use super::out::Out;
use crate::reason::Location;
use std::fmt::Display;

/// How a column is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// Words.
    Words(&'static str),
    /// Names and code, in letters of one width.
    Code(&'static str),
    /// Numbers, aligned at the right.
    Number(&'static str),
}
pub(super) use Column::{Code, Number, Words};

/// How a table is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Under its caption; folded when it has many rows.
    Titled,
    /// The same without the caption: the heading of the part says it. Only a screen reader reads it.
    Alone,
    /// Under its caption, never folded.
    Open,
    /// Always folded.
    Folded,
}

/// Rows in a table before it is folded.
const MANY: usize = 14;

/// A table with `rows` rows that `fill` writes; nothing without rows, but for [`Look::Open`].
pub(super) fn table(
    out: &mut Out,
    caption: &str,
    look: Look,
    columns: &'static [Column],
    rows: usize,
    fill: impl FnOnce(&mut Rows<'_>),
) {
    if rows == 0 && look != Look::Open {
        return;
    }
    let folded = match look {
        Look::Titled | Look::Alone => rows > MANY,
        Look::Open => false,
        Look::Folded => true,
    };
    if folded {
        out.raw("<details><summary>").text(caption);
        out.element("span class=\"count\"", rows).raw("</summary>");
    }
    out.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\"");
    out.attr("aria-label", caption);
    out.raw("><table class=\"data\">");
    match look {
        Look::Alone => out.element("caption class=\"hide\"", caption),
        _ => out.element("caption", caption),
    };
    out.raw("<thead><tr>");
    for column in columns {
        match column {
            Words(name) | Code(name) => out.element("th scope=\"col\"", name),
            Number(name) => out.element("th scope=\"col\" class=\"n\"", name),
        };
    }
    out.raw("</tr></thead>\n<tbody>\n");
    fill(&mut Rows { out, columns });
    out.raw("</tbody></table></div>\n");
    if folded {
        out.raw("</details>\n");
    }
}

/// The rows of a table.
pub(super) struct Rows<'a> {
    pub(super) out: &'a mut Out,
    columns: &'static [Column],
}

impl Rows<'_> {
    /// A row of texts.
    pub(super) fn row(&mut self, cells: &[&dyn Display]) {
        self.marked("", cells);
    }

    /// A row with a class.
    pub(super) fn marked(&mut self, class: &'static str, cells: &[&dyn Display]) {
        self.begin(class);
        for (column, cell) in self.columns.iter().zip(cells) {
            match column {
                Words(_) => self.out.element("td", cell),
                Code(_) => self.out.element("td class=\"c\"", cell),
                Number(_) => self.out.element("td class=\"n\"", cell),
            };
        }
        self.end();
    }

    /// Begins a row whose cells the caller writes.
    pub(super) fn begin(&mut self, class: &'static str) {
        match class {
            "" => self.out.raw("<tr>"),
            class => self.out.raw("<tr class=\"").raw(class).raw("\">"),
        };
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        self.out.raw("</tr>\n");
    }
}

/// A piece of a bar: where it begins and how wide it is, as parts of the whole.
pub(super) struct Piece {
    /// 0 to 1.
    pub(super) start: f64,
    /// 0 to 1.
    pub(super) width: f64,
    /// Its colour.
    pub(super) class: &'static str,
    /// What the mouse shows.
    pub(super) title: String,
}

/// A picture of one line, as wide as the page lets it. The text beside it says the same.
pub(super) fn bar(out: &mut Out, label: Option<&str>, pieces: &[Piece]) {
    out.raw("<svg class=\"bar\"");
    match label {
        Some(label) => out.raw(" role=\"img\"").attr("aria-label", label),
        None => out.raw(" aria-hidden=\"true\""),
    };
    out.raw("><rect class=\"bed\" width=\"100%\" height=\"100%\"/>");
    for piece in pieces {
        out.raw("<rect").attr("class", piece.class);
        out.attr("x", percent(piece.start))
            .attr("width", percent(piece.width));
        out.raw(" height=\"100%\"><title>")
            .text(&piece.title)
            .raw("</title></rect>");
    }
    out.raw("</svg>");
}

/// A part of the whole for a coordinate: `12.34%`.
pub(super) fn percent(part: f64) -> String {
    let part = if part.is_finite() {
        part.clamp(0.0, 1.0)
    } else {
        0.0
    };
    format!("{:.2}%", part * 100.0)
}

/// `part` of `whole`.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    // Exact enough for a picture.
    part as f64 / whole as f64
}

/// A share in words: `12 %`.
pub(super) fn share_words(part: u64, whole: u64) -> String {
    let hundredths = share(part, whole) * 100.0;
    match hundredths {
        none if none <= 0.0 => "0 %".to_owned(),
        small if small < 1.0 => "< 1 %".to_owned(),
        other => format!("{other:.0} %"),
    }
}

/// A stack, innermost frame first. Of frames that repeat, one stands with the number of times.
pub(super) fn frames(out: &mut Out, frames: &[Location]) {
    out.raw("<ol class=\"stack\">\n");
    let mut rest = frames;
    while let Some((frame, after)) = rest.split_first() {
        let same = after.iter().take_while(|next| *next == frame).count();
        rest = after.get(same..).unwrap_or_default();
        out.raw(if frame.reliable {
            "<li>"
        } else {
            "<li class=\"guess\" title=\"found on the stack, not by the unwinder\">? "
        });
        place(out, frame);
        if same > 0 {
            out.raw(" <em>")
                .text(same.saturating_add(1))
                .raw(" times</em>");
        }
        out.raw("</li>\n");
    }
    out.raw("</ol>\n");
}

/// A place in code.
pub(super) fn place(out: &mut Out, at: &Location) {
    out.element("b", &at.function);
    match &at.source {
        Some(source) if at.size.is_none() => out.raw(" (").text(source).raw(")"),
        _ => out.element("span class=\"dim\"", format_args!("+{:#x}", at.offset)),
    };
    if let Some(module) = &at.module {
        out.raw(" ").element("span class=\"module\"", module);
    }
}
