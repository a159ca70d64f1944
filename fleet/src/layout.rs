//! Where things are in the bucket. Keys are read back strictly: whoever may write into the bucket may
//! write any key, so what does not have exactly this shape is not ours.
//!
//! ```text
//! v1/crashes/dt=2026-11-29/<machine>/<crash>/<file>
//! v1/index/dt=2026-11-29/part-<first>-<last>.parquet
//! ```
//!
//! `dt` is the day of the crash in UTC, `<machine>` 32 hex digits made from the machine id, `<crash>` the
//! name of the crash directory. A part holds the numbers from `<first>` to `<last>` of its day's parts.

use object_store::path::Path;
use std::path::Path as FilePath;
use store::Crash;
use store::place::is_plain;

/// Every crash directory.
pub(crate) const CRASHES: &str = "v1/crashes";
/// Every part of the index.
pub(crate) const INDEX: &str = "v1/index";
/// The day of a crash whose time nobody knows.
pub(crate) const NO_DAY: &str = "1970-01-01";

/// A crash directory in the bucket.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct CrashKey {
    /// The day, `2026-11-29`.
    pub day: String,
    /// The machine, 32 hex digits.
    pub machine: String,
    /// The crash directory's name.
    pub name: String,
}

impl CrashKey {
    /// The key of a crash directory of a machine.
    pub(crate) fn new(machine: &str, crash: &Crash) -> Self {
        Self {
            day: day_of(&crash.stamp),
            machine: machine.into(),
            name: crash.name(),
        }
    }

    /// Reads a key below the bucket's prefix: the crash directory and the file in it.
    pub(crate) fn parse(key: &str) -> Option<(Self, &str)> {
        let rest = key.strip_prefix(CRASHES)?.strip_prefix("/dt=")?;
        let mut parts = rest.split('/');
        let (day, machine) = (parts.next()?, parts.next()?);
        let (name, file) = (parts.next()?, parts.next()?);
        let crash = Crash::parse(FilePath::new(name))?;
        let right = parts.next().is_none()
            && is_day(day)
            && is_machine(machine)
            && is_plain(name)
            && day_of(&crash.stamp) == day
            && is_word(name)
            && is_plain(file)
            && is_word(file);
        right.then(|| {
            let key = Self {
                day: day.into(),
                machine: machine.into(),
                name: name.into(),
            };
            (key, file)
        })
    }

    /// The directory, without a slash at the end.
    pub(crate) fn dir(&self) -> String {
        format!("{CRASHES}/dt={}/{}/{}", self.day, self.machine, self.name)
    }

    /// The crash's name in the whole fleet.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.machine, self.name)
    }
}

/// A part in the bucket.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its numbers.
    pub span: Span,
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in microseconds since 1970.
    pub written: i64,
}

/// The numbers of a part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Span {
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

impl Span {
    /// Reads a file's name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("part-")?.strip_suffix(".parquet")?;
        let (first, last) = rest.split_once('-')?;
        let number = |text: &str| (text.len() == 8).then(|| text.parse::<u64>().ok())?;
        let span = Self {
            first: number(first)?,
            last: number(last)?,
        };
        (span.first <= span.last).then_some(span)
    }

    /// The file's name.
    pub(crate) fn name(self) -> String {
        format!("part-{:08}-{:08}.parquet", self.first, self.last)
    }

    /// Whether all that another part holds is in this one, and it is not this one.
    pub(crate) fn covers(self, other: Self) -> bool {
        self != other && self.first <= other.first && other.last <= self.last
    }
}

/// The prefix of a day's parts.
pub(crate) fn index_day(day: &str) -> String {
    format!("{INDEX}/dt={day}")
}

/// The day in a common prefix such as `v1/crashes/dt=2026-11-29`.
pub(crate) fn day_in<'a>(prefix: &'a Path, base: &str) -> Option<&'a str> {
    let day = prefix.as_ref().rsplit_once(base)?.1.strip_prefix("/dt=")?;
    is_day(day).then_some(day)
}

/// The day of a stamp such as `20261129T231500Z`; [`NO_DAY`] if the calendar has no such day.
pub(crate) fn day_of(stamp: &str) -> String {
    let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or_default();
    let day = format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8));
    match day.parse::<jiff::civil::Date>() {
        Ok(date) if date.year() >= 1970 => day,
        _ => NO_DAY.into(),
    }
}

/// A stamp in seconds since 1970.
pub(crate) fn seconds_of(stamp: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(time.timestamp().as_second())
}

/// Whether a text is a day of the calendar, `2026-11-29`.
pub(crate) fn is_day(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// Whether a text names a machine.
pub(crate) fn is_machine(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Letters that mean nothing to a shell, a terminal, a URL or a path.
fn is_word(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !text.starts_with('.') && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn keys_are_read_back() {
        let crash = Crash::parse(FilePath::new("web-3-20261129T010203Z.incomplete")).unwrap();
        let key = CrashKey::new(MACHINE, &crash);
        let dir = format!("v1/crashes/dt=2026-11-29/{MACHINE}/web-3-20261129T010203Z.incomplete");
        assert_eq!(key.dir(), dir);
        let file = format!("{dir}/report.json");
        assert_eq!(CrashKey::parse(&file), Some((key, "report.json")));
    }

    #[test]
    fn other_keys_are_not_ours() {
        let at = |rest: &str| CrashKey::parse(&format!("v1/crashes/{rest}")).is_some();
        assert!(at(&format!("dt=2026-11-29/{MACHINE}/a-20261129T010203Z/x")));
        for rest in [
            format!("dt=2026-11-29/{MACHINE}/a-20261129T010203Z"),
            format!("dt=2026-11-29/{MACHINE}/a-20261129T010203Z/x/y"),
            format!("dt=2026-11-28/{MACHINE}/a-20261129T010203Z/x"),
            format!("dt=2026-13-29/{MACHINE}/a-20261329T010203Z/x"),
            format!("dt=2026-11-29/{MACHINE}/../x"),
            format!("dt=2026-11-29/{MACHINE}/a-20261129T010203Z/.."),
            format!("dt=2026-11-29/{MACHINE}/a\u{1b}-20261129T010203Z/x"),
            format!("dt=2026-11-29/{MACHINE}/a-20261129T010203Z/x\n"),
            "dt=2026-11-29/short/a-20261129T010203Z/x".into(),
        ] {
            assert!(!at(&rest), "{rest:?}");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(day_of("20261129T231500Z"), "2026-11-29");
        assert_eq!(day_of("00000000T000000Z"), NO_DAY);
        assert_eq!(day_of("20260231T000000Z"), NO_DAY);
        assert_eq!(seconds_of("19700101T000100Z"), Some(60));
        assert_eq!(seconds_of("20261301T000000Z"), None);
    }

    #[test]
    fn spans_cover_each_other() {
        let span = |first, last| Span { first, last };
        assert_eq!(Span::parse(&span(3, 12).name()), Some(span(3, 12)));
        for other in ["part-3-4.parquet", "part-00000004-00000003.parquet", "x"] {
            assert_eq!(Span::parse(other), None);
        }
        assert!(span(0, 4).covers(span(2, 2)) && span(0, 4).covers(span(0, 3)));
        assert!(!span(0, 4).covers(span(0, 4)) && !span(0, 4).covers(span(4, 5)));
    }
}
