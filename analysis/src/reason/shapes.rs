//! The table of what kernels print when something is wrong: one row a shape, with where its stack and
//! its culprit are. The first row of the first trigger in a line decides.
//!
//! The comment at a row names the kernel file, and the versions where the wording is not that of
//! all of 4.4 to 7.x. `*` in a pattern stands for anything.

mod row;
mod table;

pub(super) use row::{Blame, Grade, Refers, Shape};
use std::sync::LazyLock;
use table::{MESSAGES, REFERS, SHAPES};

/// The shape of a line that begins a report.
#[must_use]
pub(super) fn of_line(line: &str) -> Option<&'static Shape> {
    /// The pairs of each trigger, in the order of the table.
    static PAIRS: LazyLock<Vec<Pairs>> = LazyLock::new(|| {
        SHAPES
            .iter()
            .map(|(trigger, _)| Pairs::of(trigger))
            .collect()
    });
    if line.len() < 6 {
        return None;
    }
    let pairs = Pairs::of(line);
    let maybe = SHAPES.iter().zip(PAIRS.iter());
    let maybe = maybe.filter(|(_, trigger)| pairs.holds(trigger));
    let triggers = maybe.filter(|((trigger, _), _)| line.contains(trigger));
    triggers
        .flat_map(|((_, rows), _)| *rows)
        .find(|shape| holds(line, shape.text))
        .filter(|_| !is_noise(line))
}

/// The pairs of neighbouring bytes in a text, hashed to bits. Most lines of a log lack a pair of every
/// trigger, and are not searched for any.
struct Pairs([u64; 4]);

impl Pairs {
    fn of(text: &str) -> Self {
        let mut bits = [0; 4];
        let bytes = text.as_bytes();
        for (a, b) in bytes.iter().zip(bytes.iter().skip(1)) {
            let hash = a.wrapping_mul(31).wrapping_add(*b);
            if let Some(word) = bits.get_mut(usize::from(hash >> 6)) {
                *word |= 1_u64 << (hash & 63);
            }
        }
        Self(bits)
    }

    /// Whether all pairs of the other are among these.
    fn holds(&self, other: &Self) -> bool {
        let mut both = self.0.iter().zip(&other.0);
        both.all(|(have, want)| have & want == *want)
    }
}

/// The shape of a panic message.
#[must_use]
pub(super) fn of_message(message: &str) -> Option<&'static Shape> {
    MESSAGES.iter().find(|shape| holds(message, shape.text))
}

/// Which report a panic message means.
#[must_use]
pub(super) fn refers(message: &str) -> Option<Refers> {
    let found = REFERS.iter().find(|(text, _)| message.contains(text));
    found.map(|(_, refers)| *refers)
}

/// Lines that hold a row's words and begin nothing.
fn is_noise(line: &str) -> bool {
    const NOISE: &[&str] = &[
        "ODEBUG: Out of memory",
        "DEBUG:",
        "INFO: lockdep is turned off",
        "INFO: Stall ended before state dump start",
        "INFO: NMI handler",
        "took too long",
        "WARNING: /etc/",
        "WARNING: workqueue cpumask",
        "[ cut here ]",
        "end trace",
        "end Kernel panic",
        "oom_reaper",
        "): WARNING: ",
    ];
    // arch/*/kernel/traps.c (`show_signal` and its like): a process had a fault, not the kernel.
    let of_user = line.contains(" ip:") && line.contains(" sp:");
    of_user || NOISE.iter().any(|text| line.contains(text)) && !line.contains("ODEBUG: ")
}

/// Whether a line holds a pattern: parts between `*` in this order; `^` binds the first to the start.
#[must_use]
pub(super) fn holds(line: &str, pattern: &str) -> bool {
    let (mut rest, pattern) = match pattern.strip_prefix('^') {
        Some(pattern) => {
            let head = pattern.split('*').next().unwrap_or_default();
            if !line.starts_with(head) {
                return false;
            }
            (line, pattern)
        }
        None => (line, pattern),
    };
    for part in pattern.split('*') {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = rest
            .get(at.saturating_add(part.len())..)
            .unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_hold_in_order() {
        assert!(holds("WARNING: CPU: 1 at lib/x.c", "WARNING: *lib/"));
        assert!(!holds("lib/ WARNING: ", "WARNING: *lib/"));
        assert!(holds(
            "BUG kmalloc-64 (Not tainted): Redzone",
            "^BUG *ainted*): "
        ));
        assert!(!holds(
            "x BUG kmalloc-64 (Not tainted): Redzone",
            "^BUG *ainted*): "
        ));
    }

    #[test]
    fn every_row_is_reached_by_its_own_words() {
        for (trigger, rows) in SHAPES {
            for shape in *rows {
                let words = shape.text.trim_start_matches('^').replace('*', " x ");
                let line = if words.contains(trigger) {
                    words
                } else {
                    format!("{words} {trigger}")
                };
                let found = of_line(&format!("{line} ...")).unwrap();
                assert_eq!(
                    (found.class, found.blame, found.skip, found.opens),
                    (shape.class, shape.blame, shape.skip, shape.opens),
                    "{line} is taken by {:?}",
                    found.text
                );
            }
        }
    }

    #[test]
    fn ordinary_lines_begin_nothing() {
        for line in [
            "INFO: lockdep is turned off.",
            "INFO: NMI handler (perf_event_nmi_handler) took too long to run",
            "WARNING: The mand mount option has been deprecated and",
            "XFS (loop4): WARNING: Reset corrupted AGFL on AG 0. 1 blocks leaked.",
            "EXT4-fs (loop1): INFO: recovery required on readonly filesystem",
            "usb 1-1: port [#x] failed",
            "WARNING: the driver looks at the wrong end",
            "traps: acmed[77] general protection fault ip:7f12 sp:7ffc error:0 in libacme.so[7f1000+1000]",
            "traps: acmed[77] trap divide error ip:7f12 sp:7ffc error:0 in acmed[400000+1000]",
            "---[ end Kernel panic - not syncing: Fatal exception ]---",
        ] {
            assert!(of_line(line).is_none(), "{line}");
        }
    }
}
