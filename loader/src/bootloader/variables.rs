//! GRUB's shell files evaluated without running them: assignments of GRUB_CMDLINE_LINUX and
//! GRUB_CMDLINE_LINUX_DEFAULT in order, with `$NAME` and `${NAME}` of these two.
//!
//! Facts: grub-mkconfig sources the files with sh; 10_linux puts GRUB_CMDLINE_LINUX before
//! GRUB_CMDLINE_LINUX_DEFAULT. Whatever else a line does to the two makes the result unknown.

const NAMES: [&str; 2] = ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"];

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
        let text = text.replace("\\\n", "");
        for line in text.lines().map(str::trim) {
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

fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_in_order() {
        let mut got = Variables::default();
        got.source(
            "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX='a b'\nGRUB_CMDLINE_LINUX_DEFAULT=quiet # c\n",
        );
        got.source("export GRUB_CMDLINE_LINUX_DEFAULT=\"${GRUB_CMDLINE_LINUX_DEFAULT} x\"\n#GRUB_CMDLINE_LINUX=\n");
        assert_eq!((got.cmdline().as_str(), got.unknown), ("a b quiet x", None));
    }

    #[test]
    fn what_needs_a_shell_is_unknown() {
        for line in [
            "GRUB_CMDLINE_LINUX=\"$(cat /x)\"",
            "GRUB_CMDLINE_LINUX=`cat /x`",
            "GRUB_CMDLINE_LINUX+=\" x\"",
            "[ -f /x ] && GRUB_CMDLINE_LINUX=x",
            "GRUB_CMDLINE_LINUX=$OTHER",
            "GRUB_CMDLINE_LINUX=\"open",
        ] {
            let mut got = Variables::default();
            got.source(line);
            assert!(got.unknown.is_some(), "{line}");
        }
    }
}
