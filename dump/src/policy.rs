//! Which kinds of pages are kept: a level, more kinds to keep, and what the operator forbids.
//!
//! What each bit covers in each kernel is the business of `vmcore::mm`. Bit 1 (zero pages) removes
//! nothing here: zero pages stay inside their run, where they cost nothing once compressed, and are
//! only counted.

use crate::level::{Level, bits};
use vmcore::mm::Kind;

/// Names of groups of kinds.
const GROUPS: [(&str, &[Kind]); 2] = [
    ("user", &[Kind::Anon, Kind::Hugetlb]),
    ("page-cache", &[Kind::Cache, Kind::CachePrivate]),
];

/// The kinds of a name in the config: a kind's own name or a group's.
#[must_use]
pub fn kinds_of_name(name: &str) -> Option<Vec<Kind>> {
    if let Some((_, kinds)) = GROUPS.iter().find(|(group, _)| *group == name) {
        return Some(kinds.to_vec());
    }
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .map(|kind| vec![kind])
}

/// Every name that [`kinds_of_name`] knows, groups last.
#[must_use]
pub fn names() -> Vec<&'static str> {
    Kind::ALL
        .into_iter()
        .map(Kind::name)
        .chain(GROUPS.iter().map(|(name, _)| *name))
        .collect()
}

/// Which kinds are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// One bit a kind, by its number.
    kept: u32,
    forbidden: u32,
}

fn bit(kind: Kind) -> u32 {
    1 << (kind as u8)
}

impl Policy {
    /// The policy of a level, with the kinds that are kept and forbidden in addition. Unknown
    /// names are ignored: the plan's validation refuses them.
    #[must_use]
    pub fn new(level: Level, keep_kinds: &[String], never: &[String]) -> Self {
        let drops = match level {
            Level::Bits(n) => n,
            Level::Essential => bits::ALL,
        };
        let set = |names: &[String]| {
            names
                .iter()
                .filter_map(|name| kinds_of_name(name))
                .flatten()
                .fold(0, |set, kind| set | bit(kind))
        };
        let wanted = Kind::ALL
            .into_iter()
            .filter(|kind| !dropped(*kind, drops))
            .fold(0, |set, kind| set | bit(kind));
        let unreadable = Kind::ALL
            .into_iter()
            .filter(|kind| kind.never_read())
            .fold(0, |set, kind| set | bit(kind));
        // A page of unknown kind may be of a forbidden kind.
        let unknown = match set(never) & !unreadable {
            0 => 0,
            _ => bit(Kind::Unknown),
        };
        let forbidden = set(never) | unreadable | unknown;
        Self {
            kept: (wanted | set(keep_kinds)) & !forbidden,
            forbidden,
        }
    }

    /// Whether pages of this kind are written.
    #[must_use]
    pub fn keeps(self, kind: Kind) -> bool {
        self.kept & bit(kind) != 0
    }

    /// Whether pages of this kind may never be written, on any fallback.
    #[must_use]
    pub fn forbids(self, kind: Kind) -> bool {
        self.forbidden & bit(kind) != 0
    }

    /// Whether `never` forbids more than the kinds that are never read. Then no core is written without
    /// classification.
    #[must_use]
    pub fn forbids_by_choice(self) -> bool {
        Kind::ALL
            .into_iter()
            .any(|kind| self.forbids(kind) && !kind.never_read())
    }

    /// The policy with more kinds kept: for a rule whose check failed. Never what is forbidden.
    #[must_use]
    pub fn with_kept(self, kinds: &[Kind]) -> Self {
        let more = kinds.iter().fold(0, |set, kind| set | bit(*kind));
        Self {
            kept: (self.kept | more) & !self.forbidden,
            forbidden: self.forbidden,
        }
    }
}

fn dropped(kind: Kind, level: u8) -> bool {
    let by = match kind {
        Kind::Free | Kind::Unaccepted => bits::FREE,
        // makedumpfile's bit 4 implies bit 2's pages.
        Kind::Cache => bits::CACHE | bits::CACHE_PRIVATE,
        Kind::CachePrivate => bits::CACHE_PRIVATE,
        Kind::Anon | Kind::Hugetlb => bits::USER,
        _ => 0,
    };
    level & by != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(policy: Policy) -> Vec<&'static str> {
        Kind::ALL
            .into_iter()
            .filter(|k| policy.keeps(*k))
            .map(Kind::name)
            .collect()
    }

    #[test]
    fn standard_keeps_the_kernel_only() {
        assert_eq!(
            names_of(Policy::new(Level::STANDARD, &[], &[])),
            [
                "unknown",
                "slab",
                "page-table",
                "typed",
                "kernel",
                "reserved",
                "device"
            ]
        );
    }

    #[test]
    fn bits_are_those_of_makedumpfile() {
        let kept = |n| names_of(Policy::new(Level::Bits(n), &[], &[]));
        assert!(kept(2).contains(&"cache-private") && !kept(2).contains(&"cache"));
        assert!(!kept(4).contains(&"cache-private") && !kept(4).contains(&"cache"));
        assert!(!kept(8).contains(&"hugetlb") && kept(8).contains(&"free"));
        assert!(!kept(16).contains(&"free") && kept(16).contains(&"anon"));
        assert_eq!(kept(1), kept(0));
    }

    #[test]
    fn forbidden_wins_over_everything() {
        let never = ["user".to_owned()];
        let keep = ["anon".to_owned(), "cache".to_owned()];
        let policy = Policy::new(Level::ALL, &keep, &never);
        assert!(!policy.keeps(Kind::Anon) && !policy.keeps(Kind::Hugetlb));
        assert!(policy.keeps(Kind::Cache));
        assert!(!policy.with_kept(&[Kind::Anon]).keeps(Kind::Anon));
        assert!(policy.forbids_by_choice());
        assert!(
            policy.forbids(Kind::Unknown)
                && !policy.with_kept(&[Kind::Unknown]).keeps(Kind::Unknown)
        );
        let plain = Policy::new(Level::ALL, &["hwpoison".to_owned()], &[]);
        assert!(!plain.keeps(Kind::HwPoison) && !plain.forbids_by_choice());
        let nothing_more = Policy::new(Level::ALL, &[], &["hwpoison".to_owned()]);
        assert_eq!(nothing_more, Policy::new(Level::ALL, &[], &[]));
    }
}
