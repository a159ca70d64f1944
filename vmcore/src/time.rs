//! Seconds since 1970 as a date and a time of day in UTC.
//!
//! The proleptic Gregorian calendar without leap seconds, as POSIX counts. Time zones and parsing are
//! other people's business: the capture kernel needs a name for a directory and a line in a report.

use std::fmt;

/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;
/// Days from 0000-03-01, where years that end in February begin, to 1970-01-01.
const TO_1970: u64 = 719_468;

/// A moment, to the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Utc {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Utc {
    /// The moment so many seconds after 1970 began; `None` past the year 9999, which no clock means.
    #[must_use]
    pub fn of(seconds: u64) -> Option<Self> {
        let days = (seconds / 86_400).checked_add(TO_1970)?;
        let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
        // Years of 365 days, with the leap days before `day` taken out: one in 4 years, none in the
        // last of each 100 years, the last of 400 at the very end.
        let year = (day - day / 1460 + day / 36_524 - day / (ERA_DAYS - 1)) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // From March on months have 31, 30, 31, 30, 31 days again and again: 153 in five.
        let month = (5 * day + 2) / 153;
        let utc = Self {
            year: era * 400 + year + u64::from(month >= 10),
            month: if month < 10 { month + 3 } else { month - 9 },
            day: day - (153 * month + 2) / 5 + 1,
            second_of_day: seconds % 86_400,
        };
        (utc.year <= 9999).then_some(utc)
    }

    /// As names have it: `20261121T231500Z`.
    #[must_use]
    pub fn stamp(self) -> String {
        self.to_string().replace(['-', ':'], "")
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_day = self.second_of_day;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let (year, month, day) = (self.year, self.month, self.day);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_that_date_1_prints_too() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_302_900, "2026-11-21T23:15:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (13_574_563_200, "2400-02-29T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Utc::of(seconds).unwrap().to_string(), text);
        }
        assert_eq!(Utc::of(1_795_302_900).unwrap().stamp(), "20261121T231500Z");
        assert_eq!(Utc::of(253_402_300_800), None);
        assert_eq!(Utc::of(u64::MAX), None);
    }

    #[test]
    fn every_day_of_1200_years_follows_the_one_before() {
        let month_len = |year: u64, month: u64| match month {
            4 | 6 | 9 | 11 => 30,
            2 if year.is_multiple_of(4)
                && (!year.is_multiple_of(100) || year.is_multiple_of(400)) =>
            {
                29
            }
            2 => 28,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..1200 * 366_u64 {
            let utc = Utc::of(days * 86_400 + 1).unwrap();
            assert_eq!((utc.year, utc.month, utc.day), (year, month, day), "{days}");
            day += 1;
            if day > month_len(year, month) {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
