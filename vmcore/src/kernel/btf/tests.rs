//! Toy BTF: names, members, enums, modules on top, and damage.

use super::{TypeKind, Types};
use crate::kernel::toy;
use std::sync::Arc;
use synth::btf::Btf;
use synth::ram::Ram;

/// struct task { int pid; union { long a; struct { char b; unsigned flag:3, other:5; }; };
/// char comm[16]; struct node list[2]; u64 *next; } and an enum.
fn blob() -> (Btf, u32) {
    let mut btf = Btf::new();
    let int = btf.int("int", 4, true);
    let unsigned = btf.int("unsigned int", 4, false);
    let long = btf.int("long", 8, true);
    let byte = btf.int("char", 1, true);
    let alias = btf.add("u64", 8, 0, false, long, &[]);
    let text = btf.add("", 3, 0, false, 0, &[byte, unsigned, 16]);
    let node = btf.compound(
        "node",
        4,
        16,
        &[("first", long, 0, 0), ("second", alias, 64, 0)],
    );
    let nodes = btf.add("", 3, 0, false, 0, &[node, unsigned, 2]);
    let pointer = btf.add("", 2, 0, false, alias, &[]);
    let inner = btf.compound(
        "",
        4,
        8,
        &[
            ("b", byte, 0, 0),
            ("flag", unsigned, 35, 3),
            ("other", unsigned, 38, 5),
        ],
    );
    let either = btf.compound("", 5, 8, &[("a", long, 0, 0), ("", inner, 0, 0)]);
    // A declaration of the same name comes first and has nothing.
    btf.add("task", 7, 0, false, 0, &[]);
    let task = btf.compound(
        "task",
        4,
        80,
        &[
            ("pid", int, 0, 0),
            ("", either, 64, 0),
            ("comm", text, 128, 0),
            ("list", nodes, 256, 0),
            ("next", pointer, 512, 0),
        ],
    );
    let (red, green) = (btf.string("RED"), btf.string("GREEN"));
    btf.add("colour", 6, 2, true, 4, &[red, 0xffff_ffff, green, 7]);
    let wide = btf.string("WIDE");
    btf.add("wide", 19, 1, false, 8, &[wide, 5, 1]);
    (btf, task)
}

#[test]
fn without_symbols_the_blob_is_found_by_its_head() {
    const STEXT: u64 = 0xffff_ffff_8100_0000;
    let (mut btf, _) = blob();
    // As large as a kernel's: smaller blobs are somebody else's.
    for n in 0..6000 {
        btf.int(&format!("number_{n}"), 4, n % 2 == 0);
    }
    let mut ram = Ram::new(4, 0x200_0000);
    ram.line(&format!("SYMBOL(_stext)={STEXT:x}"));
    // A head without a blob behind it, then one of a module's size, then the kernel's.
    let (small, _) = blob();
    ram.put_image(STEXT + 0x100, &small.build(None)[..12]);
    ram.put_image(STEXT + 0x3004, &small.build(None));
    ram.put_image(STEXT + 0x2_0014, &btf.build(None));
    let kernel = toy::kernel(&ram);
    assert!(kernel.symbols().is_err());
    assert_eq!(kernel.member("task", "comm").unwrap().offset, 16);
    assert!(kernel.types().unwrap().find_type("number_5999").is_some());
}

#[test]
fn members_are_found_through_unnamed_structs_and_arrays() {
    let (btf, task) = blob();
    let types = Types::parse(btf.build(None), None).unwrap();
    assert_eq!(types.find_type("task"), Some(task));
    assert_eq!(types.find_type("union task"), None);
    assert_eq!(types.size_of("struct task").unwrap(), 80);
    assert_eq!(types.size_of("u64").unwrap(), 8);
    let at = |path: &str| {
        let member = types.member("task", path).unwrap();
        (member.offset, member.bit, member.bits, member.size)
    };
    assert_eq!(at("pid"), (0, 0, None, 4));
    assert_eq!(at("a"), (8, 0, None, 8));
    assert_eq!(at("b"), (8, 0, None, 1));
    assert_eq!(at("flag"), (12, 3, Some(3), 4));
    assert_eq!(at("other"), (12, 6, Some(5), 4));
    assert_eq!(at("comm"), (16, 0, None, 16));
    assert_eq!(at("comm[15]"), (31, 0, None, 1));
    assert_eq!(at("list[1].second"), (56, 0, None, 8));
    assert!(types.member("task", "nothing").is_err());
    assert!(types.member("task", "pid.x").is_err());
    assert!(types.member("nothing", "pid").is_err());
}

