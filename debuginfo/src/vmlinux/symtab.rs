//! `.symtab` and `.strtab`.
//!
//! gdb takes an address for a part of the symbol before it as far as that symbol's size goes. kallsyms has no
//! sizes: without a type, a variable reaches to the next symbol. What only marks a place has none, as in the
//! kernel's own table; nor has the last symbol before the texts of the code, which have none of their own.

use super::Image;
use super::layout::Part;
use super::modules::Module;
use super::pieces::RODATA;
use super::symbols::Row;
use crate::elf::{self, Section, flag, kind};
use crate::error::Error;
use std::collections::HashMap;
use vmcore::order::Order;

/// STT_*, STB_*
const OBJECT: u8 = 1;
const FUNCTION: u8 = 2;
const SECTION: u8 = 3;
const GLOBAL: u8 = 1;
const WEAK: u8 = 2;

/// Constants without a type are no larger: what seems to be lies before the texts of the code, or before what
/// is behind the image.
const CONSTANT_MAX: u64 = 4096;

/// Whether a symbol only marks a place: arch/x86/kernel/vmlinux.lds.S, include/asm-generic/vmlinux.lds.h,
/// scripts/kallsyms.c; `.L` are the compiler's own, which 5.10 still keeps.
fn is_mark(name: &str) -> bool {
    // Code that runs before the mapping is there has its own names of them.
    let name = name.strip_prefix("__pi_").unwrap_or(name);
    let begins = ["__start_", "__stop_", "__end_", "kallsyms_", ".L"];
    let ends = ["_start", "_stop", "_end", "_begin"];
    begins.iter().any(|begin| name.starts_with(begin))
        || name.starts_with("__") && ends.iter().any(|end| name.ends_with(end))
        || [
            "init_thread_union",
            "init_stack",
            "_end",
            "_edata",
            "_sdata",
            "__brk_base",
            "__brk_limit",
        ]
        .contains(&name)
}

/// Adds `.symtab` and `.strtab`. `sizes` are those of the variables whose type is known, by address.
pub(super) fn add(
    order: Order,
    sections: &mut Vec<Section>,
    image: &Image,
    sizes: &HashMap<u64, u64>,
    modules: &[Module],
) -> Result<(), Error> {
    let (table, layout) = (&image.table, &image.layout);
    // Of what is in memory, in the order of addresses; the first section of the file is an empty one.
    let mut places: Vec<(u64, u16)> = (1..)
        .zip(
            sections
                .iter()
                .take_while(|section| section.flags & flag::ALLOC != 0),
        )
        .map(|(index, section)| (section.address, index))
        .collect();
    // Modules may lie below the image. Stable: per-CPU data at 0 comes before what has its addresses.
    places.sort_by_key(|(address, _)| *address);
    let place = |address: u64| {
        let after = places.partition_point(|(start, _)| *start <= address);
        let found = after.checked_sub(1).and_then(|index| places.get(index));
        found.map_or(0, |(_, index)| *index)
    };
    let symbol = |row: &Row| -> Option<elf::Symbol> {
        let part = layout.part(row.address).filter(|_| layout.keeps(row))?;
        let is_code = matches!(part, Part::Text | Part::InitText);
        let is_constant = matches!(part, Part::RoData | Part::InitData);
        let size = image.size(row);
        Some(elf::Symbol {
            name: row.name,
            binding: match (row.weak(), row.external()) {
                (true, _) => WEAK,
                (false, true) => GLOBAL,
                (false, false) => 0,
            },
            ty: if is_code { FUNCTION } else { OBJECT },
            section: place(layout.linked(row.address)),
            value: layout.linked(row.address),
            size: match sizes.get(&row.address) {
                // The function that begins there is what readers should name.
                _ if is_code && is_mark(table.name(row)) && table.is_shared(row) => 0,
                _ if is_code => size,
                _ if is_mark(table.name(row)) => 0,
                Some(known) => size.min(*known),
                None if is_constant && size > CONSTANT_MAX => 0,
                None => size,
            },
        })
    };
    let mut all: Vec<_> = table.rows().iter().filter_map(symbol).collect();
    let rodata = (1..)
        .zip(sections.iter())
        .find(|(_, section)| section.name == RODATA);
    all.extend(rodata.map(|(index, section)| elf::Symbol {
        name: 0,
        binding: 0,
        ty: SECTION,
        section: index,
        value: section.address,
        size: 0,
    }));
    let mut names = image.table.names().to_vec();
    for module in modules {
        for (address, text) in &module.symbols {
            let name = u32::try_from(names.len()).map_err(|_| Error::TooLarge)?;
            names.extend(text.as_bytes());
            names.push(0);
            all.push(elf::Symbol {
                name,
                // kallsyms does not say which symbols of modules other files see.
                binding: 0,
                ty: match module.is_code(*address) {
                    true => FUNCTION,
                    false => OBJECT,
                },
                section: place(layout.linked(*address)),
                value: layout.linked(*address),
                size: module.size(*address),
            });
        }
    }
    let (bytes, first_global) = elf::symbols(order, &mut all)?;
    let strtab = u32::try_from(sections.len().saturating_add(2)).map_err(|_| Error::TooLarge)?;
    sections.push(Section {
        name: ".symtab".to_owned(),
        kind: kind::SYMTAB,
        bytes,
        link: strtab,
        info: first_global,
        align: 8,
        each: 24,
        ..Section::default()
    });
    sections.push(Section {
        name: ".strtab".to_owned(),
        kind: kind::STRTAB,
        bytes: names,
        align: 1,
        ..Section::default()
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_mark;

    #[test]
    fn the_early_heap_is_no_variable() {
        for name in [
            "__brk_base",
            "__brk_limit",
            "__pi___end_bss_decrypted",
            "__start_rodata",
            "__per_cpu_end",
            "_end",
        ] {
            assert!(is_mark(name), "{name}");
        }
        for name in ["init_task", "__pi_memcpy", "_brk_end", "bin_attrs_end"] {
            assert!(!is_mark(name), "{name}");
        }
    }
}
