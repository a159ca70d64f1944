//! Modules: their symbols, where they lie, and a unit of DWARF for each that has BTF (5.11 and newer).
//!
//! A per-CPU variable of a module lies behind those of the image, in the part of the first chunk that is kept
//! for modules (mm/percpu.c, `pcpu_reserved_chunk`): its symbol is a `__percpu` pointer as theirs are.

use super::Image;
use super::padding::Code;
use crate::dwarf::{ModuleUnit, Named, Place, Range, Unit};
use crate::error::Error;
use crate::globals::{Calls, Known, Names};
use std::collections::HashMap;
use std::sync::Arc;
use vmcore::addr::VirtAddr;
use vmcore::arch::x86_64;
use vmcore::kernel::{Area, AreaKind, Kernel, KernelError, Types, chain};

/// No module's area is larger: the kernel gives all of them 1.5 GiB at most (MODULES_LEN).
const MAX_AREA: u64 = 1 << 30;
/// The longest code of a module that is looked through; amdgpu has some 10 MiB.
const MAX_TEXT: u64 = 64 << 20;

/// A module.
pub(super) struct Module {
    pub name: String,
    /// Where it lies, ascending.
    pub areas: Vec<Area>,
    /// Address and name, ascending.
    pub symbols: Vec<(u64, String)>,
    /// The symbols that have their name alone.
    by_name: HashMap<String, u64>,
    /// The same of its per-CPU variables.
    per_cpu: HashMap<String, u64>,
    types: Option<Arc<Types>>,
    code: Vec<Code>,
}

impl Module {
    fn area(&self, address: u64) -> Option<&Area> {
        self.areas
            .iter()
            .find(|area| area.contains(VirtAddr(address)))
    }

    pub(super) fn is_code(&self, address: u64) -> bool {
        self.area(address)
            .is_some_and(|area| area.kind == AreaKind::Text)
    }

    /// Bytes up to the next symbol or the end of the area; of a function without what fills up to there.
    pub(super) fn size(&self, address: u64) -> u64 {
        let Some(area) = self.area(address) else {
            return 0;
        };
        let next = self.symbols.partition_point(|(at, _)| *at <= address);
        let next = self.symbols.get(next).map_or(u64::MAX, |(at, _)| *at);
        let end = area.base.0.saturating_add(area.size).min(next);
        let room = end.saturating_sub(address);
        match self.code.iter().find(|code| code.contains(address)) {
            Some(code) => code.size(address, room),
            None => room,
        }
    }

    /// Whether all of its code could be read.
    pub(super) fn is_whole(&self) -> bool {
        self.code.iter().all(|code| code.whole)
    }

    /// Its code from the first byte to the last.
    fn text(&self) -> Option<Range> {
        let mut code = self.areas.iter().filter(|area| area.kind == AreaKind::Text);
        let first = code.next()?;
        let last = code.next_back().unwrap_or(first);
        Some(Range {
            start: first.base.0,
            end: last.base.0.saturating_add(last.size),
        })
    }
}

/// All modules, in the order of their addresses; and the names of those without types.
pub(super) fn read(
    kernel: &Kernel,
    image: &Image,
) -> Result<(Vec<Module>, Vec<String>), KernelError> {
    let mut symbols: HashMap<String, Vec<(u64, String)>> = HashMap::new();
    let listed = kernel.modules()?;
    kernel.symbols()?.for_each_of_modules(|module, symbol| {
        let all = symbols.entry(module.to_owned()).or_default();
        all.push((symbol.address.0, symbol.name));
    });
    let mut without = Vec::new();
    let mut modules = Vec::new();
    for module in listed {
        let mut areas = module.areas.clone();
        areas.retain(|area| area.kind != AreaKind::Init && area.size <= MAX_AREA);
        areas.sort_by_key(|area| area.base);
        let symbols = symbols.remove(&module.name).unwrap_or_default();
        let is_per_cpu = |(at, _): &(u64, String)| module.holds_per_cpu(VirtAddr(*at));
        let (per_cpu, mut symbols): (Vec<_>, Vec<_>) = symbols.into_iter().partition(is_per_cpu);
        symbols.retain(|(at, _)| areas.iter().any(|area| area.contains(VirtAddr(*at))));
        // Stable: of several names at one address the table's own order is kept.
        symbols.sort_by_key(|(at, _)| *at);
        let types = match kernel.module_types(&module.name) {
            Ok(types) => Some(types),
            Err(_) => {
                without.push(module.name.clone());
                None
            }
        };
        let text = |area: &&Area| area.kind == AreaKind::Text && area.size <= MAX_TEXT;
        let code = areas.iter().filter(text).map(|area| {
            let (start, end) = (area.base.0, area.base.0.saturating_add(area.size));
            Code::read(kernel, Range { start, end })
        });
        modules.push(Module {
            name: module.name.clone(),
            code: code.collect(),
            areas,
            by_name: unique(&symbols),
            per_cpu: unique(&per_cpu),
            symbols,
            types,
        });
    }
    modules.sort_by_key(|module| module.areas.first().map(|area| area.base));
    let (text, bss) = (image.layout.text, image.layout.bss);
    let mut end = image.layout.least;
    modules.retain_mut(|module| {
        // What overlaps something else is damage.
        module.areas.retain(|area| {
            let behind = area.base.0.saturating_add(area.size);
            let apart = behind <= text.start || area.base.0 >= bss.end;
            let fits = apart && area.base.0 >= end;
            if fits {
                end = behind;
            }
            fits
        });
        !module.areas.is_empty()
    });
    Ok((modules, without))
}

