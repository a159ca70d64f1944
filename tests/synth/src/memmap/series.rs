//! The kernel series that a toy mimics: where page flags and page types are.

/// A kernel series, as far as struct pages differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Series {
    V5_10,
    V6_1,
    V6_3,
    V6_6,
    V6_9,
    V6_10,
    V6_11,
    V6_12,
    V7_1,
}

impl Series {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::V5_10,
        Self::V6_1,
        Self::V6_3,
        Self::V6_6,
        Self::V6_9,
        Self::V6_10,
        Self::V6_11,
        Self::V6_12,
        Self::V7_1,
    ];

    pub(super) fn release(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10.0-toy",
            Self::V6_1 => "6.1.9-toy",
            Self::V6_3 => "6.3.1-toy",
            Self::V6_6 => "6.6.2-toy",
            Self::V6_9 => "6.9.0-toy",
            Self::V6_10 => "6.10.4-toy",
            Self::V6_11 => "6.11.0-toy",
            Self::V6_12 => "6.12.1-toy",
            Self::V7_1 => "7.1.0-toy",
        }
    }

    pub(super) fn late_flags(self) -> bool {
        self >= Self::V6_10
    }

    pub(super) fn head(self) -> u64 {
        if self.late_flags() { 1 << 6 } else { 1 << 16 }
    }

    pub(super) fn lru(self) -> u64 {
        if self.late_flags() { 1 << 5 } else { 1 << 4 }
    }

    pub(super) fn private(self) -> u64 {
        if self.late_flags() { 1 << 14 } else { 1 << 13 }
    }

    pub(super) fn swapbacked(self) -> u64 {
        if self.late_flags() { 1 << 17 } else { 1 << 19 }
    }

    pub(super) fn swapcache(self) -> u64 {
        1 << 10
    }

    pub(super) fn poison(self) -> u64 {
        1 << 21
    }

    /// The `_mapcount` of a page of this type.
    pub(super) fn page_type(self, name: &str) -> u32 {
        let (bit, low, number) = match name {
            "buddy" => (0x80, 0x4000_0000, 0xf0),
            "offline" => (0x100, 0x2000_0000, 0xf1),
            "table" if self == Self::V5_10 => (0x400, 0, 0),
            "table" => (0x200, 0x1000_0000, 0xf2),
            "hugetlb" => (0x800, 0x0400_0000, 0xf4),
            "slab" => (0x1000, 0x0200_0000, 0xf5),
            "zsmalloc" => (0, 0x0100_0000, 0xf6),
            "unaccepted" => (0, 0, 0xf7),
            "large_kmalloc" => (0, 0, 0xf8),
            other => panic!("no page type {other}"),
        };
        match self {
            s if s < Self::V6_11 => !bit,
            Self::V6_11 => !low,
            _ => u32::from(number as u8) << 24,
        }
    }

    pub(super) fn typed_slab(self) -> bool {
        self >= Self::V6_10
    }

    pub(super) fn masked_tails(self) -> bool {
        self >= Self::V7_1
    }
}
