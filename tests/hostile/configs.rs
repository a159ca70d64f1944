//! Configs and boot loader trees that an attacker, or a bad disk, left.

use crate::harness::Machine;
use crate::timely::run;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::os::unix::fs::symlink;

/// Contents that no parser may choke on, by name.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let mut doubling = String::from("GRUB_CMDLINE_LINUX=crashkernel=1M\n");
    for _ in 0..64 {
        doubling.push_str("GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX\"\n");
    }
    let own = "GRUB_CMDLINE_LINUX=\"${GRUB_CMDLINE_LINUX:-$(cat /proc/cmdline)} `id` $((1/0))\"\n";
    let includes = ". /etc/default/grub\nsource /etc/default/grub\nsource $0\n";
    vec![
        ("nothing", Vec::new()),
        ("NULs", vec![0; 4096]),
        (
            "NULs in a line",
            b"path /var/\0crash\nGRUB_CMDLINE_LINUX=\"a\0b\"\n".to_vec(),
        ),
        ("a huge line", vec![b'x'; 8 << 20]),
        (
            "a huge value",
            [b"path ".to_vec(), vec![b'/'; 8 << 20], b"\n".to_vec()].concat(),
        ),
        (
            "an open quote",
            b"GRUB_CMDLINE_LINUX=\"a\npath \"/var/crash\n'".to_vec(),
        ),
        ("many lines", b"path /var/crash\n".repeat(200_000)),
        ("brackets", [b"x = ".to_vec(), vec![b'['; 200_000]].concat()),
        ("tables", b"[[target]]\n".repeat(50_000)),
        ("no UTF-8", (0..=255).cycle().take(65_536).collect()),
        ("controls", b"\x1b]52;c;eA==\x07\r\xc2\x9b1m = 1\n".to_vec()),
        ("doubling", doubling.into_bytes()),
        ("itself", own.repeat(100).into_bytes()),
        ("includes", includes.repeat(100).into_bytes()),
        (
            "backslashes",
            [vec![b'\\'; 100_001], b"\n".to_vec()].concat(),
        ),
    ]
}

/// Finds nothing raw in an answer.
fn harmless(machine: &Machine, args: &[&str], what: &str) {
    let ran = run(machine, args);
    for text in [ran.stdout(), ran.stderr()] {
        let raw = text
            .chars()
            .find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(raw, None, "{what}: {args:?}\n{text:?}");
    }
}

#[test]
fn a_config_of_any_content_ends_in_an_answer() {
    for (what, bytes) in contents() {
        let machine = Machine::empty();
        machine
            .file("/etc/afterpanic.toml", "")
            .file("/etc/kdump.conf", "");
        fs::write(machine.path("/etc/afterpanic.toml"), &bytes).unwrap();
        fs::write(machine.path("/etc/kdump.conf"), &bytes).unwrap();
        for args in [
            &["config", "check"][..],
            &["config", "show"],
            &["list"],
            &["status"],
            &[],
            &["config", "import", "etc/kdump.conf"],
        ] {
            harmless(&machine, args, what);
        }
    }
}

#[test]
fn a_boot_loader_tree_of_any_content_ends_in_an_answer() {
    for (what, bytes) in contents() {
        let machine = Machine::empty();
        for path in [
            "/etc/default/grub",
            "/etc/default/grub.d/50-x.cfg",
            "/etc/default/kdump-tools",
            "/etc/sysconfig/kdump",
            "/boot/grub/grub.cfg",
            "/boot/loader/entries/a.conf",
            "/efi/loader/entries/b.conf",
            "/etc/kernel/cmdline",
            "/etc/zipl.conf",
            "/proc/cmdline",
            "/proc/iomem",
            "/etc/os-release",
            "/var/lib/afterpanic/state.json",
        ] {
            machine.file(path, "");
            fs::write(machine.path(path), &bytes).unwrap();
        }
        for args in [
            &["doctor"][..],
            &["reserve"],
            &["reserve", "--size", "160M"],
            &["status"],
            &[],
        ] {
            harmless(&machine, args, what);
        }
    }
}

#[test]
fn trees_without_an_end_are_walked_to_one() {
    let machine = Machine::empty();
    machine
        .file("/etc/default/grub", "GRUB_CMDLINE_LINUX=quiet\n")
        .file("/etc/default/grub.d/00.cfg", "")
        .file("/boot/loader/entries/a.conf", "options quiet\n")
        .link("/etc/default/grub.d/loop.cfg", "loop.cfg")
        .link("/etc/default/grub.d/zero.cfg", "/dev/zero")
        .link("/boot/loader/entries/loop.conf", "loop.conf")
        .link("/boot/loader/entries/zero.conf", "/dev/zero");
    let boot = machine.path("/boot");
    symlink(&boot, boot.join("boot")).unwrap();
    symlink("..", machine.path("/etc/default/grub.d/up.cfg")).unwrap();
    for fifo in [
        "/etc/default/grub.d/fifo.cfg",
        "/boot/loader/entries/fifo.conf",
    ] {
        mkfifo(&machine.path(fifo), Mode::S_IRWXU).unwrap();
    }
    for args in [&["doctor"][..], &["reserve"], &["status"], &[]] {
        harmless(&machine, args, "endless");
    }
}

/// A file that a user names is a regular one: nothing else is read, and nothing waits for a writer.
#[test]
fn a_pipe_that_a_user_names_is_refused_at_once() {
    let machine = Machine::empty();
    mkfifo(&machine.path("/pipe"), Mode::S_IRWXU).unwrap();
    machine.file("/log", "[    1.000000] Kernel panic - not syncing: x\n");
    for args in [
        &["report", "pipe"][..],
        &["signature", "pipe"],
        &["dmesg", "pipe"],
        &["info", "pipe"],
        &["info", "pipe,pipe"],
        &["verify", "pipe"],
        &["convert", "pipe", "out.elf"],
        &["config", "import", "pipe"],
        &["report", "/dev/zero"],
    ] {
        let ran = run(&machine, args);
        assert_eq!(ran.code(), 1, "{args:?}");
        let kind = ["it is a pipe", "it is a character device"];
        let said = ran.stderr();
        assert!(
            kind.iter().any(|kind| said.contains(kind)),
            "{args:?}: {said}"
        );
    }
    let said = run(&machine, &["report", "pipe"]).stderr();
    assert!(said.contains("afterpanic report - < pipe"), "{said}");
}
