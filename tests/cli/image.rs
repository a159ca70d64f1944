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

/// A machine with a virtio disk that holds ext4 and is mounted on /, and with a kernel to load.
fn with_a_disk(config: &str) -> (Machine, PathBuf) {
    let (machine, program) = with_modules(GOOD);
    let pci = "/sys/devices/pci0000:00/0000:00:04.0";
    let disk = format!("{pci}/virtio1/block/vda");
    machine
        .file("/etc/afterpanic.toml", config)
        .file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        .file("/proc/sys/kernel/osrelease", RELEASE)
        .file(
            "/proc/self/mountinfo",
            "30 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n",
        )
        .file("/sys/bus/virtio/drivers/virtio_blk/uevent", "")
        .file("/sys/module/virtio_blk/initstate", "live\n")
        .file(&format!("{pci}/virtio1/modalias"), "virtio:d2v1AF4\n")
        .file(&format!("{disk}/dev"), "254:0\n")
        .file(&format!("{disk}/size"), "8192\n")
        .file(&format!("{disk}/serial"), "disk-1\n")
        .file(&format!("{disk}/uevent"), "DEVNAME=vda\nDEVTYPE=disk\n")
        .file(
            &format!("{DIR}/modules.builtin.modinfo"),
            "ext4.alias=fs-ext4\0",
        )
        .link(
            &format!("{pci}/virtio1/driver"),
            "/sys/bus/virtio/drivers/virtio_blk",
        )
        .link(
            "/sys/bus/virtio/drivers/virtio_blk/module",
            "/sys/module/virtio_blk",
        )
        .link("/sys/dev/block/254:0", &disk)
        .link("/sys/class/block/vda", &disk);
    let mut superblock = vec![0; 128 << 10];
    superblock[1080..1082].copy_from_slice(&[0x53, 0xef]);
    superblock[1116] = 4;
    superblock[1120..1122].copy_from_slice(&[0x42, 2]);
    superblock[1128..1144].fill(7);
    let mut kernel = vec![0; 0x1000];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x20f] = 0x0a;
    let text = format!("{RELEASE} (x) #1\0");
    kernel[0xc00..0xc00 + text.len()].copy_from_slice(text.as_bytes());
    for (path, bytes) in [
        ("/dev/vda".to_owned(), superblock),
        (format!("/boot/vmlinuz-{RELEASE}"), kernel),
    ] {
        let path = machine.path(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    (machine, program)
}

#[test]
fn a_server_that_cannot_be_reached_leaves_the_machine_armed_with_its_disk() {
    // This machine's own address: no way in a capture kernel leads there, whatever network a test has.
    let server = "[[target]]\nnfs = \"127.0.0.1:/srv/dumps\"\n";
    let both = format!("{server}[[target]]\npath = \"/var/crash\"\n");
    let (machine, program) = with_a_disk("");
    let dry = ["load", "--dry-run"];
    machine.run_program(&program, &dry).exits(0);

    machine.file("/etc/afterpanic.toml", &both);
    let said = machine.run_program(&program, &dry).exits(4).stderr();
    let expected = "The target 127.0.0.1:/srv/dumps is not in the capture image. Cannot reach";
    assert!(said.contains(expected), "{said}");
    let json = machine
        .run_program(&program, &["load", "--dry-run", "--json"])
        .exits(4)
        .json();
    assert!(json["warnings"][0].as_str().unwrap().contains(expected));
    let build = ["image", "build"];
    for _ in ["built", "kept"] {
        let said = machine.run_program(&program, &build).exits(4).stderr();
        assert!(said.contains(expected), "{said}");
    }
    let plan = machine.run(&["image", "show", "/plan.json"]).exits(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout()).unwrap();
    assert_eq!(plan["targets"].as_array().unwrap().len(), 1);
    assert_eq!(
        plan["targets"][0]["kind"]["filesystem"]["path"],
        "/var/crash"
    );

    // The store that doctor looks at is that of the target that is left.
    let said = machine.run_program(&program, &["doctor"]).stdout();
    assert!(
        said.contains("warn  target    The target 127.0.0.1"),
        "{said}"
    );
    assert!(said.contains("target    /var/crash: ext4"), "{said}");

    machine.file("/etc/afterpanic.toml", server);
    let said = machine.run_program(&program, &dry).exits(1).stderr();
    assert!(said.contains("Cannot reach the server 127.0.0.1"), "{said}");
}
