//! The file made from the toy kernel, read by others: `goblin` for ELF, `gimli` for DWARF and its frames.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use debuginfo::{CType, GlobalType, GlobalTypes, Globals, Options, Source, Vmlinux};
use gimli::{
    Attribute, AttributeValue, BaseAddresses, CfaRule, DebugFrame, Dwarf, EndianSlice,
    LittleEndian, RegisterRule, UnwindContext, UnwindSection,
};
use goblin::elf::Elf;
use std::collections::HashMap;
use synth::kernel::{Crash, TEXT};
use vmcore::kernel::{Kernel, TypeKind};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

fn kernel(crash: Crash) -> (tempfile::TempDir, Kernel) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core.elf");
    std::fs::write(&path, synth::kernel::Kernel::new(crash).elf()).unwrap();
    let kernel = Kernel::new(vmcore::dump::open(&path).unwrap()).unwrap();
    (dir, kernel)
}

/// What a table might say, right and wrong.
struct Says(HashMap<&'static str, CType>);

impl GlobalTypes for Says {
    fn of(&self, symbol: &str, _: Option<u64>) -> Option<GlobalType> {
        let source = Source::Table;
        let ty = self.0.get(symbol)?.clone();
        Some(GlobalType { ty, source })
    }
}

fn made(kernel: &Kernel, options: Options) -> (Vmlinux, Vec<u8>) {
    let types = kernel.types().unwrap();
    let says = [
        ("init_task", "struct task_struct"),
        ("slab_caches", "struct list_head"),
        ("modules", "const struct list_head *volatile [3][2]"),
        ("saved_command_line", "char *(*)(int, ...)"),
    ];
    let parsed = says.map(|(name, ty)| (name, CType::parse(ty, types).unwrap()));
    let made = Vmlinux::of(kernel, &Says(parsed.into()), options).unwrap();
    let mut bytes = Vec::new();
    let len = made.write(&mut bytes).unwrap();
    assert_eq!(len, bytes.len() as u64);
    (made, bytes)
}

fn section<'a>(elf: &Elf<'_>, bytes: &'a [u8], name: &str) -> &'a [u8] {
    let found = elf.section_headers.iter().find(|header| {
        let is = elf.shdr_strtab.get_at(header.sh_name);
        is == Some(name)
    });
    let range = found.unwrap().file_range().unwrap();
    &bytes[range]
}

fn dwarf<'a>(elf: &Elf<'_>, bytes: &'a [u8]) -> Dwarf<Slice<'a>> {
    let known = [".debug_info", ".debug_abbrev", ".debug_str"];
    let load = |id: gimli::SectionId| -> Result<Slice<'a>, gimli::Error> {
        let bytes = match known.contains(&id.name()) {
            true => section(elf, bytes, id.name()),
            false => &[],
        };
        Ok(EndianSlice::new(bytes, LittleEndian))
    };
    Dwarf::load(load).unwrap()
}

/// A type in words, as a reader of DWARF puts it together.
fn words(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &gimli::Unit<Slice<'_>>,
    at: Option<AttributeValue<Slice<'_>>>,
) -> String {
    let Some(AttributeValue::UnitRef(at)) = at else {
        return "void".into();
    };
    let entry = unit.entry(at).unwrap();
    let name = entry.attr_value(gimli::DW_AT_name).map(|name| {
        let name = dwarf.attr_string(unit, name).unwrap();
        name.to_string().unwrap().to_owned()
    });
    let inner = || words(dwarf, unit, entry.attr_value(gimli::DW_AT_type));
    match entry.tag() {
        gimli::DW_TAG_pointer_type => format!("ptr({})", inner()),
        gimli::DW_TAG_const_type => format!("const({})", inner()),
        gimli::DW_TAG_volatile_type => format!("volatile({})", inner()),
        gimli::DW_TAG_structure_type => format!("struct {}", name.unwrap_or_default()),
        gimli::DW_TAG_subroutine_type => {
            let mut tree = unit.entries_tree(Some(at)).unwrap();
            let mut text = format!("{}(", inner());
            let mut children = tree.root().unwrap().children();
            while let Some(child) = children.next().unwrap() {
                let entry = child.entry();
                text += &match entry.tag() {
                    gimli::DW_TAG_unspecified_parameters => "...".into(),
                    _ => words(dwarf, unit, entry.attr_value(gimli::DW_AT_type)) + ",",
                };
            }
            text + ")"
        }
        gimli::DW_TAG_array_type => {
            let mut tree = unit.entries_tree(Some(at)).unwrap();
            let mut children = tree.root().unwrap().children();
            let length = children.next().unwrap().unwrap();
            let count = length.entry().attr_value(gimli::DW_AT_count);
            let count = count.and_then(|count| count.udata_value());
            format!("{}[{}]", inner(), count.unwrap_or(0))
        }
        _ => name.unwrap_or_default(),
    }
}

