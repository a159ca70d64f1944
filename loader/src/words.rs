//! The words of a kernel command line.
//!
//! Facts: lib/cmdline.c (next_arg), Linux 5.10 to 7.2.

/// The kernel's words: separated by white space, double quotes keep it inside one.
#[must_use]
pub(crate) fn words(cmdline: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in cmdline.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            c if c.is_ascii_whitespace() && !quoted => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            '\0' => break,
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}