#[test]
fn enums_and_declarations_read_as_in_c() {
    let (btf, task) = blob();
    let types = Types::parse(btf.build(None), None).unwrap();
    assert_eq!(types.enumerator("colour", "RED"), Some(-1));
    assert_eq!(types.enumerator("enum colour", "GREEN"), Some(7));
    assert_eq!(types.enumerator("", "WIDE"), Some(0x1_0000_0005));
    assert_eq!(types.enumerator("colour", "BLUE"), None);
    let lines: Vec<String> = types
        .fields(task)
        .map(|field| types.declare(field.member.type_id, &field.name))
        .collect();
    assert_eq!(
        lines,
        [
            "int pid",
            "union {…}",
            "char comm[16]",
            "struct node list[2]",
            "u64 *next"
        ]
    );
    assert_eq!(types.kind(task), Some(TypeKind::Struct));
}

#[test]
fn a_module_continues_the_kernel() {
    let (base, task) = blob();
    let mut module = Btf::on(&base);
    let own = module.compound("acme", 4, 88, &[("task", task, 0, 0), ("count", 1, 640, 0)]);
    let kernel = Arc::new(Types::parse(base.build(None), None).unwrap());
    let types = Types::parse(module.build(None), Some(Arc::clone(&kernel))).unwrap();
    assert_eq!(types.find_type("acme"), Some(own));
    assert_eq!(kernel.find_type("acme"), None);
    assert_eq!(types.member("acme", "task.comm").unwrap().offset, 16);
    assert_eq!(
        types.declare(types.member("acme", "count").unwrap().type_id, "n"),
        "int n"
    );
    assert_eq!(types.size_of("task").unwrap(), 80);
    assert_eq!(types.len(), kernel.len() + 1);
}

#[test]
fn an_unknown_kind_is_skipped_when_its_length_is_told() {
    let (mut btf, _) = blob();
    // Kind 21: 8 bytes, and 4 more for each element.
    btf.add("novelty", 21, 2, false, 0, &[1, 2, 3, 4]);
    let after = btf.compound("later", 4, 4, &[("pid", 1, 0, 0)]);
    let mut layout = vec![0u8; 22 * 4];
    layout[21 * 4] = 8;
    layout[21 * 4 + 1] = 4;
    let types = Types::parse(btf.build(Some(&layout)), None).unwrap();
    assert_eq!(types.find_type("later"), Some(after));
    assert!(Types::parse(btf.build(None), None).is_err());
}

#[test]
fn types_that_lead_to_themselves_end() {
    let mut btf = Btf::new();
    // Two typedefs of each other, a struct in itself, an array of itself.
    btf.add("ping", 8, 0, false, 2, &[]);
    btf.add("pong", 8, 0, false, 1, &[]);
    btf.compound("nest", 4, 8, &[("", 3, 0, 0)]);
    btf.add("", 3, 0, false, 0, &[4, 4, 9]);
    btf.add("", 2, 0, false, 5, &[]);
    let types = Types::parse(btf.build(None), None).unwrap();
    assert_eq!(types.size(1), None);
    assert!(types.member("nest", "x").is_err());
    assert_eq!(types.size(4), None);
    assert!(types.declare(5, "p").contains('?'));
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let good = blob().0.build(None);
    for cut in 0..good.len() {
        let _ = Types::parse(good[..cut].to_vec(), None);
    }
    let mut seed = 7u64;
    for _ in 0..1500 {
        let mut bad = good.clone();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize % bad.len();
            bad[at] = (seed >> 20) as u8;
        }
        if let Ok(types) = Types::parse(bad, None) {
            for id in 0..types.len() + 2 {
                let _ = (
                    types.size(id),
                    types.fields(id).count(),
                    types.declare(id, "x"),
                );
                let _ = types.enumerators(id).count();
            }
            let _ = types.member("task", "list[1].second");
        }
    }
}
