//! GRUB's shell files evaluated without running them: assignments of GRUB_CMDLINE_LINUX and
//! GRUB_CMDLINE_LINUX_DEFAULT in order, with `$NAME` and `${NAME}` of these two.
//!
//! Facts: grub-mkconfig sources the files with sh; 10_linux puts GRUB_CMDLINE_LINUX before
//! GRUB_CMDLINE_LINUX_DEFAULT. Whatever else a line does to the two makes the result unknown.

const NAMES: [&str; 2] = ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"];

/// No value is longer, in bytes: the kernel takes 2 KiB on x86 (COMMAND_LINE_SIZE). A value of two copies of
/// itself would soon fill all memory.
const LONGEST: usize = 64 << 10;

/// The two variables so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Variables {
    values: [String; 2],
    /// A line that this reader cannot evaluate.
    pub(super) unknown: Option<String>,
}

impl Variables {
    /// Reads one more file.
    pub(super) fn source(&mut self, text: &str) {
        let text = joined(text);
        let mut depth = 0_usize;
        for line in text.lines().map(str::trim) {
            // What a condition or a loop assigns depends on it; what follows `exit` is not read.
            let first = line.split([' ', '\t', ';']).next().unwrap_or_default();
            let last = line.rsplit([' ', '\t', ';']).find(|word| !word.is_empty());
            let closes = |word: Option<&str>| matches!(word, Some("fi" | "esac" | "done"));
            match first {
                "if" | "case" | "for" | "while" | "until" if !closes(last) => {
                    depth = depth.saturating_add(1);
                }
                "fi" | "esac" | "done" => depth = depth.saturating_sub(1),
                "exit" | "return" => self.unknown = Some(line.to_owned()),
                _ => {}
            }
            // What another file says is not known here.
            if !line.starts_with('#') && reads_file(line) {
                self.unknown = Some(line.to_owned());
            }
            let assigns = !line.starts_with('#') && line.contains("GRUB_CMDLINE_LINUX");
            if assigns && depth > 0 {
                self.unknown = Some(line.to_owned());
                continue;
            }
            if line.starts_with('#') || !line.contains("GRUB_CMDLINE_LINUX") {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            let Some((name, value)) = line.split_once('=') else {
                if !NAMES.contains(&line) {
                    self.unknown = Some(line.to_owned());
                }
                continue;
            };
            match NAMES.iter().position(|known| *known == name) {
                Some(at) => match self.expand(value) {
                    Some(value) => {
                        if let Some(slot) = self.values.get_mut(at) {
                            *slot = value;
                        }
                    }
                    None => self.unknown = Some(line.to_owned()),
                },
                // GRUB_CMDLINE_LINUX_RECOVERY, …_XEN: other variables, unless these are used in them.
                None if name.starts_with("GRUB_CMDLINE_LINUX_") && is_name(name) => {}
                None => self.unknown = Some(line.to_owned()),
            }
        }
    }

    /// The command line of the normal entries.
    pub(super) fn cmdline(&self) -> String {
        self.values.join(" ")
    }

    /// A shell word; `None`: more than quotes and the two variables.
    fn expand(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text.chars().peekable();
        let mut quote: Option<char> = None;
        while let Some(c) = rest.next() {
            match c {
                '"' | '\'' if quote == Some(c) => quote = None,
                '"' | '\'' if quote.is_none() => quote = Some(c),
                '$' if quote != Some('\'') => {
                    let braces = rest.next_if_eq(&'{').is_some();
                    let mut name = String::new();
                    while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                        name.push(c);
                    }
                    if braces && rest.next() != Some('}') {
                        return None;
                    }
                    let at = NAMES.iter().position(|known| **known == name)?;
                    out.push_str(self.values.get(at)?);
                    if out.len() > LONGEST {
                        return None;
                    }
                }
                '`' if quote != Some('\'') => return None,
                '\\' if quote != Some('\'') => match rest.next()? {
                    c @ ('"' | '\\' | '$' | '`') => out.push(c),
                    c => out.extend(['\\', c]),
                },
                c if quote.is_none() && c.is_whitespace() => {
                    let rest: String = rest.collect();
                    let rest = rest.trim();
                    return (rest.is_empty() || rest.starts_with('#')).then_some(out);
                }
                ';' | '|' | '&' | '(' | ')' | '<' | '>' if quote.is_none() => return None,
                c => out.push(c),
            }
        }
        quote.is_none().then_some(out)
    }
}

/// The lines of a shell's file, those that end in a backslash joined with the next. Two backslashes are one that
/// is meant.
fn joined(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        let slashes = bare.len() - bare.trim_end_matches('\\').len();
        match bare.strip_suffix('\\') {
            Some(head) if slashes % 2 == 1 && bare.len() < line.len() => out.push_str(head),
            _ => out.push_str(line),
        }
    }
    out
}

