//! The parts of a kernel's image, by the symbols that arch/*/kernel/vmlinux.lds.S put around them.
//!
//! On x86_64 per-CPU variables begin at 0 up to 6.14 and have addresses in the image since 6.15
//! (CONFIG_AMD_MEM_ENCRYPT or not: `__per_cpu_start` says which). On other machines they always have these.

use super::symbols::{Row, Table};
use crate::dwarf::Range;
use crate::error::Error;
use vmcore::arch::{Arch, x86_64};

/// A part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Text,
    RoData,
    Data,
    PerCpu,
    InitText,
    InitData,
    Bss,
}

/// Where the parts are, as addresses of the running kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub text: Range,
    pub data: Range,
    pub per_cpu: Range,
    pub init_text: Option<Range>,
    pub bss: Range,
    /// The least address that the image may have; what is lower is an offset of a per-CPU variable.
    pub least: u64,
    /// What KASLR added; taken off every address of the image.
    pub moved: u64,
}

impl Layout {
    /// Finds them. `moved` is what to take off.
    pub(super) fn of(arch: &Arch, table: &Table, moved: u64) -> Result<Self, Error> {
        let at = |name: &'static str| table.address(name).ok_or(Error::Layout { name });
        let range = |start, end| {
            Ok(Range {
                start: at(start)?,
                end: at(end)?,
            })
        };
        let init = range("_sinittext", "_einittext");
        let layout = Self {
            text: range("_stext", "_etext")?,
            data: range("_sdata", "_edata")?,
            per_cpu: range("__per_cpu_start", "__per_cpu_end")?,
            init_text: init.ok(),
            bss: range("__bss_start", "_end")?,
            least: match arch.machine == x86_64::MACHINE {
                true => x86_64::KERNEL_MAP,
                false => 0,
            },
            moved,
        };
        let ordered = layout.text.start >= layout.least.saturating_add(moved)
            && layout.text.end <= layout.data.start
            && layout.data.end <= layout.bss.start
            && layout.bss.start < layout.bss.end;
        match ordered {
            true => Ok(layout),
            false => Err(Error::Layout {
                name: "_stext … _end in order",
            }),
        }
    }

    /// The part that an address of the running kernel is in; `None`: outside the image.
    pub(super) fn part(&self, address: u64) -> Option<Part> {
        // The end of the last variable is a symbol as well.
        if self.per_cpu.contains(address) || address == self.per_cpu.end {
            return Some(Part::PerCpu);
        }
        if !(self.text.start..=self.bss.end).contains(&address) {
            return None;
        }
        let init = self.init_text;
        Some(match address {
            a if init.is_some_and(|init| init.contains(a)) => Part::InitText,
            a if a < self.text.end => Part::Text,
            a if a < self.data.start => Part::RoData,
            a if a < self.data.end => Part::Data,
            a if a >= self.bss.start => Part::Bss,
            _ => Part::InitData,
        })
    }

    /// An address as the ELF has it.
    pub(super) fn linked(&self, address: u64) -> u64 {
        match address >= self.least {
            true => address.wrapping_sub(self.moved),
            false => address,
        }
    }

    /// A range as the ELF has it.
    pub(super) fn linked_range(&self, range: Range) -> Range {
        Range {
            start: self.linked(range.start),
            end: self.linked(range.end),
        }
    }

    /// Bytes from an address to the next that a symbol has, but not past the end of its part.
    pub(super) fn room(&self, table: &Table, address: u64) -> u64 {
        let end = match self.part(address) {
            Some(Part::Text) => self.text.end,
            Some(Part::Data) => self.data.end,
            Some(Part::PerCpu) => self.per_cpu.end,
            Some(Part::Bss) => self.bss.end,
            Some(Part::InitText) => self.init_text.map_or(u64::MAX, |init| init.end),
            Some(Part::RoData | Part::InitData) | None => u64::MAX,
        };
        match table.next_after(address) {
            Some(next) => next.min(end).saturating_sub(address),
            None if end < u64::MAX => end.saturating_sub(address),
            None => 0,
        }
    }

    /// Whether the ELF has a symbol: those of the image, and per-CPU offsets.
    pub(super) fn keeps(&self, row: &Row) -> bool {
        self.part(row.address).is_some()
            && (row.address >= self.least || self.per_cpu.start < self.least)
    }
}
