//! The instruction at fault with the code around it, the registers, and the stacks.

use super::out::Out;
use super::parts::{Code, Look, Words, frames, table};
use crate::disassembly::disassemble;
use crate::report::details::{CodeAt, Full};

/// Further stacks shown.
const STACKS: usize = 12;

/// Whether there is code or a register.
pub(super) fn has(full: &Full) -> bool {
    let oops = &full.report.reason.oops;
    full.details.code.is_some() || oops.code.is_some() || !oops.registers.is_empty()
}

/// The code and the registers.
pub(super) fn write(full: &Full, out: &mut Out) {
    match &full.details.code {
        Some(code) => listing(code, out),
        None => printed(full, out),
    }
    registers(full, out);
}

fn listing(code: &CodeAt, out: &mut Out) {
    out.raw("<p class=\"note\">")
        .element("code", &code.function);
    if let Some(module) = &code.module {
        out.raw(" ").element("span class=\"module\"", module);
    }
    out.raw(", out of the core's memory. The marked instruction is where it stopped.</p>\n");
    begin(out);
    for line in &code.lines {
        row(
            out,
            line.here,
            &format!("+{:#x}", line.offset),
            &line.text,
            line.target.as_deref(),
        );
    }
    end(out);
}

fn begin(out: &mut Out) {
    out.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Disassembly\">");
    out.raw("<table class=\"asm\"><caption class=\"hide\">Disassembly</caption>\n");
    out.raw("<thead class=\"hide\"><tr><th>Offset</th><th>Instruction</th></tr></thead><tbody>\n");
}

fn row(out: &mut Out, here: bool, offset: &str, text: &str, target: Option<&str>) {
    out.raw(if here { "<tr class=\"here\">" } else { "<tr>" });
    out.element("td class=\"n\"", offset).raw("<td>").text(text);
    if let Some(target) = target {
        out.raw(" ").element("span class=\"target\"", target);
    }
    out.raw(if here {
        "<em> here</em></td></tr>\n"
    } else {
        "</td></tr>\n"
    });
}

fn end(out: &mut Out) {
    out.raw("</tbody></table></div>\n");
}

/// The instructions that the kernel printed, from the marked byte on: where an earlier one begins, its
/// line of bytes does not tell.
fn printed(full: &Full, out: &mut Out) {
    let oops = &full.report.reason.oops;
    let Some(code) = &oops.code else {
        return;
    };
    let marked = code.bytes.find('<').and_then(|at| code.bytes.get(at..));
    let words = marked.unwrap_or_default().split_whitespace();
    let bytes: Vec<u8> = words
        .map_while(|word| u8::from_str_radix(word.trim_matches(['<', '>']), 16).ok())
        .collect();
    let offset = oops.location.as_ref().map_or(0, |at| at.offset);
    // A branch's target has no name here: the kernel prints bytes, not where they lie. Only x86 prints bytes
    // with the one at fault in angle brackets.
    let mut lines = disassemble(&vmcore::arch::x86_64::ARCH, offset, &bytes, |_| None);
    // The line of bytes cuts the last one off.
    if lines.len() > 1 {
        lines.pop();
    }
    if lines.is_empty() {
        return;
    }
    out.raw("<p class=\"note\">The bytes that the kernel printed, from the instruction at fault on.</p>\n");
    begin(out);
    for (n, line) in lines.iter().enumerate() {
        let text = match (n, &code.instruction) {
            (0, Some(text)) => text,
            _ => &line.text,
        };
        row(out, n == 0, &format!("+{:#x}", line.address), text, None);
    }
    end(out);
}

fn registers(full: &Full, out: &mut Out) {
    const COLUMNS: &[super::parts::Column] = &[Code("Register"), Code("Value"), Words("Points to")];
    const PLAIN: &[super::parts::Column] = &[Code("Register"), Code("Value")];
    if let Some(rows) = &full.details.registers {
        table(out, "Registers", Look::Open, COLUMNS, 0, |table| {
            for row in rows {
                let what = row.points_to.as_deref().unwrap_or_default();
                table.row(&[&row.name, &row.value, &what]);
            }
        });
        return;
    }
    let rows = &full.report.reason.oops.registers;
    if !rows.is_empty() {
        table(out, "Registers", Look::Open, PLAIN, 0, |table| {
            for (name, value) in rows {
                table.row(&[name, value]);
            }
        });
    }
}

/// Whether there is a stack.
pub(super) fn has_stack(full: &Full) -> bool {
    let oops = &full.report.reason.oops;
    let unwound = full
        .report
        .stack
        .as_ref()
        .is_some_and(|stack| !stack.is_empty());
    unwound || !oops.trace.is_empty() || !oops.stacks.is_empty()
}

/// The stack of the log, that of the core, and other stacks of the report.
pub(super) fn stack(full: &Full, out: &mut Out) {
    let oops = &full.report.reason.oops;
    out.raw("<div class=\"pair\">\n");
    if !oops.trace.is_empty() {
        out.raw("<div><h3>As the kernel printed it</h3>\n");
        if let Some(at) = &oops.location {
            frames(out, std::slice::from_ref(at));
        }
        let sure = oops.trace.iter().any(|frame| frame.reliable);
        let shown = oops.trace.iter().filter(|frame| frame.reliable || !sure);
        let shown: Vec<_> = shown.cloned().collect();
        frames(out, &shown);
        let guesses: Vec<_> = oops
            .trace
            .iter()
            .filter(|frame| !frame.reliable)
            .cloned()
            .collect();
        if sure && !guesses.is_empty() {
            out.raw("<details><summary>Addresses that only lay on the stack");
            out.element("span class=\"count\"", guesses.len())
                .raw("</summary>\n");
            frames(out, &guesses);
            out.raw("</details>\n");
        }
        out.raw("</div>\n");
    }
    if let Some(stack) = full.report.stack.as_ref().filter(|stack| !stack.is_empty()) {
        out.raw("<div><h3>Unwound from the core</h3>\n");
        frames(out, stack);
        out.raw("</div>\n");
    }
    for stack in oops
        .stacks
        .iter()
        .filter(|s| !s.frames.is_empty())
        .take(STACKS)
    {
        out.raw("<div>");
        match stack.title.is_empty() {
            true => out.raw("<h3>Another stack</h3>\n"),
            false => out.element("h3", &stack.title).raw("\n"),
        };
        frames(out, &stack.frames);
        out.raw("</div>\n");
    }
    out.raw("</div>\n");
}
