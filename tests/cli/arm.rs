//! `doctor`, `reserve` and `status` on fixture machines.

#![allow(clippy::unwrap_used)]

use crate::harness::Machine;
use std::path::Path;

/// A fixture tree of tests/fixtures.
pub(crate) fn fixture(name: &str) -> Machine {
    fn copy(from: &Path, machine: &Machine, at: &str) {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let at = format!("{at}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), machine, &at);
            } else {
                machine.file(&at, &std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let machine = Machine::empty();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    copy(&fixtures.join(name), &machine, "");
    machine
}

#[test]
fn doctor_says_what_is_wrong_and_how_to_mend_it() {
    let machine = fixture("machine-unreserved");
    let text = machine.run(&["doctor"]).exits(3).stdout();
    let first = "web-03: Linux 6.12.107+deb13-cloud-amd64, 4 CPUs, 7.6 GiB, GRUB, KVM guest\n";
    assert!(text.starts_with(first), "{text}");
    assert!(
        text.contains("  FAIL  memory    no memory is reserved for the capture kernel\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "fix: afterpanic reserve (prints the steps for this boot loader), then reboot"
        ),
        "{text}"
    );
    assert!(
        text.contains("  --    proof     never rehearsed\n"),
        "{text}"
    );
    assert!(text.ends_with("Next: sudo afterpanic reserve\n"), "{text}");
    let json = machine.run(&["doctor", "--json"]).exits(3).json();
    assert_eq!(json["schema"], "afterpanic.doctor/1");
    let memory = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["check"] == "memory");
    assert_eq!(memory.unwrap()["level"], "fail");
}

#[test]
fn reserve_changes_nothing_until_told_and_then_what_it_showed() {
    let machine = fixture("machine-unreserved");
    machine
        .file("/usr/sbin/update-grub", "#!/bin/sh\n")
        .file("/etc/debian_version", "13.1\n");
    let ours = machine.path("/etc/default/grub.d/zz-afterpanic.cfg");
    let text = machine.run(&["reserve"]).exits(0).stdout();
    assert!(
        text.contains("Would write, then run update-grub:\n"),
        "{text}"
    );
    assert!(
        text.contains("  + GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel="),
        "{text}"
    );
    assert!(!ours.exists());
    machine
        .run(&["reserve", "--apply", "--size", "160M"])
        .exits(0);
    assert!(
        std::fs::read_to_string(ours)
            .unwrap()
            .contains("crashkernel=160M\"")
    );
    let json = machine
        .run(&["reserve", "--json", "--size", "160M"])
        .exits(0)
        .json();
    assert_eq!(json["proposal"]["already"], true);
    machine.run(&["reserve", "--size", "64Q"]).exits(1);
}

#[test]
fn reserve_edits_boot_loader_entries() {
    let machine = fixture("machine-armed");
    machine.file("/etc/kernel/entry-token", "debian\n");
    let own = machine.path("/efi/loader/entries/debian.conf");
    std::fs::rename(own, machine.path("/efi/loader/entries/debian-6.12.conf")).unwrap();
    let text = machine
        .run(&["reserve", "--apply", "--size", "192M"])
        .exits(0)
        .stdout();
    assert!(text.contains("crashkernel=192M console=ttyS0"), "{text}");
    let entry =
        std::fs::read_to_string(machine.path("/efi/loader/entries/debian-6.12.conf")).unwrap();
    assert!(
        entry.contains("rw crashkernel=192M console=ttyS0\n"),
        "{entry}"
    );
}

#[test]
fn status_answers_yes_and_no_by_exit_code() {
    let armed = fixture("machine-armed").run(&["status"]).exits(0).stdout();
    assert!(
        armed.starts_with(
            "armed   yes: Linux 6.12.107+deb13-cloud-amd64 is loaded in 160 MiB at 0x6e000000"
        ),
        "{armed}"
    );
    assert!(armed.contains("proof   rehearse passed"), "{armed}");
    let not = fixture("machine-unreserved")
        .run(&["status"])
        .exits(3)
        .stdout();
    assert!(
        not.starts_with("armed   no: no memory is reserved for a capture kernel\n"),
        "{not}"
    );
}

#[test]
fn reserve_explains_a_value() {
    let text = Machine::empty()
        .run(&["reserve", "--explain", "0,low"])
        .exits(0)
        .stdout();
    assert!(text.contains("32-bit DMA"), "{text}");
    let said = Machine::empty()
        .run(&["reserve", "--explain", "1G-2G"])
        .exits(1)
        .stderr();
    assert!(said.contains("character"), "{said}");
}

#[test]
fn status_tells_whether_the_filter_was_checked_on_this_kernel() {
    let machine = Machine::empty();
    let status = || machine.run(&["status"]).stdout();
    machine.file("/proc/version", "Linux version 6.12 (one)\n");
    assert!(
        status().contains("filter  not checked on this kernel yet\n"),
        "{}",
        status()
    );
    let known = |outcome: &str, why: &str| {
        format!(
            r#"{{"filter": {{"build_id": "Linux version 6.12 (one)", "outcome": "{outcome}",
            "why": [{why}], "free_counted": 412903, "free_expected": 412871,
            "covered_pages": 262144, "ram_pages": 524288, "deep": false, "at": 0}}}}"#
        )
    };
    let state = "/var/lib/afterpanic/state.json";
    machine.file(state, &known("fits", ""));
    let line = "filter  checked on this kernel: free 412,903 counted, 412,871 by the kernel, \
                in 1.0 GiB of 2.0 GiB\n";
    assert!(status().contains(line), "{}", status());
    let json = machine.run(&["status", "--json"]).json();
    assert_eq!(json["filter"]["outcome"], "fits");
    machine.file(
        state,
        &known("does-not-fit", "\"slab: 1 counted, 2 expected\""),
    );
    assert!(
        status().contains("filter  does not fit this kernel (slab: 1 counted"),
        "{}",
        status()
    );
    // Another kernel runs now.
    machine.file("/proc/version", "Linux version 6.13 (two)\n");
    assert!(
        status().contains("filter  not checked on this kernel yet\n"),
        "{}",
        status()
    );
}

