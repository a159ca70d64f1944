//! What stands before a kernel message in a text: level, time, caller, and what syslog, journald,
//! netconsole or `dmesg -T` put there.
//!
//! Sources: kernel/printk/printk.c (`print_syslog`, `print_time`, `print_caller`, and
//! `info_print_ext_header` for /dev/kmsg and extended netconsole), RFC 3164 and RFC 5424 for syslog.

/// Bit 31 of a caller id: the number is a CPU (kernel/printk/printk.c, `printk_caller_id`).
const CPU: u32 = 1 << 31;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The form of a line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Form {
    /// The message alone.
    Plain,
    /// `[    1.234567] text`, with or without level and caller.
    Printk,
    /// `<4>[    1.234567] text`, as pstore and /proc/kmsg have it.
    Level,
    /// A date and a host before the message: syslog or journald.
    Syslog,
    /// `6,339,5140900,-;text`: /dev/kmsg or extended netconsole.
    Extended,
    /// A time that is not the one since boot, as dmesg of util-linux prints it: `-T`, `-e`, `-d`, or
    /// `--time-format` with `iso` or `delta`.
    WallClock,
}

/// A line without what stands before its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stripped<'t> {
    /// The form that was recognised.
    pub form: Form,
    /// Nanoseconds since boot.
    pub ts_nsec: Option<u64>,
    /// As in [`super::Line::level`].
    pub level: Option<u8>,
    /// As in [`super::Line::caller`].
    pub caller: Option<u32>,
    /// Text before a time in mid-line: the end of somebody else's line on a serial console.
    pub before: &'t str,
    /// The message, with its leading spaces.
    pub text: &'t str,
}

/// Takes off what stands before the message.
#[must_use]
pub fn strip(line: &str) -> Stripped<'_> {
    let line = line.trim_end_matches(['\r', '\n']);
    let mut found = Stripped {
        form: Form::Plain,
        ts_nsec: None,
        level: None,
        caller: None,
        before: "",
        text: line,
    };
    if let Some((usec, text)) = extended(line) {
        found.level = line.split(',').next().and_then(priority);
        found.form = Form::Extended;
        found.ts_nsec = Some(usec.saturating_mul(1000));
        found.text = text;
        return found;
    }
    let mut rest = line;
    if let Some(after) = syslog(rest) {
        found.form = Form::Syslog;
        rest = after;
    }
    if let Some(after) = level(rest) {
        if found.form == Form::Plain {
            found.form = Form::Level;
        }
        found.level = rest
            .get(1..)
            .and_then(|text| priority(text.split('>').next()?));
        rest = after;
    }
    if let Some(after) = wall_clock(rest) {
        found.form = Form::WallClock;
        found.text = after;
        return found;
    }
    let (start, stamp) = match stamp(rest) {
        Some(stamp) => (0, Some(stamp)),
        None => match in_mid_line(rest) {
            Some((at, stamp)) => (at, Some(stamp)),
            None => (0, None),
        },
    };
    let Some((nsec, after)) = stamp else {
        found.text = rest;
        return found;
    };
    found.before = rest.get(..start).unwrap_or_default();
    if let Some(message) = host_and_tag(after) {
        found.form = Form::Syslog;
        found.ts_nsec = Some(nsec);
        found.text = message;
        return found;
    }
    if found.form == Form::Plain {
        found.form = Form::Printk;
    }
    found.ts_nsec = Some(nsec);
    let (caller, after) = caller(after);
    found.caller = caller;
    found.text = after.strip_prefix(' ').unwrap_or(after);
    found
}

/// `<4>`, `<30>`.
fn level(text: &str) -> Option<&str> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    let digits = !number.is_empty() && number.len() <= 3 && is_number(number);
    digits.then_some(rest)
}

/// The level of a priority: its last three bits (RFC 5424).
fn priority(number: &str) -> Option<u8> {
    number
        .parse::<u32>()
        .ok()
        .and_then(|number| u8::try_from(number & 7).ok())
}

/// `[    1.234567]` at the start: nanoseconds and what follows.
fn stamp(text: &str) -> Option<(u64, &str)> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    let (seconds, fraction) = inside.trim_start().split_once('.')?;
    if !(3..=9).contains(&fraction.len()) || !is_number(fraction) || !is_number(seconds) {
        return None;
    }
    let seconds: u64 = seconds.parse().ok()?;
    let mut part: u64 = fraction.parse().ok()?;
    for _ in fraction.len()..9 {
        part = part.saturating_mul(10);
    }
    Some((
        seconds.saturating_mul(1_000_000_000).saturating_add(part),
        rest,
    ))
}

/// What follows ` HOST kernel: `, which `journalctl -o short-monotonic` puts behind the time.
fn host_and_tag(text: &str) -> Option<&str> {
    let (host, rest) = text.strip_prefix(' ')?.split_once(' ')?;
    let host = !host.is_empty() && !host.contains([':', '[', '+']);
    rest.strip_prefix("kernel: ").filter(|_| host)
}

/// A time with six decimals that stands behind other text.
fn in_mid_line(text: &str) -> Option<(usize, (u64, &str))> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find('[') {
        let at = from.saturating_add(found);
        if let Some(stamp) = text.get(at..).and_then(stamp) {
            return Some((at, stamp));
        }
        from = at.saturating_add(1);
    }
    None
}

