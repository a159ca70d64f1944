//! The lockless ring buffer (5.10 and newer).
//!
//! Facts: kernel/printk/printk_ringbuffer.{c,h} of 5.10, 6.1, 6.12 and 7.2. Offsets come from
//! VMCOREINFO, which exports this structure for exactly this purpose; flags and level share the byte
//! after `facility`, which no version exports and none has moved: it lies before `caller_id`.
//! Records that a writer has committed but not finalised are read too: the last partial line of a
//! crashed kernel is such a one.

use super::{LogError, Record, warn};
use crate::addr::VirtAddr;
use crate::kernel::{Kernel, KernelError};
use std::io;

/// The two top bits of `state_var` are the state, the rest is the id.
const ID_BITS: u32 = 62;
const ID_MASK: u64 = (1 << ID_BITS) - 1;
const COMMITTED: u64 = 1;
const FINALIZED: u64 = 2;
/// `NO_LPOS`/`EMPTY_LINE_LPOS`: an empty line. 1 is a block that could not be had or was overwritten.
const EMPTY_LINE: u64 = 3;
/// More than any kernel can be configured to (LOG_BUF_LEN is at most 2^31).
const MAX_BITS: u32 = 31;
/// A descriptor stands for 32 bytes of text (PRB_AVGBITS, kernel/printk/printk.c, 5.10 to 7.2).
const MAX_COUNT_BITS: u32 = MAX_BITS - 5;

struct Ring {
    count_bits: u32,
    descs: VirtAddr,
    infos: VirtAddr,
    head_id: u64,
    tail_id: u64,
    size_bits: u32,
    data: VirtAddr,
    layout: Layout,
}

/// Sizes and offsets of the two descriptor arrays.
struct Layout {
    desc_size: u64,
    state_var: u64,
    begin: u64,
    next: u64,
    info_size: u64,
    seq: u64,
    ts_nsec: u64,
    text_len: u64,
    caller_id: Option<u64>,
}

struct Keys<'a>(&'a Kernel);

impl Keys<'_> {
    fn offset(&self, member: &str) -> Result<u64, KernelError> {
        self.0
            .vmcoreinfo()
            .offset(member)
            .ok_or_else(|| KernelError::MissingKey {
                key: format!("OFFSET({member})"),
            })
    }

    fn size(&self, name: &str) -> Result<u64, KernelError> {
        self.0
            .vmcoreinfo()
            .size(name)
            .ok_or_else(|| KernelError::MissingKey {
                key: format!("SIZE({name})"),
            })
    }

    fn at(&self, base: VirtAddr, members: &[&str]) -> Result<VirtAddr, KernelError> {
        members.iter().try_fold(base, |addr, member| {
            Ok(addr.wrapping_add(self.offset(member)?))
        })
    }
}

impl Ring {
    fn find(kernel: &Kernel) -> Result<Self, KernelError> {
        let keys = Keys(kernel);
        let reading = |name: &str| KernelError::reading(name.to_owned());
        let pointer = kernel.symbol("prb")?;
        let prb = kernel.read_ptr(pointer).map_err(reading("prb"))?;
        let descs = keys.at(prb, &["printk_ringbuffer.desc_ring"])?;
        let text = keys.at(prb, &["printk_ringbuffer.text_data_ring"])?;
        let word = |base: VirtAddr, member: &str| -> Result<u64, KernelError> {
            kernel
                .read_u64(keys.at(base, &[member])?)
                .map_err(reading(member))
        };
        let bits = |base: VirtAddr, member: &'static str, most: u32| -> Result<u32, KernelError> {
            let bits = kernel
                .read_u32(keys.at(base, &[member])?)
                .map_err(reading(member))?;
            if bits == 0 || bits > most {
                return Err(KernelError::Corrupt {
                    what: "The log",
                    why: format!("{member} is {bits}"),
                });
            }
            Ok(bits)
        };
        let counter = keys.offset("atomic_long_t.counter")?;
        let lpos = keys.offset("prb_desc.text_blk_lpos")?;
        Ok(Self {
            count_bits: bits(descs, "prb_desc_ring.count_bits", MAX_COUNT_BITS)?,
            descs: VirtAddr(word(descs, "prb_desc_ring.descs")?),
            infos: VirtAddr(word(descs, "prb_desc_ring.infos")?),
            head_id: word(descs.wrapping_add(counter), "prb_desc_ring.head_id")?,
            tail_id: word(descs.wrapping_add(counter), "prb_desc_ring.tail_id")?,
            size_bits: bits(text, "prb_data_ring.size_bits", MAX_BITS)?,
            data: VirtAddr(word(text, "prb_data_ring.data")?),
            layout: Layout {
                desc_size: keys.size("prb_desc")?,
                state_var: keys.offset("prb_desc.state_var")?.saturating_add(counter),
                begin: lpos.saturating_add(keys.offset("prb_data_blk_lpos.begin")?),
                next: lpos.saturating_add(keys.offset("prb_data_blk_lpos.next")?),
                info_size: keys.size("printk_info")?,
                seq: keys.offset("printk_info.seq")?,
                ts_nsec: keys.offset("printk_info.ts_nsec")?,
                text_len: keys.offset("printk_info.text_len")?,
                caller_id: keys.offset("printk_info.caller_id").ok(),
            },
        })
    }

    /// The ids from the oldest to the newest, never more than the ring has slots.
    fn ids(&self) -> impl Iterator<Item = u64> + use<> {
        let slots = 1u64 << self.count_bits;
        let newer = self.head_id.wrapping_sub(self.tail_id) & ID_MASK;
        // A distance past the ring is damage; the slots behind the head are then all there can be.
        let newer = newer.min(slots - 1);
        let first = self.head_id.wrapping_sub(newer);
        (0..=newer).map(move |i| first.wrapping_add(i) & ID_MASK)
    }
}

