//! Whole images of fixture machines: the same inputs give the same bytes, and changed ones are named.

use plan::Plan;

use super::*;
use crate::binary::fixture::elf;
use crate::cache::{self, Outcome};
use crate::read::Contents;
use crate::resolve::fixture::{Fixture, OTHER, RUNNING, xfs};

fn binary() -> Vec<u8> {
    let mark = plan::BANNER;
    elf(62, false, mark)
}

fn machine() -> Fixture {
    let fixture = Fixture::new();
    fixture.virtio(&xfs());
    fixture.mounts(&[("254:1", "/", "/", "xfs", "/dev/vda1")]);
    fixture.file("/proc/sys/kernel/hostname", "web-03\n");
    fixture.file("/usr/lib/afterpanic/afterpanic-capture", binary());
    fixture
}

fn request(fixture: &Fixture, config: &str) -> Request {
    let capture = fixture.host("/usr/lib/afterpanic/afterpanic-capture");
    Request::new(fixture.path(), Config::parse(config).unwrap(), capture)
}

#[test]
fn an_image_holds_init_plan_modules_and_reasons() {
    let fixture = machine();
    fixture.file("/etc/secret", "x");
    let config = "[image]\nextra_files = [\"/etc/secret\"]\nextra_modules = [\"dm-mod\"]\n[keep]\ndumps = 2\n";
    let image = build(&request(&fixture, config)).unwrap();
    let contents = Contents::new(&image.bytes).unwrap();
    assert_eq!(contents.file("init").unwrap(), binary());
    let plan = Plan::parse(&contents.file("plan.json").unwrap()).unwrap();
    assert_eq!(plan, image.plan);
    assert_eq!(plan.kernel.release, RUNNING);
    assert_eq!(plan.kernel.nodename, "web-03");
    assert_eq!(plan.keep.dumps, 2);
    let names: Vec<_> = plan.modules.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["virtio_blk", "xfs", "dm_mod"]);
    for module in &plan.modules {
        assert_eq!(contents.file(&module.path).unwrap(), b"\x7fELF");
    }
    let why = contents.why().unwrap().unwrap();
    let reason = |path: &str| {
        why.files
            .iter()
            .find(|f| f.path == path)
            .unwrap()
            .why
            .clone()
    };
    assert_eq!(
        reason("lib/modules/virtio_blk.ko"),
        "/var/crash: virtio1 is held by virtio_blk"
    );
    assert_eq!(reason("etc/secret"), "extra_files");
    let entries = contents.entries().unwrap();
    assert!(
        entries
            .iter()
            .any(|e| e.path == "dev/console" && e.rdev == (5, 1))
    );
    assert!(entries.iter().all(|e| e.mtime == 0));
    assert!(image.unpacked >= 4096 * 6);
}

#[test]
fn hooks_and_the_rescue_shell_go_in_with_what_they_need() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = machine();
    fixture.file("/sbin/tell", "#!/bin/interp\n");
    fixture.file("/bin/interp", elf(62, false, ""));
    fixture.file("/bin/text", "hello\n");
    let mode = |path: &str, mode: u32| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(fixture.host(path), permissions).unwrap();
    };
    for path in ["/sbin/tell", "/bin/interp", "/bin/text"] {
        mode(path, 0o755);
    }
    let config = "[after]\nrescue = \"/bin/interp\"\n[[hook]]\nwhen = \"post\"\nprogram = \"/sbin/tell\"\nargs = [\"x\"]\n";
    let image = build(&request(&fixture, config)).unwrap();
    assert_eq!(image.plan.hooks.len(), 1);
    assert_eq!(image.plan.after.rescue.unwrap().shell, "/bin/interp");
    let contents = Contents::new(&image.bytes).unwrap();
    assert_eq!(contents.file("sbin/tell").unwrap(), b"#!/bin/interp\n");
    assert!(contents.file("bin/interp").is_ok());
    let files = contents.why().unwrap().unwrap().files;
    let tell = files.iter().find(|file| file.path == "sbin/tell").unwrap();
    assert_eq!(tell.why, "the post hook");
    // Another argument is another image.
    let other = prepare(&request(&fixture, &config.replace("\"x\"", "\"y\""))).unwrap();
    assert_ne!(other.inputs().config, image.why.inputs.config);
    let refused = |program: &str| {
        let config = format!("[[hook]]\nwhen = \"pre\"\nprogram = \"{program}\"\n");
        build(&request(&fixture, &config)).unwrap_err().to_string()
    };
    assert!(refused("/bin/absent").contains("/bin/absent"));
    assert!(refused("/bin/text").contains("neither an ELF program nor a script"));
    mode("/sbin/tell", 0o644);
    assert!(refused("/sbin/tell").contains("chmod +x"));
    mode("/sbin/tell", 0o757);
    assert!(refused("/sbin/tell").contains("chmod go-w"));
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let fixture = machine();
    let first = build(&request(&fixture, "")).unwrap().bytes;
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // Another place with files of another age.
    let elsewhere = machine();
    assert_eq!(build(&request(&elsewhere, "")).unwrap().bytes, first);
}

