//! Where functions and variables are.

/// A function or a variable in the kernel's symbol table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Its address as the ELF has it.
    pub address: u64,
    /// Bytes up to the next symbol.
    pub size: u64,
    /// Whether other files of the kernel see it.
    pub external: bool,
}

/// Half-open, of addresses as the ELF has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    /// The first address.
    pub start: u64,
    /// The one after the last.
    pub end: u64,
}

impl Range {
    /// Its length in bytes.
    pub(crate) fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether `address` is in it.
    pub(crate) fn contains(self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }
}

/// A function.
pub(super) struct Function {
    /// Where.
    pub place: Place,
    /// Offset of its name.
    pub name: u32,
    /// The number of its prototype.
    pub prototype: u32,
}

impl Function {
    /// The address behind it.
    pub(super) fn end(&self) -> u64 {
        self.place.address.saturating_add(self.place.size)
    }
}
