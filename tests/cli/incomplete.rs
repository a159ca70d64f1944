//! Answers out of a core that is not whole: every verb says so by its exit code.

use crate::harness::Machine;
use synth::kernel::{Crash, Kernel};

const DIR: &str = "/var/crash/web-03-20261121T231500Z.incomplete";

/// A machine whose last crash is incomplete.
fn machine() -> Machine {
    let machine = Machine::empty();
    machine.file(
        &format!("{DIR}/dmesg.txt"),
        "[    1.000000] Linux version 6\n",
    );
    let core = machine.path(DIR).join("vmcore.elf");
    std::fs::write(core, Kernel::new(Crash::NullPointer).elf()).unwrap();
    machine
}

#[test]
fn every_verb_that_reads_an_incomplete_core_exits_with_5() {
    let machine = machine();
    for args in [
        &["report"][..],
        &["signature"],
        &["signature", "--json"],
        &["dmesg"],
        &["ps"],
        &["mods"],
        &["sym", "last", "_stext"],
        &["sym", "last", "_stext", "--json"],
        &["dis", "last", "crasher_write"],
        &["dis", "last", "crasher_write", "--json"],
        &["read", "last", "_stext", "16"],
        &["read", "last", "1000000", "16", "--phys"],
        &["struct", "last", "task_struct"],
        &["what", "last", "_stext"],
    ] {
        let run = machine.run(args);
        assert_eq!(run.code(), 5, "{args:?}\n{}{}", run.stdout(), run.stderr());
    }
    // Not known is not known, whatever else is lost.
    machine.run(&["sym", "last", "no_such_symbol"]).exits(3);
}

#[test]
fn the_log_of_an_incomplete_directory_is_a_part_too() {
    let machine = machine();
    std::fs::remove_file(machine.path(DIR).join("vmcore.elf")).unwrap();
    machine.run(&["dmesg"]).exits(5);
}