/// The symbols that have their name alone.
fn unique(symbols: &[(u64, String)]) -> HashMap<String, u64> {
    let mut times: HashMap<&str, (u64, u32)> = HashMap::new();
    for (at, name) in symbols {
        times.entry(name).or_insert((*at, 0)).1 += 1;
    }
    let unique = times.into_iter().filter(|(_, (_, times))| *times == 1);
    unique
        .map(|(name, (at, _))| (name.to_owned(), at))
        .collect()
}

/// Writes the units of all modules that have types. Answers how many these are.
pub(super) fn write<'a>(
    unit: &mut Unit<'a>,
    kernel: &Kernel,
    image: &Image,
    modules: &'a [Module],
) -> Result<usize, Error> {
    let (table, layout) = (&image.table, &image.layout);
    let typed = modules.iter().filter_map(|module| {
        let types = module.types.as_deref()?;
        Some((module, types, module.text()?))
    });
    let typed: Vec<_> = typed.collect();
    if typed.is_empty() {
        return Ok(0);
    }
    let kernels = table.rows().iter().map(|row| {
        let letter = char::from(row.letter);
        (row.address, letter, table.name(row).to_owned())
    });
    let own = modules.iter().flat_map(|module| &module.symbols);
    let own = own.map(|(at, name)| (*at, '?', name.clone()));
    let names = Names::new(kernels.chain(own));
    let types = kernel.types().map_err(Error::Types)?;
    let kernels = Known::of(&names, types, types.own_ids());
    let mut read = |at: u64, bytes: &mut [u8]| kernel.read(VirtAddr(at), bytes).is_ok();
    for (module, types, text) in &typed {
        let place = |named: Named<'_>| {
            let at = match named {
                Named::Function(name) => {
                    *module.by_name.get(name).filter(|at| module.is_code(**at))?
                }
                Named::PerCpu(name, _) => *module.per_cpu.get(name)?,
            };
            Some(Place {
                address: layout.linked(at),
                size: module.size(at),
                external: false,
            })
        };
        let code = layout.linked_range(*text);
        let name = module.name.as_str();
        let begun = unit.begin_module(&ModuleUnit { name, types, code }, &place)?;
        let known = Known::of(&names, types, types.own_ids());
        // Calls are read as x86_64 has them.
        let text = match kernel.arch().machine == x86_64::MACHINE {
            true => vec![(text.start, text.end)],
            false => Vec::new(),
        };
        let calls = Calls::scan_with(&names, &text, &[&known, &kernels], &mut read);
        for (at, name) in &module.symbols {
            if module.is_code(*at) || !module.by_name.contains_key(name) {
                continue;
            }
            if let Some(ty) = calls.of(*at, module.size(*at), types) {
                unit.variable(name, false, layout.linked(*at), &ty)?;
            }
        }
        unit.end_module(begun)?;
    }
    Ok(typed.len())
}

/// What `read` failed with, as a warning.
pub(super) fn failed(error: &KernelError) -> String {
    format!("there are no modules in it: {}", chain(error))
}