#[test]
fn status_names_the_last_dump_and_a_loop() {
    let machine = fixture("machine-armed");
    let none = machine.run(&["status"]).exits(0).stdout();
    assert!(none.contains("dumps   none\n"), "{none}");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    for (hour, ago) in [("01", 300), ("02", 200), ("03", 100)] {
        let time = now.as_secs() - ago;
        machine.file(
            &format!("/var/crash/web-03-20261121T{hour}0000Z/manifest.json"),
            &format!(
                r#"{{"schema":1,"afterpanic":"0","verdict":"degraded","release":"6","crash_time":{time},
                "signature":"bug:acme:1","uptime_s":9000,"files":[],"soft_errors":[],"steps":[],
                "core":{{"file":"vmcore.elf","format":"elf","level":"all","asked":"all",
                "verdict":"degraded","size":1,"threads":1,"classify_s":0,"write_s":0,"kinds":{{}},
                "pages":{{"ram":1,"kept":1,"zero":0,"missing":0}}}}}}"#
            ),
        );
    }
    let text = machine.run(&["status"]).exits(0).stdout();
    assert!(
        text.contains("dumps   last 20261121T030000Z, degraded, bug:acme:1, in "),
        "{text}"
    );
    assert!(text.contains("\nloop    3 dumps with signature"), "{text}");
    let json = machine.run(&["status", "--json"]).exits(0).json();
    assert_eq!(json["last_dump"]["verdict"], "degraded");
    assert!(json["loop_guard"].is_string());
}

