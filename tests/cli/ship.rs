//! Crash directories that go to a server after the reboot, as `collect --ship`, `status`, `list` and `doctor`
//! show them.

use crate::arm::fixture;
use crate::harness::Machine;

const CONFIG: &str =
    "[[target]]\npath = \"/var/crash\"\n[[target]]\nnfs = \"nas:/srv\"\nat_boot = true\n";

/// A machine with a crash, and an export that is mounted if `mounted`.
fn machine(mounted: bool) -> Machine {
    let machine = fixture("machine-armed");
    machine.file("/etc/afterpanic.toml", CONFIG);
    machine.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    machine.file("/var/crash/web-20261121T231500Z/manifest.json", "{}");
    if mounted {
        mount(&machine);
    }
    machine
}

fn mount(machine: &Machine) {
    machine.file("/mnt/nas/keep", "");
    let table = "36 35 0:50 / /mnt/nas rw - nfs4 nas:/srv rw,vers=4.2\n";
    machine.file("/proc/self/mountinfo", table);
}

#[test]
fn what_waits_is_sent_and_shown() {
    let machine = machine(false);
    machine.run(&["collect"]);
    assert!(machine.path("/var/lib/afterpanic/ship").exists());
    let said = machine.run(&["status"]).stdout();
    assert!(
        said.contains("sent    nas:/srv/var/crash: 0 arrived, 1 waits"),
        "{said}"
    );
    assert!(said.contains("collect --ship"), "{said}");
    let run = machine.run(&["collect", "--ship"]).exits(4);
    assert!(
        run.stderr().contains("nas:/srv/var/crash: "),
        "{}",
        run.stderr()
    );
    let json = machine.run(&["status", "--json"]).json();
    assert_eq!(json["shipping"][0]["waiting"], 1);
    assert!(json["shipping"][0]["problem"].is_string());

    mount(&machine);
    let said = machine.run(&["collect", "--ship"]).exits(0).stdout();
    assert!(
        said.starts_with("nas:/srv/var/crash/") && said.ends_with("/web-20261121T231500Z\n"),
        "{said}"
    );
    assert!(!machine.path("/var/lib/afterpanic/ship").exists());
    let said = machine.run(&["status"]).stdout();
    assert!(
        said.contains("sent    nas:/srv/var/crash: 1 arrived\n"),
        "{said}"
    );
    let said = machine.run(&["list"]).exits(0).stdout();
    assert!(
        said.lines().count() == 1 && said.contains("(also on nas:/srv/var/crash)"),
        "{said}"
    );
    let json = machine.run(&["list", "--json"]).exits(0).json();
    assert_eq!(json["crashes"][0]["sent"][0], "nas:/srv/var/crash");
    assert_eq!(machine.run(&["collect", "--ship"]).exits(0).stdout(), "");
}

#[test]
fn doctor_writes_there_what_will_be_written() {
    let machine = machine(true);
    let json = machine.run(&["doctor", "--json"]).json();
    let found = json["findings"].as_array().unwrap().iter();
    let texts: Vec<&str> = found.filter_map(|one| one["text"].as_str()).collect();
    let written = |text: &&str| text.contains("after the reboot: written, renamed and removed");
    assert!(texts.iter().any(written), "{texts:#?}");
    let open = |text: &&str| text.starts_with("nas:/srv/var/crash: cores go over the network");
    assert!(texts.iter().any(open), "{texts:#?}");
}
