//! A small table, and the one that ships.

use super::{Answer, Asked, Table, key, ordinal};
use crate::CType;
use crate::globals::length::Place;
use synth::btf::Btf;
use vmcore::kernel::Types;

const TEXT: &str = "afterpanic globals 1\n\
    kernels 6.1.0-1-amd64 6.12.9\n\
    :struct old\n3 stable\n1 changed gone\n\
    :struct new\n2 changed\n\
    :struct nowhere\n2 gone\n\
    :struct old [4]\n3 rows\n\
    :int\n3 twin once.\n\
    :struct new *\n3 twin\n";

fn types() -> Types {
    let mut btf = Btf::new();
    let int = btf.int("int", 4, true);
    btf.compound("old", 4, 16, &[("a", int, 0, 0)]);
    btf.compound("new", 4, 64, &[("a", int, 0, 0)]);
    Types::parse(btf.build(None), None).unwrap()
}

/// Somewhere in memory that is not zeros.
fn place(room: u64) -> Place<'static> {
    Place {
        address: Some(0x1000),
        room: Some(room),
        constant: false,
        next: &|| None,
        read: &|_, bytes| {
            bytes.fill(1);
            true
        },
    }
}

fn asked(table: &Table, name: &str, room: u64, release: &str) -> String {
    let types = types();
    asked_of(table, name, 0, room, release, &types)
}

fn asked_of(
    table: &Table,
    name: &str,
    rank: usize,
    room: u64,
    release: &str,
    types: &Types,
) -> String {
    let asked = Asked {
        name,
        rank,
        place: place(room),
        release,
        parse: &|words| CType::parse(words, types),
        types,
    };
    match table.of(&asked) {
        Answer::One(ty) => ty.declare(types, ""),
        Answer::Several(all) => format!("{} types", all.len()),
        Answer::None => "none".to_owned(),
    }
}

#[test]
fn the_nearest_kernel_answers() {
    let table = Table::parse(TEXT).unwrap();
    assert_eq!(asked(&table, "changed", 64, "6.12.117"), "struct new");
    assert_eq!(asked(&table, "changed", 64, "5.10.1"), "struct old");
    assert_eq!(asked(&table, "changed", 64, "7.2.1"), "struct new");
    // A type that is larger than the room, or that this kernel does not have, is not believed.
    assert_eq!(asked(&table, "changed", 16, "6.12.117"), "struct old");
    assert_eq!(asked(&table, "gone", 64, "6.12.117"), "struct old");
    assert_eq!(asked(&table, "stable", 8, "6.12.117"), "none");
    assert_eq!(asked(&table, "unheard_of", 64, "6.12.117"), "none");
    let without = Table::parse(TEXT).unwrap().without("6.12.9");
    assert_eq!(asked(&without, "changed", 64, "6.12.117"), "struct old");
}

#[test]
fn a_length_comes_from_the_room() {
    let table = Table::parse(TEXT).unwrap();
    assert_eq!(asked(&table, "rows", 64, "6.12.1"), "struct old[4]");
    assert_eq!(asked(&table, "rows", 160, "6.12.1"), "struct old[10]");
}

#[test]
fn of_several_variables_the_one_that_fills_the_room_is_meant() {
    let table = Table::parse(TEXT).unwrap();
    assert_eq!(asked(&table, "twin", 4, "6.12.1"), "int");
    assert_eq!(asked(&table, "twin", 8, "6.12.1"), "2 types");
    assert_eq!(asked(&table, "once.12", 4, "6.12.1"), "int");
    assert_eq!(asked(&table, "once", 4, "6.12.1"), "none");
}

#[test]
fn of_several_variables_of_this_very_kernel_the_order_tells() {
    let text = "afterpanic globals 1\nkernels 6.12.9 7.2.1\n:int\n1 twin#0\n:struct old [9]\n1 twin#1\n2 rows\n";
    let (table, types) = (Table::parse(text).unwrap(), types());
    let asked = |rank, release| asked_of(&table, "twin", rank, 160, release, &types);
    assert_eq!(asked(0, "6.12.9"), "int");
    // The length is known there: what is left over is padding.
    assert_eq!(asked(1, "6.12.9"), "struct old[9]");
    // Another kernel's length is not: what is no zeros is no padding.
    assert_eq!(asked(0, "6.12.10"), "struct old[10]");
    assert_eq!(asked(2, "6.12.9"), "struct old[10]");
}

#[test]
fn numbers_behind_a_dot_are_the_compilers() {
    assert_eq!(key("once.12"), "once.");
    assert_eq!(key("a.b.12.3"), "a.b.");
    assert_eq!(key("a.b"), "a.b");
    assert_eq!(key(".12"), ".12");
    assert_eq!(key("__UNIQUE_ID_ddebug123.4"), "__UNIQUE_ID_ddebug.");
    assert!(ordinal("5.19.1") < ordinal("6.0.0-rc1"));
    assert_eq!(ordinal("7.2.13+deb14"), 142);
}

#[test]
fn what_is_no_table_is_refused() {
    for text in [
        "",
        "hello",
        "afterpanic globals 1\n",
        "afterpanic globals 1\nkernels a\n1 x\n",
        "afterpanic globals 1\nkernels a\n:int\nx y\n",
    ] {
        assert!(Table::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_table_that_ships_knows_what_debuggers_ask_for() {
    let table = Table::shipped().unwrap();
    assert_eq!(table.kernels().count(), 4);
    let mut btf = Btf::new();
    let int = btf.int("int", 4, true);
    btf.compound("list_head", 4, 16, &[("next", int, 0, 0)]);
    btf.compound("task_struct", 4, 64, &[("pid", int, 0, 0)]);
    let types = Types::parse(btf.build(None), None).unwrap();
    for (name, room, expected) in [
        ("slab_caches", 16, "struct list_head"),
        ("init_task", 64, "struct task_struct"),
        ("panic_timeout", 4, "int"),
    ] {
        let asked = Asked {
            name,
            rank: 0,
            place: place(room),
            release: "6.6.9",
            parse: &|words| CType::parse(words, &types),
            types: &types,
        };
        let Answer::One(ty) = table.of(&asked) else {
            panic!("{name}");
        };
        assert_eq!(ty.declare(&types, ""), expected, "{name}");
    }
}
