//! Files as distributions ship them and as people change them.

mod debian;
mod fedora;
mod others;
mod property;
mod suse;

use std::path::{Path, PathBuf};

use super::*;

/// Imports a file of this name.
fn import_as(path: &str, text: &str) -> Imported {
    let path = Path::new(path);
    let source = Source::of(path, text).unwrap();
    let imported = import(&[source], &[]);
    if !imported.blocks() {
        // What is printed is a config that says the same.
        let shown = imported.config.show();
        assert_eq!(Config::parse(&shown).unwrap(), imported.config, "{shown}");
    }
    imported
}

/// The outcomes of the rows, by line.
fn outcomes(imported: &Imported) -> Vec<(usize, Outcome)> {
    let rows = imported.rows.iter();
    rows.map(|row| (row.line, row.outcome)).collect()
}

/// The row of a line.
fn row(imported: &Imported, line: usize) -> &Row {
    let mut rows = imported.rows.iter();
    rows.find(|row| row.line == line).unwrap()
}

fn paths(imported: &Imported) -> Vec<PathBuf> {
    let targets = imported.config.target.iter();
    targets.map(|target| target.path.clone()).collect()
}

#[test]
fn files_are_told_apart_by_name_and_content() {
    let suite = |path: &str, text: &str| detect::suite_of(Path::new(path), text);
    assert_eq!(suite("/etc/kdump.conf", ""), Some(Suite::KdumpConf));
    assert_eq!(suite("/tmp/x", "nfs a:/b\n"), Some(Suite::KdumpConf));
    assert_eq!(
        suite("/etc/default/kdump-tools", ""),
        Some(Suite::KdumpTools)
    );
    assert_eq!(
        suite("/tmp/x", "# c\n\nUSE_KDUMP=1\n"),
        Some(Suite::KdumpTools)
    );
    assert_eq!(
        suite(
            "/etc/sysconfig/kdump",
            "KDUMP_COMMANDLINE=\"\"\nKDUMP_IMG=vmlinuz\n"
        ),
        Some(Suite::Sysconfig)
    );
    assert_eq!(
        suite(
            "/etc/sysconfig/kdump",
            "KDUMP_COMMANDLINE=\"\"\nKDUMP_SAVEDIR=/x\nKDUMP_CPUS=1\n"
        ),
        Some(Suite::Suse)
    );
    assert_eq!(
        suite("/etc/sysconfig/kdump.conf", "KDUMP_KVER=\"`uname -r`\"\n"),
        Some(Suite::OpenEmbedded)
    );
    assert_eq!(
        suite("/usr/share/kdumpst.d/00-default", "FULL_COREDUMP=1\n"),
        Some(Suite::Kdumpst)
    );
    assert_eq!(suite("/tmp/x", "hello\n"), None);
    assert_eq!(suite("/tmp/x", "FOO=1\n"), None);
}

#[test]
fn two_files_of_one_suite_are_one_config() {
    let conf = "path /dumps\n";
    let sysconfig = "KDUMP_COMMANDLINE_APPEND=\"x=1\"\n";
    let sources = [
        Source::of(Path::new("/etc/kdump.conf"), conf).unwrap(),
        Source::of(Path::new("/etc/sysconfig/kdump"), sysconfig).unwrap(),
    ];
    assert!(sources[0].suite.belongs_to(sources[1].suite));
    let imported = import(&sources, &[]);
    assert_eq!(paths(&imported), [PathBuf::from("/dumps")]);
    assert_eq!(imported.config.capture_kernel.cmdline_add, ["x=1"]);
    let files: Vec<&Path> = imported.rows.iter().map(|row| row.path.as_path()).collect();
    assert_eq!(
        files,
        [
            Path::new("/etc/kdump.conf"),
            Path::new("/etc/sysconfig/kdump")
        ]
    );
}

#[test]
fn a_line_that_the_user_answered_does_not_block() {
    let path = Path::new("/etc/kdump.conf");
    let text = "virtiofs dump\npath /x\n";
    let source = Source::of(path, text).unwrap();
    assert!(import(&[source], &[]).blocks());
    let imported = import(&[source], &[(path, 1)]);
    assert_eq!(imported.worst(), Outcome::NoCounterpart);
    assert_eq!(paths(&imported), [PathBuf::from("/x")]);
    assert!(row(&imported, 1).why.contains("--skip"));
}
