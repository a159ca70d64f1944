//! Members of structures by dotted path.
//!
//! A path goes through unnamed structs and unions as C does, and may index arrays:
//! `thread.sp`, `vm_stat[2].counter`. It does not follow pointers: that takes a read.

use super::raw::{Record, TypeKind};
use super::{MAX_DEPTH, Types};
use crate::kernel::KernelError;

/// Unnamed members looked into for one name. No structure of a kernel has a hundred; one that
/// contains itself twice has two to the depth.
const UNNAMED: u32 = 512;

/// A member of a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Bytes from the start of the outer structure.
    pub offset: u64,
    /// For a bitfield: the first bit, counted from the low bit of the byte at `offset`.
    pub bit: u32,
    /// For a bitfield: how many bits. `None` for an ordinary member.
    pub bits: Option<u32>,
    /// Its size in bytes (an array's as a whole; a flexible array's is 0).
    pub size: u64,
    /// The number of its type.
    pub type_id: u32,
}

/// A member as the record has it: where in bits, and for a bitfield how many.
pub(super) struct RawMember {
    pub name: u32,
    pub type_id: u32,
    pub bit_offset: u64,
    pub bits: Option<u32>,
}

impl Types {
    /// Member `n` of struct or union `id`.
    pub(super) fn raw_member(&self, id: u32, record: &Record, n: usize) -> Option<RawMember> {
        let at = n.checked_mul(3)?;
        let offset = self.btf.word(id, record, at + 2)?;
        let (bit_offset, bits) = if record.kflag {
            let bits = offset >> 24;
            (offset & 0x00ff_ffff, (bits != 0).then_some(bits))
        } else {
            (offset, None)
        };
        Some(RawMember {
            name: self.btf.word(id, record, at)?,
            type_id: self.btf.word(id, record, at + 1)?,
            bit_offset: u64::from(bit_offset),
            bits,
        })
    }

    /// A member by its dotted path, through unnamed structs and unions.
    ///
    /// # Errors
    /// When there is no such type or member.
    pub fn member(&self, ty: &str, path: &str) -> Result<Member, KernelError> {
        let mut any = false;
        for id in self.find_all(ty) {
            any = true;
            if let Some(member) = self.member_of(id, path) {
                return Ok(member);
            }
        }
        if any {
            Err(KernelError::NoMember {
                ty: ty.to_owned(),
                member: path.to_owned(),
            })
        } else {
            Err(KernelError::NoType {
                name: ty.to_owned(),
            })
        }
    }

    /// The same from a type's number.
    #[must_use]
    pub fn member_of(&self, id: u32, path: &str) -> Option<Member> {
        let mut ty = id;
        let mut bit_offset = 0u64;
        let mut bits = None;
        for step in path.split('.') {
            let (name, indexes) = match step.split_once('[') {
                Some((name, rest)) => (name, Some(rest)),
                None => (step, None),
            };
            let (at, found_bits, found) = self.step(ty, name, MAX_DEPTH, &mut { UNNAMED })?;
            bit_offset = bit_offset.checked_add(at)?;
            bits = found_bits;
            ty = found;
            for index in indexes.into_iter().flat_map(|rest| rest.split('[')) {
                let index: u64 = index.strip_suffix(']')?.parse().ok()?;
                let (element, _) = self.array(ty)?;
                let bytes = self.size(element)?.checked_mul(index)?;
                bit_offset = bit_offset.checked_add(bytes.checked_mul(8)?)?;
                ty = element;
            }
        }
        Some(Member {
            offset: bit_offset / 8,
            bit: u32::try_from(bit_offset % 8).ok()?,
            bits,
            size: self.size(ty).unwrap_or(0),
            type_id: ty,
        })
    }

    /// One name inside `id`: its distance in bits, its width if it is a bitfield, its type.
    /// `left` is how many unnamed members may still be looked into.
    fn step(
        &self,
        id: u32,
        name: &str,
        depth: u32,
        left: &mut u32,
    ) -> Option<(u64, Option<u32>, u32)> {
        let depth = depth.checked_sub(1)?;
        *left = left.checked_sub(1)?;
        let id = self.strip(id)?;
        let record = self.btf.record(id)?;
        if !matches!(record.kind, TypeKind::Struct | TypeKind::Union) {
            return None;
        }
        let members = || (0..record.vlen).filter_map(|n| self.raw_member(id, &record, n));
        if let Some(member) = members().find(|m| self.btf.bytes(m.name) == name.as_bytes()) {
            return Some((member.bit_offset, member.bits, member.type_id));
        }
        members().filter(|m| m.name == 0).find_map(|outer| {
            let (inner, bits, ty) = self.step(outer.type_id, name, depth, left)?;
            Some((outer.bit_offset.checked_add(inner)?, bits, ty))
        })
    }
}
