//! The name under which a file is kept: the kernel's build id, and a hash of what the file is made from.

use super::Options;
use crate::error::Error;
use sha2::{Digest, Sha256};
use vmcore::kernel::Kernel;

/// Bytes of the hash that are in the name.
const HASH: usize = 12;

/// The name of the file of this kernel with these options, made by the program that `program` names. The
/// same name means the same file, if that was made from whole cores ([`super::Vmlinux::whole`]).
///
/// # Errors
/// The core has no types or no symbols.
pub fn key(kernel: &Kernel, options: Options, program: &str) -> Result<String, Error> {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(program.as_bytes());
    let Options { relocated, modules } = options;
    add(&[u8::from(relocated), u8::from(modules)]);
    add(&kernel
        .types()
        .map_err(Error::Types)?
        .blob()
        .map_err(Error::Types)?);
    let symbols = kernel.symbols().map_err(Error::Symbols)?;
    let moved = kernel.vmcoreinfo().kernel_offset().unwrap_or(0);
    let mut each = |name: &str, address: u64, moved: u64| {
        add(name.as_bytes());
        add(&address.wrapping_sub(moved).to_le_bytes());
    };
    // Of the image without what KASLR added, unless that is asked for; per-CPU symbols have offsets.
    let image = |address: u64| match relocated || address >> 31 == 0 {
        true => 0,
        false => moved,
    };
    symbols
        .for_each(|symbol| each(&symbol.name, symbol.address.0, image(symbol.address.0)))
        .map_err(Error::Symbols)?;
    if modules {
        for module in kernel.modules().unwrap_or_default() {
            for area in &module.areas {
                each(&module.name, area.base.0, moved);
                each("", area.size, 0);
            }
        }
        symbols.for_each_of_modules(|module, symbol| {
            each(module, symbol.address.0, 0);
            each(&symbol.name, 0, 0);
        });
        for module in kernel.modules().unwrap_or_default() {
            let blob = kernel
                .module_types(&module.name)
                .and_then(|types| types.blob());
            add(&blob.unwrap_or_default());
        }
    }
    let id = kernel.vmcoreinfo().build_id().unwrap_or("unknown");
    let hash = hash.finalize();
    let hash = hash.iter().take(HASH).map(|byte| format!("{byte:02x}"));
    Ok(format!("{id}-{}", hash.collect::<String>()))
}
