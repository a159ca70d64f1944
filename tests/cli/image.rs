//! `afterpanic image` on images of other suites and on machines that have none.

use crate::harness::{Machine, Run};
use std::fs;
use std::path::PathBuf;

const RELEASE: &str = "9.9.9-cloud";
const DIR: &str = "/lib/modules/9.9.9-cloud";
/// The image that is built.
const OUT: &str = "/new.img";
const UUID: &str = "[[target]]\ndevice = \"UUID=0a0b0c0d-1111-2222-3333-444455556666\"\n";

/// A plain archive with one file, header and padding written out.
fn cpio(name: &str, content: &str) -> String {
    let entry = |name: &str, mode: u32, content: &str| {
        let mut out = format!("070701{:08x}{mode:08x}", 1);
        for field in [0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0] {
            out.push_str(&format!("{field:08x}"));
        }
        out.push_str(name);
        out.push('\0');
        while out.len() % 4 != 0 {
            out.push('\0');
        }
        out.push_str(content);
        while out.len() % 4 != 0 {
            out.push('\0');
        }
        out
    };
    entry(name, 0o100_644, content) + &entry("TRAILER!!!", 0, "")
}

#[test]
fn any_image_is_listed_shown_and_extracted() {
    let machine = Machine::empty();
    machine.file("/other.img", &cpio("etc/motd", "hello\n"));
    let image = machine.path("/other.img");
    let image = image.to_str().unwrap();
    let run = machine.run(&["image", "list", image]).exits(0);
    assert!(run.stdout().contains("/etc/motd"), "{}", run.stdout());
    let json = machine
        .run(&["image", "list", "--json", image])
        .exits(0)
        .json();
    assert_eq!(json["schema"], "afterpanic.image-list/1");
    assert_eq!(json["files"][0]["bytes"], 6);
    assert_eq!(json["sections"][0]["compression"], "none");
    let run = machine.run(&["image", "show", "/etc/motd", image]).exits(0);
    assert_eq!(run.stdout(), "hello\n");
    machine
        .run(&["image", "show", "/etc/other", image])
        .exits(1);
    let dir = machine.path("/out");
    machine
        .run(&["image", "extract", dir.to_str().unwrap(), image])
        .exits(0);
    assert_eq!(
        std::fs::read_to_string(dir.join("etc/motd")).unwrap(),
        "hello\n"
    );
    machine
        .run(&["image", "extract", dir.to_str().unwrap(), image])
        .exits(1);
}

#[test]
fn what_is_no_image_is_refused() {
    let machine = Machine::empty();
    machine.file("/text", "no image at all");
    let text = machine.path("/text");
    let run = machine
        .run(&["image", "list", text.to_str().unwrap()])
        .exits(1);
    assert!(
        run.stderr().contains("neither a cpio archive"),
        "{}",
        run.stderr()
    );
}

#[test]
fn a_machine_without_proc_says_so() {
    let run = Machine::empty().run(&["image", "list"]).exits(1);
    assert!(
        run.stderr().contains("is /proc mounted?"),
        "{}",
        run.stderr()
    );
}

/// A machine whose disk driver is a module that needs another, and our program on it.
fn with_modules(dep: &str) -> (Machine, PathBuf) {
    let machine = Machine::empty();
    machine.file("/etc/afterpanic.toml", UUID);
    machine.file(&format!("{DIR}/modules.dep"), dep);
    machine.file(
        &format!("{DIR}/modules.builtin"),
        "kernel/fs/ext4/ext4.ko\n",
    );
    for name in ["virtio_blk", "ring"] {
        machine.file(&format!("{DIR}/kernel/{name}.ko"), "\x7fELF, more or less");
    }
    let program = machine.program();
    (machine, program)
}

/// `image build` for a virtio disk into [`OUT`].
fn build(machine: &Machine, program: &std::path::Path) -> Run {
    let out = machine.path(OUT);
    let out = out.to_str().unwrap();
    let args = [
        "image",
        "build",
        "--kernel",
        RELEASE,
        "--for",
        "virtio_blk,ext4",
        "--out",
        out,
    ];
    machine.run_program(program, &args)
}

/// What it complains of.
fn build_fails(machine: &Machine, program: &std::path::Path) -> String {
    let run = build(machine, program).exits(1);
    assert!(!machine.path(OUT).exists());
    run.stderr()
}

const GOOD: &str = "kernel/virtio_blk.ko: kernel/ring.ko\nkernel/ring.ko:\n";

#[test]
fn an_image_is_built_from_modules_and_says_who_asked() {
    let (machine, program) = with_modules(GOOD);
    build(&machine, &program).exits(0);
    let out = machine.path(OUT);
    let said = machine
        .run(&["image", "list", out.to_str().unwrap()])
        .exits(0)
        .stdout();
    let line = |name: &str| {
        said.lines()
            .find(|line| line.contains(name))
            .map(str::to_owned)
    };
    let ring = line("/lib/modules/ring.ko").unwrap_or_else(|| panic!("{said}"));
    assert!(ring.contains("dependency of virtio_blk"), "{ring}");
}

#[test]
fn a_module_that_is_not_on_disk_is_named_with_what_mends_it() {
    let (machine, program) = with_modules(GOOD);
    fs::remove_file(machine.path(&format!("{DIR}/kernel/ring.ko"))).unwrap();
    let said = build_fails(&machine, &program);
    assert!(
        said.contains(&format!("{DIR}/kernel/ring.ko, which modules.dep lists")),
        "{said}"
    );
    assert!(said.contains("reinstall that kernel's package"), "{said}");
}

#[test]
fn a_circle_in_modules_dep_is_shown() {
    let (machine, program) = with_modules(
        "kernel/virtio_blk.ko: kernel/ring.ko\nkernel/ring.ko: kernel/virtio_blk.ko\n",
    );
    let said = build_fails(&machine, &program);
    assert!(
        said.contains("in a circle: virtio_blk -> ring -> virtio_blk; run depmod"),
        "{said}"
    );
}

#[test]
fn a_corrupt_modules_dep_is_named_with_its_line() {
    for (dep, place) in [
        (format!("{GOOD}\u{1}\u{2}garbage\n"), "modules.dep:3: "),
        (
            "kernel/virtio_blk.ko: kernel/gone.ko\n".to_owned(),
            "modules.dep:1: ",
        ),
    ] {
        let (machine, program) = with_modules(&dep);
        let said = build_fails(&machine, &program);
        assert!(
            said.contains(place) && said.contains("run depmod for this kernel"),
            "{said}"
        );
    }
}

#[test]
fn a_target_without_a_disk_is_refused() {
    for (fstype, source) in [("tmpfs", "tmpfs"), ("nfs4", "server:/export")] {
        let (machine, program) = with_modules(GOOD);
        machine.file(
            "/etc/afterpanic.toml",
            "[[target]]\npath = \"/var/crash\"\n",
        );
        machine.file(
            "/proc/self/mountinfo",
            &format!("20 1 0:5 / / rw - rootfs none rw\n21 20 0:44 / /var/crash rw - {fstype} {source} rw\n"),
        );
        let args = [
            "image",
            "build",
            "--kernel",
            RELEASE,
            "--out",
            "/nowhere/new.img",
        ];
        let said = machine.run_program(&program, &args).exits(1).stderr();
        let wanted = format!("/var/crash lies on {fstype}, which has no disk of its own");
        assert!(
            said.contains(&wanted) && said.contains("give the target a device"),
            "{said}"
        );
    }
}