/// Whether a line reads another file into this shell: `. FILE`, `source FILE`, also in a loop or a condition. One in
/// a subshell changes no variable here.
fn reads_file(line: &str) -> bool {
    line.split([';', '&', '|']).any(|command| {
        let mut words = command.split_whitespace();
        let opening = ["if", "then", "else", "elif", "do", "{", "!"];
        let first = words.find(|word| !opening.contains(word));
        matches!(first, Some("." | "source")) && words.next().is_some()
    })
}

/// The text of a file with `crashkernel=value` as the only one in GRUB_CMDLINE_LINUX_DEFAULT, or with none at
/// all; GRUB_CMDLINE_LINUX loses its own. Comments, quotes and everything else stay. What is more than one
/// quoted word is not taken apart: a line at the end adds to it.
pub(super) fn with_value(text: &str, value: Option<&str>) -> String {
    let [general, normal] = NAMES;
    let text = set(text, general, None).unwrap_or_else(|| text.to_owned());
    if let Some(text) = set(&text, normal, value) {
        return text;
    }
    let Some(value) = value else {
        return text;
    };
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{end}{normal}=\"${normal} crashkernel={value}\"\n")
}

/// The text with the last assignment of a variable changed; `None`: it has none that is one word.
fn set(text: &str, name: &str, value: Option<&str>) -> Option<String> {
    let mut at = 0;
    let mut last = None;
    for line in text.split_inclusive('\n') {
        let start = line.trim_start();
        let code = start.strip_prefix("export ").unwrap_or(start);
        if code
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('='))
        {
            last = Some((at, line));
        }
        at += line.len();
    }
    let (at, line) = last?;
    let (before, rest) = line.split_once('=')?;
    let (word, after) = rest.split_at_checked(word_length(rest)?)?;
    let (quote, inner) = match word.chars().next() {
        Some(quote @ ('"' | '\'')) => (quote, word.get(1..word.len().checked_sub(1)?)?),
        _ => ('"', word),
    };
    let new = crate::bootloader::change::with_value(inner, value);
    if new == inner {
        return Some(text.to_owned());
    }
    let (head, tail) = (text.get(..at)?, text.get(at.checked_add(line.len())?..)?);
    Some(format!("{head}{before}={quote}{new}{quote}{after}{tail}"))
}