#[test]
fn every_layout_is_that_of_the_types() {
    let (_dir, kernel) = kernel(Crash::NullPointer);
    let (_, bytes) = made(&kernel, Options::default());
    let elf = Elf::parse(&bytes).unwrap();
    let dwarf = dwarf(&elf, &bytes);
    let types = kernel.types().unwrap();
    let header = dwarf.units().next().unwrap().unwrap();
    let unit = dwarf.unit(header).unwrap();
    let string = |attr: Option<AttributeValue<Slice<'_>>>| {
        let text = attr.map(|attr| dwarf.attr_string(&unit, attr).unwrap());
        text.map(|text| text.to_string().unwrap().to_owned())
            .unwrap_or_default()
    };
    let mut structs = 0;
    let mut tree = unit.entries_tree(None).unwrap();
    let mut all = tree.root().unwrap().children();
    while let Some(node) = all.next().unwrap() {
        let entry = node.entry();
        let name = string(entry.attr_value(gimli::DW_AT_name));
        if entry.tag() != gimli::DW_TAG_structure_type || name.is_empty() {
            continue;
        }
        structs += 1;
        let id = types.find_type(&format!("struct {name}")).unwrap();
        let number = |attr: Option<Attribute<Slice<'_>>>| attr.and_then(|attr| attr.udata_value());
        let size = number(entry.attr(gimli::DW_AT_byte_size).cloned());
        assert_eq!(size, types.size(id), "{name}");
        let mut fields = types.fields(id);
        let mut members = node.children();
        while let Some(member) = members.next().unwrap() {
            let (member, field) = (member.entry(), fields.next().unwrap());
            assert_eq!(string(member.attr_value(gimli::DW_AT_name)), field.name);
            let offset = number(member.attr(gimli::DW_AT_data_member_location).cloned());
            let bits = number(member.attr(gimli::DW_AT_data_bit_offset).cloned());
            let expected = field.member.offset * 8 + u64::from(field.member.bit);
            assert_eq!(offset.map(|at| at * 8).or(bits), Some(expected), "{name}");
        }
        assert_eq!(fields.next(), None, "{name}");
    }
    let named = (1..=types.len())
        .filter(|&id| types.kind(id) == Some(TypeKind::Struct) && !types.name(id).is_empty())
        .count();
    assert_eq!(structs, named);
    assert!(structs > 20, "{structs}");
}

