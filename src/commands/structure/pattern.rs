//! Types by a shell pattern: those of the kernel, and of every module that has types.

use initramfs::modules::matches;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{self, Write};
use vmcore::kernel::{Kernel, KernelError, Types};

/// A type that matches.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub(super) struct Match {
    #[serde(rename = "type")]
    name: String,
    size: Option<u64>,
    module: Option<String>,
}

/// The types whose name matches, each once. `module:pattern` asks the modules that match alone.
pub(super) fn find(kernel: &Kernel, pattern: &str) -> Result<BTreeSet<Match>, KernelError> {
    let (of, pattern) = match pattern.split_once(':') {
        Some((module, pattern)) => (Some(module), pattern),
        None => (None, pattern),
    };
    let own = kernel.types()?;
    let mut found = BTreeSet::new();
    if of.is_none() {
        add(own, pattern, None, &mut found);
    }
    for module in kernel.modules().unwrap_or_default() {
        let name = module.name.as_str();
        if of.is_some_and(|of| !matches(of, name)) {
            continue;
        }
        // Modules without types are passed over.
        if let Ok(types) = kernel.module_types(name) {
            let first = own.len();
            add_from(&types, pattern, Some(name), first, &mut found);
        }
    }
    Ok(found)
}

fn add(types: &Types, pattern: &str, module: Option<&str>, found: &mut BTreeSet<Match>) {
    add_from(types, pattern, module, 0, found);
}

/// Only the types behind number `first`: those before it are the kernel's own.
fn add_from(
    types: &Types,
    pattern: &str,
    module: Option<&str>,
    first: u32,
    found: &mut BTreeSet<Match>,
) {
    for name in types.names().filter(|name| matches(pattern, name)) {
        for id in types.find_all(name).filter(|id| *id > first) {
            found.insert(Match {
                name: types.declare(id, ""),
                size: types.size(id),
                module: module.map(ToOwned::to_owned),
            });
        }
    }
}

/// One a line.
pub(super) fn print(found: &BTreeSet<Match>, out: &mut impl Write) -> io::Result<()> {
    for ty in found {
        let size = ty
            .size
            .map(|size| format!(", {size} bytes"))
            .unwrap_or_default();
        let of = ty.module.as_ref().map(|module| format!(" [{module}]"));
        writeln!(out, "{}{size}{}", ty.name, of.unwrap_or_default())?;
    }
    Ok(())
}
