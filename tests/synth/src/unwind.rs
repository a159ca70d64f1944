//! Code, ORC tables and stacks for tests of unwinding: memory as pieces, tables in every layout that
//! kernels have used. The numbers here are written down from arch/x86/include/asm/orc_types.h again.

use std::collections::BTreeMap;

/// Memory in pieces.
#[derive(Clone, Default, Debug)]
pub struct Pieces {
    bytes: BTreeMap<u64, u8>,
}

impl Pieces {
    /// Writes bytes.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> &mut Self {
        for (address, &byte) in (at..).zip(bytes) {
            self.bytes.insert(address, byte);
        }
        self
    }

    /// Writes words of 64 bits.
    pub fn words(&mut self, at: u64, words: &[u64]) -> &mut Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(at, &bytes)
    }

    /// Fills a whole stretch with one byte.
    pub fn fill(&mut self, at: u64, len: u64, byte: u8) -> &mut Self {
        let len = usize::try_from(len).unwrap_or(0);
        self.put(at, &vec![byte; len])
    }

    /// Copies a page's worth; bytes nobody wrote read as zero, a stretch without any is unreadable.
    #[must_use]
    pub fn read(&self, at: u64, buf: &mut [u8]) -> bool {
        buf.fill(0);
        let mut any = false;
        let end = at.saturating_add(buf.len() as u64);
        for (&address, &byte) in self.bytes.range(at..end) {
            any = true;
            let index = usize::try_from(address - at).unwrap_or(usize::MAX);
            if let Some(slot) = buf.get_mut(index) {
                *slot = byte;
            }
        }
        any
    }
}

/// The layouts of ORC flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrcLayout {
    /// 4.14 to 6.2.
    Oldest,
    /// 6.3.
    Signal,
    /// 6.4 to 7.0.
    Types,
    /// 7.1 on.
    Renumbered,
}

impl OrcLayout {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Oldest, Self::Signal, Self::Types, Self::Renumbered];

    fn register(self, name: &str) -> u16 {
        let order = match self {
            Self::Renumbered => [
                "none", "ax", "dx", "sp", "bp", "di", "r10", "r13", "prev", "[sp]", "[bp]",
            ],
            _ => [
                "none", "prev", "dx", "di", "bp", "sp", "r10", "r13", "[bp]", "[sp]", "-",
            ],
        };
        let found = order.iter().position(|have| *have == name);
        // 15 is no register in any layout.
        found.and_then(|n| u16::try_from(n).ok()).unwrap_or(15)
    }
}

/// One rule in words.
#[derive(Clone, Copy, Debug)]
pub struct OrcRule {
    /// Where it begins.
    pub at: u64,
    /// "sp", "bp", `[sp]`, `[bp]`, "r10", …, "none".
    pub base: &'static str,
    /// Added to the base.
    pub offset: i16,
    /// The saved rbp: ("prev", -16) and so on; ("none", 0) when it is unchanged.
    pub bp: (&'static str, i16),
    /// "call", "regs", "iret", "end", "undefined".
    pub what: &'static str,
}

impl OrcRule {
    /// A function that keeps `offset` bytes between rsp and its frame's end.
    #[must_use]
    pub fn call(at: u64, offset: i16) -> Self {
        Self {
            at,
            base: "sp",
            offset,
            bp: ("none", 0),
            what: "call",
        }
    }

    fn bytes(&self, layout: OrcLayout) -> [u8; 6] {
        let base = layout.register(self.base);
        let bp = layout.register(self.bp.0);
        let signal = u16::from(matches!(self.what, "regs" | "iret"));
        let end = u16::from(self.what == "end");
        let old_kind = match self.what {
            "regs" => 1,
            "iret" => 2,
            _ => 0,
        };
        let new_kind = match self.what {
            "undefined" => 0,
            "end" => 1,
            "call" => 2,
            "regs" => 3,
            _ => 4,
        };
        let high = match layout {
            OrcLayout::Oldest => old_kind | end << 2,
            OrcLayout::Signal => old_kind | signal << 2 | end << 3,
            _ => new_kind | signal << 3,
        };
        let flags = base | bp << 4 | high << 8;
        let [a, b] = self.offset.to_le_bytes();
        let [c, d] = self.bp.1.to_le_bytes();
        let [e, f] = flags.to_le_bytes();
        [a, b, c, d, e, f]
    }
}

/// The two arrays of a table, for the places where they will lie. Rules must be sorted.
#[must_use]
pub fn orc_table(layout: OrcLayout, rules: &[OrcRule], ips_at: u64) -> (Vec<u8>, Vec<u8>) {
    let mut ips = Vec::new();
    let mut entries = Vec::new();
    for (slot, rule) in (ips_at..).step_by(4).zip(rules) {
        let relative = i32::try_from(rule.at.wrapping_sub(slot).cast_signed());
        // A table must be near its code.
        ips.extend(relative.unwrap_or(i32::MAX).to_le_bytes());
        entries.extend(rule.bytes(layout));
    }
    (ips, entries)
}

/// The 21 words of a `pt_regs`, by the names of those that matter; the others are zero.
#[must_use]
pub fn pt_regs(named: &[(&str, u64)]) -> [u64; 21] {
    const ORDER: [&str; 21] = [
        "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si",
        "di", "orig_ax", "ip", "cs", "flags", "sp", "ss",
    ];
    let mut words = [0; 21];
    for (slot, name) in words.iter_mut().zip(ORDER) {
        let found = named.iter().find(|(have, _)| *have == name);
        *slot = found.map_or(0, |(_, value)| *value);
    }
    words
}
