//! The Debian package's maintainer script beside other kdump suites, with systemd's programs replaced by
//! ones that record their arguments.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A machine on which these units are enabled.
struct Package {
    dir: tempfile::TempDir,
}

impl Package {
    fn on(enabled: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let package = Self { dir };
        package.file("root/run/systemd/system/.keep", "");
        package.file("enabled", &enabled.join("\n"));
        let record = r#"echo "${0##*/} $*" >>"$LAB/calls""#;
        for name in ["deb-systemd-helper", "deb-systemd-invoke", "udevadm"] {
            package.program(name, record);
        }
        let systemctl = format!(
            "if [ \"$1\" = is-enabled ]; then grep -qx \"$3\" \"$LAB/enabled\"; exit; fi\n{record}"
        );
        package.program("systemctl", &systemctl);
        package
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        let path = format!("bin/{name}");
        self.file(&path, &format!("#!/bin/sh\n{text}\n"));
        let path = self.dir.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs the script as dpkg does after unpacking: what it called, and what it printed.
    fn configured(&self) -> (String, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/debian/postinst");
        let output = Command::new("/bin/sh")
            .arg(script)
            .args(["configure", ""])
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.dir.path().join("bin").display()),
            )
            .env("LAB", self.dir.path())
            .env("DPKG_ROOT", self.dir.path().join("root"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let calls = fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        (calls, String::from_utf8(output.stderr).unwrap())
    }
}

/// What a removal masked is unmasked; nothing is enabled or started.
fn only_unmasked(calls: &str) -> bool {
    let ours: Vec<&str> = calls.lines().filter(|l| l.contains("afterpanic")).collect();
    !ours.is_empty() && ours.iter().all(|call| call.contains(" unmask afterpanic"))
}

#[test]
fn a_first_installation_enables_and_starts() {
    let (calls, said) = Package::on(&[]).configured();
    assert!(
        calls.contains("deb-systemd-helper enable afterpanic.service"),
        "{calls}"
    );
    assert!(
        calls.contains("deb-systemd-helper enable afterpanic-reload.path"),
        "{calls}"
    );
    assert!(
        calls.contains("deb-systemd-invoke start afterpanic.service"),
        "{calls}"
    );
    assert!(
        calls.contains("deb-systemd-invoke start afterpanic-notify.path"),
        "{calls}"
    );
    assert_eq!(said, "");
}

#[test]
fn another_enabled_suite_stays_in_charge() {
    let (calls, said) = Package::on(&["kdump-tools.service"]).configured();
    assert!(only_unmasked(&calls), "{calls}");
    assert!(said.contains("kdump-tools.service is enabled"), "{said}");
    assert!(
        said.contains("sudo systemctl disable --now kdump-tools.service"),
        "{said}"
    );
    assert!(
        said.contains("sudo systemctl enable --now afterpanic.service"),
        "{said}"
    );
    // Ours was chosen before: the other one is the administrator's affair.
    let both = ["kdump-tools.service", "afterpanic.service"];
    let (calls, said) = Package::on(&both).configured();
    assert!(
        calls.contains("deb-systemd-invoke start afterpanic.service"),
        "{calls}"
    );
    assert_eq!(said, "");
}

#[test]
fn a_kernel_that_somebody_else_loaded_stays() {
    let package = Package::on(&[]);
    package.file("root/sys/kernel/kexec_crash_loaded", "1\n");
    package.file("root/proc/sys/kernel/random/boot_id", "two\n");
    // A package that was removed before leaves its state; what it says is of an earlier boot.
    let state = |boot| format!("{{\n  \"loaded\": {{\n    \"boot_id\": \"{boot}\"\n  }}\n}}\n");
    package.file("root/var/lib/afterpanic/state.json", &state("one"));
    let (calls, said) = package.configured();
    assert!(only_unmasked(&calls), "{calls}");
    assert!(
        said.contains("another program has loaded a capture kernel"),
        "{said}"
    );
    // Ours, of an earlier version.
    let package = Package::on(&[]);
    package.file("root/sys/kernel/kexec_crash_loaded", "1\n");
    package.file("root/proc/sys/kernel/random/boot_id", "two\n");
    package.file("root/var/lib/afterpanic/state.json", &state("two"));
    let (calls, _) = package.configured();
    assert!(
        calls.contains("deb-systemd-invoke start afterpanic.service"),
        "{calls}"
    );
}
