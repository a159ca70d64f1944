//! Types in C's words over a toy BTF.

use super::CType;
use synth::btf::Btf;
use vmcore::kernel::Types;

fn types() -> Types {
    let mut btf = Btf::new();
    btf.int("int", 4, true);
    let char = btf.int("char", 1, true);
    let long = btf.int("long unsigned int", 8, false);
    btf.int("_Bool", 1, false);
    btf.compound("list_head", 4, 16, &[("next", long, 0, 0)]);
    // The tag `key` is not the typedef's name, and no other way round.
    btf.compound("key", 4, 64, &[("a", char, 0, 0)]);
    btf.add("gfp_t", 8, 0, false, long, &[]);
    btf.compound("", 4, 24, &[("seq", long, 0, 0), ("keeper", char, 64, 0)]);
    btf.compound("", 4, 16, &[("twice", long, 0, 0)]);
    btf.compound("", 4, 32, &[("twice", long, 0, 0)]);
    Types::parse(btf.build(None), None).unwrap()
}

fn declared(text: &str) -> Option<String> {
    let types = types();
    Some(CType::parse(text, &types)?.declare(&types, "x"))
}

#[test]
fn words_become_types_and_words_again() {
    for (text, declared_as) in [
        ("int", "int x"),
        ("unsigned long", "long unsigned int x"),
        ("bool", "_Bool x"),
        ("gfp_t", "gfp_t x"),
        ("void *", "void *x"),
        ("struct {seq,keeper} *", "struct {…} *x"),
        ("struct list_head [256]", "struct list_head x[256]"),
        ("const struct list_head", "const struct list_head x"),
        ("struct list_head const", "const struct list_head x"),
        ("const char * const [16]", "const char *const x[16]"),
        ("unsigned long [65][128]", "long unsigned int x[65][128]"),
        ("struct list_head *(*)[4]", "struct list_head *(*x)[4]"),
        ("int (*[8])(void)", "int (*x[8])(…)"),
        ("char []", "char x[]"),
        ("void (*)(struct list_head *, ...)", "void (*x)(…)"),
    ] {
        assert_eq!(declared(text).as_deref(), Some(declared_as), "{text}");
    }
}

#[test]
fn what_the_kernel_does_not_have_is_no_type() {
    for text in [
        "struct nowhere *",
        "struct {keeper,seq}",
        "union {seq,keeper}",
        "struct {twice}",
        "struct {",
        "key",
        "struct gfp_t",
        "",
        "*",
        "int [",
        "int [x]",
        "int (*)(struct nowhere *)",
        "int )",
        "struct list_head; int",
    ] {
        assert_eq!(declared(text), None, "{text}");
    }
    let deep = format!("int {}", "(*".repeat(400));
    assert_eq!(declared(&deep), None);
}

#[test]
fn sizes_are_those_of_the_objects() {
    let types = types();
    let size = |text: &str| CType::parse(text, &types).unwrap().size(&types);
    assert_eq!(size("const unsigned long [3][2]"), Some(48));
    assert_eq!(size("volatile struct key"), Some(64));
    assert_eq!(size("struct key *[5]"), Some(40));
    assert_eq!(size("char []"), None);
    assert_eq!(size("int (void)"), None);
}
