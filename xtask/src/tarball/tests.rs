//! The tar file on systems without systemd: roots of Debian's packages in which it is installed, used and undone,
//! by their own tools.

use super::*;
use std::collections::BTreeSet;
use std::process::Output;

const NO_KERNEL: &str = "no kernel image for 6.12.0-here";

/// A folder that is a root for chroot(8), which needs root.
struct Tree(tempfile::TempDir);

/// Both outputs of a command.
fn said(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&all).into_owned()
}

fn succeeded(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

impl Tree {
    /// A root of packages, unpacked and never configured, with busybox for its tools, and the tar file unpacked in /tmp.
    fn of(packages: &[String], tarball: &Path) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        let debs = tempfile::tempdir().unwrap();
        // apt would become a user who may not write here.
        let mut apt = Command::new("apt-get");
        apt.args(["-q", "-o", "APT::Sandbox::User=root", "download"]);
        succeeded(apt.args(packages).current_dir(debs.path()));
        for deb in fs::read_dir(debs.path()).unwrap() {
            let deb = deb.unwrap().path();
            succeeded(
                Command::new("dpkg-deb")
                    .arg("-x")
                    .arg(deb)
                    .arg(tree.path("")),
            );
        }
        for folder in [
            "usr/bin",
            "usr/sbin",
            "sbin",
            "proc/sys/kernel",
            "sys/kernel",
            "run/openrc/exclusive",
            "run/openrc/starting",
            "tmp",
            "dev",
            "var/lib",
        ] {
            fs::create_dir_all(tree.path(folder)).unwrap();
        }
        // A machine without a reservation. These are plain files: nothing here reaches the kernel that runs.
        for (path, text) in [
            ("proc/sys/kernel/osrelease", "6.12.0-here\n"),
            ("proc/cmdline", "quiet\n"),
            ("proc/filesystems", "\text4\n"),
            ("sys/kernel/kexec_crash_size", "0\n"),
            ("sys/kernel/kexec_crash_loaded", "0\n"),
            ("run/openrc/softlevel", ""),
        ] {
            fs::write(tree.path(path), text).unwrap();
        }
        let null = tree.path("dev/null");
        succeeded(Command::new("mknod").arg(null).args(["c", "1", "3"]));
        tree.succeeds(&["/bin/busybox", "--install", "-s"]);
        let mut tar = Command::new("tar");
        succeeded(tar.arg("-xf").arg(tarball).arg("-C").arg(tree.path("tmp")));
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Runs a program of the root in it.
    fn run(&self, command: &[&str]) -> Output {
        let mut chroot = Command::new("chroot");
        chroot.arg(self.0.path()).args(command);
        chroot
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        chroot.output().unwrap()
    }

    fn succeeds(&self, command: &[&str]) -> String {
        let output = self.run(command);
        assert!(output.status.success(), "{command:?}: {}", said(&output));
        said(&output)
    }

    /// Everything in it but for what is unpacked in /tmp, and what programs keep while they run.
    fn names(&self) -> BTreeSet<String> {
        let mut find = Command::new("find");
        let text = succeeded(find.current_dir(self.0.path()).arg("."));
        let outside = |name: &&str| !name.starts_with("./tmp/") && !name.starts_with("./run/");
        text.lines().filter(outside).map(str::to_owned).collect()
    }

    /// Installs it, asks the loader, and undoes it; `between` may use what is installed.
    fn lives(&self, between: &dyn Fn(&str)) {
        let before = self.names();
        let folder = fs::read_dir(self.path("tmp"))
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        let installer = format!("/tmp/{}/install.sh", folder.file_name().to_str().unwrap());
        let told = self.succeeds(&[&installer]);
        assert!(!told.contains("systemctl"), "{told}");
        let version = self.succeeds(&["afterpanic", "--version"]);
        assert!(version.starts_with("afterpanic "), "{version}");
        // This root has no kernel.
        let load = self.run(&["afterpanic", "load"]);
        assert_eq!(load.status.code(), Some(1), "{}", said(&load));
        assert!(said(&load).contains(NO_KERNEL), "{}", said(&load));
        let doctor = said(&self.run(&["afterpanic", "doctor"]));
        assert!(doctor.contains(NO_KERNEL), "{doctor}");
        assert!(doctor.contains("no memory is reserved"), "{doctor}");
        assert!(doctor.contains("fix: afterpanic reserve"), "{doctor}");
        between(&told);
        self.succeeds(&["/usr/lib/afterpanic/uninstall"]);
        let left: Vec<_> = self.names().difference(&before).cloned().collect();
        let stays = |name: &String| name.starts_with("./var/lib/afterpanic");
        assert!(left.iter().all(stays), "{left:?}");
        assert_eq!(before.difference(&self.names()).count(), 0);
    }
}

fn built() -> PathBuf {
    let mut build = crate::run::cargo(&["run", "--quiet", "--package", "xtask", "--", "tarball"]);
    let text = succeeded(build.args(["--profile", "dev"]));
    PathBuf::from(text.lines().last().unwrap())
}

fn owned(packages: &[&str]) -> Vec<String> {
    packages.iter().map(|name| (*name).to_owned()).collect()
}

/// A package and what it needs, where nothing is installed.
fn closure(package: &str) -> Vec<String> {
    let mut apt = Command::new("apt-get");
    apt.args(["-q", "-s", "-y", "-o", "Dir::State::status=/dev/null"]);
    let text = succeeded(apt.args(["--no-install-recommends", "install", package]));
    let names = text.lines().filter_map(|line| line.strip_prefix("Inst "));
    let names = names.filter_map(|rest| rest.split(' ').next());
    names.map(str::to_owned).collect()
}

/// musl and no other C library, OpenRC's service manager on the one that it is built for; busybox is the shell and all tools.
#[test]
#[ignore = "builds the tar file, which takes minutes; needs root and a package mirror"]
fn the_tarball_serves_systems_without_systemd() {
    let tarball = built();
    let musl = Tree::of(&owned(&["musl", "busybox-static"]), &tarball);
    assert!(
        musl.path("lib/ld-musl-x86_64.so.1")
            .symlink_metadata()
            .is_ok()
    );
    assert!(!musl.path("lib/x86_64-linux-gnu/libc.so.6").exists());
    musl.lives(&|told| assert!(told.contains("`afterpanic load` at each boot"), "{told}"));

    let packages = [closure("openrc"), owned(&["busybox-static"])].concat();
    let openrc = Tree::of(&packages, &tarball);
    openrc.lives(&|told| {
        assert!(told.contains("rc-update add afterpanic default"), "{told}");
        openrc.succeeds(&["rc-update", "add", "afterpanic", "default"]);
        assert!(
            openrc
                .succeeds(&["rc-update", "show", "default"])
                .contains("afterpanic")
        );
        let start = openrc.run(&["rc-service", "afterpanic", "start"]);
        let text = said(&start);
        assert!(
            !start.status.success() && text.contains(NO_KERNEL),
            "{text}"
        );
        assert!(text.contains("Loading the capture kernel"), "{text}");
    });
}
