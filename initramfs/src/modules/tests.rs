//! The index and the closure on small module trees written here.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::closure::{self, Wanted};

const RELEASE: &str = "9.9.9-test";

/// A modules tree with these index files; `modules.dep` lines also make their files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("lib/modules").join(RELEASE);
    fs::create_dir_all(&dir).unwrap();
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
        if *name == "modules.dep" {
            for line in text.lines().filter(|line| line.contains(':')) {
                let path = dir.join(line.split(':').next().unwrap());
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("\x7fELF {line}")).unwrap();
            }
        }
    }
    root
}

fn open(root: &TempDir) -> Index {
    Index::open(root.path(), RELEASE).unwrap()
}

fn order(index: &Index, names: &[&str], omit: &[&str]) -> Result<Vec<String>, ModuleError> {
    let wanted: Vec<_> = names
        .iter()
        .map(|name| Wanted::required(*name, "the test"))
        .collect();
    let omit: Vec<_> = omit.iter().map(|name| (*name).to_owned()).collect();
    let closure = closure::resolve(index, &wanted, &omit)?;
    Ok(closure
        .modules
        .into_iter()
        .map(|picked| picked.name)
        .collect())
}

const DEP: &str = "\
kernel/fs/bigfs.ko.xz: kernel/lib/sum-lib.ko.xz kernel/lib/base.ko.xz
kernel/lib/sum-lib.ko.xz: kernel/lib/base.ko.xz
kernel/lib/base.ko.xz:
kernel/lib/sum_fast.ko.xz:
kernel/drivers/late.ko.xz:
kernel/drivers/maybe.ko.xz:
";

const SOFT: &str = "\
# made by hand
softdep sum_lib pre: hash-sum
softdep bigfs pre: nowhere post: late
";

fn sample(builtin: &str, modinfo: &str) -> TempDir {
    tree(&[
        ("modules.dep", DEP),
        ("modules.softdep", SOFT),
        ("modules.weakdep", "weakdep late maybe\n"),
        (
            "modules.alias",
            "alias hash-sum sum_fast\nalias fs-bigfs bigfs\nalias pci:v0001d*sv* late\n",
        ),
        ("modules.builtin", builtin),
        ("modules.builtin.modinfo", modinfo),
    ])
}

#[test]
fn names_come_from_paths_with_any_ending() {
    for path in [
        "a/virtio-blk.ko",
        "virtio_blk.ko.xz",
        "/x/virtio-blk.ko.zst",
        "virtio-blk",
    ] {
        assert_eq!(name_of(path), "virtio_blk");
    }
}

#[test]
fn load_order_puts_needs_and_softdeps_first() {
    let root = sample("", "");
    let index = open(&root);
    assert_eq!(
        order(&index, &["fs-bigfs"], &[]).unwrap(),
        ["sum_fast", "base", "sum_lib", "bigfs", "maybe", "late"]
    );
    assert_eq!(
        index.find_alias("pci:v0001d0002sv3"),
        Some(Found::Modules(vec!["late".into()]))
    );
    assert_eq!(index.find("no-such"), None);
}

#[test]
fn what_is_built_in_satisfies_a_softdep_and_brings_its_own() {
    let root = sample(
        "kernel/crypto/sum_generic.ko\nkernel/fs/tinyfs.ko\n",
        "sum_generic.alias=hash-sum\0tinyfs.softdep=pre: late\0tinyfs.alias=fs-tinyfs\0",
    );
    let index = open(&root);
    assert_eq!(
        order(&index, &["bigfs"], &[]).unwrap(),
        ["base", "sum_lib", "bigfs", "maybe", "late"]
    );
    assert_eq!(
        order(&index, &["fs-tinyfs"], &[]).unwrap(),
        ["maybe", "late"]
    );
    assert!(index.is_builtin("tinyfs"));
}

#[test]
fn required_spreads_to_needs_but_not_to_softdeps() {
    let root = sample("", "");
    let index = open(&root);
    let wanted = [
        Wanted::optional("sum-lib", "somebody"),
        Wanted::required("bigfs", "the target"),
    ];
    let closure = closure::resolve(&index, &wanted, &[]).unwrap();
    let required: Vec<_> = closure
        .modules
        .iter()
        .filter(|picked| picked.required)
        .map(|picked| picked.name.as_str())
        .collect();
    assert_eq!(required, ["base", "sum_lib", "bigfs"]);
    assert_eq!(
        closure.get("sum_lib").unwrap().why,
        ["somebody", "dependency of bigfs"]
    );
    assert_eq!(
        closure.notes,
        ["nowhere does not exist in this kernel (softdep of bigfs)"]
    );
}

#[test]
fn what_the_first_target_needs_comes_first_whoever_asks_later() {
    let root = sample("", "");
    let for_target = |name: &str, target| Wanted {
        target,
        ..Wanted::required(name, "the test")
    };
    let wanted = [
        for_target("base", 1),
        for_target("late", 1),
        for_target("bigfs", 2),
        for_target("sum_lib", 0),
    ];
    let closure = closure::resolve(&open(&root), &wanted, &[]).unwrap();
    let order: Vec<_> = closure
        .modules
        .iter()
        .map(|picked| (picked.name.as_str(), picked.target))
        .collect();
    let expected = [
        ("sum_fast", 0),
        ("base", 0),
        ("sum_lib", 0),
        ("maybe", 1),
        ("late", 1),
        ("bigfs", 2),
    ];
    assert_eq!(order, expected);
}

