//! One synthetic kernel as cores of several kinds, and kernels that died in other ways.

use super::asked::ASKED;
use super::transcript::{compare, transcript};
use crate::harness::Machine;
use synth::kernel::{Crash, Kernel};

/// A machine with a core.
fn machine(name: &str, bytes: &[u8]) -> Machine {
    let machine = Machine::empty();
    std::fs::write(machine.path(name), bytes).unwrap();
    machine
}

fn null_pointer() -> Machine {
    machine("core.elf", &Kernel::new(Crash::NullPointer).elf())
}

/// Compares the answers to the questions of these names, or to all.
fn all(dir: &str, core: &str, machine: &Machine, names: &[&str]) {
    for (name, commands) in ASKED {
        if names.is_empty() || names.contains(name) {
            let text = transcript(machine, core, commands);
            compare(&format!("{dir}/{name}"), text);
        }
    }
}

/// Demands of `core` the answers that `core.elf` gives, but for those whose names begin with one of
/// `own`.
fn same(dir: &str, core: &str, machine: &Machine, own: &[&str]) {
    let plain = null_pointer();
    for (name, commands) in ASKED {
        let text = transcript(machine, core, commands);
        if own.iter().any(|of| name.starts_with(of)) {
            compare(&format!("{dir}/{name}"), text);
        } else {
            let expected = transcript(&plain, "core.elf", commands);
            snapbox::assert_data_eq!(text, snapbox::Data::text(expected).raw());
        }
    }
}

#[test]
fn an_elf_core() {
    all("elf", "core.elf", &null_pointer(), &[]);
}

#[test]
fn a_kdump_compressed_core_gives_the_same_answers() {
    let kdump = Kernel::new(Crash::NullPointer).kdump();
    let machine = machine("vmcore.kdump", &kdump);
    same("kdump", "vmcore.kdump", &machine, &["info", "verify"]);
}

#[test]
fn a_converted_core_gives_the_same_answers() {
    let machine = null_pointer();
    let made = &["-q", "convert", "core.elf", "vmcore.elf.zst"];
    machine.run_inside(made).exits(0);
    std::fs::remove_file(machine.path("core.elf")).unwrap();
    let own = &["info", "verify", "absent", "pages"];
    same("elf-zst", "vmcore.elf.zst", &machine, own);
}

#[test]
fn an_essential_core_gives_the_same_answers_without_command_lines() {
    let machine = null_pointer();
    let level = &[
        "-q",
        "convert",
        "core.elf",
        "small.elf.zst",
        "--level",
        "essential",
    ];
    machine.run_inside(level).exits(4);
    // User memory with the command lines is not in it, and no partial slab.
    let own = &[
        "ps",
        "read",
        "report-full",
        "slabs",
        "what",
        "info",
        "verify",
        "absent",
        "pages",
    ];
    same("essential", "small.elf.zst", &machine, own);
}

#[test]
fn a_core_without_symbols_and_types() {
    let kernel = Kernel::without_tables(Crash::NullPointer);
    all(
        "stripped",
        "core.elf",
        &machine("core.elf", &kernel.elf()),
        &[],
    );
}

/// What tells one panic from another.
const PANIC: &[&str] = &["report", "report-json", "bt", "dmesg"];

#[test]
fn a_panic_by_sysrq() {
    let kernel = Kernel::new(Crash::Sysrq);
    all(
        "sysrq",
        "core.elf",
        &machine("core.elf", &kernel.elf()),
        PANIC,
    );
}

#[test]
fn a_panic_over_a_hung_task() {
    let kernel = Kernel::new(Crash::HungTask);
    all(
        "hung-task",
        "core.elf",
        &machine("core.elf", &kernel.elf()),
        PANIC,
    );
}

#[test]
fn conversions() {
    let text = transcript(
        &null_pointer(),
        "core.elf",
        &[
            "convert CORE a.elf.zst",
            "convert CORE a.elf.zst",
            "convert CORE a.elf.lz4",
            "convert CORE a.kdump --level standard",
            "convert CORE a.elf --level 16",
            "convert CORE small.elf.zst --level essential",
            "convert CORE a.zst",
            "convert CORE b.zst --format none",
            "convert nothing b.elf",
        ],
    );
    // The size of the file stands last.
    let cut = |line: &str| match line.contains(" pages (") {
        true => format!("{}, [SIZE]\n", line.rsplit_once(", ").unwrap().0),
        false => format!("{line}\n"),
    };
    compare("elf/convert", text.lines().map(cut).collect());
}
