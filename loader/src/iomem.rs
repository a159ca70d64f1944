//! `/proc/iomem`: the physical address space as the kernel lists it.
//!
//! Facts: kernel/resource.c, Linux 5.10 to 7.2. A reader without CAP_SYS_ADMIN gets the same lines
//! with every address zero and no error, so that case is told apart. A line that cannot be read is
//! left out and counted; names are free text and may be empty or hold ` : `.

use std::path::Path;

use serde::Serialize;

use crate::root;

/// A range of physical addresses, `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Range {
    /// The first byte.
    #[serde(serialize_with = "hex")]
    pub start: u64,
    /// The byte after the last.
    #[serde(serialize_with = "hex")]
    pub end: u64,
}

fn hex<S: serde::Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{value:#x}"))
}

impl Range {
    /// Number of bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Whether `other` lies wholly inside.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// What is left of `self` when `hole` is taken out: nothing, one or two ranges.
    #[must_use]
    pub fn without(self, hole: Self) -> Vec<Self> {
        if hole.end <= self.start || hole.start >= self.end || hole.is_empty() {
            return vec![self];
        }
        let before = Self {
            start: self.start,
            end: hole.start,
        };
        let after = Self {
            start: hole.end,
            end: self.end,
        };
        [before, after]
            .into_iter()
            .filter(|r| !r.is_empty())
            .collect()
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// How deep it is nested; 0 is the top.
    pub depth: usize,
    /// Where it is.
    pub range: Range,
    /// What it is.
    pub name: String,
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Iomem {
    /// In the file's order.
    pub resources: Vec<Resource>,
    /// Lines that could not be read.
    pub skipped: usize,
}

impl Iomem {
    /// Reads the text of the file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut out = Self::default();
        for line in text.lines().filter(|l| !l.trim().is_empty()) {
            match resource(line) {
                Some(resource) => out.resources.push(resource),
                None => out.skipped += 1,
            }
        }
        out
    }

    /// Reads `/proc/iomem` under `root`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(root: &Path) -> std::io::Result<Self> {
        Ok(Self::parse(&root::text(root, "/proc/iomem")?))
    }

    /// Whether the kernel hid the addresses: the reader lacks CAP_SYS_ADMIN.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        !self.resources.is_empty()
            && self
                .resources
                .iter()
                .all(|r| r.range.start == 0 && r.range.len() <= 1)
    }

    /// Everything of one name at any depth, by address.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<Range> {
        let mut out: Vec<Range> = (self.resources.iter())
            .filter(|r| r.name == name && !r.range.is_empty())
            .map(|r| r.range)
            .collect();
        out.sort_unstable();
        out
    }

    /// The reserved regions: (the one that images are loaded into, the low one if there is one).
    /// With two `Crash kernel` lines the loadable one is the higher.
    #[must_use]
    pub fn crash_kernel(&self) -> (Option<Range>, Option<Range>) {
        if self.is_hidden() {
            return (None, None);
        }
        let mut found = self.named("Crash kernel");
        let main = found.pop();
        (main, found.pop())
    }

    /// RAM that this kernel uses: every resource whose name begins with `System RAM` at the top, and
    /// memory added later (`System RAM (kmem)`, `System RAM (virtio_mem)`) at any depth.
    #[must_use]
    pub fn system_ram(&self) -> Vec<Range> {
        let mut all: Vec<Range> = (self.resources.iter())
            .filter(|r| r.name.starts_with("System RAM") && !r.range.is_empty())
            .map(|r| r.range)
            .collect();
        all.sort_unstable();
        let mut out: Vec<Range> = Vec::with_capacity(all.len());
        for range in all {
            match out.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => out.push(range),
            }
        }
        out
    }
}

fn resource(line: &str) -> Option<Resource> {
    let trimmed = line.trim_start_matches(' ');
    let depth = line.len().checked_sub(trimmed.len())? / 2;
    let (range, name) = trimmed.split_once(" :")?;
    let (start, last) = range.trim().split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let last = u64::from_str_radix(last, 16).ok()?;
    // A resource may reach the last byte of the address space; its end is then not a u64.
    let end = last.saturating_add(1);
    (end > start).then(|| Resource {
        depth,
        range: Range { start, end },
        name: name.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: &str = "\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
00100000-3ffd9fff : System RAM
  21600000-225fffff : Kernel code
  32000000-3dffffff : Crash kernel
100000000-17fffffff : System RAM
  160000000-16fffffff : Crash kernel
180000000-1ffffffff : device
  190000000-19fffffff : System RAM (virtio_mem)
";

    #[test]
    fn the_loadable_region_is_the_higher_one() {
        let (main, low) = Iomem::parse(GUEST).crash_kernel();
        assert_eq!(
            main.map(|r| (r.start, r.end)),
            Some((0x1_6000_0000, 0x1_7000_0000))
        );
        assert_eq!(low.map(Range::len), Some(192 << 20));
    }

    #[test]
    fn ram_added_by_a_driver_counts_and_touching_ranges_merge() {
        let ram = Iomem::parse(&format!("{GUEST}17ffff000-17fffffff : System RAM\n")).system_ram();
        let ends: Vec<u64> = ram.iter().map(|r| r.end).collect();
        assert_eq!(ends, [0x9_fc00, 0x3ffd_a000, 0x1_8000_0000, 0x1_a000_0000]);
    }

    #[test]
    fn hidden_addresses_are_no_reservation() {
        let hidden = "00000000-00000000 : System RAM\n  00000000-00000000 : Crash kernel\n";
        let iomem = Iomem::parse(hidden);
        assert!(iomem.is_hidden());
        assert_eq!(iomem.crash_kernel(), (None, None));
    }

    #[test]
    fn hostile_lines_are_counted_not_believed() {
        let text =
            "\0\nzz-1 : x\n5-4 : backwards\n0-ffffffffffffffff : all\n10-1f :\n1 : no range\n-:\n";
        let iomem = Iomem::parse(text);
        assert_eq!(iomem.resources.len(), 2);
        assert_eq!(iomem.skipped, 5);
        assert_eq!(iomem.resources[1].name, "");
    }

    #[test]
    fn taking_out_a_hole() {
        let whole = Range { start: 10, end: 20 };
        let cut = |start, end| whole.without(Range { start, end });
        assert_eq!(cut(12, 14).len(), 2);
        assert_eq!(cut(0, 30), []);
        assert_eq!(cut(0, 12), [Range { start: 12, end: 20 }]);
        assert_eq!(cut(20, 30), [whole]);
    }
}