pub(super) fn walk(
    kernel: &Kernel,
    sink: &mut dyn FnMut(Record) -> io::Result<()>,
) -> Result<Vec<String>, LogError> {
    let ring = Ring::find(kernel)?;
    let mut warnings = Vec::new();
    let page = kernel.page_size().max(1);
    let mut absent = None;
    for id in ring.ids() {
        // Of descriptors on one page that is missing, the first tells of all.
        let on = ring.descriptor(id).0 / page;
        if absent == Some(on) {
            continue;
        }
        let state = match ring.state(kernel, id) {
            Ok(state) => state,
            Err(Trouble(text)) => {
                warn(&mut warnings, text);
                absent = Some(on);
                continue;
            }
        };
        match ring.record(kernel, id, state) {
            Ok(Some(record)) => sink(record)?,
            Ok(None) => {}
            Err(Trouble(text)) => warn(&mut warnings, text),
        }
    }
    Ok(warnings)
}

/// Why one record could not be had.
struct Trouble(String);

fn unreadable<E>(what: &'static str, id: u64) -> impl FnOnce(E) -> Trouble {
    move |_| Trouble(format!("the {what} of log record {id:#x} cannot be read"))
}

impl Ring {
    fn descriptor(&self, id: u64) -> VirtAddr {
        let slot = id & ((1u64 << self.count_bits) - 1);
        self.descs
            .wrapping_add(slot.saturating_mul(self.layout.desc_size))
    }

    /// The state word of a descriptor.
    fn state(&self, kernel: &Kernel, id: u64) -> Result<u64, Trouble> {
        let at = self.descriptor(id).wrapping_add(self.layout.state_var);
        kernel.read_u64(at).map_err(unreadable("descriptor", id))
    }

    /// The record of a descriptor in this state; none where the slot holds no finished one.
    fn record(&self, kernel: &Kernel, id: u64, state_var: u64) -> Result<Option<Record>, Trouble> {
        let layout = &self.layout;
        let slot = id & ((1u64 << self.count_bits) - 1);
        let unreadable = |what: &'static str| unreadable(what, id);
        let desc = self.descriptor(id);
        let word = |offset: u64| {
            kernel
                .read_u64(desc.wrapping_add(offset))
                .map_err(unreadable("descriptor"))
        };
        let state = state_var >> ID_BITS;
        if state_var & ID_MASK != id || (state != COMMITTED && state != FINALIZED) {
            return Ok(None);
        }
        let (begin, next) = (word(layout.begin)?, word(layout.next)?);
        let info = self
            .infos
            .wrapping_add(slot.saturating_mul(layout.info_size));
        let at = |offset: u64| info.wrapping_add(offset);
        let bad = "description";
        let text_len = kernel
            .read_u16(at(layout.text_len))
            .map_err(unreadable(bad))?;
        let [facility, flags_level] = kernel
            .read_bytes(at(layout.text_len.saturating_add(2)))
            .map_err(unreadable(bad))?;
        let mut record = Record {
            seq: kernel.read_u64(at(layout.seq)).map_err(unreadable(bad))?,
            ts_nsec: kernel
                .read_u64(at(layout.ts_nsec))
                .map_err(unreadable(bad))?,
            level: flags_level >> 5,
            facility,
            caller: match layout.caller_id {
                Some(offset) => Some(kernel.read_u32(at(offset)).map_err(unreadable(bad))?),
                None => None,
            },
            text: Vec::new(),
            stored: false,
        };
        match self.text_block(begin, next) {
            Block::None if begin == EMPTY_LINE => {}
            Block::None => {
                return Err(Trouble(format!(
                    "the text of log record {} was lost",
                    record.seq
                )));
            }
            Block::At(offset, room) => {
                let len = usize::from(text_len).min(usize::try_from(room).unwrap_or(usize::MAX));
                record.text = vec![0; len];
                record.stored = true;
                kernel
                    .read(self.data.wrapping_add(offset), &mut record.text)
                    .map_err(unreadable("text"))?;
            }
        }
        Ok(Some(record))
    }

    /// Where the text of a block lies in the data ring, and how many bytes it can have.
    ///
    /// A block is moved to the ring's start when it would cross the end. Before 6.18 or so the
    /// kernel also moved one that would have ended exactly there; testing the last byte instead of
    /// the one after it answers right for both rules.
    fn text_block(&self, begin: u64, next: u64) -> Block {
        if begin & 1 == 1 && next & 1 == 1 {
            return Block::None;
        }
        let size = 1u64 << self.size_bits;
        let wrapped = begin >> self.size_bits != next.wrapping_sub(1) >> self.size_bits;
        let start = if wrapped { 0 } else { begin & (size - 1) };
        let end = match next & (size - 1) {
            0 if !wrapped => size,
            end => end,
        };
        // The block begins with the record's id.
        let text = start.saturating_add(8);
        match end.checked_sub(text) {
            Some(room) => Block::At(text, room),
            None => Block::None,
        }
    }
}

enum Block {
    None,
    At(u64, u64),
}
