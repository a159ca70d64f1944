//! Crash directories on their way to an export that is mounted, and to OpenSSH's server.

use super::*;
use config::Config;
use std::os::unix::fs::PermissionsExt;

#[path = "../../../ssh/tests/sshd/mod.rs"]
mod sshd;

const FIRST: &str = "web-20261121T231500Z";
const SECOND: &str = "web-20261122T231500Z.incomplete";
const HOME: &str = "[[target]]\npath = \"/var/crash\"\n";

/// A machine with two crashes and an export that is mounted.
struct Machine {
    dir: tempfile::TempDir,
    config: Config,
}

impl Machine {
    fn new(target: &str) -> Self {
        let machine = Self {
            dir: tempfile::tempdir().unwrap(),
            config: Config::parse(&format!("{HOME}[[target]]\nat_boot = true\n{target}")).unwrap(),
        };
        machine.file("etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
        let mounts = "36 35 0:50 / /mnt/nas rw - nfs4 nas:/srv rw,vers=4.2\n";
        machine.file("proc/self/mountinfo", mounts.as_bytes());
        fs::create_dir_all(machine.root().join("mnt/nas")).unwrap();
        machine.crash(FIRST);
        machine.file(&format!("var/crash/{FIRST}/pstore/dmesg-1"), b"record");
        machine.crash(SECOND);
        machine
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, path: &str, bytes: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn crash(&self, name: &str) {
        let core: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
            .take(300_001)
            .collect();
        self.file(&format!("var/crash/{name}/vmcore.elf.zst"), &core);
        self.file(&format!("var/crash/{name}/dmesg.txt"), b"panic\n");
        self.file(&format!("var/crash/{name}/manifest.json"), name.as_bytes());
    }

    fn ship(&self) -> Shipped {
        ship(self.root(), &self.config).unwrap()
    }

    /// This machine's directory on the export.
    fn there(&self) -> PathBuf {
        let own = initramfs_name(self.root());
        self.root().join("mnt/nas/var/crash").join(own)
    }

    fn names(&self) -> Vec<String> {
        names(&self.there())
    }

    fn waits(&self) -> bool {
        self.root().join("var/lib/afterpanic/ship").exists()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The only directory below the export's, whatever it is called.
fn initramfs_name(root: &Path) -> String {
    let shared = root.join("mnt/nas/var/crash");
    names(&shared).into_iter().next().unwrap_or("none".into())
}

fn same(one: &Path, other: &Path) {
    assert_eq!(names(one), names(other), "{}", one.display());
    for name in names(one) {
        let (one, other) = (one.join(&name), other.join(&name));
        match one.is_dir() {
            true => same(&one, &other),
            false => assert!(
                fs::read(&one).unwrap() == fs::read(other).unwrap(),
                "{name}"
            ),
        }
    }
}

#[test]
fn each_crash_arrives_once_and_whole() {
    let machine = Machine::new("nfs = \"nas:/srv\"\n");
    let done = machine.ship();
    assert_eq!(done.problems, Vec::<String>::new());
    assert_eq!(done.arrived.len(), 2);
    assert!(
        done.arrived[0].starts_with("nas:/srv/var/crash/"),
        "{done:?}"
    );
    assert_eq!(machine.names(), [FIRST, SECOND]);
    for name in [FIRST, SECOND] {
        same(
            &machine.root().join("var/crash").join(name),
            &machine.there().join(name),
        );
    }
    assert!(!machine.waits());
    assert!(machine.ship().arrived.is_empty());
    // The server's administrator removed one: it does not come back.
    fs::remove_dir_all(machine.there().join(FIRST)).unwrap();
    assert!(machine.ship().arrived.is_empty());
    machine.crash("web-20261123T231500Z");
    assert_eq!(machine.ship().arrived.len(), 1);
    assert_eq!(machine.names(), [SECOND, "web-20261123T231500Z"]);
}

#[test]
fn a_lost_record_sends_nothing_twice() {
    let machine = Machine::new("nfs = \"nas:/srv\"\n");
    machine.ship();
    fs::remove_file(machine.root().join("var/lib/afterpanic/state.json")).unwrap();
    machine.ship();
    assert_eq!(machine.names(), [FIRST, SECOND]);
    assert!(machine.ship().arrived.is_empty(), "it is on record again");
    // Another crash under the same name is no reason to lose this one.
    fs::remove_file(machine.root().join("var/lib/afterpanic/state.json")).unwrap();
    fs::write(machine.there().join(FIRST).join(FILE), "another").unwrap();
    machine.ship();
    let second = format!("{FIRST}-2");
    assert_eq!(machine.names(), [FIRST, &second, SECOND]);
}

#[test]
fn what_was_cut_off_begins_anew() {
    let machine = Machine::new("nfs = \"nas:/srv\"\n");
    // A file that others may write to is not ours and is not read.
    let bad = machine
        .root()
        .join("var/crash")
        .join(SECOND)
        .join("vmcore.elf.zst");
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o666)).unwrap();
    let done = machine.ship();
    assert!(done.problems[0].contains(SECOND), "{done:?}");
    assert_eq!(
        machine.names(),
        [FIRST],
        "the other arrived, and no half of this one"
    );
    assert!(machine.waits());
    let state = Record::read(machine.root()).unwrap();
    let problem = state.sent["nas:/srv/var/crash"].problem.clone().unwrap();
    assert!(problem.contains("vmcore.elf.zst"), "{problem}");
    // A run that was killed leaves what it had.
    let partial = machine.there().join("web-20261122T231500Z.partial");
    fs::create_dir(&partial).unwrap();
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(partial.join("vmcore.elf.zst"), "half").unwrap();
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(machine.ship().problems, Vec::<String>::new());
    assert_eq!(machine.names(), [FIRST, SECOND]);
    same(
        &machine.root().join("var/crash").join(SECOND),
        &machine.there().join(SECOND),
    );
    let state = Record::read(machine.root()).unwrap();
    assert_eq!(state.sent["nas:/srv/var/crash"].problem, None);
}

#[test]
fn what_arrived_is_removed_here_if_asked() {
    let machine = Machine::new("nfs = \"nas:/srv\"\nremove_local = true\n");
    let bad = machine
        .root()
        .join("var/crash")
        .join(FIRST)
        .join("dmesg.txt");
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o666)).unwrap();
    let done = machine.ship();
    assert_eq!(
        done.removed,
        [machine.root().join("var/crash").join(SECOND)]
    );
    assert_eq!(names(&machine.root().join("var/crash")), [FIRST]);
    assert_eq!(machine.names(), [SECOND]);
}

