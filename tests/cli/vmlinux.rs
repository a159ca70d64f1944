//! `vmlinux` on the toy kernel's core, whatever its format.

use crate::harness::Machine;
use std::fs;
use synth::kernel::{Crash, Kernel};

#[test]
fn every_format_of_a_core_gives_the_same_file() {
    let machine = Machine::empty();
    let elf = Kernel::new(Crash::NullPointer).elf();
    fs::write(machine.path("core.elf"), elf).unwrap();
    let made = |core: &str| {
        let out = format!("{core}.vmlinux");
        machine.run_inside(&["-q", "vmlinux", core, &out]).exits(4);
        fs::read(machine.path(&out)).unwrap()
    };
    let expected = made("core.elf");
    assert!(expected.starts_with(b"\x7fELF"));
    for (name, level) in [
        ("a.elf.zst", "all"),
        ("a.kdump", "standard"),
        ("essential.elf.zst", "essential"),
    ] {
        let convert = ["-q", "convert", "core.elf", name, "--level", level];
        machine.run_inside(&convert);
        assert!(made(name) == expected, "{name}");
    }
}

#[test]
fn nothing_is_left_of_a_file_that_could_not_be_made() {
    let machine = Machine::empty();
    let elf = Kernel::without_tables(Crash::NullPointer).elf();
    fs::write(machine.path("core.elf"), elf).unwrap();
    let answer = machine.run_inside(&["vmlinux", "core.elf", "out"]).exits(1);
    assert!(answer.stderr().contains("BTF"), "{}", answer.stderr());
    let left: Vec<_> = fs::read_dir(machine.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains("out"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
