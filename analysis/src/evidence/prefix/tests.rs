//! Prefixes as syslog, journald and consoles write them.

use super::*;

fn text(line: &str) -> (Form, Option<u64>, &str) {
    let found = strip(line);
    (found.form, found.ts_nsec.map(|ns| ns / 1000), found.text)
}

#[test]
fn every_form_gives_the_message() {
    let stamped = |form| (form, Some(12_345_678), "a: b");
    for (line, form) in [
        ("[   12.345678] a: b", Form::Printk),
        ("[   12.345678][  T7] a: b\r", Form::Printk),
        ("<4>[   12.345678] a: b", Form::Level),
        (
            "May  5 12:38:12 box-1 kernel: [   12.345678] a: b",
            Form::Syslog,
        ),
        (
            "May  5 12:38:12 192.0.2.7 [   12.345678] a: b",
            Form::Syslog,
        ),
        (
            "2026-05-05T12:38:12.5+02:00 box kernel: [   12.345678] a: b",
            Form::Syslog,
        ),
        (
            "<6>May  5 12:38:12 box kernel: [   12.345678] a: b",
            Form::Syslog,
        ),
        ("[   12.345678] box kernel: a: b", Form::Syslog),
        ("4,77,12345678,-;a: b", Form::Extended),
        ("4,77,12345678,-,caller=T12;a: b", Form::Extended),
    ] {
        assert_eq!(text(line), stamped(form), "{line}");
    }
    for (line, form) in [
        ("a: b", Form::Plain),
        ("May 15 12:38:12 box kernel: a: b", Form::Syslog),
        ("1764410401.123456 box kernel: a: b", Form::Syslog),
        ("Sun 2026-11-29 10:00:01 UTC box kernel: a: b", Form::Syslog),
        ("[Sat Nov 21 23:15:00 2026] a: b", Form::WallClock),
        ("[Nov21 23:15] a: b", Form::WallClock),
        ("[  +0.000123] a: b", Form::WallClock),
        ("[<    0.000123>] a: b", Form::WallClock),
        ("[   12.345678 <    0.000123>] a: b", Form::WallClock),
        ("2026-11-21T23:15:00,123456+00:00 a: b", Form::WallClock),
    ] {
        assert_eq!(text(line), (form, None, "a: b"), "{line}");
    }
}

#[test]
fn leading_spaces_belong_to_the_message() {
    assert_eq!(strip("[    1.000000]  <TASK>").text, " <TASK>");
    assert_eq!(
        strip("[    1.000000][    C3]  f+0x1/0x2").text,
        " f+0x1/0x2"
    );
    assert_eq!(strip("[    1.000000][    C3]  x").caller, Some(CPU | 3));
    assert_eq!(strip("[    1.000000][T912] x").caller, Some(912));
}

#[test]
fn a_time_in_mid_line_begins_a_message() {
    let found = strip("login: [  460.963095] BUG: x");
    assert_eq!((found.before, found.text), ("login: ", "BUG: x"));
    let found = strip("login: [  460.963095] box kernel: BUG: x");
    assert_eq!((found.before, found.text), ("login: ", "BUG: x"));
}

#[test]
fn other_text_stays_whole() {
    for line in [
        "",
        "[",
        "[]",
        "[x.y] z",
        "<>a",
        "<abc>d",
        "May be",
        "6,x;y",
        "é[",
        "[<ffffffff81000000>] f+0x1/0x2",
        "2026-05-05",
        "May  5 12:38:12 box sshd[1]: hello",
        "2026-05-05T12:38:12.123456+00:00 box sshd[1]: hello",
        "[Nov21] x",
        "[+x.y] z",
        "[<1>] z",
    ] {
        assert_eq!(strip(line).text, line, "{line}");
    }
}
