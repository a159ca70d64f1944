//! How each kind of page is recognised, kernel by kernel.
//!
//! The facts are in one [`table`]; a rule is on when one of its rows finds its keys in
//! VMCOREINFO, and off with a reason otherwise. What a rule that is off would have recognised is
//! [`Kind::Unknown`] and kept. Nothing here reads memory.

mod decoder;
pub(super) mod table;

pub(crate) use decoder::{Decoder, Hugetlb, Order, TypeTest};

use super::Kind;
use crate::kernel::{Kernel, Vmcoreinfo};

/// One thing the walk knows how to recognise. Checks judge rules, and a rule can be off alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Rule {
    /// Where the fields of a struct page stand: everything needs it.
    Fields,
    /// Tail pages of compound pages: everything decided at a head needs it.
    Tail,
    /// The order of a compound page. Only a cross-check: the tails themselves say where they belong.
    Order,
    /// Pages with a type of their own (page tables, zsmalloc, guard …).
    Typed,
    /// Slab pages.
    Slab,
    /// Pages in the buddy allocator.
    Free,
    /// Memory not yet accepted from the hypervisor.
    Unaccepted,
    /// Page cache and swap cache.
    Cache,
    /// Memory of processes.
    Anon,
    /// hugetlb pages.
    Hugetlb,
    /// Poisoned pages.
    HwPoison,
    /// Offline and ballooned pages.
    Offline,
    /// Reserved pages.
    Reserved,
}

impl Rule {
    /// Every rule; what others need stands first.
    pub const ALL: [Self; 13] = [
        Self::Fields,
        Self::Tail,
        Self::Order,
        Self::Typed,
        Self::Slab,
        Self::Free,
        Self::Unaccepted,
        Self::Cache,
        Self::Anon,
        Self::Hugetlb,
        Self::HwPoison,
        Self::Offline,
        Self::Reserved,
    ];

    /// The kinds that cannot be trusted, and are therefore kept, when this rule cannot.
    #[must_use]
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Fields => &[
                Kind::Free,
                Kind::Cache,
                Kind::CachePrivate,
                Kind::Anon,
                Kind::Hugetlb,
            ],
            Self::Tail => &[Kind::Cache, Kind::CachePrivate, Kind::Anon, Kind::Hugetlb],
            // Slab and typed pages reuse `mapping` and `lru`: not knowing them, a page that looks
            // like a user's may be the kernel's.
            Self::Slab | Self::Typed => &[Kind::Cache, Kind::CachePrivate, Kind::Anon],
            Self::Free => &[Kind::Free],
            Self::Cache => &[Kind::Cache, Kind::CachePrivate],
            Self::Anon => &[Kind::Anon],
            Self::Hugetlb => &[Kind::Hugetlb],
            Self::Order | Self::Unaccepted | Self::HwPoison | Self::Offline | Self::Reserved => &[],
        }
    }

    /// The rule without which pages of a kind are not recognised; none for what is left over.
    #[must_use]
    pub fn of_kind(kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::Free => Self::Free,
            Kind::Unaccepted => Self::Unaccepted,
            Kind::Cache | Kind::CachePrivate => Self::Cache,
            Kind::Anon => Self::Anon,
            Kind::Hugetlb => Self::Hugetlb,
            Kind::Slab => Self::Slab,
            Kind::PageTable | Kind::Typed => Self::Typed,
            Kind::HwPoison => Self::HwPoison,
            Kind::Offline => Self::Offline,
            Kind::Reserved => Self::Reserved,
            Kind::Unknown | Kind::Kernel | Kind::Device => return None,
        })
    }

    /// The name used in reports and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fields => "fields",
            Self::Tail => "tail",
            Self::Order => "order",
            Self::Typed => "typed",
            Self::Slab => "slab",
            Self::Free => "free",
            Self::Unaccepted => "unaccepted",
            Self::Cache => "cache",
            Self::Anon => "anon",
            Self::Hugetlb => "hugetlb",
            Self::HwPoison => "hwpoison",
            Self::Offline => "offline",
            Self::Reserved => "reserved",
        }
    }

    /// Whether pages are kept that a level would drop when it is off. A kernel built without poison
    /// support has no poisoned pages, and reserved pages are kept either way.
    fn degrades(self) -> bool {
        !matches!(
            self,
            Self::Order | Self::Unaccepted | Self::HwPoison | Self::Offline | Self::Reserved
        )
    }

    /// The rules without which this one says nothing.
    fn needs(self) -> &'static [Self] {
        match self {
            Self::Fields => &[],
            Self::Cache | Self::Anon => &[Self::Fields, Self::Tail, Self::Typed, Self::Slab],
            Self::Hugetlb => &[Self::Fields, Self::Tail],
            _ => &[Self::Fields],
        }
    }
}

/// A rule that is not applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Off {
    /// The rule.
    pub rule: Rule,
    /// Why, in words for the manifest.
    pub reason: String,
    /// Whether pages may be kept that the level would drop, so that the dump is degraded; a kernel
    /// that has no such pages at all (no poison support, say) is no worse off.
    pub degrades: bool,
}