/// `[T12]`, `[ C3]` behind the time.
fn caller(text: &str) -> (Option<u32>, &str) {
    let parsed = text.strip_prefix('[').and_then(|text| {
        let (inside, rest) = text.split_once(']')?;
        let inside = inside.trim_start();
        let bit = match inside.get(..1)? {
            "T" => 0,
            "C" => CPU,
            _ => return None,
        };
        let number: u32 = inside.get(1..)?.parse().ok()?;
        Some((number | bit, rest))
    });
    match parsed {
        Some((id, rest)) => (Some(id), rest),
        None => (None, text),
    }
}

/// `6,339,5140900,-,caller=T12;text`: microseconds and the message.
fn extended(text: &str) -> Option<(u64, &str)> {
    let (head, message) = text.split_once(';')?;
    if head.len() > 120 {
        return None;
    }
    let mut fields = head.split(',');
    let numbers = [fields.next()?, fields.next()?, fields.next()?];
    if !numbers.into_iter().all(is_number) {
        return None;
    }
    let flag = fields.next()?;
    matches!(flag, "-" | "c" | "+").then_some(())?;
    Some((numbers.get(2)?.parse().ok()?, message))
}

/// What follows the date, host and tag of syslog or journald. Only where a kernel message follows: a
/// tag `kernel:`, a level or a time.
fn syslog(text: &str) -> Option<&str> {
    let text = level(text).unwrap_or(text);
    let rest = after_date(text)?;
    // The host, which may be missing, and the tag.
    let mut rest = rest.trim_start();
    for _ in 0..4 {
        if let Some((_, after)) = rest
            .split_once("kernel: ")
            .filter(|(tag, _)| tag.len() <= 64)
        {
            return Some(after);
        }
        if stamp(rest).is_some() || level(rest).is_some() {
            return Some(rest);
        }
        rest = rest.split_once(' ')?.1.trim_start();
    }
    None
}

/// What follows `May  5 12:38:12`, `2026-11-21T23:15:00.123+01:00` (a space may take the place of the
/// `T`, a weekday may come first) or the seconds since 1970, `1764410401.123456`.
fn after_date(text: &str) -> Option<&str> {
    if text.get(..3).is_some_and(|word| MONTHS.contains(&word)) {
        let rest = text.get(3..)?.trim_start();
        let (_, rest) = rest.split_once(' ').filter(|(day, _)| is_number(day))?;
        return after_clock(rest.trim_start());
    }
    if let Some((time, rest)) = text.split_once(' ')
        && let Some((seconds, fraction)) = time.split_once('.')
        && (seconds.len(), fraction.len()) == (10, 6)
        && is_number(seconds)
        && is_number(fraction)
    {
        return Some(rest);
    }
    let text = DAYS
        .iter()
        .find_map(|day| text.strip_prefix(day)?.strip_prefix(' '))
        .unwrap_or(text);
    let date = text.get(..10)?.as_bytes();
    let shape = date.iter().enumerate().all(|(i, byte)| match i {
        4 | 7 => matches!(byte, b'-' | b'/'),
        _ => byte.is_ascii_digit(),
    });
    let rest = text.get(10..).filter(|_| shape)?;
    after_clock(rest.strip_prefix(['T', ' '])?)
}

/// What follows `12:38:12`, with or without fractions and a time zone.
fn after_clock(text: &str) -> Option<&str> {
    let (clock, rest) = text.split_once(' ')?;
    let bytes = clock.as_bytes();
    let digits = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let colon = |at: usize| bytes.get(at) == Some(&b':');
    let good = digits(0) && digits(1) && colon(2) && digits(3) && digits(4) && colon(5);
    (good && digits(6) && digits(7)).then_some(rest)
}

/// What follows a time of dmesg that is not the one since boot: `[Sat Nov 21 23:15:00 2026] `,
/// `[Nov21 23:15] `, `[  +0.000123] `, `[<    0.000123>] `, `[    1.234567 <    0.000123>] ` or
/// `2026-11-21T23:15:00,123456+00:00 ` (sys-utils/dmesg.c of util-linux, 2.23 to 2.41).
fn wall_clock(text: &str) -> Option<&str> {
    let Some(bracket) = text.strip_prefix('[') else {
        // Only dmesg has a comma there: logs of other programs have a dot.
        let (time, rest) = text.split_once(' ')?;
        let fraction = time.get(19..).filter(|rest| rest.starts_with(','));
        return fraction.and_then(|_| after_date(text)).map(|_| rest);
    };
    let (inside, rest) = bracket.split_once(']')?;
    let date =
        inside.get(..3).is_some_and(|day| DAYS.contains(&day)) && inside.matches(':').count() == 2;
    let minute = || {
        let (day, clock) = inside.split_once(' ')?;
        let month = MONTHS.contains(&day.get(..3)?) && is_number(day.get(3..)?);
        let (hour, minute) = clock.split_once(':')?;
        Some(month && is_number(hour) && is_number(minute))
    };
    let seconds = |text: &str| {
        let parts = text.trim().split_once('.');
        parts.is_some_and(|(whole, part)| is_number(whole) && is_number(part) && part.len() >= 3)
    };
    let since = inside.trim_start().strip_prefix('+').is_some_and(seconds);
    let delta = || {
        let (time, delta) = inside.strip_suffix('>')?.split_once('<')?;
        Some((time.trim().is_empty() || seconds(time)) && seconds(delta))
    };
    let known = date || since || minute() == Some(true) || delta() == Some(true);
    known.then(|| rest.strip_prefix(' ').unwrap_or(rest))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
