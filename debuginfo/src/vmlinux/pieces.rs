//! The parts of the image as sections and segments.
//!
//! crash takes the kind of a symbol from its section: code, data and per-CPU data must have bytes in the
//! file (PROGBITS). drgn finds the kernel's own module by `.notes`, takes `.orc_unwind*` by name, wants
//! `.init.text`, and takes the first and the last segment for the ends of the kernel: per-CPU data is
//! neither. gdb asks for a section at every address that it names.

use super::layout::{Layout, Part};
use super::modules::Module;
use super::symbols::Table;
use crate::dwarf::Range;
use crate::elf::{Section, Segment, flag, kind};
use vmcore::addr::{PAGE_SIZE, VirtAddr};
use vmcore::arch::x86_64;
use vmcore::kernel::{AreaKind, Kernel};

/// Bytes of `.rodata` from the banner on: crash reads 750, whatever the banner's length.
const BANNER: usize = 1024;
/// The largest table that is read.
const MAX_TABLE: u64 = 64 << 20;
/// Bytes of a part that is gone after the start.
const GONE: usize = 16;
/// NT_GNU_BUILD_ID
const BUILD_ID: u32 = 3;

/// The section that the banner is in.
pub(super) const RODATA: &str = ".rodata";

/// Collects them.
pub(super) struct Pieces<'k> {
    kernel: &'k Kernel,
    table: &'k Table,
    layout: Layout,
    sections: Vec<Section>,
    apart: Option<Section>,
}

impl<'k> Pieces<'k> {
    pub(super) fn new(kernel: &'k Kernel, table: &'k Table, layout: Layout) -> Self {
        Self {
            kernel,
            table,
            layout,
            sections: Vec::new(),
            apart: None,
        }
    }

    /// What a part is called, and what its memory is for.
    fn name(part: Part) -> (&'static str, u64) {
        match part {
            Part::Text => (".text", flag::ALLOC | flag::EXEC),
            Part::RoData => (RODATA, flag::ALLOC),
            Part::Data => (".data", flag::ALLOC | flag::WRITE),
            Part::PerCpu => (".data..percpu", flag::ALLOC | flag::WRITE),
            Part::InitText => (".init.text", flag::ALLOC | flag::EXEC),
            Part::InitData => (".init.data", flag::ALLOC | flag::WRITE),
            Part::Bss => (".bss", flag::ALLOC | flag::WRITE),
        }
    }

    fn add(&mut self, name: &str, kind: u32, flags: u64, at: u64, bytes: Vec<u8>, align: u64) {
        if !bytes.is_empty() {
            self.sections.push(Section {
                name: name.to_owned(),
                kind,
                flags,
                address: self.layout.linked(at),
                bytes,
                align,
                ..Section::default()
            });
        }
    }

    /// The first bytes of a part, or zeros where they cannot be read.
    fn head(&mut self, part: Part, at: u64, len: u64) {
        let (name, flags) = Self::name(part);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let _ = self.kernel.read(VirtAddr(at), &mut bytes);
        self.add(name, kind::PROGBITS, flags, at, bytes, PAGE_SIZE);
    }

    /// All bytes between two symbols.
    fn between(&self, start: &str, end: &str) -> Option<(u64, Vec<u8>)> {
        let (start, end) = (self.table.address(start)?, self.table.address(end)?);
        let len = end.checked_sub(start).filter(|len| *len <= MAX_TABLE)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.kernel.read(VirtAddr(start), &mut bytes).ok()?;
        Some((start, bytes))
    }

