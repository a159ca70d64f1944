//! Rows for people: aligned columns, each cell on one line.

use super::Rows;
use crate::output;
use serde_json::Value;
use std::io::{self, Write};
use vmcore::escape;

/// The widest cell.
const WIDEST: usize = 90;

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    escape::line(output::cut(&text, WIDEST)).into_owned()
}

/// Prints rows on standard output.
pub(super) fn print(rows: &Rows) -> io::Result<()> {
    let mut out = output::out();
    for line in lines(rows) {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

fn lines(rows: &Rows) -> Vec<String> {
    if rows.rows.is_empty() {
        return vec!["no crash fits".into()];
    }
    let head: Vec<String> = rows
        .columns
        .iter()
        .map(|name| escape::line(name).into_owned())
        .collect();
    let body = rows
        .rows
        .iter()
        .map(|row| row.iter().map(cell).collect::<Vec<_>>());
    let cells: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let width = |column: usize| {
        let texts = cells.iter().filter_map(|row| row.get(column));
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.columns.len()).map(width).collect();
    let numbers: Vec<bool> = (0..rows.columns.len())
        .map(|column| {
            rows.rows
                .iter()
                .all(|row| row.get(column).is_some_and(Value::is_number))
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(&numbers);
        let padded: Vec<String> = cells
            .map(|((text, width), number)| match number {
                true => format!("{text:>width$}"),
                false => format!("{text:<width$}"),
            })
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_and_safe() {
        let rows = Rows {
            columns: vec!["signature".into(), "crashes".into()],
            rows: vec![
                vec![json!("bug:a:1"), json!(2)],
                vec![json!("x\u{1b}[31m\n"), json!(10)],
            ],
        };
        let shown = lines(&rows);
        assert_eq!(
            shown,
            [
                "signature    crashes",
                "bug:a:1            2",
                "x\\x1b[31m\\n       10",
            ]
        );
        assert_eq!(lines(&Rows::default()), ["no crash fits"]);
    }
}
