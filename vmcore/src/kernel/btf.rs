//! The kernel's type information (BTF) as it lies in memory: sizes, members by name, values of enums.
//!
//! Facts: Documentation/bpf/btf.rst; [`raw`] has the format. Names are found by a sorted table of
//! hashes over the named types alone (functions and variables are left out). Where several types
//! share a name the first that answers the question is taken: duplicates differ in members that
//! were renamed locally, not in what a dump reader wants.

mod blob;
mod describe;
mod members;
mod prototypes;
mod raw;
mod records;
#[cfg(test)]
mod tests;

pub use describe::Field;
pub use members::Member;
pub use raw::{Record, TypeKind};
pub use records::Strings;

use super::kallsyms::search;
use super::{Kernel, KernelError};
use crate::addr::VirtAddr;
use crate::order::Order;
use blob::Blob;
use raw::Btf;
use std::sync::Arc;

/// How many typedefs, qualifiers or nested anonymous structs a name may lead through.
const MAX_DEPTH: u32 = 32;
/// More BTF than any kernel has; what claims more is damage.
const MAX_BYTES: u64 = 64 << 20;

/// The beginning of a blob that the kernel carries: magic, version 1, no flags, a header of 24 bytes,
/// types right behind it.
const HEAD: &[u8] = &[0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0];
/// A kernel's types never fit into less.
const MIN_BYTES: u64 = 64 << 10;

/// The types of the kernel, or of one module on top of it.
pub struct Types {
    btf: Arc<Btf>,
    /// (hash of the name, number) of the named types that stand for themselves, sorted.
    names: Vec<(u32, u32)>,
    base: Option<Arc<Types>>,
}

/// FNV-1a: short, and good enough to tell 30,000 names apart.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The kernel's own blob by its head, in the image: place and length.
fn scan(kernel: &Kernel) -> Option<(VirtAddr, u64)> {
    let stext = kernel.vmcoreinfo().symbol("_stext")?;
    search(kernel.memory(), stext, HEAD, |at| {
        let word = |offset: u64| kernel.read_u32(at.checked_add(offset)?).ok().map(u64::from);
        let (types, strings_at, strings) = (word(12)?, word(16)?, word(20)?);
        let len = 24 + strings_at + strings;
        let fits = types <= strings_at && (MIN_BYTES..=MAX_BYTES).contains(&len);
        fits.then_some((at, len))
    })
}

impl Types {
    /// Reads the kernel's own.
    pub(super) fn find(kernel: &Kernel) -> Result<Self, KernelError> {
        let names = ["__start_BTF", "__stop_BTF"];
        let info = kernel.vmcoreinfo();
        let mut bounds = names.map(|name| info.symbol(name)).to_vec();
        if bounds.contains(&None) {
            bounds = match kernel.symbols() {
                Ok(symbols) => symbols.lookup_many(&names),
                // Without symbols the blob's own head gives it away.
                Err(error) => {
                    let found = scan(kernel).ok_or(error)?;
                    return Self::read(kernel, found.0, found.1, None);
                }
            };
        }
        let [Some(start), Some(stop)] = bounds.as_slice() else {
            return Err(KernelError::NoSymbol {
                name: "__start_BTF".to_owned(),
            });
        };
        let len = stop.offset_from(*start).unwrap_or(0);
        Self::read(kernel, *start, len, None)
    }

    /// Reads a blob of `len` bytes at `at`, on top of `base`.
    pub(super) fn read(
        kernel: &Kernel,
        at: VirtAddr,
        len: u64,
        base: Option<Arc<Self>>,
    ) -> Result<Self, KernelError> {
        if len == 0 || len > MAX_BYTES {
            return Err(KernelError::Corrupt {
                what: "The type information (BTF)",
                why: format!("its length is {len}"),
            });
        }
        let fits = kernel.translate_run(at).ok().filter(|(_, run)| len <= *run);
        let len = usize::try_from(len).unwrap_or(0);
        // The kernel's own lies in its image, in one piece.
        if let Some((pa, _)) = fits {
            let dump = Arc::clone(kernel.dump());
            return Self::of(Blob::of_image(dump, at, pa, len, kernel.order()), base);
        }
        let mut data = Vec::new();
        // The analysis in the capture kernel has a hard limit: a length that is too large for it is
        // an answer, not an abort.
        data.try_reserve_exact(len)
            .map_err(|_| KernelError::Unavailable {
                what: "The type information (BTF)",
                why: format!("there is no memory for its {len} bytes"),
            })?;
        data.resize(len, 0);
        kernel
            .read(at, &mut data)
            .map_err(KernelError::reading("the type information (BTF)"))?;
        Self::of(Blob::held(data, kernel.order()), base)
    }

    /// Takes a little-endian blob that was read elsewhere (a file in /sys/kernel/btf), on top of `base`.
    ///
    /// # Errors
    /// When it is not BTF or is cut off.
    pub fn parse(data: Vec<u8>, base: Option<Arc<Self>>) -> Result<Self, KernelError> {
        Self::of(Blob::held(data, Order::Little), base)
    }

    fn of(blob: Blob, base: Option<Arc<Self>>) -> Result<Self, KernelError> {
        let below = base.as_ref().map(|base| Arc::clone(&base.btf));
        let (btf, names) = Btf::parse(blob, below, hash)?;
        let btf = Arc::new(btf);
        Ok(Self { btf, names, base })
    }

