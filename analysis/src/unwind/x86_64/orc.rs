//! ORC tables: for each stretch of code, where its caller's frame is.
//!
//! Facts: arch/x86/include/asm/orc_types.h and arch/x86/kernel/unwind_orc.c. A table is two arrays:
//! `int` offsets, each relative to itself, sorted by the address they give, and beside them six-byte
//! entries {i16 sp_offset, i16 bp_offset, u16 flags}. The flags changed four times, see [`Format`].

use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError};

/// Bytes of an entry.
const ENTRY_BYTES: u64 = 6;
/// More entries than any kernel has (Debian's 6.12 has 0.43 million), against a corrupt count.
const MAX_ENTRIES: u64 = 1 << 26;

/// How the flags of an entry are laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// Up to 6.2: type 9:8, end 10.
    V1,
    /// 6.3: type 9:8, signal 10, end 11.
    V2,
    /// 6.4 to 7.0: type 10:8 with its own values for undefined and end, signal 11.
    V3,
    /// 7.1 on: as V3 with the registers renumbered.
    V4,
}

impl Format {
    /// By the hash in `.orc_header`, which stands before the kernel's table since 6.4 (6.3.10).
    #[must_use]
    pub(super) fn of_hash(hash: &[u8; 20]) -> Option<Self> {
        const V2: [u8; 20] = [
            0xdb, 0x84, 0xae, 0xd4, 0x10, 0x3b, 0x31, 0xdd, 0x51, 0xe0, 0x17, 0xf8, 0xf7, 0x97,
            0x83, 0xca, 0x98, 0x5c, 0x2c, 0x51,
        ];
        const V3: [u8; 20] = [
            0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9, 0xa5, 0xc6, 0x5b, 0xa5,
            0xa6, 0x25, 0xea, 0xb3, 0xfe, 0x24,
        ];
        const V4: [u8; 20] = [
            0x13, 0x7c, 0x36, 0xad, 0x76, 0x27, 0xc4, 0xdd, 0x55, 0x93, 0x21, 0x76, 0xbb, 0x0e,
            0xcd, 0xbd, 0x50, 0x41, 0xfc, 0x82,
        ];
        match hash {
            hash if *hash == V2 => Some(Self::V2),
            hash if *hash == V3 => Some(Self::V3),
            hash if *hash == V4 => Some(Self::V4),
            _ => None,
        }
    }

    /// By the release, where no known hash tells. RHEL 9 has V3 in its 5.14 from build 517 on,
    /// without a hash.
    #[must_use]
    pub(super) fn of_release(numbers: (u32, u32), release: &str) -> Self {
        if numbers == (5, 14) && release.contains(".el9") {
            let build = release
                .split_once('-')
                .and_then(|(_, rest)| rest.split(['.', '_']).next())
                .and_then(|build| build.parse::<u32>().ok());
            if build.is_some_and(|build| build >= 517) {
                return Self::V3;
            }
        }
        match numbers {
            n if n < (6, 3) => Self::V1,
            (6, 3) => Self::V2,
            n if n < (7, 1) => Self::V3,
            _ => Self::V4,
        }
    }

    /// Decodes an entry; `None` when it is none of this format.
    #[must_use]
    pub(super) fn decode(self, bytes: [u8; 6]) -> Option<Entry> {
        let [s0, s1, b0, b1, f0, f1] = bytes;
        let flags = u16::from_le_bytes([f0, f1]);
        let base = self.base(flags & 0xf)?;
        let bp_offset = i16::from_le_bytes([b0, b1]);
        let bp = match self.base((flags >> 4) & 0xf)? {
            Base::Undefined => Bp::Same,
            Base::PrevSp => Bp::ByFrame(bp_offset),
            Base::Bp => Bp::ByPointer(bp_offset),
            _ => return None,
        };
        let (rule, signal, spare) = match self {
            Self::V1 => {
                let rule = Self::old_rule(base, (flags >> 8) & 3, flags & (1 << 10) != 0)?;
                (rule, !matches!(rule, Rule::Call), flags >> 11)
            }
            Self::V2 => {
                let rule = Self::old_rule(base, (flags >> 8) & 3, flags & (1 << 11) != 0)?;
                (rule, flags & (1 << 10) != 0, flags >> 12)
            }
            Self::V3 | Self::V4 => {
                let rule = match (flags >> 8) & 7 {
                    0 => Rule::Undefined,
                    1 => Rule::End,
                    2 => Rule::Call,
                    3 => Rule::Regs,
                    4 => Rule::PartialRegs,
                    _ => return None,
                };
                (rule, flags & (1 << 11) != 0, flags >> 12)
            }
        };
        if spare != 0 {
            return None;
        }
        Some(Entry {
            base,
            offset: i16::from_le_bytes([s0, s1]),
            bp,
            rule,
            signal,
        })
    }

    /// Before 6.4 "undefined" and "end" are a frame base of zero without and with the end bit.
    fn old_rule(base: Base, code: u16, end: bool) -> Option<Rule> {
        match (base, code) {
            (Base::Undefined, _) => Some(if end { Rule::End } else { Rule::Undefined }),
            (_, 0) => Some(Rule::Call),
            (_, 1) => Some(Rule::Regs),
            (_, 2) => Some(Rule::PartialRegs),
            _ => None,
        }
    }