#[test]
fn an_image_is_built_again_only_when_an_input_changed() {
    let fixture = machine();
    let path = cache::path(fixture.path(), RUNNING);
    let ensure = |config: &str| {
        let ensured = cache::ensure(&request(&fixture, config), &path);
        ensured.unwrap().outcome
    };
    let because = |config: &str| match ensure(config) {
        Outcome::Built(why) => why,
        Outcome::Kept => panic!("kept"),
    };
    assert_eq!(because(""), "there was none");
    assert_eq!(ensure(""), Outcome::Kept);
    assert_eq!(ensure("[capture_kernel]\ncpus = 2\n"), Outcome::Kept);
    assert_eq!(because("[keep]\ndumps = 7\n"), "changed: the config");
    fixture.file(
        &format!("/lib/modules/{RUNNING}/kernel/fs/xfs/xfs.ko"),
        "\x7fELF2",
    );
    assert_eq!(
        because("[keep]\ndumps = 7\n"),
        "changed: the kernel modules"
    );
    fixture.file(
        "/sys/devices/pci0000:00/0000:00:04.0/virtio1/block/vda/serial",
        "other\n",
    );
    assert_eq!(because("[keep]\ndumps = 7\n"), "changed: the target");
    fixture.file(
        "/usr/lib/afterpanic/afterpanic-capture",
        [binary(), vec![0]].concat(),
    );
    assert_eq!(
        because("[keep]\ndumps = 7\n"),
        "changed: afterpanic-capture"
    );
    std::fs::write(&path, "damaged").unwrap();
    assert!(because("[keep]\ndumps = 7\n").starts_with("the old one cannot be read"));
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left beside the image");
}

#[test]
fn a_server_that_cannot_be_reached_now_stays_in_the_kept_image_when_asked() {
    const BOTH: &str =
        "[[target]]\nnfs = \"127.0.0.1:/srv/dumps\"\n[[target]]\npath = \"/var/crash\"\n";
    let fixture = machine();
    fixture.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    let path = cache::path(fixture.path(), RUNNING);
    // The image of a time at which the server was reached.
    let server = plan::Target {
        kind: plan::TargetKind::Nfs(plan::Nfs {
            server: "127.0.0.1".into(),
            export: "/srv/dumps".into(),
            path: "/var/crash/0123".into(),
            versions: vec!["4.2".into()],
            options: Vec::new(),
            ways: vec![plan::Way {
                dhcp: false,
                server: "192.0.2.7".parse().unwrap(),
                source: "192.0.2.1".parse().unwrap(),
                prefix: 24,
                gateway: None,
                link: plan::Link {
                    name: "eth0".into(),
                    mtu: 1500,
                    kind: plan::LinkKind::Card {
                        mac: "52:54:00:00:00:01".into(),
                        device: "0000:00:03.0".into(),
                    },
                },
            }],
        }),
        deadline_s: 60,
        device_wait_s: 60,
        takes: plan::Takes::Dump,
        keep: None,
    };
    let keep_an_image = || {
        let mut prepared = prepare(&request(&fixture, BOTH)).unwrap();
        assert_eq!(prepared.left_out().len(), 1);
        prepared.plan.targets.insert(0, server.clone());
        prepared.inputs.target = "with the server".into();
        cache::replace(&path, &prepared.finish().unwrap().bytes).unwrap();
    };
    let ensure = |config: &str, keep_servers: bool| {
        let mut request = request(&fixture, config);
        request.keep_servers = keep_servers;
        cache::ensure(&request, &path).unwrap()
    };
    keep_an_image();
    let kept = ensure(BOTH, true);
    assert_eq!((kept.outcome, kept.as_it_was), (Outcome::Kept, true));
    assert_eq!(kept.left_out.len(), 1);
    // Not when asked for a fresh one, when something else changed, or when it is another server.
    let fresh = ensure(BOTH, false);
    assert!(!fresh.as_it_was && fresh.outcome != Outcome::Kept);
    keep_an_image();
    let other = format!("{BOTH}[keep]\ndumps = 7\n");
    assert_ne!(ensure(&other, true).outcome, Outcome::Kept);
    keep_an_image();
    assert_ne!(
        ensure(&BOTH.replace("/srv/", "/mnt/"), true).outcome,
        Outcome::Kept
    );
    keep_an_image();
    fixture.file(
        "/sys/devices/pci0000:00/0000:00:04.0/virtio1/block/vda/serial",
        "other\n",
    );
    assert_ne!(ensure(BOTH, true).outcome, Outcome::Kept);
    // Nor when the way to a server that can be reached is another one now.
    let mut prepared = prepare(&request(&fixture, BOTH)).unwrap();
    let mut reached = server.clone();
    if let plan::TargetKind::Nfs(nfs) = &mut reached.kind {
        nfs.server = "nas".into();
    }
    prepared
        .plan
        .targets
        .splice(0..0, [server.clone(), reached]);
    prepared.inputs.target = "with two servers".into();
    cache::replace(&path, &prepared.finish().unwrap().bytes).unwrap();
    assert_ne!(ensure(BOTH, true).outcome, Outcome::Kept);
}

