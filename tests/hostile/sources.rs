//! The sources of the CLI: one way to stdout.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for dir in [src.clone(), src.join("commands")] {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 30);
    found
}

#[test]
fn only_the_escaping_writer_opens_stdout_and_stderr() {
    for (path, text) in sources() {
        let file = path.file_name().unwrap().to_str().unwrap();
        if file == "output.rs" {
            continue;
        }
        for (n, line) in text.lines().enumerate() {
            let own = line.replace("output::stdout()", "");
            let is_terminal = line.contains("is_terminal()");
            let bare = ["print!(", "println!(", "StdoutLock"];
            let opens = own.contains("stdout()") || own.contains("stderr()") && !is_terminal;
            // The logger escapes its line itself: journald's priority stands before it.
            let logger = file == "logger.rs" && line.contains("escape::line");
            assert!(
                logger || !opens && !bare.iter().any(|word| own.contains(word)),
                "{file}:{}: take stdout from crate::output\n{line}",
                n + 1
            );
        }
    }
}

/// The writer escapes newlines inside a line, ours too.
#[test]
fn no_line_that_is_written_has_a_newline_inside() {
    for (path, text) in sources() {
        for (at, _) in text
            .match_indices("write!(")
            .chain(text.match_indices("writeln!("))
        {
            let call = &text[at..];
            let arguments = call.split_once('(').unwrap().1.trim_start();
            let to_stdout = ["out,", "self.out,", "output::stdout(),"];
            if !to_stdout.iter().any(|out| arguments.starts_with(out)) {
                continue;
            }
            let literal = arguments.split_once('"').map_or("", |(_, rest)| rest);
            let end = literal.find('"').unwrap_or(literal.len());
            assert!(
                !literal[..end].contains("\\n"),
                "{}: one writeln! a line, or write_all for text with lines: {}",
                path.display(),
                &literal[..end]
            );
        }
    }
}

/// What another program prints goes through the writer, too.
#[test]
fn no_child_writes_to_the_terminal_itself() {
    for (path, text) in sources() {
        // crash and drgn are what the user asked to talk to.
        if path.ends_with("commands/debugger.rs") {
            continue;
        }
        for (at, _) in text.match_indices("Command::new(") {
            let call = &text[at..];
            let call = &call[..call.find(';').unwrap()];
            for stream in [".stdout(Stdio::piped())", ".stderr(Stdio::piped())"] {
                assert!(call.contains(stream), "{}: {call}", path.display());
            }
        }
    }
}
