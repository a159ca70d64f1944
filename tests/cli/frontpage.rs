//! `afterpanic` with no arguments, and `--help`.

use crate::harness::Machine;

#[test]
fn the_front_page_needs_nothing_and_names_this_machine() {
    let machine = Machine::empty();
    machine
        .file("/proc/sys/kernel/hostname", "web-03\n")
        .file("/proc/sys/kernel/osrelease", "6.12.107+deb13-cloud-amd64\n")
        .file("/sys/kernel/kexec_crash_loaded", "0\n")
        .file("/sys/kernel/kexec_crash_size", "0\n");
    let run = machine.run(&[]).exits(0);
    let page = run.stdout();
    assert!(
        page.contains("web-03, Linux 6.12.107+deb13-cloud-amd64"),
        "{page}"
    );
    assert!(
        page.contains("armed        no: no memory is reserved for a capture kernel"),
        "{page}"
    );
    assert!(page.contains("crashes      none in /var/crash"), "{page}");
    assert_eq!(run.stderr(), "");
}

#[test]
fn the_front_page_stands_on_a_machine_with_nothing() {
    Machine::empty().run(&[]).exits(0);
}

#[test]
fn help_lists_the_same_groups() {
    let machine = Machine::empty();
    let page = machine.run(&[]).stdout();
    let help = machine.run(&["--help"]).exits(0).stdout();
    let groups: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("Arm "))
        .take_while(|line| !line.is_empty())
        .collect();
    assert!(groups.len() > 5, "{page}");
    for line in groups {
        assert!(help.contains(line), "{line:?} is missing in\n{help}");
    }
}
