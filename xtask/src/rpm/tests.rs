//! The packages against each other.

use super::*;
use std::collections::BTreeMap;

#[test]
fn configs_are_kept_and_documents_are_marked() {
    let file = |to: &str, mode| Placed {
        to: to.into(),
        from: PathBuf::from("/x"),
        mode,
    };
    let files = [
        file("etc/afterpanic.toml", 0o644),
        file("usr/bin/afterpanic", 0o755),
        file("usr/share/doc/afterpanic/README.md", 0o644),
        file("usr/share/zsh/vendor-completions/_afterpanic", 0o644),
    ];
    let text = metadata(&files).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let assets = table["assets"].as_array().unwrap();
    assert_eq!(assets[0]["config"].as_str(), Some("noreplace"));
    assert_eq!(assets[1]["mode"].as_str(), Some("755"));
    assert_eq!(assets[1].get("doc"), None);
    assert_eq!(assets[2]["doc"].as_bool(), Some(true));
    assert_eq!(
        assets[3]["dest"].as_str(),
        Some("/usr/share/zsh/site-functions/_afterpanic")
    );
}

#[test]
fn a_package_of_another_architecture_is_none_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a-1.aarch64.rpm", "a-1.x86_64.rpm", "a-1.aarch64.txt"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let found = packages(dir.path(), "aarch64").unwrap();
    assert_eq!(found, [dir.path().join("a-1.aarch64.rpm")]);
}

/// What a command prints.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The files below a folder with their sizes and permissions.
fn tree(dir: &std::path::Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                found.insert(name, (mode, fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// Builds both packages, unpacks them, and compares file by file. Needs cpio and rpm2cpio.
#[test]
#[ignore = "builds both packages, which takes minutes"]
fn the_rpm_holds_what_the_debian_package_holds() {
    let dir = tempfile::tempdir().unwrap();
    let xtask = |verb: &str| -> String {
        let mut command = crate::run::cargo(&["run", "--quiet", "--package", "xtask", "--", verb]);
        let said = printed(command.args(["--profile", "dev"]));
        said.lines().last().unwrap().to_owned()
    };
    let (deb, rpm) = (xtask("deb"), xtask("rpm"));
    let unpacked = |name: &str| {
        let dir = dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        dir
    };
    let (of_deb, of_rpm) = (unpacked("deb"), unpacked("rpm"));
    printed(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&of_deb));
    let mut unpack = Command::new("sh");
    unpack.args(["-ec", "rpm2cpio \"$1\" | cpio -idm --quiet", "unpack", &rpm]);
    printed(unpack.current_dir(&of_rpm));
    let deb: BTreeMap<String, _> = tree(&of_deb)
        .into_iter()
        .map(|(name, file)| {
            // cargo-deb packs the changelog, as Debian's policy wants.
            (
                ship::elsewhere(name.strip_suffix(".gz").unwrap_or(&name)),
                file,
            )
        })
        .collect();
    let rpm = tree(&of_rpm);
    assert_eq!(
        deb.keys().collect::<Vec<_>>(),
        rpm.keys().collect::<Vec<_>>()
    );
    for (name, (mode, bytes)) in &deb {
        assert_eq!(*mode, rpm[name].0, "{name}");
        let packed = bytes.starts_with(b"\x1f\x8b");
        assert!(packed || *bytes == rpm[name].1, "{name} differs");
    }
}

/// Copies a program of this machine and its libraries below `root`, at the same paths.
fn bring(root: &std::path::Path, program: &str) {
    let libraries = printed(Command::new("ldd").arg(program));
    let libraries = libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for path in std::iter::once(program).chain(libraries) {
        let to = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

/// Debian's rpm installs the package below a root that has a shell and nothing else, runs its scriptlets there, and
/// removes it again.
#[test]
#[ignore = "builds the package, which takes minutes; needs root and rpm"]
fn the_rpm_is_installed_and_removed_below_an_empty_root() {
    let dir = tempfile::tempdir().unwrap();
    let mut build = crate::run::cargo(&["run", "--quiet", "--package", "xtask", "--", "rpm"]);
    let built = printed(build.args(["--profile", "dev"]));
    let package = built.lines().last().unwrap();
    for program in ["/bin/sh", "/bin/cat", "/bin/rm"] {
        bring(dir.path(), program);
    }
    let rpm = |arguments: &[&str]| {
        let mut rpm = Command::new("rpm");
        rpm.arg("--root").arg(dir.path());
        let output = rpm.args(["--dbpath", "/var/lib/rpm"]).args(arguments);
        let output = output.output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(!said.contains("scriptlet failed"), "{said}");
        said
    };
    let said = rpm(&["--install", "--nodeps", package]);
    assert!(said.contains("arms nothing yet"), "{said}");
    let program = dir.path().join("usr/bin/afterpanic");
    assert!(program.is_file());
    rpm(&["--verify", "--nodeps", "afterpanic"]);
    let state = dir.path().join("var/lib/afterpanic");
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("state.json"), "{}").unwrap();
    rpm(&["--erase", "--nodeps", "afterpanic"]);
    assert!(!program.exists() && !state.exists());
}
