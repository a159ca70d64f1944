//! docs/report.svg, the picture in the README: a terminal in which `afterpanic report` ran.

use super::directory::crash;
use super::transcript::compare_with;
use crate::harness::Machine;
use crate::harness::schemas::here;
use std::fmt::Write;
use synth::kernel::Crash;

/// Columns and lines of the terminal.
const COLUMNS: usize = 92;
const LINES: usize = 20;
/// Pixels.
const SIZE: usize = 14;
const ADVANCE: f64 = 8.43;
const LEADING: usize = 19;
const MARGIN: usize = 16;

/// How text looks: the attribute `class`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    Plain,
    Bold,
    Culprit,
    Warning,
    Prompt,
}

impl Look {
    /// That of an SGR sequence of ours.
    fn of(sequence: &str) -> Self {
        match sequence {
            "0" => Self::Plain,
            "1" => Self::Bold,
            "1;31" => Self::Culprit,
            "33" => Self::Warning,
            other => panic!("no look for the sequence {other}"),
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Plain => "t",
            Self::Bold => "t b",
            Self::Culprit => "t b r",
            Self::Warning => "t y",
            Self::Prompt => "t g",
        }
    }
}

/// The parts of a line with their looks, without the sequences, cut to the terminal.
fn parts(line: &str) -> Vec<(Look, String)> {
    let mut look = Look::Plain;
    let mut parts = Vec::new();
    let mut left = COLUMNS;
    for (i, piece) in line.split("\u{1b}[").enumerate() {
        let text = match (i, piece.split_once('m')) {
            (0, _) => piece,
            (_, Some((sequence, rest))) => {
                look = Look::of(sequence);
                rest
            }
            (_, None) => panic!("{line:?}"),
        };
        let text: String = text.chars().take(left).collect();
        left -= text.chars().count();
        if !text.is_empty() {
            parts.push((look, text));
        }
    }
    parts
}

/// The terminal with these lines.
fn svg(title: &str, lines: &[Vec<(Look, String)>]) -> String {
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let width = (COLUMNS as f64 * ADVANCE) as usize + 2 * MARGIN;
    let height = lines.len() * LEADING + 2 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<style>\n\
         .t {{ font: {SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d7dae0; \
         white-space: pre; }}\n.b {{ font-weight: bold; }}\n.r {{ fill: #ff7b72; }}\n\
         .y {{ fill: #e3b341; }}\n.g {{ fill: #7ee787; }}\n</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#161b22\"/>\n",
        escape(title)
    );
    for (row, parts) in lines.iter().enumerate() {
        let mut column = 0;
        for (look, text) in parts {
            let begins = text.chars().take_while(|c| *c == ' ').count();
            let count = text.chars().count();
            let shown = text.trim();
            if !shown.is_empty() {
                let x = MARGIN as f64 + (column + begins) as f64 * ADVANCE;
                let y = MARGIN + row * LEADING + SIZE;
                let length = shown.chars().count() as f64 * ADVANCE;
                writeln!(
                    out,
                    "<text class=\"{}\" x=\"{x:.1}\" y=\"{y}\" textLength=\"{length:.1}\">{}</text>",
                    look.class(),
                    escape(shown)
                )
                .unwrap();
            }
            column += count;
        }
    }
    out.push_str("</svg>\n");
    out
}

#[test]
fn the_picture_of_a_report() {
    let machine = Machine::empty();
    let name = "web-03-20261121T231500Z";
    crash(&machine, name, Crash::NullPointer, "complete");
    let run = machine
        .run_inside(&["--color", "always", "report"])
        .exits(0);
    let prompt = vec![
        (Look::Prompt, "$ ".to_owned()),
        (Look::Plain, "afterpanic report".to_owned()),
    ];
    let output = run.stdout();
    let mut lines = vec![prompt];
    lines.extend(output.lines().take(LINES - 1).map(parts));
    let styled = lines
        .iter()
        .flatten()
        .any(|(look, _)| *look == Look::Culprit);
    assert!(styled, "{output:?}");
    let title = "afterpanic report: why the kernel died, its stack, the machine and its tasks";
    compare_with(&here("docs/report.svg"), svg(title, &lines));
}

#[test]
fn a_line_is_cut_into_its_looks() {
    let line = "a \u{1b}[1;31mb<\u{1b}[0m c";
    let expected = [
        (Look::Plain, "a ".to_owned()),
        (Look::Culprit, "b<".to_owned()),
        (Look::Plain, " c".to_owned()),
    ];
    assert_eq!(parts(line), expected);
    let picture = svg("x & y", &[parts(line)]);
    assert!(picture.contains(">b&lt;</text>") && picture.contains("<title>x &amp; y<"));
    let long = "x".repeat(200);
    assert_eq!(parts(&long)[0].1.len(), COLUMNS);
}
