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
fn another_suites_config_is_translated_with_a_row_for_each_line() {
    let machine = Machine::empty();
    machine.file(
        "/etc/kdump.conf",
        "xfs LABEL=dumps\npath /\nfence_kdump_nodes a b\n",
    );
    let file = machine.path("/etc/kdump.conf");
    let file = file.to_str().unwrap();
    let run = machine.run(&["config", "import", file]).exits(4);
    let printed = run.stdout();
    assert!(printed.contains("device = \"LABEL=dumps\""), "{printed}");
    let said = run.stderr();
    for words in [
        "kdump.conf of kdump-utils",
        "kdump.conf:1: xfs LABEL=dumps",
        "taken over: device in [[target]]",
        "kdump.conf:3: fence_kdump_nodes a b",
        "no counterpart: the capture kernel sends nothing",
    ] {
        assert!(said.contains(words), "{words} is missing in:\n{said}");
    }
    machine.file("/etc/afterpanic.toml", &printed);
    machine.run(&["config", "check"]).exits(0);
    let json = machine
        .run(&["config", "import", file, "--json"])
        .exits(4)
        .json();
    assert_eq!(json["rows"][2]["outcome"], "no-counterpart");
    assert_eq!(json["config"]["target"][0]["device"], "LABEL=dumps");
    machine.file("/text", "nothing known\n");
    let text = machine.path("/text");
    machine
        .run(&["config", "import", text.to_str().unwrap()])
        .exits(1);
}

#[test]
fn a_line_that_blocks_prints_no_config_and_exits_3_until_it_is_answered() {
    let machine = Machine::empty();
    machine.file("/etc/kdump.conf", "virtiofs dumps\npath /x\n");
    let file = machine.path("/etc/kdump.conf");
    let file = file.to_str().unwrap();
    let run = machine.run(&["config", "import", file]).exits(3);
    assert_eq!(run.stdout(), "");
    let said = run.stderr();
    assert!(
        said.contains("BLOCKS: this version does not write to virtiofs"),
        "{said}"
    );
    assert!(
        said.contains("no config was printed: 1 line must be answered"),
        "{said}"
    );
    let json = machine
        .run(&["config", "import", file, "--json"])
        .exits(3)
        .json();
    assert!(json["config"].is_null() && json["blocks"] == true);
    let answered = ["config", "import", file, "--skip", "1"];
    let answered = machine.run(&answered).exits(4);
    assert!(answered.stdout().contains("path = \"/x\""));
    for wrong in ["x", "1:2", "/etc/other:1"] {
        machine
            .run(&["config", "import", file, "--skip", wrong])
            .exits(1);
    }
}

#[test]
fn a_file_that_asks_for_something_is_never_called_the_defaults() {
    let said = |text: &str, code: i32| {
        let machine = Machine::empty();
        machine.file("/etc/kdump.conf", text);
        let file = machine.path("/etc/kdump.conf");
        let run = machine.run(&["config", "import", file.to_str().unwrap()]);
        run.exits(code).stdout()
    };
    assert!(said("# nothing\n", 0).contains("sets nothing"));
    assert!(said("path /var/crash\n", 0).contains("every setting is what afterpanic does"));
    let lost = said("fence_kdump_nodes a\n", 4);
    assert!(
        lost.contains("not every line could be taken over"),
        "{lost}"
    );
}

#[test]
fn the_files_that_a_machine_has_are_found() {
    let machine = Machine::empty();
    machine.run(&["config", "import"]).exits(1);
    machine
        .file("/etc/kdump.conf", "path /dumps\n")
        .file("/etc/sysconfig/kdump", "KDUMP_COMMANDLINE_APPEND=\"x=1\"\n");
    let run = machine.run(&["config", "import"]).exits(0);
    let printed = run.stdout();
    assert!(
        printed.contains("path = \"/dumps\"") && printed.contains("x=1"),
        "{printed}"
    );
    machine
        .file("/etc/kdump/post.d/10-tell", "#!/bin/sh\n")
        .file("/etc/kdump/post.d/20-more", "#!/bin/sh\n");
    let run = machine.run(&["config", "import"]).exits(4);
    let printed = run.stdout();
    assert!(
        printed.contains("path = \"/dumps\"") && printed.contains("/etc/kdump/post.d/20-more"),
        "{printed}"
    );
    assert!(
        run.stderr()
            .contains("kdump_post /etc/kdump/post.d/10-tell"),
        "{}",
        run.stderr()
    );
    machine.file("/etc/default/kdump-tools", "USE_KDUMP=1\n");
    let run = machine.run(&["config", "import"]).exits(1);
    assert!(
        run.stderr().contains("Name the files of one suite"),
        "{}",
        run.stderr()
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