    /// Everything that has bytes. `btf` is the kernel's BTF.
    pub(super) fn image(&mut self, btf: Vec<u8>, warnings: &mut Vec<String>) {
        let layout = self.layout;
        self.head(
            Part::Text,
            layout.text.start,
            PAGE_SIZE.min(layout.text.len()),
        );
        self.banner(warnings);
        self.notes(warnings);
        if let Some(start) = self.table.address("__start_BTF") {
            self.add(".BTF", kind::PROGBITS, flag::ALLOC, start, btf, 1);
        }
        self.head(
            Part::Data,
            layout.data.start,
            PAGE_SIZE.min(layout.data.len()),
        );
        // No other machine has it.
        if self.kernel.arch().machine == x86_64::MACHINE {
            self.orc(warnings);
        }
        let per_cpu = usize::try_from(layout.per_cpu.len().min(MAX_TABLE)).unwrap_or(0);
        let (name, flags) = Self::name(Part::PerCpu);
        // The values that a CPU begins with are gone.
        let zeros = vec![0; per_cpu];
        self.add(
            name,
            kind::PROGBITS,
            flags,
            layout.per_cpu.start,
            zeros,
            PAGE_SIZE,
        );
        if let Some(init) = layout.init_text {
            for (part, at) in [(Part::InitText, init.start), (Part::InitData, init.end)] {
                if layout.part(at) == Some(part) {
                    let (name, flags) = Self::name(part);
                    self.add(name, kind::PROGBITS, flags, at, vec![0; GONE], 16);
                }
            }
        }
    }

    /// crash compares the banner with the core's: by the symbol of the section `.rodata`, or (6.x and
    /// older) by what strings(1) finds.
    fn banner(&mut self, warnings: &mut Vec<String>) {
        let at = self.table.address("linux_banner");
        let text = at.and_then(|at| Some((at, self.kernel.read_cstr(VirtAddr(at), BANNER).ok()?)));
        match text {
            Some((at, mut text)) => {
                let mut bytes = vec![0; BANNER];
                if self.kernel.read(VirtAddr(at), &mut bytes).is_err() {
                    text.resize(BANNER, 0);
                    bytes = text;
                }
                self.add(RODATA, kind::PROGBITS, flag::ALLOC, at, bytes, 1);
            }
            None => warnings.push(
                "the kernel's banner (linux_banner) cannot be read: crash takes this file for that of \
                 another kernel"
                    .to_owned(),
            ),
        }
    }

    /// The notes of the image, or the build id from VMCOREINFO alone.
    fn notes(&mut self, warnings: &mut Vec<String>) {
        let flags = flag::ALLOC;
        if let Some((at, bytes)) = self.between("__start_notes", "__stop_notes") {
            self.add(".notes", kind::NOTE, flags, at, bytes, 4);
            return;
        }
        let id = self.kernel.vmcoreinfo().build_id().and_then(unhex);
        let Some(id) = id else {
            warnings.push(
                "the kernel's build id is not known: drgn does not take this file by itself"
                    .to_owned(),
            );
            return;
        };
        let order = self.kernel.arch().order;
        let mut note = order.of_u32(4).to_vec();
        note.extend(order.of_u32(u32::try_from(id.len()).unwrap_or(0)));
        note.extend(order.of_u32(BUILD_ID));
        note.extend(b"GNU\0");
        note.extend(id);
        self.apart = Some(Section {
            name: ".notes".to_owned(),
            kind: kind::NOTE,
            bytes: note,
            align: 4,
            ..Section::default()
        });
    }

    /// A section that is not part of the image.
    pub(super) fn apart(&mut self) -> Option<Section> {
        self.apart.take()
    }

    fn orc(&mut self, warnings: &mut Vec<String>) {
        let tables = [
            (
                ".orc_unwind_ip",
                "__start_orc_unwind_ip",
                "__stop_orc_unwind_ip",
            ),
            (".orc_unwind", "__start_orc_unwind", "__stop_orc_unwind"),
        ];
        let header = self.table.address("orc_header");
        let header = header.and_then(|at| {
            let bytes = self.kernel.read_bytes::<20>(VirtAddr(at)).ok()?;
            Some((at, bytes.to_vec()))
        });
        if let Some((at, bytes)) = header {
            self.add(".orc_header", kind::PROGBITS, flag::ALLOC, at, bytes, 1);
        }
        for (name, start, end) in tables {
            match self.between(start, end) {
                Some((at, bytes)) => self.add(name, kind::PROGBITS, flag::ALLOC, at, bytes, 1),
                None => warnings.push(format!("{name} cannot be read: drgn shows no stacks")),
            }
        }
    }

