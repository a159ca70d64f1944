//! `.symtab` and `.strtab`.

use super::Image;
use super::layout::Part;
use super::modules::Module;
use super::pieces::RODATA;
use super::symbols::Row;
use crate::elf::{self, Section, flag, kind};
use crate::error::Error;

/// STT_*, STB_*
const OBJECT: u8 = 1;
const FUNCTION: u8 = 2;
const SECTION: u8 = 3;
const GLOBAL: u8 = 1;
const WEAK: u8 = 2;

/// Adds `.symtab` and `.strtab`.
pub(super) fn add(
    sections: &mut Vec<Section>,
    image: &Image,
    modules: &[Module],
) -> Result<(), Error> {
    let (table, layout) = (&image.table, &image.layout);
    // Of what is in memory, in the order of addresses; the first section of the file is an empty one.
    let places: Vec<(u64, u16)> = (1..)
        .zip(
            sections
                .iter()
                .take_while(|section| section.flags & flag::ALLOC != 0),
        )
        .map(|(index, section)| (section.address, index))
        .collect();
    let place = |address: u64| {
        let after = places.partition_point(|(start, _)| *start <= address);
        let found = after.checked_sub(1).and_then(|index| places.get(index));
        found.map_or(0, |(_, index)| *index)
    };
    let symbol = |row: &Row| -> Option<elf::Symbol> {
        let part = layout.part(row.address).filter(|_| layout.keeps(row))?;
        Some(elf::Symbol {
            name: row.name,
            binding: match (row.weak(), row.external()) {
                (true, _) => WEAK,
                (false, true) => GLOBAL,
                (false, false) => 0,
            },
            ty: match part {
                Part::Text | Part::InitText => FUNCTION,
                _ => OBJECT,
            },
            section: place(layout.linked(row.address)),
            value: layout.linked(row.address),
            size: image.size(row),
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
    let (bytes, first_global) = elf::symbols(&mut all)?;
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
