//! `afterpanic config`: a right file, a wrong one, and another suite's.

use crate::harness::Machine;

#[test]
fn a_missing_config_is_the_defaults() {
    let machine = Machine::empty();
    let run = machine.run(&["config", "check"]).exits(0);
    assert!(
        run.stdout().contains("the defaults are in force"),
        "{}",
        run.stdout()
    );
    let shown = machine.run(&["config", "show"]).exits(0).stdout();
    for line in [
        "[[target]]",
        "path = \"/var/crash\"",
        "level = \"standard\"",
        "dumps = 5",
    ] {
        assert!(shown.contains(line), "{line} is missing in:\n{shown}");
    }
}

#[test]
fn what_is_shown_is_a_config() {
    let machine = Machine::empty();
    machine.file(
        "/etc/afterpanic.toml",
        "[keep]\ndumps = 9\nfree = \"3GiB\"\n",
    );
    let run = machine.run(&["config", "check"]).exits(0);
    assert!(run.stdout().contains("2 keys differ"), "{}", run.stdout());
    let shown = machine.run(&["config", "show"]).exits(0).stdout();
    machine.file("/copy.toml", &shown);
    let copy = machine.path("/copy.toml");
    let again = machine
        .run(&["--config", copy.to_str().unwrap(), "config", "show"])
        .exits(0);
    assert_eq!(again.stdout(), shown);
    let json = machine.run(&["config", "show", "--json"]).exits(0).json();
    assert_eq!(json["schema"], "afterpanic.config/1");
    assert_eq!(json["config"]["keep"]["dumps"], 9);
}

#[test]
fn a_wrong_config_exits_2_with_its_place() {
    let machine = Machine::empty();
    machine.file("/etc/afterpanic.toml", "[dump]\nlevl = 1\n");
    let run = machine.run(&["config", "check"]).exits(2);
    let message = run.stderr();
    assert!(
        message.contains("afterpanic.toml:2:1: Unknown key \"levl\""),
        "{message}"
    );
    assert!(message.contains("\"level\" is the nearest"), "{message}");
}

#[test]
fn another_suites_config_is_translated_and_the_rest_said() {
    let machine = Machine::empty();
    machine.file(
        "/etc/kdump.conf",
        "xfs LABEL=dumps\npath /\nkdump_post /bin/x\n",
    );
    let file = machine.path("/etc/kdump.conf");
    let run = machine
        .run(&["config", "import", file.to_str().unwrap()])
        .exits(4);
    assert!(
        run.stdout().contains("device = \"LABEL=dumps\""),
        "{}",
        run.stdout()
    );
    assert!(
        run.stderr().contains("kdump.conf:3: kdump_post"),
        "{}",
        run.stderr()
    );
    machine.file("/etc/afterpanic.toml", &run.stdout());
    machine.run(&["config", "check"]).exits(0);
    machine.file("/text", "nothing known\n");
    let text = machine.path("/text");
    machine
        .run(&["config", "import", text.to_str().unwrap()])
        .exits(1);
}

#[test]
fn a_lost_target_prints_no_config_and_exits_3() {
    let machine = Machine::empty();
    machine.file("/etc/kdump.conf", "nfs server:/export\npath /x\n");
    let file = machine.path("/etc/kdump.conf");
    let run = machine
        .run(&["config", "import", file.to_str().unwrap()])
        .exits(3);
    assert_eq!(run.stdout(), "");
    let said = run.stderr();
    assert!(
        said.contains("no config was written: the target in"),
        "{said}"
    );
}

#[test]
fn the_old_name_of_a_section_is_warned_about() {
    let machine = Machine::empty();
    machine.file("/etc/afterpanic.toml", "[panic_kernel]\ncpus = 2\n");
    let run = machine.run(&["config", "check"]).exits(4);
    assert!(run.stderr().contains("afterpanic.toml:1: [panic_kernel]"));
    assert!(run.stdout().contains("1 key differs"), "{}", run.stdout());
}