/// The length of a shell word at the beginning of a line: one pair of quotes or none, and nothing in it that
/// would be cut by taking it apart at white space.
fn word_length(rest: &str) -> Option<usize> {
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let length = match quote {
        Some(quote) => rest.get(1..)?.find(quote)?.checked_add(2)?,
        None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
    };
    let (word, after) = rest.split_at_checked(length)?;
    let inner = word.trim_matches(['"', '\'']);
    let awkward =
        |c: char| matches!(c, '`' | '\\' | '"' | '\'') || quote.is_none() && ";|&()<>".contains(c);
    let ends = after.is_empty() || after.starts_with(char::is_whitespace);
    let comment = after.trim_start();
    let alone = comment.is_empty() || comment.starts_with('#');
    (ends && alone && !inner.contains(awkward) && !inner.contains("$(")).then_some(length)
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_read_in_between_makes_the_result_unknown() {
        for line in [
            ". /etc/default/grub.local",
            "source /etc/x",
            "[ -e /etc/x ] && . /etc/x",
            "for f in /etc/default/grub.d/*.cfg; do . \"$f\"; done",
            "if [ -r /etc/x ]; then . /etc/x; fi",
        ] {
            let mut got = Variables::default();
            got.source(&format!("GRUB_CMDLINE_LINUX_DEFAULT=a\n{line}\n"));
            assert_eq!(got.unknown.as_deref(), Some(line));
        }
        for line in [
            "GRUB_DISTRIBUTOR=`( . /etc/os-release; echo ${NAME:-Debian} ) 2>/dev/null || echo Debian`",
            "# . /etc/default/grub.local",
            "GRUB_BACKGROUND=/x/.",
        ] {
            let mut got = Variables::default();
            got.source(&format!("GRUB_CMDLINE_LINUX_DEFAULT=a\n{line}\n"));
            assert_eq!(got.unknown, None, "{line}");
        }
    }

    #[test]
    fn assignments_in_order() {
        let mut got = Variables::default();
        got.source(
            "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX='a b'\nGRUB_CMDLINE_LINUX_DEFAULT=quiet # c\n",
        );
        got.source("if [ -e /x ]; then GRUB_TIMEOUT=1; fi\nif true\nthen\nGRUB_TIMEOUT=1\nfi\n");
        got.source("export GRUB_CMDLINE_LINUX_DEFAULT=\"${GRUB_CMDLINE_LINUX_DEFAULT} x\"\n#GRUB_CMDLINE_LINUX=\n");
        assert_eq!((got.cmdline().as_str(), got.unknown), ("a b quiet x", None));
    }

    #[test]
    fn only_a_backslash_of_its_own_joins_lines() {
        for (text, joined) in [
            ("a\\\nb\n", "ab\n"),
            ("a\\\\\nb\n", "a\\\\\nb\n"),
            ("a\\\\\\\nb", "a\\\\b"),
            ("a\\", "a\\"),
        ] {
            assert_eq!(super::joined(text), joined, "{text:?}");
        }
        let mut got = Variables::default();
        got.source("GRUB_CMDLINE_LINUX_DEFAULT=\"a\\\\\nb\"\n");
        assert!(got.unknown.is_some(), "{got:?}");
    }

    #[test]
    fn a_value_that_doubles_itself_ends() {
        let mut got = Variables::default();
        got.source("GRUB_CMDLINE_LINUX=abc\n");
        got.source(&"GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX\"\n".repeat(64));
        assert!(got.unknown.is_some() && got.cmdline().len() <= LONGEST + 1);
    }

    #[test]
    fn a_value_is_set_and_the_shell_around_it_stays() {
        let cases = [
            (
                "GRUB_CMDLINE_LINUX_DEFAULT=\"a b\" # why\nX=1\n",
                "GRUB_CMDLINE_LINUX_DEFAULT=\"a b crashkernel=96M\" # why\nX=1\n",
            ),
            (
                "  export GRUB_CMDLINE_LINUX_DEFAULT='a'\n",
                "  export GRUB_CMDLINE_LINUX_DEFAULT='a crashkernel=96M'\n",
            ),
            (
                "GRUB_CMDLINE_LINUX_DEFAULT=quiet",
                "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet crashkernel=96M\"",
            ),
            (
                "GRUB_CMDLINE_LINUX_DEFAULT=\n",
                "GRUB_CMDLINE_LINUX_DEFAULT=\"crashkernel=96M\"\n",
            ),
            (
                "GRUB_CMDLINE_LINUX_DEFAULT=\"${X} $Y\"\n",
                "GRUB_CMDLINE_LINUX_DEFAULT=\"${X} $Y crashkernel=96M\"\n",
            ),
            (
                "GRUB_CMDLINE_LINUX=\"x crashkernel=auto\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"crashkernel=1M,high q\"\n",
                "GRUB_CMDLINE_LINUX=\"x\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"crashkernel=96M q\"\n",
            ),
            // The last assignment counts. A comment assigns nothing.
            (
                "#GRUB_CMDLINE_LINUX_DEFAULT=a\nGRUB_CMDLINE_LINUX_DEFAULT=b\nGRUB_CMDLINE_LINUX_DEFAULT=\"c\"\n",
                "#GRUB_CMDLINE_LINUX_DEFAULT=a\nGRUB_CMDLINE_LINUX_DEFAULT=b\nGRUB_CMDLINE_LINUX_DEFAULT=\"c crashkernel=96M\"\n",
            ),
        ];
        for (before, after) in cases {
            assert_eq!(with_value(before, Some("96M")), after);
            assert_eq!(with_value(after, Some("96M")), after);
        }
    }

    #[test]
    fn what_is_more_than_one_word_gets_a_line_at_the_end() {
        let line = "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=96M\"\n";
        for before in [
            "",
            "GRUB_TIMEOUT=1\n",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"a\"' b'\n",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"$(cat /x)\"\n",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"a \\\"b c\\\"\"\n",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"a\" && echo\n",
        ] {
            assert_eq!(with_value(before, Some("96M")), format!("{before}{line}"));
        }
        assert_eq!(
            with_value(line, None),
            "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT\"\n"
        );
    }

    #[test]
    fn what_needs_a_shell_is_unknown() {
        for line in [
            "GRUB_CMDLINE_LINUX=\"$(cat /x)\"",
            "GRUB_CMDLINE_LINUX=`cat /x`",
            "GRUB_CMDLINE_LINUX+=\" x\"",
            "[ -f /x ] && GRUB_CMDLINE_LINUX=x",
            "GRUB_CMDLINE_LINUX=$OTHER",
            "if [ -e /x ]; then\n  GRUB_CMDLINE_LINUX=x\nfi",
            "exit 0",
            "GRUB_CMDLINE_LINUX=\"open",
        ] {
            let mut got = Variables::default();
            got.source(line);
            assert!(got.unknown.is_some(), "{line}");
        }
    }
}
