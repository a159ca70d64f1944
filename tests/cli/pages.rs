//! `pages` on a toy core.

use crate::harness::Machine;
use synth::elf::Elf;
use synth::memmap::{FIRST_USABLE, RAM_START, Series, Toy};

/// A core that holds the toy's own tables, and whose RAM goes on for 4096 pages that it lacks.
fn core(toy: &Toy) -> Vec<u8> {
    let held = RAM_START..0x1800;
    let zeros = [0u8; 4096];
    let data: Vec<u8> = held
        .clone()
        .flat_map(|pfn| toy.memory.get(&pfn).map_or(zeros, |page| **page))
        .collect();
    Elf::new()
        .note("VMCOREINFO", 0, toy.vmcoreinfo().as_bytes())
        .load(toy.direct_map(), held.start * 4096, &data)
        .short_load(FIRST_USABLE * 4096, &zeros, 4096 * 4096)
        .build()
}

#[test]
fn kinds_levels_and_checks_are_told() {
    let mut toy = Toy::new(Series::V6_12, 1);
    toy.free(FIRST_USABLE, 10);
    toy.anon(FIRST_USABLE + 1024, 9);
    toy.cache(FIRST_USABLE + 1536, 0, true);
    toy.slab(FIRST_USABLE + 1540, 2);
    let machine = Machine::empty();
    let path = machine.path("/core");
    std::fs::write(&path, core(&toy)).unwrap();
    let path = path.to_str().unwrap();

    let json = machine.run(&["pages", path, "--json"]).exits(0).json();
    let of = |list: &str, key: &str, name: &str| {
        let rows = json[list].as_array().unwrap();
        let row = rows.iter().find(|row| row[key] == name);
        row.unwrap()["pages"].as_u64().unwrap()
    };
    assert_eq!(json["schema"], "afterpanic.pages/1");
    assert_eq!(of("kinds", "kind", "free"), 1024);
    assert_eq!(of("kinds", "kind", "anon"), 512);
    assert_eq!(of("kinds", "kind", "cache-private"), 1);
    assert_eq!(of("kinds", "kind", "slab"), 4);
    let ram = json["ram_pages"].as_u64().unwrap();
    assert_eq!(ram, 0x1800 - RAM_START + 4096);
    assert_eq!(of("levels", "level", "all"), ram);
    assert_eq!(of("levels", "level", "16"), ram - 1024);
    assert_eq!(of("levels", "level", "standard"), ram - 1024 - 512 - 1);
    let checks = json["checks"].as_array().unwrap();
    let verdict = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name);
        check.map(|check| check["verdict"].as_str().unwrap().to_owned())
    };
    assert_eq!(verdict("pages/tail").as_deref(), Some("passed"));
    // A toy has no BTF: what needs it is said, not passed over.
    assert_eq!(verdict("vmstat").as_deref(), Some("not-checked"));

    let text = machine.run(&["pages", path]).exits(0);
    assert!(text.stdout().contains("standard"), "{}", text.stdout());
}

#[test]
fn a_missing_key_degrades_and_is_named() {
    let mut toy = Toy::new(Series::V6_12, 1);
    toy.without = vec!["NUMBER(PG_lru)"];
    let machine = Machine::empty();
    let path = machine.path("/core");
    std::fs::write(&path, core(&toy)).unwrap();
    let json = machine
        .run(&["pages", path.to_str().unwrap(), "--json"])
        .exits(4)
        .json();
    let warnings = json["warnings"].to_string();
    assert!(warnings.contains("NUMBER(PG_lru)"), "{warnings}");
}

#[test]
fn the_kinds_are_explained() {
    let json = Machine::empty()
        .run(&["pages", "--kinds", "--json"])
        .exits(0)
        .json();
    let kinds = json["kinds"].as_array().unwrap();
    assert_eq!(kinds.len(), 15);
    for kind in kinds {
        let means = kind["means"].as_str().unwrap();
        assert!(!means.contains("no words"), "{kind}");
    }
}

#[test]
fn the_format_page_has_the_kinds_by_their_numbers() {
    let json = Machine::empty()
        .run(&["pages", "--kinds", "--json"])
        .exits(0)
        .json();
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats/pages-map.md");
    let page = std::fs::read_to_string(page).unwrap();
    let kinds = json["kinds"].as_array().unwrap();
    for (number, kind) in kinds.iter().enumerate() {
        let name = kind["kind"].as_str().unwrap();
        let cells = format!("| {number} | {name} |");
        assert!(page.contains(&cells), "docs/formats/pages-map.md: {cells}");
    }
}