#[test]
fn status_is_stale_when_an_input_changed_and_unknown_without_sysfs() {
    let machine = fixture("machine-armed");
    let state = "/var/lib/afterpanic/state.json";
    let text = std::fs::read_to_string(machine.path(state)).unwrap();
    let then = r#""inputs": [{"path": "/etc/afterpanic.toml", "size": null, "mtime": null}]"#;
    machine.file(state, &text.replace(r#""inputs": []"#, then));
    machine.run(&["status"]).exits(0);
    machine.file("/etc/afterpanic.toml", "# new\n");
    let text = machine.run(&["status"]).exits(3).stdout();
    assert!(text.starts_with("armed   stale: "), "{text}");
    Machine::empty().run(&["status"]).exits(1);
}

#[test]
fn who_may_not_load_is_told_that_and_nothing_else() {
    let machine = fixture("machine-armed");
    machine.file("/proc/self/status", "Name:\tx\nCapEff:\t0000000000000000\n");
    let said = machine.run(&["load"]).exits(1).stderr();
    assert!(said.contains("root") && said.lines().count() == 1, "{said}");
    let said = machine.run(&["unload"]).exits(1).stderr();
    assert!(said.contains("root"), "{said}");
}

#[test]
fn collect_tells_the_journal_about_each_crash_once() {
    let machine = Machine::empty();
    let name = "web-03-20261121T010000Z";
    machine.file(
        &format!("/var/crash/{name}/manifest.json"),
        r#"{"schema":1,"afterpanic":"0","verdict":"complete","release":"6","signature":"bug:acme:1",
        "files":[],"soft_errors":[],"steps":[]}"#,
    );
    let socket = machine.path("/run/systemd/journal/socket");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let journal = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    journal.set_nonblocking(true).unwrap();
    let mut buf = [0; 2048];
    machine.run(&["collect"]).exits(0);
    let n = journal.recv(&mut buf).unwrap();
    let record = String::from_utf8_lossy(&buf[..n]).into_owned();
    assert!(
        record.contains("\nMESSAGE_ID=8f1e0a66c5f24f6b9d0b3e6c5a7d4e21\n"),
        "{record}"
    );
    assert!(
        record.contains("\nAFTERPANIC_SIGNATURE=bug:acme:1\n"),
        "{record}"
    );
    assert!(record.contains(name), "{record}");
    machine.run(&["collect"]).exits(0);
    assert!(journal.recv(&mut buf).is_err(), "told twice");
}

#[test]
fn collect_warns_of_a_target_that_is_not_mounted() {
    let machine = fixture("machine-armed");
    machine.file(
        "/etc/afterpanic.toml",
        "[[target]]\ndevice = \"UUID=0a0b\"\npath = \"/crash\"\n",
    );
    let said = machine.run(&["collect"]).exits(0).stderr();
    assert!(
        said.contains("warning: UUID=0a0b is not mounted here"),
        "{said}"
    );
}

#[test]
fn a_store_that_cannot_be_listed_does_not_hide_the_others() {
    let machine = Machine::empty();
    machine.file(
        "/etc/afterpanic.toml",
        "[[target]]\npath = \"/bad\"\n[[target]]\npath = \"/var/crash\"\n",
    );
    machine.file("/bad", "no directory");
    let name = "web-03-20261121T010000Z";
    machine.file(
        &format!("/var/crash/{name}/manifest.json"),
        r#"{"schema":1,"afterpanic":"0","verdict":"complete","release":"6","files":[],
        "soft_errors":[],"steps":[]}"#,
    );
    let run = machine.run(&["list"]).exits(0);
    assert!(run.stdout().contains("20261121"), "{}", run.stdout());
    assert_eq!(
        run.stderr().matches("Cannot list").count(),
        1,
        "{}",
        run.stderr()
    );
    let run = machine.run(&["collect"]).exits(4);
    assert!(run.stderr().contains("Cannot list"), "{}", run.stderr());
    std::fs::remove_dir_all(machine.path("/var/crash")).unwrap();
    machine.file("/var/crash", "no directory either");
    machine.run(&["list"]).exits(1);
}

#[test]
fn reserve_on_a_grub_without_debians_update_grub_names_the_commands_and_writes_nothing() {
    let machine = fixture("machine-unreserved");
    let run = machine
        .run(&["reserve", "--apply", "--size", "160M"])
        .exits(1);
    assert!(run.stderr().contains("run grub"), "{}", run.stderr());
    assert!(!machine.path("/etc/default/grub.d").exists());
    let text = machine
        .run(&["reserve", "--size", "160M"])
        .exits(0)
        .stdout();
    assert!(text.contains("By hand: in /etc/default/grub set"), "{text}");
}

#[test]
fn what_reserve_wrote_is_taken_back() {
    let machine = fixture("machine-armed");
    machine.file("/etc/kernel/entry-token", "debian\n");
    let entry = "/efi/loader/entries/debian-6.12.conf";
    let own = machine.path("/efi/loader/entries/debian.conf");
    std::fs::rename(own, machine.path(entry)).unwrap();
    let text = |path: &str| std::fs::read_to_string(machine.path(path)).unwrap();
    let before = (text(entry), text("/etc/kernel/cmdline"));
    let none = machine.run(&["reserve", "--undo"]).exits(0).stdout();
    assert!(none.starts_with("Nothing to undo: no change"), "{none}");
    machine
        .run(&["reserve", "--apply", "--size", "192M"])
        .exits(0);
    assert_ne!(text(entry), before.0);
    let shown = machine.run(&["reserve", "--undo"]).exits(0).stdout();
    assert!(
        shown.contains("crashkernel=192M goes; before it: crashkernel=160M\n"),
        "{shown}"
    );
    assert!(
        shown.ends_with("Next: sudo afterpanic reserve --undo --apply\n"),
        "{shown}"
    );
    let json = machine
        .run(&["reserve", "--undo", "--json"])
        .exits(0)
        .json();
    assert_eq!(
        (&json["value"], &json["applied"]),
        (&"192M".into(), &false.into())
    );
    let done = machine
        .run(&["reserve", "--undo", "--apply"])
        .exits(0)
        .stdout();
    assert!(done.ends_with("Taken back. Next: reboot\n"), "{done}");
    assert_eq!((text(entry), text("/etc/kernel/cmdline")), before);
    machine.run(&["reserve", "--undo", "--apply"]).exits(0);
    machine.run(&["reserve", "--undo", "--size", "1M"]).exits(2);
}

