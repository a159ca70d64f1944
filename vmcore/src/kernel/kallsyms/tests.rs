//! Toy symbol tables in every encoding, found with and without VMCOREINFO.

use crate::addr::VirtAddr;
use crate::kernel::modules::ModuleSymbols;
use crate::kernel::{Area, AreaKind, Kernel, KernelError, Module, toy};
use std::sync::Arc;
use synth::kallsyms::{Encoding, TEXT, put};
use synth::ram::Ram;

fn symbols(percpu: bool, long: bool) -> Vec<(u64, char, String)> {
    let mut symbols = Vec::new();
    if percpu {
        symbols.push((0x1f000, 'A', "runqueues".to_owned()));
    }
    symbols.push((TEXT, 'T', "_text".to_owned()));
    symbols.push((TEXT, 'T', "_stext".to_owned()));
    for n in 0..600u64 {
        symbols.push((TEXT + 0x100 + n * 32, 't', format!("sys_task_{n}")));
    }
    symbols.push((TEXT + 0x6000, 't', "twice".to_owned()));
    symbols.push((TEXT + 0x6100, 'D', "twice".to_owned()));
    if long {
        let name = format!("_RNv{}", "task7".repeat(60));
        symbols.push((TEXT + 0x6200, 'T', name));
    }
    symbols.push((TEXT + 0x1_0000, 'B', "_end".to_owned()));
    symbols
}

fn machine(encoding: Encoding, named: bool, long: bool) -> Kernel {
    let mut ram = Ram::new(4, 0x200_0000);
    if !long {
        ram.replace("OSRELEASE", "OSRELEASE=5.10.0-toy");
    }
    ram.line(&format!("SYMBOL(_stext)={TEXT:x}"));
    // Something in the way that looks a little like the tokens of the digits.
    ram.put_image(
        TEXT + 0x2000,
        b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00",
    );
    // The image is there from the text to the tables.
    for page in (0..0x80_0000).step_by(4096) {
        ram.put_image(TEXT + page, &[0]);
    }
    ram.put_image(TEXT + 0x2000, b"0");
    let percpu = encoding == Encoding::AbsolutePerCpu;
    put(&mut ram, &symbols(percpu, long), encoding, named);
    toy::kernel(&ram)
}

fn check(kernel: &Kernel, percpu: bool, long: bool) {
    let table = kernel.symbols().unwrap();
    let known = symbols(percpu, long);
    assert_eq!(table.len() as usize, known.len());
    let mut seen = Vec::new();
    table
        .for_each(|s| seen.push((s.address.0, s.kind, s.name)))
        .unwrap();
    assert_eq!(seen, known);
    let names = ["sys_task_300", "nothing", "_end", "sys_task_0"];
    assert_eq!(
        table.lookup_many(&names),
        [
            Some(VirtAddr(TEXT + 0x100 + 300 * 32)),
            None,
            Some(VirtAddr(TEXT + 0x1_0000)),
            Some(VirtAddr(TEXT + 0x100)),
        ]
    );
    // Of two with one name the global one.
    assert_eq!(table.lookup("twice"), Some(VirtAddr(TEXT + 0x6100)));
    let inside = table.resolve(VirtAddr(TEXT + 0x100 + 17 * 32 + 5)).unwrap();
    assert_eq!(inside.to_string(), "sys_task_17+0x5");
    assert_eq!(inside.size, 32);
    // Of two at one address the first, as the kernel itself prints it.
    assert_eq!(table.resolve(VirtAddr(TEXT)).unwrap().name, "_text");
    assert_eq!(table.resolve(VirtAddr(TEXT - 1)), None);
    assert_eq!(table.resolve(VirtAddr(TEXT + 0x1_0000)), None);
    assert_eq!(table.resolve(VirtAddr(0x1f008)), None);
}

#[test]
fn every_encoding_is_told_by_stext() {
    for encoding in [
        Encoding::Absolute,
        Encoding::AbsolutePerCpu,
        Encoding::Relative,
        Encoding::PlaceRelative,
    ] {
        let kernel = machine(encoding, true, true);
        check(&kernel, encoding == Encoding::AbsolutePerCpu, true);
    }
}

#[test]
fn the_table_is_found_without_vmcoreinfo() {
    check(
        &machine(Encoding::AbsolutePerCpu, false, false),
        true,
        false,
    );
    check(&machine(Encoding::Relative, false, false), false, false);
}

