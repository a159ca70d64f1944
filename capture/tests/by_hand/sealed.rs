//! A crash that is sealed: what reaches the disk, and who can read it.

use super::{ANON, Bench, KEPT, page, toy};
use dump::seal::{Identities, Identity, MAGIC, Scope, SealError, open_dump};
use dump::settings::ManifestWords;
use std::fs;
use std::path::Path;
use store::CrashDir;
use vmcore::dump::Completeness;
use vmcore::write::OutputFormat;

/// A toy's dump, saved and sealed to a new key.
fn saved(with: impl FnOnce(&mut Bench)) -> (Bench, Identity, std::path::PathBuf) {
    let identity = Identity::generate().unwrap();
    let mut bench = Bench::new();
    toy(Path::new(&bench.plan.source));
    bench.plan.dump.recipients = vec![identity.recipient()];
    with(&mut bench);
    let (code, said) = bench.run();
    // The toy has no log. Its core is complete.
    assert_eq!(code, 5, "{said}");
    let dirs = bench.crashes();
    let [dir] = dirs.as_slice() else {
        panic!("{dirs:?}")
    };
    let dir = dir.clone();
    (bench, identity, dir)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn nothing_is_on_the_disk_unsealed_in_any_format_with_little_memory() {
    for (format, limit) in [
        (OutputFormat::ElfZst, 8),
        (OutputFormat::ElfLz4, 24),
        (OutputFormat::Elf, 8),
        (OutputFormat::KdumpZstd, 24),
    ] {
        let (_bench, identity, dir) = saved(|bench| {
            bench.plan.dump.format = Some(format);
            bench.plan.dump.worker_memory = Some(limit << 20);
            bench.plan.dump.keep_essential = true;
        });
        let names = names(&dir);
        for name in names.iter().filter(|name| *name != "manifest.json") {
            let bytes = fs::read(dir.join(name)).unwrap();
            assert!(name.ends_with(".age") && bytes.starts_with(MAGIC), "{name}");
            for (_, byte) in KEPT {
                let known = bytes.windows(64).any(|part| part == [byte; 64]);
                assert!(!known, "{name} shows a page");
            }
        }
        let core = dir.join(format!("vmcore{}.age", format.suffix()));
        let nobody = open_dump(&core, &Identities::default())
            .map(drop)
            .unwrap_err();
        assert!(nobody.to_string().contains("it is sealed"), "{nobody}");
        let keys = Identities::of(identity);
        let dump = open_dump(&core, &keys).unwrap();
        assert!(!matches!(
            dump.info().completeness,
            Completeness::Incomplete(_)
        ));
        for (pfn, byte) in KEPT {
            assert_eq!(
                page(&*dump, pfn),
                Some(vec![byte; 4096]),
                "{format:?} {pfn}"
            );
        }
        assert_eq!(page(&*dump, ANON), None);
        // What travels inside the core is what lies beside it.
        if let Some(mut inside) = dump.attachment(vmcore::dump::Attachment::PagesMap) {
            let mut map = Vec::new();
            inside.read_to_end(&mut map).unwrap();
            let crash = CrashDir::open(&dir).unwrap();
            assert!(map == crash.read_sealed("pages.map", 1 << 20, &keys).unwrap());
        }
        let audit = store::audit::audit(&dir).unwrap();
        assert!(audit.iter().all(|file| file.outcome.is_ok()), "{audit:?}");
        // All files but the manifest, and the sums of the core.
        assert_eq!(audit.len(), names.len(), "{audit:?}");
    }
}

#[test]
fn logs_stay_open_where_only_cores_are_sealed() {
    let (_bench, identity, dir) = saved(|bench| bench.plan.dump.seal = Scope::Core);
    let names = names(&dir);
    for open in ["capture.log", "pages.map", "manifest.json"] {
        assert!(names.iter().any(|name| name == open), "{names:?}");
    }
    assert!(
        names.contains(&"vmcore.elf.zst.age".to_owned()),
        "{names:?}"
    );
    assert!(open_dump(&dir.join("vmcore.elf.zst.age"), &Identities::of(identity)).is_ok());
}

#[test]
fn a_minimal_manifest_names_no_crash() {
    let (_bench, identity, dir) = saved(|bench| bench.plan.dump.manifest = ManifestWords::Minimal);
    let crash = CrashDir::open(&dir).unwrap();
    let manifest = crash.manifest().unwrap();
    assert_eq!(
        (manifest.signature, manifest.class, manifest.uptime_s),
        (None, None, None)
    );
    assert_eq!(manifest.release, "");
    assert!(manifest.core.is_some());
    let keys = Identities::of(identity);
    assert!(
        !crash
            .read_sealed("capture.log", 1 << 20, &keys)
            .unwrap()
            .is_empty()
    );
    let other = Identities::of(Identity::generate().unwrap());
    let refused = crash.read_sealed("capture.log", 1 << 20, &other);
    assert!(matches!(refused, Err(SealError::NoMatch { .. })));
}
