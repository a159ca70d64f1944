//! A place in code as kernels print it, in every form of 3.x to 7.x.
//!
//! Sources: lib/vsprintf.c (`%pS`, `%pB`), arch/x86/kernel/{dumpstack,unwind_frame}.c,
//! arch/arm/kernel/traps.c (`dump_backtrace_entry`), arch/arm64/kernel/stacktrace.c,
//! arch/powerpc/kernel/process.c (`show_stack`), arch/s390/kernel/dumpstack.c,
//! arch/riscv/kernel/stacktrace.c and scripts/decode_stacktrace.sh.

use serde::{Deserialize, Serialize};

/// A place in code as the kernel prints it: `acme_poll+0x41/0x50 [acme]`.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Location {
    /// The function.
    pub function: String,
    /// Bytes from its start; 0 in a decoded log, which has lines instead.
    pub offset: u64,
    /// Its length in bytes, when known.
    pub size: Option<u64>,
    /// The module it belongs to; `None` for the kernel image.
    pub module: Option<String>,
    /// False for frames marked `?`: found on the stack, not by the unwinder.
    pub reliable: bool,
    /// File and line, in a decoded log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether the compiler put it into the frame below, in a decoded log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inline: bool,
}

impl Location {
    /// Reads one frame: `function+0xoffset/0xsize [module]`, with addresses or `? ` before it, with a
    /// file and line behind it, or decoded.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (text, reliable, inline) = bare(text.trim());
        let (place, rest) = text
            .split_once(' ')
            .map_or((text, ""), |(a, b)| (a, b.trim()));
        let place = place.trim_end_matches(')');
        if let Some((function, numbers)) = place.rsplit_once("+0x") {
            let (offset, size) = numbers.split_once("/0x")?;
            is_name(function).then_some(())?;
            return Some(Self {
                function: function.to_string(),
                offset: hex(offset)?,
                size: Some(hex(size)?),
                module: module(rest),
                reliable,
                source: rest
                    .split(' ')
                    .find(|word| is_source(word))
                    .map(str::to_string),
                inline: false,
            });
        }
        is_name(place).then_some(())?;
        let (source, module) = decoded(rest, inline)?;
        Some(Self {
            function: place.to_string(),
            module,
            reliable,
            source: Some(source),
            inline: inline || rest.ends_with("[inline]"),
            ..Self::default()
        })
    }

    /// Reads a frame of arm: `[<80360ff0>] (path_mount) from [<80361cc8>] (sys_mount+0x21c/0x36c)`, or
    /// since 5.18 ` path_mount from sys_mount+0x21c/0x36c`. The second is the frame; the first names
    /// what it called.
    #[must_use]
    pub fn parse_arm(text: &str) -> Option<(&str, Self)> {
        let (called, frame) = text.trim().split_once(" from ")?;
        let called = called.rsplit(['(', ' ']).next()?.trim_end_matches(')');
        is_name(called).then_some(())?;
        let frame = bare(frame.trim()).0;
        Some((called, Self::parse(frame.trim_matches(['(', ')']))?))
    }
}