#[test]
fn omitted_softdeps_are_noted_and_omitted_needs_refused() {
    let root = sample("", "");
    let index = open(&root);
    assert_eq!(
        order(&index, &["sum_lib"], &["sum-fast"]).unwrap(),
        ["base", "sum_lib"]
    );
    let error = order(&index, &["bigfs"], &["base"])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("\"base\" is in omit_modules") && error.contains("sum_lib"),
        "{error}"
    );
}

#[test]
fn an_unknown_name_says_who_asked() {
    let root = sample("", "");
    let error = order(&open(&root), &["floppyfs"], &[])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "Linux 9.9.9-test has no module \"floppyfs\", which the test needs, and it is not built in either"
    );
}

#[test]
fn a_circle_is_shown_and_a_soft_circle_is_broken() {
    let root = tree(&[("modules.dep", "a.ko: b.ko\nb.ko: c.ko\nc.ko: a.ko\n")]);
    let error = order(&open(&root), &["a"], &[]).unwrap_err().to_string();
    assert!(error.contains("a -> b -> c -> a"), "{error}");

    let root = tree(&[
        ("modules.dep", "a.ko:\nb.ko:\n"),
        ("modules.softdep", "softdep a pre: b\nsoftdep b pre: a\n"),
    ]);
    assert_eq!(order(&open(&root), &["a"], &[]).unwrap(), ["b", "a"]);
}

#[test]
fn an_endless_chain_ends() {
    let lines: String = (0..5000)
        .map(|n| format!("m{n}.ko: m{}.ko\n", n + 1))
        .collect();
    let root = tree(&[("modules.dep", &format!("{lines}m5000.ko:\n"))]);
    assert!(matches!(
        order(&open(&root), &["m0"], &[]),
        Err(ModuleError::Circle { .. })
    ));
}

#[test]
fn corrupt_indexes_name_the_line() {
    for (text, line, part) in [
        ("a.ko:\nnonsense\n", 2, "no colon"),
        ("a.ko: b.txt\n", 1, "\"b.txt\" is no path"),
        ("a.ko: ../../etc/b.ko\n", 1, "is no path"),
        ("x/a.ko:\ny/a.ko:\n", 2, "same name"),
        ("a.ko:\nb.ko: c.ko\n", 2, "b needs c"),
        ("\u{1}\u{2}.ko:\n", 1, "is no path"),
    ] {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("modules.dep"), text).unwrap();
        let error = Index::open_dir(root.path(), RELEASE)
            .unwrap_err()
            .to_string();
        let place = format!("modules.dep:{line}: ");
        assert!(error.contains(&place) && error.contains(part), "{error}");
    }
}

#[test]
fn a_missing_release_and_a_missing_index_are_told_apart() {
    let root = tree(&[]);
    let error = Index::open(root.path(), RELEASE).unwrap_err();
    assert!(matches!(error, ModuleError::Index { .. }), "{error}");
    let error = Index::open(root.path(), "1.2.3").unwrap_err().to_string();
    assert!(
        error.starts_with("No modules of Linux 1.2.3 under "),
        "{error}"
    );
    assert!(Index::open(root.path(), "../modules/9.9.9-test").is_err());
}

#[test]
fn modules_are_decompressed_and_otherwise_untouched() {
    use std::io::Write;
    let plain = [
        b"\x7fELF".as_slice(),
        &[7; 5000],
        b"~Module signature appended~\n",
    ]
    .concat();
    let zst = zstd::encode_all(plain.as_slice(), 3).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&plain).unwrap();
    for (name, bytes) in [
        ("m.ko", plain.clone()),
        ("m.ko.zst", zst.clone()),
        ("m.ko.gz", gz.finish().unwrap()),
        // Made by: printf '\x7fELF~' | xz --check=crc32
        ("m.ko.xz", XZ.to_vec()),
    ] {
        let expected = if name.ends_with("xz") {
            b"\x7fELF~"
        } else {
            plain.as_slice()
        };
        assert_eq!(
            decompress(Path::new(name), bytes).unwrap(),
            expected,
            "{name}"
        );
    }
    for (name, bytes) in [
        ("m.ko", b"MZ".to_vec()),
        ("m.ko.zst", zst[..zst.len() / 2].to_vec()),
        ("m.ko.xz", XZ[..40].to_vec()),
        ("m.ko.gz", b"\x1f\x8b\x08".to_vec()),
    ] {
        let error = decompress(Path::new(name), bytes).unwrap_err().to_string();
        assert!(error.contains("is damaged"), "{error}");
    }
}
const XZ: &[u8] = &[
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21, 0x01,
    0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x04, 0x7f, 0x45, 0x4c, 0x46, 0x7e,
    0x00, 0x00, 0x00, 0x00, 0x10, 0xe8, 0x74, 0x79, 0x00, 0x01, 0x19, 0x05, 0xbc, 0xe8, 0xec, 0xcb,
    0x90, 0x42, 0x99, 0x0d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
];
