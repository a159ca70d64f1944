//! The addresses of kallsyms in their four encodings.
//!
//! Facts: scripts/kallsyms.c (`write_src`), kernel/kallsyms.c (`kallsyms_sym_address`): absolute
//! 64-bit (without KALLSYMS_BASE_RELATIVE, up to 6.10), base-relative with absolute per-CPU values
//! (x86 with SMP, 4.6 to 6.14), base-relative (4.6 to 6.19), relative to the entry's own place
//! (7.0 and newer). No key names the encoding: the one that makes `_stext` come out right is it.

use super::locate::Tables;
use crate::addr::VirtAddr;
use crate::kernel::{KernelError, Memory};
use crate::order::Order;

/// How an entry becomes an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Encoding {
    /// Not negative: the value itself (a per-CPU offset). Negative: base - 1 - value.
    AbsolutePerCpu { base: u64 },
    /// base + the value, unsigned.
    Relative { base: u64 },
    /// The entry's own address + the value, signed.
    PlaceRelative { first: u64 },
}

impl Encoding {
    fn decode(self, index: u32, value: u32) -> u64 {
        let signed = i64::from(value.cast_signed());
        match self {
            Self::AbsolutePerCpu { .. } if signed >= 0 => u64::from(value),
            Self::AbsolutePerCpu { base } => base.wrapping_sub(1).wrapping_add_signed(-signed),
            Self::Relative { base } => base.wrapping_add(u64::from(value)),
            Self::PlaceRelative { first } => first
                .wrapping_add(u64::from(index) * 4)
                .wrapping_add_signed(signed),
        }
    }
}

enum Entries {
    Words(Encoding, Vec<u32>),
    Absolute(Vec<u64>),
}

/// All addresses, ascending.
pub(super) struct Addresses {
    entries: Entries,
}

impl Addresses {
    /// Addresses known otherwise, ascending.
    pub(super) fn absolute(addresses: Vec<u64>) -> Self {
        Self {
            entries: Entries::Absolute(addresses),
        }
    }

    pub(super) fn open(
        memory: &Memory,
        tables: &Tables,
        count: u32,
        stext_index: u32,
        stext: VirtAddr,
    ) -> Result<Self, KernelError> {
        if let Some(at) = tables.addresses {
            let entries = Entries::Absolute(read_table(memory, at, count)?);
            let this = Self { entries };
            if this.get(stext_index) == Some(stext.0) {
                return Ok(this);
            }
            return Err(contradiction());
        }
        let at = tables.offsets.ok_or_else(|| KernelError::MissingKey {
            key: "SYMBOL(kallsyms_offsets)".to_owned(),
        })?;
        let words: Vec<u32> = read_table(memory, at, count)?;
        let base = match tables.relative_base {
            Some(variable) => Some(
                memory
                    .read_u64(variable)
                    .map_err(KernelError::reading("kallsyms_relative_base"))?,
            ),
            None => None,
        };
        let value = usize::try_from(stext_index)
            .ok()
            .and_then(|i| words.get(i).copied())
            .ok_or_else(contradiction)?;
        let place = Encoding::PlaceRelative { first: at.0 };
        let candidates = match base {
            Some(base) => vec![
                Encoding::AbsolutePerCpu { base },
                Encoding::Relative { base },
                place,
            ],
            None => vec![place],
        };
        candidates
            .into_iter()
            .find(|encoding| encoding.decode(stext_index, value) == stext.0)
            .map(|encoding| Self {
                entries: Entries::Words(encoding, words),
            })
            .ok_or_else(contradiction)
    }

    /// The address of the symbol at `index`.
    pub(super) fn get(&self, index: u32) -> Option<u64> {
        let at = usize::try_from(index).ok()?;
        match &self.entries {
            Entries::Absolute(entries) => entries.get(at).copied(),
            Entries::Words(encoding, words) => Some(encoding.decode(index, *words.get(at)?)),
        }
    }

    fn len(&self) -> u32 {
        let len = match &self.entries {
            Entries::Absolute(entries) => entries.len(),
            Entries::Words(_, words) => words.len(),
        };
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// The symbol at or before `va`: its index (of several at one address the first, which is the
    /// one the kernel itself prints), its address, and the next different address.
    pub(super) fn find(&self, va: u64) -> Option<(u32, u64, Option<u64>)> {
        let after = self.partition(|address| address <= va);
        let start = self.get(after.checked_sub(1)?)?;
        let first = self.partition(|address| address < start);
        Some((first, start, self.get(after)))
    }

    /// The first index whose address does not satisfy `below`.
    fn partition(&self, below: impl Fn(u64) -> bool) -> u32 {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&below) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

fn contradiction() -> KernelError {
    KernelError::Corrupt {
        what: "The symbol table",
        why: "no encoding of its addresses gives _stext its place".to_owned(),
    }
}

trait Word: Copy {
    const BYTES: usize;
    fn from_bytes(bytes: &[u8], order: Order) -> Self;
}

impl Word for u32 {
    const BYTES: usize = 4;
    fn from_bytes(bytes: &[u8], order: Order) -> Self {
        order.u32_at(bytes, 0).unwrap_or(0)
    }
}

impl Word for u64 {
    const BYTES: usize = 8;
    fn from_bytes(bytes: &[u8], order: Order) -> Self {
        order.u64_at(bytes, 0).unwrap_or(0)
    }
}

/// Reads a table through a small buffer, so that its raw bytes are never held beside it.
fn read_table<T: Word>(memory: &Memory, at: VirtAddr, count: u32) -> Result<Vec<T>, KernelError> {
    let mut out = Vec::with_capacity(count as usize);
    let mut buffer = [0u8; 4096];
    let mut at = at;
    let mut left = count as usize * T::BYTES;
    while left > 0 {
        let n = left.min(buffer.len());
        let now = buffer.get_mut(..n).unwrap_or_default();
        memory
            .read(at, now)
            .map_err(KernelError::reading("the addresses of kallsyms"))?;
        let words = now.chunks_exact(T::BYTES);
        out.extend(words.map(|bytes| T::from_bytes(bytes, memory.order())));
        at = at.wrapping_add(n as u64);
        left -= n;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_gives_the_address_back() {
        let base = 0xffff_ffff_9000_0000;
        let percpu = Encoding::AbsolutePerCpu { base };
        assert_eq!(percpu.decode(7, 0x1f000), 0x1f000);
        // _text itself is stored as -1.
        assert_eq!(percpu.decode(7, 0xffff_ffff), base);
        assert_eq!(percpu.decode(7, 0xffff_ef9f), base + 0x1060);
        let low = 0xffff_8000_0000_0000;
        let relative = Encoding::Relative { base: low };
        assert_eq!(relative.decode(7, 0x9000_0000), 0xffff_8000_9000_0000);
        let place = Encoding::PlaceRelative { first: base };
        assert_eq!(place.decode(4, 0xffff_fff0), base);
    }
}
