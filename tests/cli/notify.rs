//! `collect`, `collect --notify`, `list --ack` and the script that prints the message at login.

use crate::harness::Machine;
use std::process::Command;

/// A machine on which something crashed.
fn crashed() -> Machine {
    let machine = Machine::empty();
    machine
        .file(
            "/var/crash/web-03-20261121T231500Z/dmesg.txt",
            "[ 1.0] Kernel panic",
        )
        .file("/var/crash/web-03-20261121T231500Z/report.json", "{}");
    machine
}

/// What the package's script prints at login.
fn at_login(machine: &Machine) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/dist/update-motd");
    let script = std::fs::read_to_string(path).unwrap();
    let state = machine.path("/var/lib").display().to_string();
    assert!(script.contains("/var/lib/afterpanic"));
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(script.replace("/var/lib", &state))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_message_at_login_is_there_until_it_is_acknowledged() {
    let machine = crashed();
    assert_eq!(at_login(&machine), "");
    machine.run(&["collect"]).exits(0);
    let message = at_login(&machine);
    assert!(message.contains("1 crash was saved"), "{message}");
    assert!(message.contains("web-03-20261121T231500Z"), "{message}");
    // Listing alone changes nothing.
    machine.run(&["list"]).exits(0);
    assert_eq!(at_login(&machine), message);
    let run = machine.run(&["list", "--ack"]).exits(0);
    assert_eq!(run.stderr(), "1 crash is acknowledged.\n");
    assert!(run.stdout().contains("web-03-20261121T231500Z"));
    assert_eq!(at_login(&machine), "");
    machine.run(&["collect"]).exits(0);
    assert_eq!(at_login(&machine), "");
}

#[test]
fn what_waits_is_sent_once_and_a_failure_is_degraded() {
    let machine = crashed();
    machine.file(
        "/etc/afterpanic.toml",
        "[notify]\ncommand = [\"/bin/sh\", \"-c\", \"test $AFTERPANIC_NODE = web-03 && cat\"]\n",
    );
    machine.run(&["collect", "--notify"]).exits(0);
    machine.run(&["collect"]).exits(0);
    let sent = machine.run(&["collect", "--notify"]).exits(0).stdout();
    assert!(sent.starts_with("{}"), "{sent}");
    assert!(
        sent.ends_with("/var/crash/web-03-20261121T231500Z\n"),
        "{sent}"
    );
    assert_eq!(machine.run(&["collect", "--notify"]).exits(0).stdout(), "");
    machine
        .file(
            "/etc/afterpanic.toml",
            "[notify]\ncommand = [\"/bin/false\"]\n",
        )
        .file("/var/crash/web-03-20261122T231500Z/dmesg.txt", "x");
    machine.run(&["collect"]).exits(0);
    let run = machine.run(&["collect", "--notify"]).exits(4);
    assert!(
        run.stderr().contains("/bin/false failed"),
        "{}",
        run.stderr()
    );
    machine.run(&["collect", "--notify"]).exits(0);
}

#[test]
fn verbs_that_arm_ask_for_new_metrics() {
    let machine = Machine::empty();
    machine
        .file("/etc/afterpanic.toml", "[notify]\nmetrics = \"/metrics\"\n")
        .file("/metrics/x", "")
        .file("/sys/kernel/kexec_crash_loaded", "0\n");
    // Nothing is loaded here; whether the machine is armed is written all the same.
    machine.run(&["unload"]);
    let _ = machine.run(&["collect", "--notify"]).exits(0);
    let text = std::fs::read_to_string(machine.path("/metrics/afterpanic.prom")).unwrap();
    assert!(text.contains("\nafterpanic_armed 0\n"), "{text}");
}
