//! `crash` and `drgn` with programs that only say what they were given.

use crate::harness::{Machine, Run};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use synth::kernel::{Crash, Kernel};

/// A machine with a core, and a debugger that is this script.
fn machine(name: &str, script: &str) -> Machine {
    let machine = Machine::empty();
    let elf = Kernel::new(Crash::NullPointer).elf();
    fs::write(machine.path("core.elf"), elf).unwrap();
    fs::create_dir(machine.path("tmp")).unwrap();
    fs::create_dir(machine.path("cache")).unwrap();
    machine.file(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}"));
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(machine.path("bin").join(name), mode).unwrap();
    machine
}

fn run(machine: &Machine, args: &[&str]) -> Run {
    let path = format!("{}:/usr/bin:/bin", machine.path("bin").display());
    let output = Command::new(env!("CARGO_BIN_EXE_afterpanic"))
        .current_dir(machine.root())
        .env("PATH", path)
        .env("TMPDIR", machine.path("tmp"))
        .env(
            "XDG_CACHE_HOME",
            machine.path("cache").canonicalize().unwrap(),
        )
        .env_remove("DRGN_PLUGINS")
        .args(["-q", "--root", "."])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let left = fs::read_dir(machine.path("tmp")).unwrap().count();
    assert_eq!(left, 0, "files are left behind");
    Run::of(output)
}

#[test]
fn crash_gets_a_vmlinux_and_a_core_that_it_opens() {
    let show = "for word; do [ -f \"$word\" ] && head -c 5 \"$word\" | tr -c 'A-Z' . && echo \" ${word##*/}\" || echo $word; done";
    let machine = machine("crash", show);
    let answer = run(&machine, &["crash", "core.elf", "-s", "-i", "commands"]).exits(0);
    let kept = kept(&machine);
    let expected = format!("-s\n-i\ncommands\n.ELF. {kept}\n.ELF. core.elf\n");
    assert_eq!(answer.stdout(), expected, "{}", answer.stderr());
    let convert = ["-q", "convert", "core.elf", "vmcore.elf.zst"];
    machine.run_inside(&convert).exits(0);
    let answer = run(&machine, &["crash", "vmcore.elf.zst"]).exits(0);
    let expected = format!(".ELF. {kept}\nKDUMP vmcore.kdump\n");
    assert_eq!(answer.stdout(), expected, "{}", answer.stderr());
}

/// The name of the one file in the cache.
fn kept(machine: &Machine) -> String {
    let files = fs::read_dir(machine.path("cache/afterpanic")).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names.concat()
}

#[test]
fn the_vmlinux_is_made_once() {
    let machine = machine("crash", "");
    let ask = || run(&machine, &["vmlinux", "core.elf", "--cached"]).exits(4);
    let once = ask();
    let path = machine.path("cache/afterpanic").join(kept(&machine));
    assert_eq!(
        once.stdout(),
        format!("{}\n", path.canonicalize().unwrap().display())
    );
    let made = || path.metadata().unwrap().ino();
    let first = made();
    let again = ask();
    assert_eq!(
        (again.stdout(), again.stderr()),
        (once.stdout(), once.stderr())
    );
    assert_eq!(made(), first);
    // What another user might have written is made again.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    ask();
    assert_ne!(made(), first);
}

#[test]
fn a_cache_that_is_not_the_users_own_is_not_used() {
    let show = "for word; do echo \"${word##*/}\"; done";
    let machine = machine("crash", show);
    let mode = fs::Permissions::from_mode(0o777);
    fs::set_permissions(machine.path("cache"), mode).unwrap();
    let refused = run(&machine, &["vmlinux", "core.elf", "--cached"]).exits(1);
    assert!(
        refused.stderr().contains("another user"),
        "{}",
        refused.stderr()
    );
    let answer = run(&machine, &["crash", "core.elf"]).exits(0);
    assert_eq!(
        answer.stdout(),
        "vmlinux\ncore.elf\n",
        "{}",
        answer.stderr()
    );
    assert!(
        answer.stderr().contains("another user"),
        "{}",
        answer.stderr()
    );
}

#[test]
fn drgn_gets_the_vmlinux_by_a_plug_in() {
    let show = "echo \"$@\"; file=${DRGN_PLUGINS#afterpanic=}; grep -c 'def drgn_prog_set' \"$file\"; head -c 4 \"$AFTERPANIC_VMLINUX\" | tr -c 'A-Z' .; echo";
    let machine = machine("drgn", show);
    let answer = run(&machine, &["drgn", "core.elf", "script.py", "--flag"]).exits(0);
    let expected = "-c core.elf script.py --flag\n1\n.ELF\n";
    assert_eq!(answer.stdout(), expected, "{}", answer.stderr());
}

#[test]
fn a_debugger_that_is_missing_or_fails_is_an_error() {
    let machine = machine("crash", "exit 7");
    let answer = run(&machine, &["crash", "core.elf"]).exits(1);
    assert!(
        answer.stderr().contains("exit status: 7"),
        "{}",
        answer.stderr()
    );
    fs::remove_file(machine.path("bin/crash")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_afterpanic"))
        .current_dir(machine.root())
        .env("PATH", machine.path("bin"))
        .args(["drgn", "core.elf"])
        .output()
        .unwrap();
    let answer = Run::of(output).exits(1);
    let said = answer.stderr();
    assert!(
        said.contains("drgn is not installed") && said.contains("python3-drgn"),
        "{said}"
    );
}
