//! The arguments of makedumpfile: level, format, threads.

use super::Imported;
use crate::model::{Auto, Format, Level};

/// Takes over what `arguments` ask for.
pub(super) fn take<'a>(line: usize, arguments: impl Iterator<Item = &'a str>, out: &mut Imported) {
    let mut arguments = arguments.peekable();
    while let Some(word) = arguments.next() {
        let value = |name: &str, next: Option<&str>| {
            word.strip_prefix(name)
                .map(|rest| rest.trim_start_matches('=').to_owned())
                .filter(|rest| !rest.is_empty())
                .or_else(|| next.map(str::to_owned))
        };
        match word {
            "-z" => out.config.dump.format = Format::KdumpZstd,
            "-c" => out.config.dump.format = Format::KdumpZlib,
            "-E" => out.config.dump.format = Format::Elf,
            "-l" | "-p" => {
                let name = if word == "-l" { "lzo" } else { "snappy" };
                out.note(
                    line,
                    format!("{name} is not written; cores are zstd instead"),
                );
            }
            // A flattened stream is only needed where one cannot seek.
            "-F" | "-f" => {}
            _ if word.starts_with("-d") => {
                let next = arguments.peek().copied().filter(|_| word == "-d");
                let text = value("-d", next).unwrap_or_default();
                if word == "-d" {
                    arguments.next();
                }
                level(line, &text, out);
            }
            _ if word.starts_with("--num-threads") => {
                let next = arguments
                    .peek()
                    .copied()
                    .filter(|_| word == "--num-threads");
                let threads = value("--num-threads", next).and_then(|text| text.parse().ok());
                if word == "--num-threads" {
                    arguments.next();
                }
                if let Some(threads) = threads {
                    out.config.dump.threads = Auto::Set(threads);
                }
            }
            "--message-level" => {
                arguments.next();
            }
            _ if word.starts_with("--message-level=") => {}
            _ => out.note(line, format!("{word} of makedumpfile has no counterpart")),
        }
    }
}

/// `31`, or `1,31`: a list is a ladder, which afterpanic has of its own.
fn level(line: usize, text: &str, out: &mut Imported) {
    let levels: Vec<u8> = text.split(',').filter_map(|n| n.parse().ok()).collect();
    match levels.as_slice() {
        [bits @ 0..=31, rest @ ..] => {
            out.config.dump.level = match bits {
                0 => Level::All,
                31 => Level::Standard,
                bits => Level::Bits(*bits),
            };
            if !rest.is_empty() {
                out.note(
                    line,
                    "only the first level is taken; what does not fit is made smaller by itself",
                );
            }
        }
        _ => out.note(line, format!("\"{text}\" is no dump level")),
    }
}