    /// Number of types, those of the base included.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.btf.next_id().unwrap_or(1) - 1
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The types of that name, one's own before the base's. `struct `, `union ` and `enum ` before
    /// it choose the kind.
    pub fn find_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = u32> + 'a {
        let (wanted, bare) = match name.split_once(' ') {
            Some(("struct", rest)) => (Some(TypeKind::Struct), rest.trim()),
            Some(("union", rest)) => (Some(TypeKind::Union), rest.trim()),
            Some(("enum", rest)) => (Some(TypeKind::Enum), rest.trim()),
            _ => (None, name),
        };
        let own = self.own(bare);
        let inherited = self.base.as_deref().map(|base| base.own(bare));
        own.chain(inherited.into_iter().flatten())
            .filter(move |&id| match wanted {
                None => true,
                Some(kind) => self.kind(id).is_some_and(|is| {
                    is == kind || (is == TypeKind::Enum64 && kind == TypeKind::Enum)
                }),
            })
    }

    fn own<'a>(&'a self, name: &'a str) -> impl Iterator<Item = u32> + 'a {
        let wanted = hash(name.as_bytes());
        let from = self.names.partition_point(|&(hash, _)| hash < wanted);
        self.names
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(move |&&(hash, _)| hash == wanted)
            .map(|&(_, id)| id)
            .filter(move |&id| {
                self.btf
                    .record(id)
                    .is_some_and(|record| self.btf.bytes(record.name) == name.as_bytes())
            })
    }

    /// The first type of that name, as [`Self::find_all`].
    #[must_use]
    pub fn find_type(&self, name: &str) -> Option<u32> {
        self.find_all(name).next()
    }

    /// The names of all types that stand for themselves, the base's too; some come twice.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let inherited = self.base.as_deref().map(|base| base.names.as_slice());
        let all = self.names.iter().chain(inherited.unwrap_or_default());
        all.map(|&(_, id)| self.name(id))
    }

    /// What type `id` is.
    #[must_use]
    pub fn kind(&self, id: u32) -> Option<TypeKind> {
        self.btf.record(id).map(|record| record.kind)
    }

    /// The type behind typedefs and qualifiers.
    #[must_use]
    pub fn strip(&self, id: u32) -> Option<u32> {
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            let record = self.btf.record(id)?;
            match record.kind {
                TypeKind::Typedef | TypeKind::Qualifier => id = record.value,
                _ => return Some(id),
            }
        }
        None
    }

    /// The size of type `id` in bytes.
    #[must_use]
    pub fn size(&self, id: u32) -> Option<u64> {
        self.size_within(id, MAX_DEPTH)
    }

    fn size_within(&self, id: u32, depth: u32) -> Option<u64> {
        let depth = depth.checked_sub(1)?;
        let id = self.strip(id)?;
        let record = self.btf.record(id)?;
        match record.kind {
            TypeKind::Ptr => Some(8),
            TypeKind::Array => {
                let (element, count) = self.array(id)?;
                self.size_within(element, depth)?
                    .checked_mul(u64::from(count))
            }
            TypeKind::Int
            | TypeKind::Struct
            | TypeKind::Union
            | TypeKind::Enum
            | TypeKind::Enum64
            | TypeKind::Float
            | TypeKind::DataSec => Some(u64::from(record.value)),
            TypeKind::Var => self.size_within(record.value, depth),
            _ => None,
        }
    }

    /// The element type and the length of an array.
    #[must_use]
    pub fn array(&self, id: u32) -> Option<(u32, u32)> {
        let id = self.strip(id)?;
        let record = self.btf.record(id)?;
        if record.kind != TypeKind::Array {
            return None;
        }
        Some((
            self.btf.word(id, &record, 0)?,
            self.btf.word(id, &record, 2)?,
        ))
    }

    /// What a pointer points to; 0 is `void`.
    #[must_use]
    pub fn pointee(&self, id: u32) -> Option<u32> {
        let record = self.btf.record(self.strip(id)?)?;
        (record.kind == TypeKind::Ptr).then_some(record.value)
    }

    /// The size of a structure, union, enum or typedef by name.
    ///
    /// # Errors
    /// When there is no such type.
    pub fn size_of(&self, ty: &str) -> Result<u64, KernelError> {
        self.find_all(ty)
            .find_map(|id| self.size(id))
            .ok_or_else(|| KernelError::NoType {
                name: ty.to_owned(),
            })
    }

    /// The value of an enumerator, in any enum of that name (an empty name: in any enum at all).
    #[must_use]
    pub fn enumerator(&self, ty: &str, name: &str) -> Option<i64> {
        if ty.is_empty() {
            let all = 1..self.btf.next_id()?;
            return all.into_iter().find_map(|id| {
                self.enumerators(id)
                    .find(|(is, _)| *is == name)
                    .map(|(_, value)| value)
            });
        }
        self.find_all(ty).find_map(|id| {
            let id = self.strip(id)?;
            self.enumerators(id)
                .find(|(is, _)| *is == name)
                .map(|(_, value)| value)
        })
    }

    /// The names and values of an enum; none for what is not one.
    pub fn enumerators(&self, id: u32) -> impl Iterator<Item = (&str, i64)> {
        let record = self.btf.record(id);
        let count = record.map_or(0, |record| match record.kind {
            TypeKind::Enum | TypeKind::Enum64 => record.vlen,
            _ => 0,
        });
        (0..count).filter_map(move |n| {
            let record = record?;
            let wide = record.kind == TypeKind::Enum64;
            let at = n.checked_mul(if wide { 3 } else { 2 })?;
            let name = self.btf.string(self.btf.word(id, &record, at)?);
            let low = self.btf.word(id, &record, at + 1)?;
            let value = if wide {
                let high = self.btf.word(id, &record, at + 2)?;
                (u64::from(high) << 32 | u64::from(low)).cast_signed()
            } else if record.kflag {
                i64::from(low.cast_signed())
            } else {
                i64::from(low)
            };
            Some((name, value))
        })
    }
}
