//! Saved registers that a table describes: one array of words, and what each word is.
//!
//! An architecture brings a [`Set`]; nothing else here knows which one it is.

use crate::order::Order;

/// Most registers of an architecture.
pub(crate) const WORDS: usize = 48;

/// What an architecture's registers are.
#[derive(Debug)]
pub(crate) struct Set {
    /// The order of the bytes in a register.
    pub(crate) order: Order,
    /// Their names, in the order of the kernel's `pt_regs`.
    pub(crate) names: &'static [&'static str],
    /// [`named`], which a program without such an architecture does not contain.
    pub(crate) named: fn(&Registers) -> Vec<(&'static str, u64)>,
    /// Which of them is the program counter.
    pub(crate) pc: usize,
    /// Which of them is the stack pointer.
    pub(crate) sp: usize,
    /// Whether the CPU ran in user mode.
    pub(crate) user_mode: fn(&Registers) -> bool,
    /// Whether the CPU took interrupts, where the registers say it.
    pub(crate) interrupts: fn(&Registers) -> Option<bool>,
}

/// The registers that are known, with their names.
pub(crate) fn named(all: &Registers) -> Vec<(&'static str, u64)> {
    let names = all.set.names.iter().copied();
    names.zip(all.words().iter().copied()).collect()
}

/// The registers of one CPU or of one interrupted context.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    set: &'static Set,
    words: [u64; WORDS],
    /// How many of them are known.
    known: usize,
    pc: u64,
    sp: u64,
}

impl PartialEq for Registers {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.set, other.set) && self.words() == other.words()
    }
}

impl Eq for Registers {}

impl Registers {
    /// The first `known` registers of a set, 8 bytes each. `None` when there are fewer bytes.
    pub(crate) fn read(set: &'static Set, bytes: &[u8], known: usize) -> Option<Self> {
        let mut words = [0; WORDS];
        let mut chunks = bytes.as_chunks::<8>().0.iter();
        for word in words.iter_mut().take(known) {
            *word = set.order.u64(*chunks.next()?);
        }
        let at = |place: usize| words.get(place).copied().unwrap_or(0);
        let (pc, sp) = (at(set.pc), at(set.sp));
        Some(Self {
            set,
            words,
            known,
            pc,
            sp,
        })
    }

    fn words(&self) -> &[u64] {
        self.words.get(..self.known).unwrap_or_default()
    }

    /// A register by its place in `pt_regs`; `None` for one that was not saved.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<u64> {
        self.words().get(place).copied()
    }

    /// Those that are known, with their names.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, u64)> {
        (self.set.named)(self)
    }

    /// The program counter.
    #[must_use]
    pub fn pc(&self) -> u64 {
        self.pc
    }

    /// The stack pointer.
    #[must_use]
    pub fn sp(&self) -> u64 {
        self.sp
    }

    /// Whether the CPU ran in user mode.
    #[must_use]
    pub fn user_mode(&self) -> bool {
        (self.set.user_mode)(self)
    }

    /// Whether the CPU took interrupts; `None` where the registers do not say it.
    #[must_use]
    pub fn takes_interrupts(&self) -> Option<bool> {
        (self.set.interrupts)(self)
    }
}
