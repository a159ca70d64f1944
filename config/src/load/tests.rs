//! The shipped file against the types, and the messages that a wrong file gets.

use dump::Level;

use super::*;
use crate::model::{Auto, Copy, Device, Hook, Target};
use crate::units::Size;

const SHIPPED: &str = include_str!("../../../dist/afterpanic.toml");

/// Every key of the shipped file put in force.
fn uncommented() -> String {
    let strip = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    SHIPPED.lines().map(strip).collect::<Vec<_>>().join("\n")
}

fn message(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn the_shipped_file_as_it_is_equals_the_defaults() {
    assert_eq!(Config::parse(SHIPPED).unwrap(), Config::default());
    assert_eq!(Config::parse("").unwrap(), Config::default());
}

#[test]
fn the_shipped_file_uncommented_equals_the_defaults_and_its_example() {
    let mut config = Config::parse(&uncommented()).unwrap();
    let later = config.target.pop().unwrap();
    assert_eq!(config.target.pop().unwrap().copy, Copy::Report);
    assert!(later.at_boot && later.remove_local);
    let raw = config.target.pop().unwrap().raw.unwrap();
    let partition = "0a0b0c0d-1111-2222-3333-444455556666";
    assert_eq!(raw, Device::PartUuid(partition.into()));
    let account = config.target.pop().unwrap();
    assert_eq!(
        account.ssh.as_ref().unwrap().to_string(),
        "dumps@backup.example.org"
    );
    assert_eq!(account.private_key(), Path::new("/etc/afterpanic.key"));
    let remote = config.target.pop().unwrap();
    let export = remote.nfs.unwrap();
    assert_eq!(export.to_string(), "nas.example.org:/srv/dumps");
    let example = config.target.pop().unwrap();
    let hook = config.hook.pop().unwrap();
    assert_eq!(config.dump.host_tag.take().as_deref(), Some("fra1-web03"));
    assert_eq!(
        hook,
        Hook::new(plan::When::Pre, "/usr/local/sbin/tell".into())
    );
    assert_eq!(config, Config::default());
    assert_eq!(
        example,
        Target {
            device: Some(Device::Uuid("0a0b0c0d-1111-2222-3333-444455556666".into())),
            nfs: None,
            ssh: None,
            raw: None,
            key: None,
            path: "/crash".into(),
            options: Some("noatime".into()),
            ..Target::default()
        }
    );
}

#[test]
fn the_shipped_file_names_every_key() {
    let shipped: toml::Table = toml::from_str(&uncommented()).unwrap();
    let shown: toml::Table = toml::from_str(&Config::default().show()).unwrap();
    for (section, table) in &shown {
        let Some(table) = table.as_table() else {
            continue;
        };
        let known = shipped[section].as_table().unwrap();
        for key in table.keys() {
            assert!(
                known.contains_key(key),
                "{section}.{key} is not in the file"
            );
        }
    }
}

#[test]
fn an_export_is_named_as_mount_names_it() {
    let target = |nfs: &str| Config::parse(&format!("[[target]]\nnfs = \"{nfs}\"\n"));
    for (text, server) in [
        ("nas:/srv/dumps", "nas"),
        ("192.0.2.7:/", "192.0.2.7"),
        ("[fd00::7]:/srv", "fd00::7"),
    ] {
        let config = target(text).unwrap();
        let export = config.target[0].nfs.clone().unwrap();
        assert_eq!(
            (export.server.as_str(), export.to_string().as_str()),
            (server, text)
        );
        assert_eq!(Config::parse(&config.show()).unwrap(), config);
    }
    for wrong in [
        "nas",
        "nas:srv",
        ":/srv",
        "-oro:/srv",
        "a b:/srv",
        "[fd00::7]/srv",
    ] {
        let error = target(wrong).unwrap_err().to_string();
        assert!(error.contains("NFS"), "{wrong}: {error}");
    }
    let both = "[[target]]\ndevice = \"LABEL=x\"\nnfs = \"a:/b\"\n";
    assert!(
        Config::parse(both)
            .unwrap_err()
            .to_string()
            .contains("two targets")
    );
}

#[test]
fn what_is_sent_after_the_reboot_is_saved_on_a_disk_until_then() {
    let later = "[[target]]\nssh = \"dumps@backup\"\nat_boot = true\n";
    let local = "[[target]]\npath = \"/var/crash\"\n";
    let config = Config::parse(&format!("{later}{local}")).unwrap();
    assert!(config.target[0].at_boot && !config.target[1].at_boot);
    assert_eq!(Config::parse(&config.show()).unwrap(), config);
    for (wrong, why) in [
        (later.to_owned(), "on a disk of this machine"),
        (
            format!("{later}[[target]]\nnfs = \"nas:/srv\"\n"),
            "on a disk of this machine",
        ),
        (
            format!("{local}[[target]]\npath = \"/mnt\"\nat_boot = true\n"),
            "needs nfs or ssh",
        ),
        (
            format!("{local}[[target]]\nnfs = \"nas:/srv\"\nremove_local = true\n"),
            "without at_boot",
        ),
        (format!("{local}dhcp = true\n"), "dhcp"),
        (format!("{local}{later}dhcp = true\n"), "dhcp"),
        (
            format!("{local}copy = \"report\"\n"),
            "one must take the core",
        ),
        (
            format!("{local}{later}copy = \"report\"\n"),
            "at_boot and copy",
        ),
        (
            format!("{local}copy = \"report\"\n{later}"),
            "on a disk of this machine",
        ),
    ] {
        let said = message(&wrong);
        assert!(said.contains(why), "{wrong}: {said}");
    }
}

#[test]
fn what_is_shown_is_read_back() {
    let text = "
[dump]
level = 17
max_size = \"3GiB\"
never = [\"user\", \"slab\"]
threads = 4
[[target]]
device = \"LABEL=cores\"
path = \"/\"
deadline = \"90s\"
[[target]]
[capture_kernel]
kernel = \"/boot/vmlinuz\"
crashkernel = \"2G-:256M\"
[after]
failure = \"halt\"
";
    let config = Config::parse(text).unwrap();
    assert_eq!(config.dump.level, Level::Bits(17));
    assert_eq!(config.dump.max_size, Some(Size(3 << 30)));
    assert_eq!(config.dump.threads, Auto::Set(4));
    assert_eq!(config.target.len(), 2);
    assert_eq!(Config::parse(&config.show()).unwrap(), config);
    assert_eq!(
        Config::parse(&Config::default().show()).unwrap(),
        Config::default()
    );
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest() {
    assert_eq!(
        message("[dump]\nlevel = 31\nkeep_kind = []\n"),
        "config:3:1: Unknown key \"keep_kind\"; \"keep_kinds\" is the nearest known one"
    );
    assert_eq!(
        message("[capture-kernel]\n"),
        "config:1:2: Unknown key \"capture-kernel\"; \"capture_kernel\" is the nearest known one"
    );
    assert_eq!(
        message("[keep]\n  zzzzzz = 1\n"),
        "config:2:3: Unknown key \"zzzzzz\"; known here: dumps, free, loop_guard"
    );
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    for (text, place, part) in [
        ("[dump]\nlevel = 32\n", "config:2:9", "0 to 31"),
        (
            "[dump]\nformat = \"elfzst\"\n",
            "config:2:10",
            "\"elf-zst\" is the nearest",
        ),
        (
            "[dump]\nnever = [\"users\"]\n",
            "config:2:",
            "\"user\" is the nearest",
        ),
        ("[keep]\nfree = 5\n", "config:2:8", "no unit"),
        ("[keep]\ndumps = -1\n", "config:2:9", ""),
        ("[[target]]\npath = \"crash\"\n", "config:2:8", "absolute"),
        ("[[target]]\npath = \"/a/../b\"\n", "config:2:8", "\"..\""),
        ("[[target]]\ndevice = \"sda1\"\n", "config:2:10", "UUID="),
        (
            "[[target]]\ndeadline = \"0s\"\n",
            "config:2:12",
            "give up at once",
        ),
        (
            "[after]\nsuccess = \"rebot\"\n",
            "config:2:11",
            "\"reboot\" is the nearest",
        ),
        (
            "[capture_kernel]\ncmdline_drop = [\"a=b\"]\n",
            "config:2:",
            "before \"=\"",
        ),
        ("[capture_kernel]\ncpus = 0\n", "config:2:8", "from 1"),
        ("target = []\n", "config:1:", "/var/crash"),
        ("[dump\n", "config:1:", ""),
    ] {
        let message = message(text);
        assert!(message.starts_with(place), "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_missing_default_file_is_the_defaults_and_a_missing_named_one_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(Config::load(root.path(), None).unwrap(), Config::default());
    let named = root.path().join("x.toml");
    assert!(matches!(
        Config::load(root.path(), Some(&named)),
        Err(ConfigError::Read { .. })
    ));
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(
        root.path().join("etc/afterpanic.toml"),
        "[keep]\ndumps = 9\n",
    )
    .unwrap();
    assert_eq!(Config::load(root.path(), None).unwrap().keep.dumps, 9);
}

#[test]
fn only_changed_keys_are_shown_when_asked() {
    assert_eq!(Config::default().show_changed(), "");
    let text = "[keep]\ndumps = 9\n[[target]]\npath = \"/x\"\n";
    let config = Config::parse(text).unwrap();
    let shown = config.show_changed();
    assert!(
        !shown.contains("[dump]") && !shown.contains("free"),
        "{shown}"
    );
    assert_eq!(Config::parse(&shown).unwrap(), config);
}

#[test]
fn the_old_name_of_a_section_is_read_with_a_warning() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("etc/afterpanic.toml");
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(&file, "[keep]\ndumps = 9\n[panic_kernel]\ncpus = 2\n").unwrap();
    let (config, warnings) = Config::load_warned(root.path(), None).unwrap();
    assert_eq!(config.capture_kernel.cpus, Auto::Set(2));
    assert_eq!(
        warnings,
        [format!(
            "{}:3: [panic_kernel] is the old name of [capture_kernel]; rename it",
            file.display()
        )]
    );
    std::fs::write(&file, "[capture_kernel]\ncpus = 2\n").unwrap();
    let (_, warnings) = Config::load_warned(root.path(), None).unwrap();
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn both_names_of_a_section_are_an_error() {
    let said = message("[capture_kernel]\ncpus = 1\n[panic_kernel]\ncpus = 2\n");
    assert!(said.contains("keep only one of the two"), "{said}");
}

#[test]
fn accounts_are_read_as_they_are_shown() {
    let account = |text: &str| {
        let config = Config::parse(&format!("[[target]]\nssh = \"{text}\"\n"))?;
        Ok::<_, ConfigError>(config.target[0].ssh.clone().unwrap())
    };
    for (text, known) in [
        ("dumps@nas.example.org", "nas.example.org"),
        ("dumps@nas:2222", "[nas]:2222"),
        ("root@[fd00::7]", "fd00::7"),
        ("root@[fd00::7]:2222", "[fd00::7]:2222"),
    ] {
        let read = account(text).unwrap();
        assert_eq!(
            (read.to_string().as_str(), read.known_as().as_str()),
            (text, known)
        );
    }
    for wrong in [
        "nas",
        "@nas",
        "a@",
        "a@nas:0",
        "a@nas:x",
        "a@-nas",
        "-a@nas",
        "a b@nas",
        "a@[fd00::7",
        "a@nas:22:22",
        "a_name_of_more_than_31_characters@nas",
    ] {
        assert!(account(wrong).is_err(), "{wrong}");
    }
    let both = "[[target]]\nssh = \"a@b\"\nnfs = \"b:/x\"\n";
    assert!(Config::parse(both).is_err());
    let options = "[[target]]\nssh = \"a@b\"\noptions = \"noatime\"\n";
    assert!(Config::parse(options).is_err());
}

#[test]
fn a_raw_target_names_a_device_and_no_filesystem() {
    let target = |line: &str| Config::parse(&format!("[[target]]\nraw = {line}\n"));
    let config = target("\"/dev/vg0/dump\"").unwrap();
    assert_eq!(
        config.target[0].raw,
        Some(Device::Path("/dev/vg0/dump".into()))
    );
    assert_eq!(Config::parse(&config.show()).unwrap(), config);
    for wrong in [
        "\"UUID=0a0b\"",
        "\"LABEL=dump\"",
        "\"dump\"",
        "\"/dev/vdb\"\nnfs = \"nas:/srv\"",
        "\"/dev/vdb\"\ndevice = \"LABEL=x\"",
        "\"/dev/vdb\"\noptions = \"noatime\"",
    ] {
        assert!(target(wrong).is_err(), "{wrong}");
    }
}
