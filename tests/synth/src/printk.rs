//! Toy kernel logs: the lockless ring and the older one, written record by record as a kernel would.

// Builders for tests: a mistake in here is to be loud.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

use crate::ram::Ram;

/// Where a ring begins that is not put elsewhere.
const BASE: u64 = 0xffff_ffff_8100_0000;
/// From there on.
const PRB: u64 = 0x40;
const DESCS: u64 = 0x1_0000;
const INFOS: u64 = 0x2_0000;
const DATA: u64 = 0x3_0000;

/// Where the parts of a ring are, from its base on.
#[derive(Clone, Copy)]
struct Parts {
    descs: u64,
    infos: u64,
    data: u64,
}

/// A lockless ring of 2^`count_bits` descriptors and 2^`size_bits` bytes.
pub struct Ring {
    count_bits: u32,
    size_bits: u32,
    /// Whether a block may end exactly at the ring's end (7.x).
    pub perfect_fit: bool,
    /// Nanoseconds since boot of the next record; 1000 more with each record.
    pub clock: u64,
    /// Level of the next records.
    pub level: u8,
    /// Who prints them: a thread id, or a CPU with bit 31.
    pub caller: u32,
    base: u64,
    parts: Parts,
    next_id: u64,
    lpos: u64,
    seq: u64,
    tail: u64,
    with_caller: bool,
}

/// Bits of a descriptor's state.
pub const COMMITTED: u64 = 1;
/// The usual state.
pub const FINALIZED: u64 = 2;
/// Of a descriptor that is not in use.
pub const REUSABLE: u64 = 3;

impl Ring {
    /// Puts an empty ring into `ram` and says so in its VMCOREINFO.
    pub fn new(ram: &mut Ram, count_bits: u32, size_bits: u32, with_caller: bool) -> Self {
        Self::at(ram, BASE, count_bits, size_bits, with_caller)
    }

    /// The same, with its parts from `base` on: 256 KiB of the kernel image.
    pub fn at(
        ram: &mut Ram,
        base: u64,
        count_bits: u32,
        size_bits: u32,
        with_caller: bool,
    ) -> Self {
        let parts = Parts {
            descs: DESCS,
            infos: INFOS,
            data: DATA,
        };
        Self::made(ram, base, parts, count_bits, size_bits, with_caller)
    }

    /// A ring of any size at `base`, as `log_buf_len=` makes one.
    pub fn large(ram: &mut Ram, base: u64, count_bits: u32, size_bits: u32) -> Self {
        let infos = DESCS + (32 << count_bits);
        let parts = Parts {
            descs: DESCS,
            infos,
            data: infos + (96 << count_bits),
        };
        Self::made(ram, base, parts, count_bits, size_bits, true)
    }

    fn made(
        ram: &mut Ram,
        base: u64,
        parts: Parts,
        count_bits: u32,
        size_bits: u32,
        with_caller: bool,
    ) -> Self {
        for line in [
            "SIZE(printk_ringbuffer)=88",
            "OFFSET(printk_ringbuffer.desc_ring)=8",
            "OFFSET(printk_ringbuffer.text_data_ring)=64",
            "OFFSET(prb_desc_ring.count_bits)=4",
            "OFFSET(prb_desc_ring.descs)=8",
            "OFFSET(prb_desc_ring.infos)=24",
            "OFFSET(prb_desc_ring.head_id)=32",
            "OFFSET(prb_desc_ring.tail_id)=40",
            "SIZE(prb_desc)=32",
            "OFFSET(prb_desc.state_var)=8",
            "OFFSET(prb_desc.text_blk_lpos)=16",
            "OFFSET(prb_data_blk_lpos.begin)=0",
            "OFFSET(prb_data_blk_lpos.next)=8",
            "SIZE(printk_info)=96",
            "OFFSET(printk_info.seq)=8",
            "OFFSET(printk_info.ts_nsec)=0",
            "OFFSET(printk_info.text_len)=16",
            "OFFSET(prb_data_ring.size_bits)=0",
            "OFFSET(prb_data_ring.data)=8",
            "OFFSET(atomic_long_t.counter)=0",
        ] {
            ram.line(line);
        }
        if with_caller {
            ram.line("OFFSET(printk_info.caller_id)=20");
        }
        ram.line(&format!("SYMBOL(prb)={base:x}"));
        ram.put_image64(base, base + PRB);
        ram.put_image(base + PRB + 8 + 4, &count_bits.to_le_bytes());
        ram.put_image64(base + PRB + 8 + 8, base + parts.descs);
        ram.put_image64(base + PRB + 8 + 24, base + parts.infos);
        ram.put_image(base + PRB + 64, &size_bits.to_le_bytes());
        ram.put_image64(base + PRB + 64 + 8, base + parts.data);
        let slots = 1u64 << count_bits;
        ram.put_image(base + parts.descs, &vec![0; slots as usize * 32]);
        ram.put_image(base + parts.infos, &vec![0; slots as usize * 96]);
        ram.put_image(base + parts.data, &vec![0xa5; 1 << size_bits]);
        // As on real kernels the first ids lie just below a wrap of the 32-bit value.
        let first = 0xffff_fffe;
        let mut this = Self {
            count_bits,
            size_bits,
            perfect_fit: false,
            clock: 1_000_000_000,
            level: 6,
            caller: 77,
            base,
            parts,
            next_id: first,
            lpos: 0u64.wrapping_sub(64) & !7,
            seq: 0,
            tail: first,
            with_caller,
        };
        this.save(ram);
        this
    }

