//! What each CPU ran, its stack, and whether it took interrupts.

use crate::cpus::Cpu;
use crate::report::details::{CpuState, Full};
use crate::report::html::out::Out;
use crate::report::html::parts::frames;

/// CPUs that get a card; of more, idle ones are only counted.
const CARDS: usize = 64;
/// CPUs in the strip.
const STRIP: usize = 1024;

/// Whether it is known what the CPUs ran.
pub(in crate::report::html) fn has(full: &Full) -> bool {
    full.report
        .cpus
        .as_ref()
        .is_some_and(|cpus| !cpus.is_empty())
}

/// What a CPU did, as a class and a word.
fn doing(cpu: &Cpu) -> (&'static str, &'static str) {
    match (cpu.panicked, cpu.idle) {
        (true, _) => ("panicked", "panicked"),
        (false, true) => ("idle", "idle"),
        (false, false) => ("busy", "running"),
    }
}

/// A strip of all CPUs, and a card for each.
pub(in crate::report::html) fn write(full: &Full, out: &mut Out) {
    let cpus = full.report.cpus.as_deref().unwrap_or_default();
    let states = full.details.cpu_states.as_deref().unwrap_or_default();
    let idle = cpus.iter().filter(|cpu| cpu.idle && !cpu.panicked).count();
    out.raw("<p>")
        .text(cpus.len())
        .raw(if cpus.len() == 1 { " CPU: " } else { " CPUs: " });
    out.text(idle).raw(" idle, ");
    out.text(cpus.len().saturating_sub(idle))
        .raw(" running a task.</p>\n");
    if cpus.len() > 8 {
        strip(cpus, out);
    }
    out.raw("<div class=\"cards\">\n");
    let few = cpus.len() <= CARDS;
    let shown = cpus.iter().filter(|cpu| few || cpu.panicked || !cpu.idle);
    for cpu in shown.clone().take(CARDS) {
        card(cpu, states.iter().find(|state| state.cpu == cpu.cpu), out);
    }
    out.raw("</div>\n");
    let more = shown.count().saturating_sub(CARDS);
    if more > 0 {
        out.raw("<p>")
            .text(more)
            .raw(" more CPUs ran a task: <code>afterpanic bt --cpus</code> shows them.</p>\n");
    }
}

/// One square a CPU.
fn strip(cpus: &[Cpu], out: &mut Out) {
    out.raw("<div class=\"strip\" aria-hidden=\"true\">");
    for cpu in cpus.iter().take(STRIP) {
        let (class, word) = doing(cpu);
        out.raw("<svg class=\"cell\"><rect width=\"100%\" height=\"100%\"")
            .attr("class", class);
        out.raw("><title>CPU ")
            .text(cpu.cpu)
            .raw(" ")
            .text(word)
            .raw("</title></rect></svg>");
    }
    out.raw("</div>\n");
}

fn card(cpu: &Cpu, state: Option<&CpuState>, out: &mut Out) {
    let (class, word) = doing(cpu);
    out.raw("<article")
        .attr("class", format_args!("card {class}"))
        .raw(">\n<h3>CPU ");
    out.text(cpu.cpu)
        .raw(" <span class=\"chip\">")
        .text(word)
        .raw("</span></h3>\n<p>");
    match cpu.idle {
        true => out.raw("the idle task"),
        false => out.element("b", &cpu.comm).raw(" (").text(cpu.pid).raw(")"),
    };
    out.raw(", ")
        .text(cpu.nr_running)
        .raw(" ready to run</p>\n");
    if let Some(state) = state {
        let words = match (state.interrupts, state.user) {
            (Some(true), Some(true)) => "interrupts on, in user mode",
            (Some(true), _) => "interrupts on",
            (Some(false), Some(true)) => "interrupts off, in user mode",
            (Some(false), _) => "interrupts off",
            (None, _) => "saved no registers",
        };
        let class = match state.interrupts {
            Some(true) => "dim",
            _ => "warn",
        };
        out.raw("<p")
            .attr("class", class)
            .raw(">")
            .raw(words)
            .raw("</p>\n");
        if !state.stack.is_empty() {
            out.raw(if cpu.idle && !cpu.panicked {
                "<details>"
            } else {
                "<details open>"
            });
            out.raw("<summary>Stack<span class=\"count\">")
                .text(state.stack.len())
                .raw("</span></summary>\n");
            frames(out, &state.stack);
            out.raw("</details>\n");
        }
        if let Some(why) = &state.broken {
            out.raw("<p class=\"dim\">The stack ends here: ")
                .text(why)
                .raw("</p>\n");
        }
    }
    out.raw("</article>\n");
}
