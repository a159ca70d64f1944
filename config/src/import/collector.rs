//! The arguments of makedumpfile (makedumpfile.8 of 1.7.9): level, format, threads, size.

use dump::Level;
use vmcore::write::OutputFormat;

use super::imported::Fate;
use crate::model::{Auto, Config};
use crate::units::Size;

/// Options that take a value, which may follow as a word of its own.
const WITH_VALUE: [&str; 14] = [
    "num-threads",
    "message-level",
    "cyclic-buffer",
    "splitblock-size",
    "work-dir",
    "diskset",
    "config",
    "eppic",
    "extension",
    "xen-syms",
    "xen-vmcoreinfo",
    "xen_phys_start",
    "vtop",
    "private-page-filter",
];

/// Options that only say how makedumpfile works.
const HOW: [&str; 10] = [
    "message-level",
    "cyclic-buffer",
    "splitblock-size",
    "work-dir",
    "non-cyclic",
    "non-mmap",
    "show-stats",
    "force",
    "help",
    "version",
];

/// What a set of arguments has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of them: what is not named has makedumpfile's own default, level 0.
    All,
    /// Those added to what other settings say.
    Further,
}

/// Takes over the words after `makedumpfile`.
pub(super) fn take(words: &[String], extent: Extent, config: &mut Config, fate: &mut Fate) {
    fate.take("");
    let mut collector = Collector {
        config,
        fate,
        level: false,
    };
    let mut rest = words.iter().map(String::as_str).peekable();
    while let Some(word) = rest.next() {
        // Their values may be words of their own.
        let mut next = || rest.next_if(|word| !word.starts_with('-'));
        if let Some(long) = word.strip_prefix("--") {
            collector.long(long, &mut next);
        } else if let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) {
            collector.short(letters, &mut next);
        } else {
            collector.no_counterpart(word);
        }
    }
    if !collector.level && extent == Extent::All && config.dump.format.is_some() {
        config.dump.level = Level::ALL;
        fate.take("level = \"all\" in [dump], because -d is missing");
    }
}

struct Collector<'a> {
    config: &'a mut Config,
    fate: &'a mut Fate,
    /// Whether there was a level.
    level: bool,
}

impl Collector<'_> {
    fn long<'w>(&mut self, long: &str, next: &mut dyn FnMut() -> Option<&'w str>) {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let value = match value {
            None if WITH_VALUE.contains(&name) => next(),
            value => value,
        };
        match name {
            "num-threads" => self.threads(value.unwrap_or_default()),
            "dump-dmesg" => {
                self.config.dump.format = None;
                self.fate
                    .take("format = \"none\" in [dump]: log, report and essentials only");
            }
            "config" | "eppic" => self.fate.block(format!(
                "--{name} erases data from the core, and afterpanic cannot: the core would hold it"
            )),
            _ if HOW.contains(&name) => {}
            _ => self.no_counterpart(&format!("--{long}")),
        }
    }

    /// A word of short options, which may be joined: `-zd31`.
    fn short<'w>(&mut self, letters: &str, next: &mut dyn FnMut() -> Option<&'w str>) {
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let format = match letter {
                'z' => Some(OutputFormat::KdumpZstd),
                'c' => Some(OutputFormat::KdumpZlib),
                'E' => Some(OutputFormat::Elf),
                _ => None,
            };
            if let Some(format) = format {
                self.config.dump.format = Some(format);
                self.fate.take("format in [dump]");
                continue;
            }
            let mut value = || {
                let joined = rest.as_str().trim_start_matches('=').to_owned();
                match joined.is_empty() {
                    true => next().unwrap_or_default().to_owned(),
                    false => joined,
                }
            };
            match letter {
                'l' => self
                    .fate
                    .remark("cores are compressed with zstd instead of lzo"),
                'p' => self
                    .fate
                    .remark("cores are compressed with zstd instead of snappy"),
                // Where the output cannot seek, where the file exists, and messages.
                'F' | 'f' | 'D' | 'e' => {}
                'd' => {
                    self.level = true;
                    let value = value();
                    level(&value, self.config, self.fate);
                    return;
                }
                'L' => {
                    let value = value();
                    self.limit(&value);
                    return;
                }
                // Symbols: they are read from the dump.
                'x' | 'i' | 'g' | 'b' => {
                    value();
                    return;
                }
                _ => {
                    self.no_counterpart(&format!("-{letter}"));
                }
            }
        }
    }

    fn threads(&mut self, value: &str) {
        match value.parse::<u32>() {
            Ok(0) => {}
            Ok(threads @ 1..=512) => {
                self.config.dump.threads = Auto::Set(threads);
                self.fate.take("threads in [dump]");
            }
            _ => self.fate.nothing(format!(
                "\"{value}\" is not a number of threads from 0 to 512"
            )),
        }
    }

    /// `-L SIZE`, in bytes, K, M or G.
    fn limit(&mut self, value: &str) {
        let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = value.strip_suffix(unit).unwrap_or(value);
        let factor: Option<u64> = match unit {
            "" => Some(1),
            "k" | "K" => Some(1 << 10),
            "m" | "M" => Some(1 << 20),
            "g" | "G" => Some(1 << 30),
            _ => None,
        };
        let bytes = number.parse::<u64>().ok().zip(factor);
        match bytes.and_then(|(number, factor)| number.checked_mul(factor)) {
            Some(bytes) if bytes > 0 => {
                self.config.dump.max_size = Some(Size(bytes));
                self.fate.remark(
                    "max_size in [dump]; a larger core is written at a smaller level instead of cut off",
                );
            }
            _ => self.fate.nothing(format!("-L {value} is not a size")),
        }
    }

    fn no_counterpart(&mut self, word: &str) {
        self.fate
            .nothing(format!("the makedumpfile option {word} has no counterpart"));
    }
}

/// `31`, or `1,31`: makedumpfile tries the levels of a list in order.
pub(super) fn level(text: &str, config: &mut Config, fate: &mut Fate) {
    let levels: Option<Vec<u8>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    match levels.as_deref() {
        Some([bits @ 0..=31, rest @ ..]) => {
            config.dump.level = Level::Bits(*bits);
            fate.take(format!("level = {} in [dump]", quoted(config.dump.level)));
            if !rest.is_empty() {
                fate.remark(
                    "only the first level is used; afterpanic picks a smaller one itself if space runs out",
                );
            }
        }
        _ => fate.nothing(format!("\"{text}\" is not a dump level from 0 to 31")),
    }
}

fn quoted(level: Level) -> String {
    format!("\"{level}\"")
}
