//! The globals of a kernel in a core, and of its modules.

use super::{DebugFile, Globals, GlobalsError, Names, Table};
use crate::needed::Needed;
use std::collections::HashSet;
use std::sync::Arc;
use vmcore::addr::VirtAddr;
use vmcore::arch::x86_64;
use vmcore::kernel::{AreaKind, Kernel, Types};

/// `__START_KERNEL_map` of x86_64: what lies below is an offset of a per-CPU variable.
const IMAGE: u64 = 0xffff_ffff_8000_0000;

impl<'k> Globals<'k> {
    /// Of the kernel proper: with the debug information of its vmlinux if there is one, with the table
    /// that ships, and with the types that debuggers need.
    ///
    /// # Errors
    /// When the kernel's types or symbols are not to be had, or the file's debug information is damaged.
    pub fn of_kernel(
        kernel: &'k Kernel,
        vmlinux: Option<&DebugFile>,
    ) -> Result<Self, GlobalsError> {
        // Calls are read as x86_64 has them.
        let bounds = match kernel.arch().machine == x86_64::MACHINE {
            true => &[("_stext", "_etext")][..],
            false => &[],
        };
        let bounds = bounds
            .iter()
            .map(|(start, end)| (kernel.symbol(start), kernel.symbol(end)));
        let bounds = bounds.filter_map(|(start, end)| Some((start.ok()?.0, end.ok()?.0)));
        let types = Arc::clone(kernel.types()?);
        let this = Self::within(kernel, types, bounds.collect())?;
        let mut this = this.with_table(Table::shipped()?);
        this.needed = Needed::shipped();
        if let Some(file) = vmlinux {
            let moved = kernel.vmcoreinfo().kernel_offset().unwrap_or(0);
            let mut defined = HashSet::new();
            file.for_each(|variable| {
                let Some(address) = variable.address else {
                    this.declared.insert(variable.name, variable.words);
                    return;
                };
                let image = kernel.arch().machine != x86_64::MACHINE || address >= IMAGE;
                let address = match image {
                    true => address.wrapping_add(moved),
                    false => address,
                };
                this.dwarf.insert(address, variable.words);
                if !variable.local {
                    defined.insert(variable.name);
                }
            })?;
            this.declared.retain(|name, _| !defined.contains(name));
        }
        Ok(this)
    }

    /// Of one module, from its types and its code: names of modules are too short for the table, where
    /// they mean something else.
    ///
    /// # Errors
    /// When its types are not to be had.
    pub fn of_module(kernel: &'k Kernel, module: &str) -> Result<Self, GlobalsError> {
        let types = kernel.module_types(module)?;
        let modules = kernel.modules()?.iter().filter(|of| of.name == module);
        let areas = modules.flat_map(|of| &of.areas);
        let code = areas.filter(|area| area.kind == AreaKind::Text);
        let text = code.map(|area| (area.base.0, area.base.0.saturating_add(area.size)));
        Self::within(kernel, types, text.collect())
    }

    fn within(
        kernel: &'k Kernel,
        types: Arc<Types>,
        text: Vec<(u64, u64)>,
    ) -> Result<Self, GlobalsError> {
        let symbols = kernel.symbols()?;
        let mut all = Vec::new();
        symbols.for_each(|symbol| all.push((symbol.address.0, symbol.kind, symbol.name)))?;
        // Without the modules' symbols there are the kernel's.
        let _ = kernel.modules();
        symbols.for_each_of_modules(|_, symbol| {
            all.push((symbol.address.0, symbol.kind, symbol.name));
        });
        let read = |at: u64, bytes: &mut [u8]| kernel.read(VirtAddr(at), bytes).is_ok();
        let release = kernel.vmcoreinfo().osrelease().unwrap_or_default();
        let names = Names::new(all);
        Ok(Self::new(types, names, release, text, Box::new(read)))
    }
}