/// The text without addresses, marks and brackets before the name; whether the frame is sure, and
/// whether it is marked as inline there.
fn bare(mut text: &str) -> (&str, bool, bool) {
    let (mut reliable, mut inline) = (true, false);
    for _ in 0..5 {
        let old = text;
        text = text.trim_start_matches('(').trim_start();
        if let Some(rest) = text.strip_prefix("? ") {
            reliable = false;
            text = rest.trim_start();
        }
        if let Some((inside, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            let inside = inside.trim_matches(['<', '>', ' ']);
            let address = hex(inside).is_some() && inside.len() >= 4;
            if address || inside == "inline" {
                inline |= inside == "inline";
                text = rest.trim_start();
            }
        }
        if old == text {
            break;
        }
    }
    (text, reliable, inline)
}

/// `drivers/acme/fs.c:286 [inline]`, `(drivers/acme/fs.c:286 (discriminator 2)) acme`: the place and
/// the module.
fn decoded(rest: &str, inline: bool) -> Option<(String, Option<String>)> {
    let mut words = rest.split(' ');
    let first = words.next()?;
    if let Some(place) = first.strip_prefix('(') {
        let place = place.trim_end_matches(')');
        is_source(place).then_some(())?;
        let (_, behind) = rest.rsplit_once(')')?;
        let behind = behind.trim().trim_matches(['[', ']']);
        let module = behind.split(' ').next().filter(|name| is_name(name));
        return Some((place.to_string(), module.map(str::to_string)));
    }
    let marked = inline || rest.ends_with("[inline]");
    (marked && is_source(first)).then(|| (first.to_string(), None))
}

/// `file.c:123`.
fn is_source(word: &str) -> bool {
    word.trim_end_matches(':')
        .rsplit_once(':')
        .is_some_and(|(file, line)| {
            let known = [".c", ".h", ".S", ".rs", ".y", ".l"]
                .iter()
                .any(|end| file.ends_with(end));
            known && !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// The name in `[acme]`, `[acme(OE)]` or `[acme 0123abc]` (with a build id, since 5.14).
fn module(rest: &str) -> Option<String> {
    let inside = rest.rsplit_once('[').map(|(_, inside)| inside)?;
    let name = inside.split([']', ' ', '(']).next()?;
    (is_name(name) && name != "inline").then(|| name.to_string())
}

/// Whether a word can be the name of a function or module.
pub(super) fn is_name(word: &str) -> bool {
    let first = word.bytes().next();
    let good = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'.' | b'$' | b'-' | b':' | b'<' | b'>')
    };
    first
        .is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b'$' | b'<'))
        && word.len() <= 512
        && word.bytes().all(good)
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.function)?;
        match &self.source {
            Some(source) if self.size.is_none() => write!(f, " ({source})")?,
            _ => write!(f, "+{:#x}", self.offset)?,
        }
        match &self.module {
            Some(module) => write!(f, " [{module}]"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Option<String> {
        Location::parse(text).map(|at| {
            let mark = if at.reliable { "" } else { "? " };
            let inline = if at.inline { " inline" } else { "" };
            format!("{mark}{at}{inline}")
        })
    }

    #[test]
    fn frames_of_every_form_are_read() {
        for (text, expected) in [
            (" f_x+0x1a/0x20", "f_x+0x1a"),
            (" ? f.isra.0+0x1/0x2 [acme]", "? f.isra.0+0x1 [acme]"),
            (" f+0x1/0x2 [acme 0123456789abcdef]", "f+0x1 [acme]"),
            (" f+0x1/0x2 [acme(OE)]", "f+0x1 [acme]"),
            (" [<ffffffff8100abcd>] f+0x1/0x2", "f+0x1"),
            (" [<ffffffff8100abcd>] ? f+0x1/0x2 [m]", "? f+0x1 [m]"),
            ("([<00000000001ad6a2>] f+0x1/0x2)", "f+0x1"),
            (
                "[c000000007b2f7d0] [c000000000a4e0d8] f+0x1/0x2 (unreliable)",
                "f+0x1",
            ),
            (" f (fs/acme.c:12) acme", "f (fs/acme.c:12) [acme]"),
            (" f (fs/acme.c:12 (discriminator 3)) ", "f (fs/acme.c:12)"),
            (" f fs/acme.c:12 [inline]", "f (fs/acme.c:12) inline"),
            (
                " [<     inline     >] f fs/acme.c:12",
                "f (fs/acme.c:12) inline",
            ),
            (" f+0x1/0x2 fs/acme.c:12", "f+0x1"),
            (" f+0x1/0x2 fs/acme.c:12 [acme]", "f+0x1 [acme]"),
        ] {
            assert_eq!(show(text).as_deref(), Some(expected), "{text}");
        }
        let (called, at) = Location::parse_arm(
            "[<80360ff0>] (path_mount) from [<80361cc8>] (sys_mount+0x21c/0x36c)",
        )
        .unwrap();
        assert_eq!(
            (called, at.to_string().as_str()),
            ("path_mount", "sys_mount+0x21c")
        );
        let (called, at) = Location::parse_arm(" path_mount from sys_mount+0x21c/0x36c").unwrap();
        assert_eq!(
            (called, at.to_string().as_str()),
            ("path_mount", "sys_mount+0x21c")
        );
    }

    #[test]
    fn garbage_is_no_location() {
        for text in [
            "",
            "RIP",
            "0x41/0x50",
            "+0x1/0x2",
            "f+0xzz/0x1",
            "f+0x1",
            "12+0x1/0x2",
            "word and word",
            "started (fs/acme.c)",
            "a (b)",
            "[",
            "[<ff",
            "(((",
            "f fs/acme.c:12",
            "mail from me",
        ] {
            assert_eq!(Location::parse(text), None, "{text}");
        }
    }
}
