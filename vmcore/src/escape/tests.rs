//! Every control is escaped, on every way to the writer below; nothing else changes.

use super::*;
use std::io::Write as _;

fn printed(write: impl FnOnce(&mut Printer<&mut Vec<u8>>)) -> String {
    let mut bytes = Vec::new();
    let mut out = Printer::new(&mut bytes);
    write(&mut out);
    out.flush().unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn controls_of_every_plane_are_escaped_and_text_stays() {
    let odd =
        "a\u{1b}]0;t\u{7}b\rc\nd\0e\u{7f}f\u{9b}1mg\u{202e}h\u{2066}i\u{2028}j\u{200f}k\u{61c}";
    assert_eq!(
        line(odd),
        "a\\x1b]0;t\\x07b\\rc\\nd\\x00e\\x7ff\\u009b1mg\\u202eh\\u2066i\\u2028j\\u200fk\\u061c"
    );
    let plain = "tab\t\\ Grüße 日本 🦀 e\u{301} \u{feff}";
    assert!(matches!(line(plain), Cow::Borrowed(text) if text == plain));
    for c in (0..=0x2100).filter_map(char::from_u32) {
        let escaped = line(&c.to_string()).into_owned();
        assert!(!escaped.chars().any(is_control), "{c:?}: {escaped:?}");
        assert!(
            !escaped.chars().any(|c| c.is_control() && c != '\t'),
            "{c:?}"
        );
    }
}

#[test]
fn a_formatted_line_is_one_line_whatever_its_arguments_hold() {
    let name = "evil\n  panic message: forged\n";
    let expected = "task evil\\n  panic message: forged\\n (7)\n\n";
    let mut text = String::new();
    let mut lines = Lines::new(&mut text);
    // The way of the callers: behind a reference to the trait.
    let out: &mut dyn fmt::Write = &mut lines;
    writeln!(out, "task {name} ({})", 7).unwrap();
    writeln!(out).unwrap();
    assert_eq!(text, expected);
    let text = printed(|out| {
        let out: &mut dyn io::Write = out;
        writeln!(out, "task {name} ({})", 7).unwrap();
        writeln!(out).unwrap();
    });
    assert_eq!(text, expected);
    let padded = printed(|out| writeln!(out, "{:<8}|{name:>4}", "a\r").unwrap());
    assert!(padded.ends_with("forged\\n\n"), "{padded:?}");
    assert_eq!(padded.lines().count(), 1);
}

#[test]
fn bytes_that_are_no_utf8_show_as_hex_and_cut_characters_are_joined() {
    let text = printed(|out| {
        out.write_all(b"\x9b1m\xff ok\n\xe6").unwrap();
        out.write_all(b"\x97").unwrap();
        out.write_all(b"\xa5\xe2\x80").unwrap();
        out.write_all(b"\xae\xe6\x97").unwrap();
    });
    assert_eq!(text, "\\x9b1m\\xff ok\n日\\u202e\\xe6\\x97");
}

#[test]
fn json_keeps_what_it_means() {
    let mut bytes = Vec::new();
    let mut out = Printer::json(&mut bytes);
    let json = "{\"x\":\n\"a\\u001b\u{7f}\u{85}\u{202e}\\n日\"}";
    out.write_all(json.as_bytes()).unwrap();
    writeln!(out).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let expected = "{\"x\":\n\"a\\u001b\\u007f\\u0085\\u202e\\n日\"}\n";
    assert_eq!(text, expected);
}

#[test]
fn only_our_own_sequences_pass() {
    let text = printed(|out| {
        out.sequence("\u{1b}[1m").unwrap();
        write!(out, "\u{1b}[1m").unwrap();
        out.sequence("\u{1b}[0m").unwrap();
    });
    assert_eq!(text, "\u{1b}[1m\\x1b[1m\u{1b}[0m");
}
