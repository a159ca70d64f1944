//! The kernel's type information (BTF) as it lies in memory.

use super::{Kernel, KernelError};

/// The types of the kernel, or of one module on top of it.
pub struct Types {}

/// A member of a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Bytes from the start of the outer structure.
    pub offset: u64,
    /// For a bitfield: the first bit, counted from the low bit of the byte at `offset`.
    pub bit: u32,
    /// For a bitfield: how many bits. `None` for an ordinary member.
    pub bits: Option<u32>,
    /// Its size in bytes (an array's as a whole).
    pub size: u64,
    /// The number of its type.
    pub type_id: u32,
}

impl Types {
    pub(super) fn find(kernel: &Kernel) -> Result<Self, KernelError> {
        kernel.symbol("__start_BTF")?;
        Ok(Self {})
    }

    /// The size of a structure, union, enum or typedef by name.
    ///
    /// # Errors
    /// When there is no such type.
    pub fn size_of(&self, ty: &str) -> Result<u64, KernelError> {
        Err(KernelError::NoType {
            name: ty.to_owned(),
        })
    }

    /// A member by its dotted path, through unnamed structs and unions.
    ///
    /// # Errors
    /// When there is no such type or member.
    pub fn member(&self, ty: &str, path: &str) -> Result<Member, KernelError> {
        Err(KernelError::NoMember {
            ty: ty.to_owned(),
            member: path.to_owned(),
        })
    }
}