/// CONFIG_KALLSYMS_ALL off: no `_end`. What lies far behind the last function is none of its code.
#[test]
fn without_data_symbols_the_last_function_ends() {
    let mut ram = Ram::new(4, 0x200_0000);
    ram.line(&format!("SYMBOL(_stext)={TEXT:x}"));
    let mut text = symbols(false, true);
    text.retain(|(_, kind, _)| kind.eq_ignore_ascii_case(&'t'));
    put(&mut ram, &text, Encoding::Relative, true);
    let kernel = toy::kernel(&ram);
    let table = kernel.symbols().unwrap();
    assert_eq!(table.lookup("_end"), None);
    let name = |addr| table.resolve(VirtAddr(addr)).map(|found| found.name);
    assert_eq!(name(TEXT + 0x6000), Some("twice".into()));
    assert_eq!(name(TEXT + 0x6200 + 0x2000), None);
    assert_eq!(name(0xffff_ffff_c031_500b), None);
}

#[test]
fn a_table_that_contradicts_stext_is_refused() {
    let mut ram = Ram::new(4, 0x200_0000);
    ram.line(&format!("SYMBOL(_stext)={:x}", TEXT + 0x40));
    put(
        &mut ram,
        &symbols(true, true),
        Encoding::AbsolutePerCpu,
        true,
    );
    let Err(KernelError::Unavailable { why, .. }) = toy::kernel(&ram).symbols().map(drop) else {
        panic!("accepted");
    };
    assert!(why.contains("_stext"), "{why}");
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let mut seed = 1u64;
    for _ in 0..40 {
        let mut ram = Ram::new(4, 0x200_0000);
        ram.line(&format!("SYMBOL(_stext)={TEXT:x}"));
        put(
            &mut ram,
            &symbols(true, true),
            Encoding::AbsolutePerCpu,
            true,
        );
        for _ in 0..40 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ram.put_image(
                synth::kallsyms::TABLES + (seed >> 33) % 0x3000,
                &[(seed >> 24) as u8],
            );
        }
        let kernel = toy::kernel(&ram);
        if let Ok(table) = kernel.symbols() {
            let _ = table.lookup_many(&["sys_task_77", "nothing"]);
            let _ = table.resolve(VirtAddr(TEXT + 0x500));
        }
    }
}

#[test]
fn a_module_is_named_on_either_side_of_the_image() {
    for base in [TEXT - 0x10_0000, TEXT + 0x4000_0000] {
        let mut ram = Ram::new(4, 0x200_0000);
        ram.line(&format!("SYMBOL(_stext)={TEXT:x}"));
        for page in (0..0x80_0000).step_by(4096) {
            ram.put_image(TEXT + page, &[0]);
        }
        let encoding = Encoding::AbsolutePerCpu;
        put(&mut ram, &symbols(true, false), encoding, true);
        // The first symbol of a table is empty; then a global function of section 1.
        let (symtab, strtab) = (TEXT + 0x7f_0000, TEXT + 0x7f_1000);
        ram.put_image(symtab + 24, &[1, 0, 0, 0, 0x12, 0, 1, 0]);
        ram.put_image64(symtab + 32, base + 0x40);
        ram.put_image(strtab, b"\0acme_poll\0");
        let kernel = toy::kernel(&ram);
        let area = Area {
            kind: AreaKind::Text,
            base: VirtAddr(base),
            size: 0x1000,
        };
        let module = Module {
            address: VirtAddr(base),
            name: "acme".to_owned(),
            areas: vec![area],
            per_cpu: None,
            symtab: VirtAddr(symtab),
            num_symtab: 2,
            strtab: VirtAddr(strtab),
        };
        let table = kernel.symbols().unwrap();
        table.add_modules(ModuleSymbols::new(kernel.memory(), &Arc::new(vec![module])));
        let found = table.resolve(VirtAddr(base + 0x52)).unwrap();
        assert_eq!((found.name.as_str(), found.offset), ("acme_poll", 0x12));
        assert_eq!(found.module.as_deref(), Some("acme"));
        let own = table.resolve(VirtAddr(TEXT + 0x6004)).unwrap();
        assert_eq!((own.name.as_str(), own.module), ("twice", None));
    }
}