/// The rules of one kernel: which are on, and how they read its struct pages.
#[derive(Clone, Debug)]
pub struct Rules {
    decoder: Decoder,
    on: Vec<(Rule, &'static str)>,
    off: Vec<Off>,
}

impl Rules {
    /// The rules for this kernel, each on or off with the reason. Never fails: with no key at all
    /// every rule is off and every page is [`Kind::Unknown`].
    #[must_use]
    pub fn of(kernel: &Kernel) -> Self {
        let mut rules = Self::from_vmcoreinfo(kernel.vmcoreinfo());
        // hugetlb's keys are missing on every kernel built without it; such a kernel has no hstates.
        if let Some(off) = rules.off.iter_mut().find(|off| off.rule == Rule::Hugetlb)
            && off.degrades
            && let Ok(symbols) = kernel.symbols()
            && symbols.lookup("hstates").is_none()
        {
            off.degrades = false;
        }
        rules
    }

    /// The rules that VMCOREINFO alone supports.
    #[must_use]
    pub(crate) fn from_vmcoreinfo(info: &Vmcoreinfo) -> Self {
        Self::from_table(info, table::ROWS)
    }

    pub(crate) fn from_table(info: &Vmcoreinfo, rows: &'static [table::Row]) -> Self {
        let arch = crate::arch::known().iter();
        let arch = arch.copied().find(|arch| info.value(arch.marker).is_some());
        let mut rules = Self {
            decoder: Decoder {
                words: arch.map_or(Default::default(), |arch| arch.order),
                least_hugetlb_order: arch.map_or(0, |arch| arch.least_hugetlb_order),
                tag_mask: arch.map_or(0, |arch| arch.tag_mask),
                least_pointer: arch.map_or(crate::arch::UPPER, |arch| arch.least_pointer),
                ..Decoder::OFF
            },
            on: Vec::new(),
            off: Vec::new(),
        };
        for rule in Rule::ALL {
            let missing = rule.needs().iter().find(|need| rules.is_off(**need));
            if let Some(need) = missing {
                rules.leave_off(
                    rule,
                    format!("it needs the rule {}, which is off", need.name()),
                );
                continue;
            }
            let before = rules.decoder;
            let row = rows.iter().filter(|row| row.rule == rule).find(|row| {
                let applied = (row.apply)(info, &mut rules.decoder).is_some();
                if !applied {
                    rules.decoder = before;
                }
                applied
            });
            match row {
                Some(row) => rules.on.push((rule, row.kernels)),
                None => rules.leave_off(rule, why_no_row(info, rows, rule)),
            }
        }
        rules
    }

    fn leave_off(&mut self, rule: Rule, reason: String) {
        for kind in rule.kinds() {
            if let Some(report) = self.decoder.report.get_mut(usize::from(*kind as u8)) {
                *report = Kind::Unknown;
            }
        }
        self.off.push(Off {
            rule,
            reason,
            degrades: rule.degrades(),
        });
    }

    /// The same rules without one of them: what it recognises becomes [`Kind::Unknown`].
    #[must_use]
    pub fn without(mut self, rule: Rule, reason: &str) -> Self {
        if !self.is_off(rule) {
            self.on.retain(|(on, _)| *on != rule);
            self.leave_off(rule, reason.to_owned());
        }
        self
    }

    /// Whether a rule is off.
    #[must_use]
    pub(crate) fn is_off(&self, rule: Rule) -> bool {
        self.off.iter().any(|off| off.rule == rule)
    }

    /// The rules that are off.
    #[must_use]
    pub fn off(&self) -> &[Off] {
        &self.off
    }

    /// The rules that are on, each with the kernels whose form of it is applied.
    #[must_use]
    pub fn on(&self) -> &[(Rule, &'static str)] {
        &self.on
    }

    /// Whether a rule is off that a kernel like this should have, so that the dump is degraded.
    #[must_use]
    pub fn degraded(&self) -> bool {
        self.off.iter().any(|off| off.degrades)
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    #[cfg(test)]
    pub(crate) fn decoder_mut(&mut self) -> &mut Decoder {
        &mut self.decoder
    }
}

fn why_no_row(info: &Vmcoreinfo, rows: &[table::Row], rule: Rule) -> String {
    let forms: Vec<String> = rows
        .iter()
        .filter(|row| row.rule == rule)
        .map(|row| {
            let missing: Vec<&str> = row
                .keys
                .iter()
                .copied()
                .filter(|key| info.value(key).is_none())
                .collect();
            if missing.is_empty() {
                format!(
                    "{} has a value that is not known here",
                    row.keys.join(" or ")
                )
            } else {
                format!("{} is not in VMCOREINFO", missing.join(", "))
            }
        })
        .collect();
    forms.join("; ")
}

#[cfg(test)]
mod tests;
