//! DuckDB, where it is found: the program `duckdb`, or its Python package. It gets the parts and the query on
//! standard input, and gives JSON.

use super::Rows;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::env;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names another interpreter, such as one of a virtual environment.
const PYTHON: &str = "AFTERPANIC_PYTHON";
/// How the script says that the package is missing.
const NO_PACKAGE: i32 = 3;
const SCRIPT: &str = include_str!("duckdb.py");

/// Runs a query over parts.
pub(super) fn duckdb(files: &[PathBuf], sql: &str) -> Result<Rows> {
    let view = view(files)?;
    let path = env::var_os("PATH").unwrap_or_default();
    let program = env::split_paths(&path)
        .map(|dir| dir.join("duckdb"))
        .find(|file| file.is_file());
    if let Some(program) = program {
        return by_program(&program, &view, sql);
    }
    let python = env::var_os(PYTHON).map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    by_python(&python, &view, sql)
}

/// The table of the questions.
fn view(files: &[PathBuf]) -> Result<String> {
    let mut list = String::new();
    for file in files {
        let file = file
            .to_str()
            .context("the path of the index is not UTF-8")?;
        let comma = if list.is_empty() { "" } else { ", " };
        write!(list, "{comma}'{}'", file.replace('\'', "''"))?;
    }
    Ok(format!(
        "CREATE VIEW crashes AS SELECT * FROM read_parquet([{list}], union_by_name = true, \
         hive_partitioning = false)"
    ))
}

fn by_program(program: &Path, view: &str, sql: &str) -> Result<Rows> {
    let mut command = Command::new(program);
    command.args(["-init", "/dev/null", "-batch", "-bail", "-json"]);
    let sql = sql.trim().trim_end_matches(';');
    let out = give(
        &mut command,
        &format!("SET enable_progress_bar = false;\n{view};\n{sql};\n"),
    )?;
    // Nothing, or an open bracket in old versions, where there is no row.
    let text = out.trim();
    if text.is_empty() || text == "[" || text == "[{]" {
        return Ok(Rows::default());
    }
    let objects: Vec<Map<String, Value>> =
        serde_json::from_str(text).context("duckdb printed no JSON")?;
    let columns = objects
        .first()
        .map(|row| row.keys().cloned().collect())
        .unwrap_or_default();
    let rows = objects
        .into_iter()
        .map(|row| row.into_iter().map(|(_, value)| value).collect());
    Ok(Rows {
        columns,
        rows: rows.collect(),
    })
}

fn by_python(python: &Path, view: &str, sql: &str) -> Result<Rows> {
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]);
    let input = serde_json::json!({"view": view, "sql": sql}).to_string();
    let out = give(&mut command, &input)?;
    let mut answer: Map<String, Value> =
        serde_json::from_str(&out).context("the engine printed no JSON")?;
    let mut take = |name: &str| answer.remove(name).unwrap_or_default();
    Ok(Rows {
        columns: serde_json::from_value(take("columns"))?,
        rows: serde_json::from_value(take("rows"))?,
    })
}

/// Runs a program with an input; what it printed.
fn give(command: &mut Command, input: &str) -> Result<String> {
    let missing = "no DuckDB was found. Install the program duckdb, or Python's package (python3 -m pip \
                   install duckdb; AFTERPANIC_PYTHON names the interpreter), or take --print-sql to \
                   another engine";
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(missing),
        Err(error) => return Err(error).context("cannot run DuckDB"),
    };
    if let Some(mut stdin) = child.stdin.take() {
        let text = input.to_owned();
        // Beside the reading below: a pipe holds 64 KiB.
        std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    }
    let done = child.wait_with_output().context("cannot run DuckDB")?;
    if done.status.code() == Some(NO_PACKAGE) {
        bail!(missing);
    }
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("DuckDB refused: {}", said.trim());
    }
    String::from_utf8(done.stdout).context("DuckDB printed no UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_path_stays_in_it() {
        let view = view(&[PathBuf::from("/a'b/c.parquet"), PathBuf::from("/d")]).unwrap();
        assert!(view.contains("['/a''b/c.parquet', '/d']"), "{view}");
    }

    #[test]
    fn a_missing_engine_is_explained() {
        let error = by_python(Path::new("/no/such/python"), "", "")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("pip install duckdb") && error.contains("--print-sql"),
            "{error}"
        );
    }
}