    fn base(self, code: u16) -> Option<Base> {
        let old = [
            Base::Undefined,
            Base::PrevSp,
            Base::Register(Register::Dx),
            Base::Register(Register::Di),
            Base::Bp,
            Base::Sp,
            Base::Register(Register::R10),
            Base::Register(Register::R13),
            Base::BpIndirect,
            Base::SpIndirect,
        ];
        let new = [
            Base::Undefined,
            Base::Register(Register::Ax),
            Base::Register(Register::Dx),
            Base::Sp,
            Base::Bp,
            Base::Register(Register::Di),
            Base::Register(Register::R10),
            Base::Register(Register::R13),
            Base::PrevSp,
            Base::SpIndirect,
            Base::BpIndirect,
        ];
        let code = usize::from(code);
        match self {
            Self::V4 => new.get(code).copied(),
            _ => old.get(code).copied(),
        }
    }
}

/// What the canonical frame address (the stack pointer before the call) is counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// Not known.
    Undefined,
    /// The frame address itself; only for the saved rbp.
    PrevSp,
    /// rsp.
    Sp,
    /// rbp.
    Bp,
    /// The word at rsp.
    SpIndirect,
    /// The word at rbp + offset.
    BpIndirect,
    /// A register that is only known below an interrupt.
    Register(Register),
}

/// Registers in which a few functions keep their frame address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Register {
    Ax,
    Dx,
    Di,
    R10,
    R13,
}

/// Where the caller's rbp is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bp {
    /// Still in rbp.
    Same,
    /// At the frame address + offset.
    ByFrame(i16),
    /// At rbp + offset.
    ByPointer(i16),
}

/// What lies at the frame address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Nothing is known of this code.
    Undefined,
    /// This is the outermost frame.
    End,
    /// A return address, just below it.
    Call,
    /// A whole `pt_regs`.
    Regs,
    /// Only the part of a `pt_regs` that the CPU itself pushes (rip, cs, rflags, rsp, ss).
    PartialRegs,
}

/// An entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where the frame address is counted from.
    pub base: Base,
    /// How far.
    pub offset: i16,
    /// Where the caller's rbp is.
    pub bp: Bp,
    /// What lies at the frame address.
    pub rule: Rule,
    /// Whether the caller was interrupted, so that its address is no return address.
    pub signal: bool,
}

impl Entry {
    /// Nothing is known.
    pub(super) const UNDEFINED: Self = Self {
        base: Base::Undefined,
        offset: 0,
        bp: Bp::Same,
        rule: Rule::Undefined,
        signal: false,
    };
    /// Code with a frame pointer: what the kernel takes where there is no ORC.
    pub(super) const FRAME_POINTER: Self = Self {
        base: Base::Bp,
        offset: 16,
        bp: Bp::ByFrame(-16),
        rule: Rule::Call,
        signal: false,
    };
    /// Behind a system call's entry: its `pt_regs` are at rsp.
    pub(super) const REGS: Self = Self {
        base: Base::Sp,
        offset: 0,
        bp: Bp::Same,
        rule: Rule::Regs,
        signal: true,
    };
    /// Behind an exception's entry, in a kernel with frame pointers: rbp is the address of its `pt_regs`, plus 1.
    pub(super) const ENCODED_REGS: Self = Self {
        base: Base::Bp,
        offset: -1,
        bp: Bp::Same,
        rule: Rule::Regs,
        signal: true,
    };
    /// The first instruction of a function that is not there (a call of a NULL or wild pointer).
    pub(super) const NOWHERE: Self = Self {
        base: Base::Sp,
        offset: 8,
        bp: Bp::Same,
        rule: Rule::Call,
        signal: false,
    };
}

/// An address and the bytes of its entry.
pub(super) type Row = (u64, [u8; 6]);

/// A table in the dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Table {
    ips: VirtAddr,
    entries: VirtAddr,
    count: u64,
}

impl Table {
    /// `None` for a table that is empty, impossibly large, or passes the end of memory.
    #[must_use]
    pub(super) fn new(ips: VirtAddr, entries: VirtAddr, count: u64) -> Option<Self> {
        let sane = (1..=MAX_ENTRIES).contains(&count)
            && ips.checked_add(count.checked_mul(4)?).is_some()
            && entries
                .checked_add(count.checked_mul(ENTRY_BYTES)?)
                .is_some();
        sane.then_some(Self {
            ips,
            entries,
            count,
        })
    }

    fn ip(&self, pages: &Pages<'_>, index: u64) -> Option<u64> {
        let at = self.ips.checked_add(index.checked_mul(4)?)?;
        let relative = i32::from_le_bytes(pages.bytes(at)?);
        Some(at.0.wrapping_add_signed(i64::from(relative)))
    }

    /// Every address with the bytes of its entry, in order.
    pub(super) fn all(&self, kernel: &Kernel) -> Result<Vec<Row>, KernelError> {
        let read = |at: VirtAddr, len: u64| {
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            kernel
                .read(at, &mut bytes)
                .map_err(|source| KernelError::Memory {
                    what: "the kernel's ORC table".into(),
                    source,
                })?;
            Ok(bytes)
        };
        let ips = read(self.ips, self.count.saturating_mul(4))?;
        let entries = read(self.entries, self.count.saturating_mul(ENTRY_BYTES))?;
        let ips = ips.as_chunks::<4>().0.iter().enumerate();
        Ok(ips
            .zip(entries.as_chunks::<6>().0)
            .map(|((n, relative), entry)| {
                let at = self.ips.wrapping_add(n as u64 * 4);
                let relative = i64::from(i32::from_le_bytes(*relative));
                (at.0.wrapping_add_signed(relative), *entry)
            })
            .collect())
    }

    /// The bytes of the entry that covers `key`: the last that begins at or before it. `None` when
    /// none does or the table cannot be read.
    #[must_use]
    pub(super) fn find(&self, pages: &Pages<'_>, key: u64) -> Option<[u8; 6]> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.ip(pages, middle)? <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let index = low.checked_sub(1)?;
        pages.bytes(self.entries.checked_add(index.checked_mul(ENTRY_BYTES)?)?)
    }
}