    fn save(&mut self, ram: &mut Ram) {
        let slots = 1u64 << self.count_bits;
        if self.next_id - self.tail > slots {
            self.tail = self.next_id - slots;
        }
        ram.put_image64(self.base + PRB + 8 + 32, self.next_id - 1);
        ram.put_image64(self.base + PRB + 8 + 40, self.tail);
    }

    /// Overwrites head and tail.
    pub fn set_ends(&self, ram: &mut Ram, head: u64, tail: u64) {
        ram.put_image64(self.base + PRB + 8 + 32, head);
        ram.put_image64(self.base + PRB + 8 + 40, tail);
    }

    fn describe(&mut self, ram: &mut Ram, state: u64, begin: u64, next: u64, text_len: u16) {
        let id = self.next_id;
        let slot = id & ((1 << self.count_bits) - 1);
        let desc = self.base + self.parts.descs + slot * 32;
        ram.put_image64(desc + 8, state << 62 | id);
        ram.put_image64(desc + 16, begin);
        ram.put_image64(desc + 24, next);
        let info = self.base + self.parts.infos + slot * 96;
        ram.put_image64(info, self.clock);
        ram.put_image64(info + 8, self.seq);
        ram.put_image(info + 16, &text_len.to_le_bytes());
        // Facility 3, flags 2.
        ram.put_image(info + 18, &[3, 2 | self.level << 5]);
        if self.with_caller {
            ram.put_image(info + 20, &self.caller.to_le_bytes());
        }
        self.next_id += 1;
        self.seq += 1;
        self.clock += 1_000;
        self.save(ram);
    }

    /// Prints a message; answers where its text lies in the ring.
    pub fn print(&mut self, ram: &mut Ram, text: &[u8]) -> u64 {
        self.print_as(ram, text, FINALIZED, text.len() as u16)
    }

    /// Prints a message with a state and a claimed length of its own.
    pub fn print_as(&mut self, ram: &mut Ram, text: &[u8], state: u64, claimed: u16) -> u64 {
        let size = 1u64 << self.size_bits;
        let block = (8 + text.len() as u64 + 7) & !7;
        let begin = self.lpos;
        let mut next = begin.wrapping_add(block);
        let last = if self.perfect_fit {
            next.wrapping_sub(1)
        } else {
            next
        };
        let crosses = begin / size != last / size;
        let start = if crosses {
            // The block moves to the start of the next round.
            next = (begin / size)
                .wrapping_add(1)
                .wrapping_mul(size)
                .wrapping_add(block);
            0
        } else {
            begin % size
        };
        ram.put_image64(self.base + self.parts.data + start, self.next_id);
        ram.put_image(self.base + self.parts.data + start + 8, text);
        self.lpos = next;
        self.describe(ram, state, begin, next, claimed);
        start + 8
    }

    /// Bytes up to the end of the ring's round.
    pub fn room(&self) -> u64 {
        let size = 1u64 << self.size_bits;
        size - self.lpos % size
    }

    /// A record without a text block: 1 for a lost one, 3 for an empty line.
    pub fn dataless(&mut self, ram: &mut Ram, lpos: u64) {
        self.describe(ram, FINALIZED, lpos, lpos, 0);
    }
}

const LOG_BUF_POINTER: u64 = 0xffff_ffff_8110_0000;
const LOG_BUF: u64 = 0xffff_ffff_8111_0000;

/// The ring before 5.10: answers the addresses of `log_first_idx` and `log_next_idx`.
pub fn legacy(ram: &mut Ram, buffer: &[u8], first: u32, next: u32) {
    for (name, at) in [
        ("log_buf", LOG_BUF_POINTER),
        ("log_buf_len", LOG_BUF_POINTER + 8),
        ("log_first_idx", LOG_BUF_POINTER + 16),
        ("log_next_idx", LOG_BUF_POINTER + 24),
    ] {
        ram.line(&format!("SYMBOL({name})={at:x}"));
    }
    for line in [
        "SIZE(printk_log)=16",
        "OFFSET(printk_log.ts_nsec)=0",
        "OFFSET(printk_log.len)=8",
        "OFFSET(printk_log.text_len)=10",
        "OFFSET(printk_log.dict_len)=12",
    ] {
        ram.line(line);
    }
    ram.put_image64(LOG_BUF_POINTER, LOG_BUF);
    ram.put_image(LOG_BUF_POINTER + 8, &(buffer.len() as u32).to_le_bytes());
    ram.put_image(LOG_BUF_POINTER + 16, &first.to_le_bytes());
    ram.put_image(LOG_BUF_POINTER + 24, &next.to_le_bytes());
    ram.put_image(LOG_BUF, buffer);
}

/// One record of the ring before 5.10, padded to 4 bytes, with a dictionary behind the text.
pub fn legacy_record(ts_nsec: u64, text: &[u8], dict: &[u8]) -> Vec<u8> {
    let len = (16 + text.len() + dict.len() + 3) & !3;
    let mut record = Vec::new();
    record.extend_from_slice(&ts_nsec.to_le_bytes());
    record.extend_from_slice(&(len as u16).to_le_bytes());
    record.extend_from_slice(&(text.len() as u16).to_le_bytes());
    record.extend_from_slice(&(dict.len() as u16).to_le_bytes());
    // Facility 1, flags 0, level 4.
    record.extend_from_slice(&[1, 4 << 5]);
    record.extend_from_slice(text);
    record.extend_from_slice(dict);
    record.resize(len, 0);
    record
}