#[test]
fn a_crash_test_still_needs_its_core() {
    let machine = Machine::new("nfs = \"nas:/srv\"\nremove_local = true\n");
    let test = r#"{"crash_test": {"id": "1", "how": "sysrq", "at": 1, "boot_id": "b", "release": "6",
        "stores": [], "with": [], "found": null}}"#;
    machine.file("var/lib/afterpanic/state.json", test.as_bytes());
    let done = machine.ship();
    assert_eq!((done.arrived.len(), done.removed.len()), (2, 0));
}

#[test]
fn two_machines_share_one_export() {
    let one = Machine::new("nfs = \"nas:/srv\"\nremove_local = true\n");
    let other = Machine::new("nfs = \"nas:/srv\"\n");
    other.file("etc/machine-id", b"1123456789abcdef0123456789abcdef\n");
    fs::remove_dir(other.root().join("mnt/nas")).unwrap();
    std::os::unix::fs::symlink(one.root().join("mnt/nas"), other.root().join("mnt/nas")).unwrap();
    assert_eq!(
        (one.ship().arrived.len(), other.ship().arrived.len()),
        (2, 2)
    );
    let shared = one.root().join("mnt/nas/var/crash");
    let machines = names(&shared);
    assert_eq!(machines.len(), 2);
    for machine in machines {
        assert_eq!(names(&shared.join(machine)), [FIRST, SECOND]);
    }
}

#[test]
fn over_ssh_when_the_server_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut server) = sshd::Sshd::start(dir.path(), "ed25519", "ed25519", "") else {
        return;
    };
    let dumps = dir.path().join("dumps");
    let (port, user) = (server.at.port(), sshd::user());
    let machine = Machine::new(&format!(
        "ssh = \"{user}@127.0.0.1:{port}\"\nkey = \"/key\"\npath = \"{}\"\n",
        dumps.display()
    ));
    let key = fs::read(server.key()).unwrap();
    machine.file("key", &key);
    let said = machine.ship().problems.join("\n");
    assert!(said.contains("--record-host-keys"), "{said}");
    let line = format!("[127.0.0.1]:{port} {}", server.host_key());
    machine.file("var/lib/afterpanic/known_hosts", line.as_bytes());
    server.kill();
    assert!(!machine.ship().problems.is_empty() && machine.waits());
    assert!(!dumps.exists());
    server.run();
    let done = machine.ship();
    assert_eq!(done.problems, Vec::<String>::new(), "{}", server.log());
    let own = dumps.join(&names(&dumps)[0]);
    assert_eq!(names(&own), [FIRST, SECOND]);
    same(
        &machine.root().join("var/crash").join(FIRST),
        &own.join(FIRST),
    );
    assert!(machine.ship().arrived.is_empty());
}