#[test]
fn a_tool_is_run_only_on_its_own_machine() {
    let machine = fixture("machine-unreserved");
    machine
        .file("/usr/sbin/grubby", "")
        .file("/boot/loader/entries/a.conf", "linux /v\noptions ro\n");
    let command = "grubby --update-kernel=ALL --args=crashkernel=160M";
    let text = machine
        .run(&["reserve", "--size", "160M"])
        .exits(0)
        .stdout();
    assert!(text.contains(&format!("Would run: {command}\n")), "{text}");
    let run = machine
        .run(&["reserve", "--apply", "--size", "160M"])
        .exits(1);
    assert!(
        run.stderr()
            .contains(&format!("run on that machine: {command}")),
        "{}",
        run.stderr()
    );
    let json = machine
        .run(&["reserve", "--json", "--size", "160M"])
        .exits(0)
        .json();
    assert_eq!(json["proposal"]["change"]["commands"][0][0], "grubby");
}

#[test]
fn an_unsigned_kernel_is_refused_before_anything_is_built_where_a_signature_is_wanted() {
    let machine = fixture("machine-armed");
    let mut kernel = vec![0_u8; 0x1000];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x20f] = 0x0a;
    let text = b"6.12.107+deb13-cloud-amd64 (x) #1\0";
    kernel[0xc00..0xc00 + text.len()].copy_from_slice(text);
    let path = machine.path("/boot/vmlinuz-6.12.107+deb13-cloud-amd64");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, kernel).unwrap();
    let refused = || machine.run(&["load", "--dry-run"]).exits(1).stderr();
    assert!(!refused().contains("not signed"), "{}", refused());
    machine.file(
        "/sys/kernel/security/lockdown",
        "none [integrity] confidentiality\n",
    );
    assert!(refused().contains("it is not signed"), "{}", refused());
    let said = machine.run(&["doctor"]).exits(3).stdout();
    assert!(said.contains("lockdown (integrity)"), "{said}");
}

/// A boot loader's name in doctor's first line, files that the fixture gets besides, and what reserve says.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

#[test]
fn each_boot_loader_is_named_with_what_works_there() {
    const ENTRY: &str = "linux /vmlinuz\noptions root=UUID=1 ro\n";
    let cases: [Case; 6] = [
        (
            ", pbl, ",
            &[("/usr/sbin/pbl", "")],
            "Would run: pbl --del-option crashkernel && pbl --add-option crashkernel=160M && pbl --config\n",
        ),
        (
            ", proxmox-boot-tool, ",
            &[
                ("/usr/sbin/proxmox-boot-tool", ""),
                ("/etc/kernel/proxmox-boot-uuids", "7A3B-11FE\n"),
                ("/proc/cmdline", "root=ZFS=rpool/ROOT/pve-1 boot=zfs\n"),
                (
                    "/etc/kernel/cmdline",
                    "root=ZFS=rpool/ROOT/pve-1 boot=zfs\n",
                ),
            ],
            "Would write, then run proxmox-boot-tool refresh:\n/etc/kernel/cmdline\n",
        ),
        (
            ", ostree, ",
            &[
                ("/run/ostree-booted", ""),
                ("/usr/bin/rpm-ostree", ""),
                ("/boot/loader/entries/ostree-1.conf", ENTRY),
            ],
            "Would run: rpm-ostree kargs --append-if-missing=crashkernel=160M\n",
        ),
        (
            ", boot loader entries, ",
            &[
                ("/boot/grub2/grub.cfg", "blscfg\n"),
                (
                    "/proc/cmdline",
                    "BOOT_IMAGE=(hd0,gpt2)/vmlinuz root=UUID=1 ro\n",
                ),
                ("/boot/loader/entries/0-6.12.conf", ENTRY),
            ],
            "  + options root=UUID=1 ro crashkernel=160M\n",
        ),
        (
            ", Limine, ",
            &[
                ("/proc/cmdline", "root=UUID=1 rw\n"),
                ("/boot/limine.conf", "/Linux\n  cmdline: root=UUID=1 rw\n"),
            ],
            "By hand: change these lines of /boot/limine.conf:\n/boot/limine.conf\n",
        ),
        (
            ", declared command line, ",
            &[("/etc/NIXOS", "")],
            "By hand: add boot.kernelParams = [ \"crashkernel=160M\" ];",
        ),
    ];
    for (name, files, said) in cases {
        let machine = fixture("machine-unreserved");
        for (path, text) in files {
            machine.file(path, text);
        }
        let first = machine.run(&["doctor"]).exits(3).stdout();
        let first = first.lines().next().unwrap_or_default();
        assert!(first.contains(name), "{first}");
        let text = machine
            .run(&["reserve", "--size", "160M"])
            .exits(0)
            .stdout();
        assert!(text.contains(said), "{name}\n{text}");
    }
}