#[test]
fn structures_are_read_with_their_places() {
    let (dir, kernel) = kernel(Crash::NullPointer);
    let (_, bytes) = made(&kernel, Options::default());
    let path = dir.path().join("vmlinux");
    std::fs::write(&path, bytes).unwrap();
    let mut found = HashMap::new();
    let file = debuginfo::DebugFile::open(&path).unwrap();
    file.structures(|structure| {
        found.insert(structure.name.clone(), structure);
    })
    .unwrap();
    let types = kernel.types().unwrap();
    for id in (1..=types.len()).filter(|&id| types.kind(id) == Some(TypeKind::Struct)) {
        let name = types.name(id);
        let Some(structure) = found.remove(&format!("struct {name}")) else {
            assert!(name.is_empty(), "{name}");
            continue;
        };
        assert_eq!(Some(structure.size), types.size(id), "{name}");
        for field in structure.members {
            let member = types.member_of(id, &field.name).unwrap();
            let bit = member.offset * 8 + u64::from(member.bit);
            assert_eq!((field.bit, field.size), (bit, Some(member.size)), "{name}");
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn globals_have_the_types_that_are_known() {
    let (_dir, kernel) = kernel(Crash::NullPointer);
    let (vmlinux, bytes) = made(&kernel, Options::default());
    let elf = Elf::parse(&bytes).unwrap();
    let dwarf = dwarf(&elf, &bytes);
    let header = dwarf.units().next().unwrap().unwrap();
    let unit = dwarf.unit(header).unwrap();
    let mut found = HashMap::new();
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs().unwrap() {
        if entry.tag() == gimli::DW_TAG_variable {
            let name = entry.attr_value(gimli::DW_AT_name).unwrap();
            let name = dwarf.attr_string(&unit, name).unwrap();
            let ty = words(&dwarf, &unit, entry.attr_value(gimli::DW_AT_type));
            let Some(AttributeValue::Exprloc(place)) = entry.attr_value(gimli::DW_AT_location)
            else {
                panic!("no place");
            };
            let mut operations = place.operations(unit.encoding());
            let Some(gimli::Operation::Address { address }) = operations.next().unwrap() else {
                panic!("no address");
            };
            found.insert(name.to_string().unwrap().to_owned(), (address, ty));
        }
    }
    let address = |name: &str| kernel.symbol(name).unwrap().0;
    for (name, ty) in [
        ("init_task", "struct task_struct"),
        ("slab_caches", "struct list_head"),
        ("modules", "volatile(ptr(const(struct list_head)))[2][3]"),
        ("saved_command_line", "ptr(ptr(char)(int,...))"),
    ] {
        let (at, is) = &found[name];
        assert_eq!((*at, is.as_str()), (address(name), ty), "{name}");
    }
    // The toy kernel has globals that crash needs and the table above does not know.
    let missing = &vmlinux.summary.missing;
    assert!(missing.contains(&"panic_cpu"), "{missing:?}");
    assert!(!missing.contains(&"init_task"), "{missing:?}");
    assert!(
        vmlinux.warnings.iter().any(|text| text.contains("bt -a")),
        "{:?}",
        vmlinux.warnings
    );
}

#[test]
fn a_name_that_two_files_have_gets_no_type() {
    let (_dir, kernel) = kernel(Crash::NullPointer);
    let types = kernel.types().unwrap();
    let symbols = kernel.symbols().unwrap();
    let mut times: HashMap<String, u32> = HashMap::new();
    symbols
        .for_each(|symbol| *times.entry(symbol.name).or_default() += 1)
        .unwrap();
    // What follows counts on it: no name of a global comes twice in the toy kernel.
    assert_eq!(times["init_task"], 1);
    let globals = Globals::of_kernel(&kernel, None).unwrap();
    assert_eq!(globals.of("nothing", None), None);
    assert_eq!(
        globals.of("init_task", Some(8)),
        None,
        "larger than the room"
    );
    let task = globals.of("init_task", Some(0x1000)).unwrap();
    assert_eq!(task.ty.declare(types, "x"), "struct task_struct x");
}

#[test]
fn symbols_are_those_of_kallsyms_in_their_sections() {
    let (_dir, kernel) = kernel(Crash::NullPointer);
    let (_, bytes) = made(&kernel, Options::default());
    let elf = Elf::parse(&bytes).unwrap();
    let sections: Vec<_> = elf
        .section_headers
        .iter()
        .map(|header| (elf.shdr_strtab.get_at(header.sh_name).unwrap(), header))
        .collect();
    let mut names = HashMap::new();
    for symbol in elf.syms.iter().skip(1) {
        let name = elf.strtab.get_at(symbol.st_name).unwrap();
        names.insert(name, symbol);
        let (section, header) = sections[symbol.st_shndx];
        let range = header.sh_addr..=header.sh_addr + header.sh_size;
        assert!(range.contains(&symbol.st_value), "{name} in {section}");
    }
    let count = kernel.symbols().unwrap().len() as usize;
    // And the section of the banner, by which crash finds that.
    let banner = elf.syms.iter().filter(|s| s.st_type() == 3);
    let banner: Vec<_> = banner
        .map(|s| (sections[s.st_shndx].0, s.st_value))
        .collect();
    assert_eq!(
        banner,
        [(".rodata", kernel.symbol("linux_banner").unwrap().0)]
    );
    assert_eq!(elf.syms.len() - 2, count);
    let place = |name: &str| sections[names[name].st_shndx].0;
    assert!(place("panic").starts_with(".text"));
    assert!(place("init_task").starts_with(".data"));
    assert_eq!(place("runqueues"), ".data..percpu");
    assert_eq!(place("linux_banner"), ".rodata");
    assert!(names["panic"].is_function());
    // The variable's own size, not the room up to the next; a mark has none.
    let types = kernel.types().unwrap();
    let task = types.size_of("task_struct").unwrap();
    assert_eq!(names["init_task"].st_size, task);
    let list = types.size_of("list_head").unwrap();
    assert_eq!(names["slab_caches"].st_size, list);
    assert_eq!(names["__per_cpu_start"].st_size, 0);
    assert_eq!(names["panic"].st_value, kernel.symbol("panic").unwrap().0);
    let locals = elf.syms.iter().take_while(|symbol| symbol.st_bind() == 0);
    let table = sections
        .iter()
        .find(|(name, _)| *name == ".symtab")
        .unwrap();
    assert_eq!(locals.count(), table.1.sh_info as usize);
    let banner = section(&elf, &bytes, ".rodata");
    assert!(banner.starts_with(b"Linux version 6.12.1-toy "));
    assert!(banner.len() >= 750);
    // The build id, in a note as the linker writes it.
    let notes = section(&elf, &bytes, ".notes");
    assert!(notes.starts_with(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0\x5f\x9d\x2c\x0a"));
}

/// Where gimli finds the caller's frame at `pc`.
fn frame_at(bytes: &[u8], pc: u64) -> Option<(CfaRule<usize>, RegisterRule<usize>)> {
    let elf = Elf::parse(bytes).unwrap();
    let mut frames = DebugFrame::new(section(&elf, bytes, ".debug_frame"), LittleEndian);
    frames.set_address_size(8);
    let bases = BaseAddresses::default();
    let fde = frames.fde_for_address(&bases, pc, DebugFrame::cie_from_offset);
    let mut context = UnwindContext::new();
    let fde = fde.ok()?;
    let row = fde
        .unwind_info_for_address(&frames, &bases, &mut context, pc)
        .unwrap();
    Some((
        row.cfa().clone(),
        row.register(gimli::X86_64::RA)
            .unwrap_or(RegisterRule::Undefined),
    ))
}

#[test]
fn frames_are_those_of_the_unwinder() {
    let (_dir, kernel) = kernel(Crash::Sysrq);
    let (_, bytes) = made(&kernel, Options::default());
    let rules = analysis::unwind::rules::Rules::of(&kernel).unwrap();
    let (mut calls, mut ends) = (0, 0);
    for pair in rules.rows.windows(2) {
        let (at, entry) = pair[0];
        if at == pair[1].0 {
            continue;
        }
        let found = frame_at(&bytes, at);
        match entry.rule {
            analysis::unwind::Rule::Call => {
                calls += 1;
                let (cfa, ra) = found.unwrap();
                let offset = i64::from(entry.offset);
                let register = gimli::X86_64::RSP;
                assert_eq!(cfa, CfaRule::RegisterAndOffset { register, offset });
                assert_eq!(ra, RegisterRule::Offset(-8));
            }
            analysis::unwind::Rule::Undefined => assert!(found.is_none(), "{at:#x}"),
            analysis::unwind::Rule::End => {
                ends += 1;
                assert_eq!(found.unwrap().1, RegisterRule::Undefined);
            }
            analysis::unwind::Rule::Regs => {
                assert_eq!(found.unwrap().1, RegisterRule::Offset(128));
            }
            analysis::unwind::Rule::PartialRegs => {}
        }
    }
    assert!(calls > 10 && ends > 0, "{calls} {ends}");
}

#[test]
fn the_same_core_gives_the_same_bytes() {
    let (_dir, kernel) = kernel(Crash::NullPointer);
    let (_, once) = made(&kernel, Options::default());
    let (_, again) = made(&kernel, Options::default());
    assert!(once == again);
    assert_eq!(Elf::parse(&once).unwrap().entry, TEXT);
}

#[test]
fn modules_have_types_and_for_gdb_symbols() {
    let (_dir, kernel) = kernel(Crash::NullPointer);
    let modules = Options {
        modules: true,
        ..Options::default()
    };
    let (vmlinux, bytes) = made(&kernel, modules);
    assert!(vmlinux.whole);
    assert_eq!(vmlinux.summary.modules, 1);
    let elf = Elf::parse(&bytes).unwrap();
    let dwarf = dwarf(&elf, &bytes);
    let mut headers = dwarf.units();
    let (mut sizes, mut places) = (HashMap::new(), HashMap::new());
    while let Some(header) = headers.next().unwrap() {
        let unit = dwarf.unit(header).unwrap();
        let of = unit.name.unwrap().to_string().unwrap().to_owned();
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs().unwrap() {
            let name = entry.attr_value(gimli::DW_AT_name);
            let name = name.map(|name| dwarf.attr_string(&unit, name).unwrap());
            if entry.tag() == gimli::DW_TAG_variable
                && let Some(AttributeValue::Exprloc(at)) = entry.attr_value(gimli::DW_AT_location)
            {
                let name = name.unwrap().to_string().unwrap().to_owned();
                let place = at.operations(unit.encoding()).next().unwrap();
                places.insert((of.clone(), name), place);
            } else if entry.tag() == gimli::DW_TAG_structure_type
                && let Some(name) = name
            {
                let size = entry.attr(gimli::DW_AT_byte_size).unwrap().udata_value();
                let name = name.to_string().unwrap().to_owned();
                sizes.insert((of.clone(), name), size);
            }
        }
    }
    let key = |unit: &str, name: &str| (unit.to_owned(), name.to_owned());
    assert_eq!(sizes[&key("crasher", "crasher_device")], Some(40));
    assert!(!sizes.contains_key(&key("vmlinux", "crasher_device")));
    // A per-CPU variable's place is that of the pointer to it, as in the image.
    kernel.modules().unwrap();
    let address = kernel.symbol("crasher_hits").unwrap().0;
    let place = places.get(&key("crasher", "crasher_hits"));
    assert_eq!(place, Some(&Some(gimli::Operation::Address { address })));

    // crash and drgn read modules' symbols from the core.
    let named = |bytes: &[u8]| {
        let elf = Elf::parse(bytes).unwrap();
        let mut symbols = elf.syms.iter();
        let found = symbols.find(|s| elf.strtab.get_at(s.st_name) == Some("crasher_write"));
        let section = |index: usize| {
            let header = &elf.section_headers[index];
            elf.shdr_strtab.get_at(header.sh_name).unwrap().to_owned()
        };
        found.map(|symbol| (symbol.st_value, section(symbol.st_shndx)))
    };
    assert_eq!(named(&bytes), None);
    let relocated = Options {
        relocated: true,
        ..modules
    };
    let (_, bytes) = made(&kernel, relocated);
    kernel.modules().unwrap();
    let at = kernel.symbols().unwrap().lookup("crasher_write").unwrap();
    assert_eq!(named(&bytes), Some((at.0, ".text.crasher".to_owned())));
}

#[test]
fn a_file_keeps_its_warnings() {
    let (dir, kernel) = kernel(Crash::NullPointer);
    let (vmlinux, bytes) = made(&kernel, Options::default());
    assert!(!vmlinux.warnings.is_empty());
    let path = dir.path().join("vmlinux");
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(debuginfo::warnings_of(&path).unwrap(), vmlinux.warnings);
}

#[test]
fn another_kernel_has_another_name() {
    let name = |crash, options| {
        let (_dir, kernel) = kernel(crash);
        debuginfo::key(&kernel, options, "program").unwrap()
    };
    let plain = Options::default();
    let modules = Options {
        modules: true,
        ..plain
    };
    let once = name(Crash::NullPointer, plain);
    assert_eq!(once, name(Crash::NullPointer, plain));
    // The same kernel, which died otherwise.
    assert_eq!(once, name(Crash::Sysrq, plain));
    assert_ne!(once, name(Crash::NullPointer, modules));
    let (_dir, kernel) = kernel(Crash::NullPointer);
    assert_ne!(once, debuginfo::key(&kernel, plain, "other").unwrap());
    let id = kernel.vmcoreinfo().build_id().unwrap();
    assert!(once.starts_with(id), "{once}");
}
