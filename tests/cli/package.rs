//! The scripts of the packages. The Debian package's maintainer script beside other kdump suites, with
//! systemd's programs replaced by ones that record their arguments; the tar file's installer in a root.

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
        calls.contains("deb-systemd-invoke start afterpanic-notify.path afterpanic-network.timer afterpanic-ship.timer"),
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

/// The tar file's folder, with a program in it, beside a root that has some files already.
struct Tarball {
    dir: tempfile::TempDir,
}

impl Tarball {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tarball = Self { dir };
        for (path, text) in [
            ("tar/files/etc/afterpanic.toml", "# shipped\n"),
            ("tar/files/usr/bin/afterpanic", "#!/bin/sh\n"),
            ("tar/files/usr/lib/afterpanic/afterpanic-capture", "capture"),
            ("tar/files/usr/share/man/man1/afterpanic.1", "page"),
            ("root/etc/fstab", "mine"),
            ("root/usr/bin/ls", "mine"),
        ] {
            let path = tarball.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        for name in ["install.sh", "openrc"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/tarball");
            fs::copy(from.join(name), tarball.path("tar").join(name)).unwrap();
        }
        tarball
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path)
    }

    /// Runs a script with the root; whether it succeeded, and what it said.
    fn run(&self, script: &str, more: &[&str]) -> (bool, String) {
        let output = Command::new("/bin/sh")
            .arg(self.path(script))
            .args(more)
            .arg("--root")
            .arg(self.path("root"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// Every file and folder of the root.
    fn root(&self) -> Vec<String> {
        let (mut found, mut todo) = (Vec::new(), vec![self.path("root")]);
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.path("root")).unwrap();
                found.push(name.to_str().unwrap().to_owned());
                if path.is_dir() {
                    todo.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

#[test]
fn the_installer_undoes_itself() {
    let tarball = Tarball::new();
    let before = tarball.root();
    let (done, said) = tarball.run("tar/install.sh", &[]);
    assert!(done && said.contains("To undo:"), "{said}");
    assert!(said.contains("afterpanic load"), "{said}");
    assert!(tarball.path("root/usr/bin/afterpanic").is_file());
    let (again, said) = tarball.run("tar/install.sh", &[]);
    assert!(!again && said.contains("installed already"), "{said}");
    let (undone, said) = tarball.run("root/usr/lib/afterpanic/uninstall", &[]);
    assert!(undone, "{said}");
    assert_eq!(tarball.root(), before);
    // The same by the script in the tar file.
    assert!(tarball.run("tar/install.sh", &[]).0);
    assert!(tarball.run("tar/install.sh", &["--undo"]).0);
    assert_eq!(tarball.root(), before);
    let (nothing, said) = tarball.run("tar/install.sh", &["--undo"]);
    assert!(!nothing && said.contains("nothing to undo"), "{said}");
}

#[test]
fn with_openrc_the_installer_names_what_to_run_at_boot() {
    use std::os::unix::fs::PermissionsExt;
    let tarball = Tarball::new();
    for folder in ["root/etc/init.d", "root/etc/runlevels/default", "root/sbin"] {
        fs::create_dir_all(tarball.path(folder)).unwrap();
    }
    let openrc = tarball.path("root/sbin/openrc-run");
    fs::write(&openrc, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&openrc, fs::Permissions::from_mode(0o755)).unwrap();
    let before = tarball.root();
    let (done, said) = tarball.run("tar/install.sh", &[]);
    assert!(
        done && said.contains("rc-update add afterpanic default"),
        "{said}"
    );
    assert!(!said.contains("systemctl"), "{said}");
    // Enabled since then.
    let service = tarball.path("root/etc/init.d/afterpanic");
    assert!(service.metadata().unwrap().permissions().mode() & 0o100 != 0);
    let enabled = tarball.path("root/etc/runlevels/default/afterpanic");
    std::os::unix::fs::symlink("/etc/init.d/afterpanic", enabled).unwrap();
    assert!(tarball.run("root/usr/lib/afterpanic/uninstall", &[]).0);
    assert_eq!(tarball.root(), before);
}

#[test]
fn an_installation_that_stops_halfway_leaves_nothing() {
    let tarball = Tarball::new();
    let page = tarball.path("root/usr/share/man/man1");
    fs::create_dir_all(&page).unwrap();
    fs::write(page.join("afterpanic.1"), "of somebody else").unwrap();
    let before = tarball.root();
    let (done, said) = tarball.run("tar/install.sh", &[]);
    assert!(!done && said.contains("is there already"), "{said}");
    assert_eq!(tarball.root(), before);
    assert_eq!(
        fs::read(page.join("afterpanic.1")).unwrap(),
        b"of somebody else"
    );
}

#[test]
fn a_config_of_the_machine_is_kept() {
    let tarball = Tarball::new();
    let config = tarball.path("root/etc/afterpanic.toml");
    fs::write(&config, "[keep]\ndumps = 9\n").unwrap();
    assert!(tarball.run("tar/install.sh", &[]).0);
    let (undone, said) = tarball.run("root/usr/lib/afterpanic/uninstall", &[]);
    assert!(undone && said.contains("kept"), "{said}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "[keep]\ndumps = 9\n");
    // One that the installer wrote and somebody changed since.
    fs::remove_file(&config).unwrap();
    assert!(tarball.run("tar/install.sh", &[]).0);
    fs::write(&config, "[keep]\ndumps = 8\n").unwrap();
    let (undone, said) = tarball.run("root/usr/lib/afterpanic/uninstall", &[]);
    assert!(undone && said.contains("because it was changed"), "{said}");
    assert!(config.is_file() && !tarball.path("root/usr/bin/afterpanic").exists());
}