#[test]
fn a_failed_build_leaves_the_old_image() {
    let fixture = machine();
    let path = cache::path(fixture.path(), RUNNING);
    cache::ensure(&request(&fixture, ""), &path).unwrap();
    let before = std::fs::read(&path).unwrap();
    std::fs::remove_file(fixture.host(&format!("/lib/modules/{RUNNING}/kernel/fs/xfs/xfs.ko")))
        .unwrap();
    let error = cache::ensure(&request(&fixture, ""), &path)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("xfs.ko, which modules.dep lists; reinstall"),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn another_machines_image_asks_for_names() {
    let fixture = Fixture::new();
    fixture.file("/capture", binary());
    let build_for = |names: &[&str], config: &str| {
        let mut request = request(&fixture, config);
        request.capture = fixture.host("/capture");
        request.kernel = Some(OTHER.to_owned());
        request.drivers = Some(names.iter().map(|name| (*name).to_owned()).collect());
        build(&request)
    };
    let device = "[[target]]\ndevice = \"UUID=1234\"\npath = \"/c\"\n";
    let plan = build_for(&["virtio_blk", "xfs"], device).unwrap().plan;
    let names: Vec<_> = plan.modules.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["virtio_pci", "virtio_blk", "xfs"]);
    assert_eq!(plan.kernel.release, OTHER);
    let plan = build_for(&["usb-storage", "ext4"], device).unwrap().plan;
    let names: Vec<_> = plan.modules.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["xhci_pci", "scsi_mod", "usb_storage"]);

    let error = |names: &[&str], config: &str| build_for(names, config).unwrap_err().to_string();
    assert!(error(&["virtio_blk", "xfs"], "").contains("a [[target]] must say device"));
    assert!(error(&["virtio_blk"], device).contains("--for names no filesystem"));
    assert!(
        error(&["virtio_blk", "xfs", "zz"], device).contains("no module \"zz\", which --for needs")
    );
}

#[test]
fn an_optional_module_without_its_file_is_noted_and_left_out() {
    let fixture = machine();
    let dir = format!("/lib/modules/{RUNNING}");
    fixture.file(
        &format!("{dir}/modules.softdep"),
        "softdep xfs pre: dm-mod\n",
    );
    let names = || {
        let image = build(&request(&fixture, "")).unwrap();
        let names: Vec<_> = image.plan.modules.iter().map(|m| m.name.clone()).collect();
        (names, image.why.notes)
    };
    assert_eq!(names().0, ["virtio_blk", "dm_mod", "xfs"]);
    std::fs::remove_file(fixture.host(&format!("{dir}/kernel/drivers/md/dm-mod.ko"))).unwrap();
    let (left, notes) = names();
    assert_eq!(left, ["virtio_blk", "xfs"]);
    assert_eq!(
        notes,
        ["dm_mod has no file and is left out (softdep of xfs)"]
    );
}