    /// The sections in the order of their addresses, with sections without bytes between them, and a
    /// segment for each that has bytes.
    pub(super) fn finish(mut self) -> (Vec<Section>, Vec<Segment>) {
        self.fill();
        // Stable: per-CPU data, which may begin at 0, comes before what has its addresses.
        self.sections.sort_by_key(|section| section.address);
        let mut segments: Vec<Segment> = Vec::new();
        for (index, section) in self.sections.iter().enumerate() {
            let flags = match section.flags {
                flags if flags & flag::EXEC != 0 => 5,
                flags if flags & flag::WRITE != 0 => 6,
                _ => 4,
            };
            let size = match section.kind {
                kind::NOBITS => section.size,
                _ => section.bytes.len() as u64,
            };
            let last = segments.last_mut();
            let joins = |last: &&mut Segment| {
                let end = last.address.wrapping_add(last.size);
                section.kind == kind::NOBITS && last.flags == flags && end == section.address
            };
            match last.filter(joins) {
                Some(last) => last.size = last.size.saturating_add(size),
                None => segments.push(Segment {
                    flags,
                    address: section.address,
                    physical: section.address.wrapping_sub(self.layout.least),
                    size,
                    section: index,
                }),
            }
        }
        // The first and the last are the ends of the image: per-CPU data at 0 comes between them.
        if segments
            .first()
            .is_some_and(|first| first.address < self.layout.least)
            && segments.len() > 2
        {
            segments.swap(0, 1);
        }
        (self.sections, segments)
    }

    /// Sections without bytes for all addresses of the image that have none.
    fn fill(&mut self) {
        let layout = self.layout;
        let image = layout.linked_range(Range {
            start: layout.text.start,
            end: layout.bss.end,
        });
        let mut taken: Vec<Range> = self
            .sections
            .iter()
            .map(|section| Range {
                start: section.address,
                end: section.address.saturating_add(section.bytes.len() as u64),
            })
            .filter(|range| image.contains(range.start))
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut bounds = vec![image.start, image.end];
        bounds.extend(taken.iter().flat_map(|range| [range.start, range.end]));
        for part in [
            Some(layout.text),
            Some(layout.data),
            layout.init_text,
            Some(layout.per_cpu),
            Some(layout.bss),
        ] {
            let part = part.map(|part| layout.linked_range(part));
            bounds.extend(part.into_iter().flat_map(|part| [part.start, part.end]));
        }
        bounds.retain(|at| (image.start..=image.end).contains(at));
        bounds.sort_unstable();
        bounds.dedup();
        let back = layout.moved;
        for pair in bounds.windows(2) {
            let &[start, end] = pair else { continue };
            let before = taken.partition_point(|range| range.start <= start);
            let last = before.checked_sub(1).and_then(|n| taken.get(n));
            if last.is_some_and(|range| range.end > start) {
                continue;
            }
            let Some(part) = layout.part(start.wrapping_add(back)) else {
                continue;
            };
            let (name, flags) = Self::name(part);
            let name = match part {
                Part::Bss => name.to_owned(),
                _ => format!("{name}.rest"),
            };
            self.sections.push(Section {
                name,
                kind: kind::NOBITS,
                flags,
                address: start,
                size: end.saturating_sub(start),
                align: 1,
                ..Section::default()
            });
        }
    }
}

/// Sections without bytes for where a module lies; no segments, since drgn takes the last segment for the
/// end of the kernel.
pub(super) fn of_module(module: &Module, layout: Layout) -> impl Iterator<Item = Section> {
    module.areas.iter().map(move |area| {
        let (name, flags) = match area.kind {
            AreaKind::Text => (".text", flag::ALLOC | flag::EXEC),
            AreaKind::RoData => (".rodata", flag::ALLOC),
            AreaKind::Data | AreaKind::Init => (".data", flag::ALLOC | flag::WRITE),
        };
        Section {
            name: format!("{name}.{}", module.name),
            kind: kind::NOBITS,
            flags,
            address: layout.linked(area.base.0),
            size: area.size,
            align: 1,
            ..Section::default()
        }
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().as_chunks::<2>().0;
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.iter().map(byte).collect()
}
