//! The arguments of makedumpfile: level, format, threads.

use dump::Level;
use vmcore::write::OutputFormat;

use super::imported::Imported;
use crate::model::Auto;

/// Takes over the settings in `arguments`, the words after `makedumpfile`.
pub(super) fn take<'a>(line: usize, arguments: impl Iterator<Item = &'a str>, out: &mut Imported) {
    let mut arguments = arguments;
    while let Some(word) = arguments.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            match name {
                "num-threads" => {
                    let value = value.or_else(|| arguments.next()).unwrap_or_default();
                    match value.parse() {
                        Ok(0) => {}
                        Ok(threads) => out.config.dump.threads = Auto::Set(threads),
                        Err(_) => out.note(line, format!("\"{value}\" is not a number of threads")),
                    }
                }
                "message-level" => {
                    if value.is_none() {
                        arguments.next();
                    }
                }
                _ => no_counterpart(line, word, out),
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) {
            short(line, letters, &mut arguments, out);
        } else {
            no_counterpart(line, word, out);
        }
    }
}

/// A word of short options, which may be joined: `-zd31`.
fn short<'a>(
    line: usize,
    letters: &str,
    arguments: &mut impl Iterator<Item = &'a str>,
    out: &mut Imported,
) {
    let mut rest = letters.chars();
    while let Some(letter) = rest.next() {
        match letter {
            'z' => out.config.dump.format = Some(OutputFormat::KdumpZstd),
            'c' => out.config.dump.format = Some(OutputFormat::KdumpZlib),
            'E' => out.config.dump.format = Some(OutputFormat::Elf),
            'l' => out.note(line, "cores are compressed with zstd instead of lzo"),
            'p' => out.note(line, "cores are compressed with zstd instead of snappy"),
            // Only needed where the output cannot seek.
            'F' | 'f' => {}
            'd' => {
                let joined = rest.as_str().trim_start_matches('=');
                let value = if joined.is_empty() {
                    arguments.next().unwrap_or_default()
                } else {
                    joined
                };
                level(line, value, out);
                return;
            }
            _ => {
                no_counterpart(line, &format!("-{letter}{}", rest.as_str()), out);
                return;
            }
        }
    }
}

fn no_counterpart(line: usize, word: &str, out: &mut Imported) {
    out.note(
        line,
        format!("the makedumpfile option {word} has no counterpart"),
    );
}

/// `31`, or `1,31`: makedumpfile tries the levels of a list in order.
pub(super) fn level(line: usize, text: &str, out: &mut Imported) {
    let levels: Option<Vec<u8>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    match levels.as_deref() {
        Some([bits @ 0..=31, rest @ ..]) => {
            out.config.dump.level = Level::Bits(*bits);
            if !rest.is_empty() {
                out.note(
                    line,
                    "only the first level is used; afterpanic picks a smaller one itself if space runs out",
                );
            }
        }
        _ => out.note(line, format!("\"{text}\" is not a dump level")),
    }
}
