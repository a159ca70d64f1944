//! How each kind of page is recognised, kernel by kernel.

use super::Kind;
use crate::kernel::Kernel;

/// One thing the walk knows how to recognise. Checks judge rules, and a rule can be off alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Rule {
    /// Tail pages of compound pages: everything decided at a head needs it.
    Tail,
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
    /// Slab pages.
    Slab,
    /// Pages with a type of their own (page tables, zsmalloc, guard …).
    Typed,
    /// Poisoned pages.
    HwPoison,
    /// Offline and ballooned pages.
    Offline,
    /// Reserved pages.
    Reserved,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 11] = [
        Self::Tail,
        Self::Free,
        Self::Unaccepted,
        Self::Cache,
        Self::Anon,
        Self::Hugetlb,
        Self::Slab,
        Self::Typed,
        Self::HwPoison,
        Self::Offline,
        Self::Reserved,
    ];

    /// The kinds that this rule alone decides: what is kept when it cannot be trusted.
    #[must_use]
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Tail => &[Kind::Cache, Kind::CachePrivate, Kind::Anon, Kind::Hugetlb],
            Self::Free => &[Kind::Free],
            Self::Unaccepted => &[Kind::Unaccepted],
            Self::Cache => &[Kind::Cache, Kind::CachePrivate],
            Self::Anon => &[Kind::Anon],
            Self::Hugetlb => &[Kind::Hugetlb],
            Self::Slab | Self::Typed => &[Kind::Anon, Kind::Cache, Kind::CachePrivate],
            Self::HwPoison | Self::Offline | Self::Reserved => &[],
        }
    }

    /// The name used in reports and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tail => "tail",
            Self::Free => "free",
            Self::Unaccepted => "unaccepted",
            Self::Cache => "cache",
            Self::Anon => "anon",
            Self::Hugetlb => "hugetlb",
            Self::Slab => "slab",
            Self::Typed => "typed",
            Self::HwPoison => "hwpoison",
            Self::Offline => "offline",
            Self::Reserved => "reserved",
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
    off: Vec<Off>,
}

impl Rules {
    /// The rules for this kernel, each on or off with the reason. Never fails: with no key at all
    /// every rule is off and every page is [`Kind::Unknown`].
    #[must_use]
    pub fn of(kernel: &Kernel) -> Self {
        let _ = kernel;
        Self { off: Vec::new() }
    }

    /// The rules that are off.
    #[must_use]
    pub fn off(&self) -> &[Off] {
        &self.off
    }
}
