//! Why no vmlinux can be made.

use vmcore::kernel::KernelError;

/// Something that the core would have to have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel's types.
    #[error(
        "The core has no usable types (BTF), which everything else is made of. Use the debug vmlinux of this kernel instead"
    )]
    Types(#[source] KernelError),
    /// The kernel's symbols.
    #[error("The core has no usable symbol table. Give one: --symbols FILE")]
    Symbols(#[source] KernelError),
    /// A symbol that says where a part of the kernel's image is.
    #[error(
        "The core's symbol table has no {name}, so that the parts of the kernel cannot be told apart"
    )]
    Layout {
        /// The symbol.
        name: &'static str,
    },
    /// More than 4 GiB of one section.
    #[error("The core's types are too many for one ELF file")]
    TooLarge,
}
