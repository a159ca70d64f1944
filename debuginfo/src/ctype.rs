//! A C type over the kernel's BTF: what BTF has by number, and around it what BTF need not have
//! (pointers, arrays and qualifiers of globals).
//!
//! BTF has no types for globals but per-CPU ones. It has the named types that they are made of, so that
//! a type in words, as DWARF readers print it, resolves: `const struct file_operations`,
//! `struct list_head [256]`, `int (*[8])(void)`, `unsigned long`. What has no name in C is called by its
//! members: `struct {seq,timekeeper}`.

mod parse;
#[cfg(test)]
mod tests;

use vmcore::kernel::{TypeKind, Types};

/// Nothing in a kernel is declared deeper.
const MAX_DEPTH: u32 = 32;

/// A type.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CType {
    /// A type that BTF has; 0 is `void`.
    Btf(u32),
    /// A pointer.
    Pointer(Box<CType>),
    /// An array; without a length where the declaration has none.
    Array(Box<CType>, Option<u64>),
    /// `const`.
    Const(Box<CType>),
    /// `volatile`.
    Volatile(Box<CType>),
    /// A function: what it returns, its parameters, whether more may follow.
    Function(Box<CType>, Vec<CType>, bool),
}

impl CType {
    /// Reads a type in C's words. `None` where the words are none, or name a type that `types` does not
    /// have. A pointer to an unknown struct is no exception: it is unknown, too.
    #[must_use]
    pub fn parse(text: &str, types: &Types) -> Option<Self> {
        parse::parse(text, types)
    }

    /// Its size in bytes; `None` for `void`, functions, and arrays without a length.
    #[must_use]
    pub fn size(&self, types: &Types) -> Option<u64> {
        match self {
            Self::Btf(id) => types.size(*id),
            Self::Pointer(_) => Some(8),
            Self::Array(element, count) => element.size(types)?.checked_mul((*count)?),
            Self::Const(inner) | Self::Volatile(inner) => inner.size(types),
            Self::Function(..) => None,
        }
    }

    /// A declaration of `name` (which may be empty) with this type, as C writes it.
    #[must_use]
    pub fn declare(&self, types: &Types, name: &str) -> String {
        self.declare_within(types, name.to_owned(), MAX_DEPTH)
    }

    fn declare_within(&self, types: &Types, name: String, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return format!("? {name}");
        };
        match self {
            Self::Btf(id) => types.declare(*id, &name),
            Self::Pointer(target) => {
                let star = match target.as_ref() {
                    Self::Array(..) | Self::Function(..) => format!("(*{name})"),
                    Self::Btf(id) if is_function(types, *id) => format!("(*{name})"),
                    _ => format!("*{name}"),
                };
                target.declare_within(types, star, depth)
            }
            Self::Array(element, count) => {
                let count = count.map(|count| count.to_string()).unwrap_or_default();
                element.declare_within(types, format!("{name}[{count}]"), depth)
            }
            Self::Const(inner) if matches!(**inner, Self::Pointer(_)) => {
                let name = format!("const {name}");
                inner.declare_within(types, name.trim_end().to_owned(), depth)
            }
            Self::Const(inner) => format!("const {}", inner.declare_within(types, name, depth)),
            Self::Volatile(inner) => {
                format!("volatile {}", inner.declare_within(types, name, depth))
            }
            Self::Function(returns, ..) => {
                returns.declare_within(types, format!("{name}(…)"), depth)
            }
        }
    }

    /// The type without `const` and `volatile` around it.
    #[must_use]
    pub fn unqualified(&self) -> &Self {
        let mut ty = self;
        while let Self::Const(inner) | Self::Volatile(inner) = ty {
            ty = inner;
        }
        ty
    }
}

fn is_function(types: &Types, id: u32) -> bool {
    types.kind(id) == Some(TypeKind::FuncProto)
}
