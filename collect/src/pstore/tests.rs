//! Records: whose they are, and where they are copied to.

use super::*;
use dump::seal::{Identities, Identity, Scope, open_text};

const CRASH: &str = "n-20261121T231600Z";

fn saved() -> (tempfile::TempDir, Store, Crash) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let name = store.begin("n", "20261121T231600Z").unwrap();
    assert_eq!(store.settle(&name, store::State::Done).unwrap(), CRASH);
    let crash = store.list().unwrap().crashes.remove(0);
    (dir, store, crash)
}

fn copy_all(store: &Store, crash: &Crash, dir: &Path) -> Copied {
    let mut copied = Copied::default();
    for record in records(dir, SystemTime::now()) {
        copy(
            store,
            &dump::seal::Sealer::default(),
            crash,
            &record,
            &mut copied,
        );
    }
    copied
}

#[test]
fn a_record_belongs_to_the_crash_of_its_time() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let boot = at(1_795_310_000);
    let crashes = [at(1_795_300_000), at(1_795_309_700)];
    let owner_at = |time| {
        let record = Record {
            path: PathBuf::new(),
            name: "dmesg-efi-1".into(),
            time,
        };
        owner(&record, &crashes, boot)
    };
    assert_eq!(owner_at(Some(at(1_795_300_600))), Some(0));
    assert_eq!(owner_at(Some(at(1_795_300_601))), None);
    assert_eq!(owner_at(Some(at(1_795_309_500))), Some(1));
    assert_eq!(owner_at(None), Some(1));
    let record = Record {
        path: PathBuf::new(),
        name: "console-ramoops-0".into(),
        time: None,
    };
    assert_eq!(owner(&record, &crashes, at(1_795_309_700 + 7201)), None);
    assert_eq!(owner(&record, &[], boot), None);
}

#[test]
fn a_record_has_its_own_time_or_its_directorys() {
    let dir = tempfile::tempdir().unwrap();
    let archived = dir.path().join("1795309800/001");
    fs::create_dir_all(&archived).unwrap();
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let boot = at(1_795_310_000);
    let put = |path: &Path, time| {
        let file = fs::File::create(path).unwrap();
        file.set_modified(time).unwrap();
    };
    put(&dir.path().join("dmesg-efi-1"), at(1_795_309_000));
    put(&dir.path().join("console-ramoops-0"), at(1_795_310_003));
    put(&archived.join("dmesg-efi-2"), at(1_795_310_004));
    let times = |dir: &Path| -> Vec<Option<SystemTime>> {
        records(dir, boot)
            .iter()
            .map(|record| record.time)
            .collect()
    };
    assert_eq!(times(dir.path()), [None, Some(at(1_795_309_000))]);
    assert_eq!(times(&archived), [Some(at(1_795_309_800))]);
}

#[test]
fn records_are_copied_once() {
    let (dir, store, crash) = saved();
    let records = tempfile::tempdir().unwrap();
    fs::write(records.path().join("dmesg-efi-1"), "panic").unwrap();
    let done = copy_all(&store, &crash, records.path());
    let want = dir.path().join(CRASH).join("pstore/dmesg-efi-1");
    assert_eq!(done.records, std::slice::from_ref(&want));
    assert_eq!(fs::read(want).unwrap(), b"panic");
    let again = copy_all(&store, &crash, records.path());
    assert!(again.records.is_empty() && again.problems.is_empty());
}

#[test]
fn a_sealed_record_is_never_there_in_clear() {
    let (dir, store, crash) = saved();
    let records_at = tempfile::tempdir().unwrap();
    fs::write(records_at.path().join("dmesg-efi-1"), "panic").unwrap();
    let identity = Identity::generate().unwrap();
    let sealer = Sealer::new(vec![identity.recipient()], Scope::All);
    let sealed = dir.path().join(CRASH).join("pstore/dmesg-efi-1.age");
    let mut copied = Copied::default();
    // The second time it is there already.
    for _ in 0..2 {
        for record in records(records_at.path(), SystemTime::now()) {
            copy(&store, &sealer, &crash, &record, &mut copied);
        }
    }
    assert_eq!(copied.records, std::slice::from_ref(&sealed));
    assert!(copied.problems.is_empty(), "{:?}", copied.problems);
    assert_eq!(fs::read_dir(sealed.parent().unwrap()).unwrap().count(), 1);
    let bytes = fs::read(&sealed).unwrap();
    assert!(!bytes.windows(5).any(|part| part == b"panic"));
    let file = fs::File::open(&sealed).unwrap();
    let mut content = open_text(file, &Identities::of(identity)).unwrap();
    let mut text = String::new();
    content.read_to_string(&mut text).unwrap();
    assert_eq!(text, "panic");
}

#[test]
fn a_link_in_place_of_the_directory_leads_nowhere() {
    let (dir, store, crash) = saved();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = dir.path().join(CRASH).join("pstore");
    std::os::unix::fs::symlink(elsewhere.path(), link).unwrap();
    let records = tempfile::tempdir().unwrap();
    fs::write(records.path().join("job"), "* * * * * root true").unwrap();
    let done = copy_all(&store, &crash, records.path());
    assert_eq!((done.records.len(), done.problems.len()), (0, 1));
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
}

#[test]
fn what_systemd_has_moved_away_in_this_boot_is_found() {
    let archive = tempfile::tempdir().unwrap();
    let dump = archive.path().join("1795309800/001");
    fs::create_dir_all(&dump).unwrap();
    fs::write(dump.join("dmesg-efi-179530980001001"), "panic").unwrap();
    // The same once more, joined.
    fs::write(dump.join("dmesg.txt"), "panic").unwrap();
    // Of an older version, which kept only what it joined.
    let joined = archive.path().join("1795309900");
    fs::create_dir_all(&joined).unwrap();
    fs::write(joined.join("dmesg.txt"), "oops").unwrap();
    // A backend without times.
    fs::write(archive.path().join("dmesg-ramoops-0"), "panic").unwrap();
    fs::write(archive.path().join("console-ramoops-0"), "login:").unwrap();
    let hour = Duration::from_secs(3600);
    let found = archived(archive.path(), SystemTime::now() - hour);
    let names: Vec<&str> = found.iter().map(|record| record.name.as_str()).collect();
    let last = format!(
        "dmesg-{}-1795309900.txt",
        archive.path().file_name().unwrap().to_str().unwrap()
    );
    assert_eq!(
        names,
        [
            "console-ramoops-0",
            "dmesg-ramoops-0",
            "dmesg-efi-179530980001001",
            &last
        ]
    );
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    assert_eq!(found[2].time, Some(at(1_795_309_800)));
    assert_eq!(found[3].time, Some(at(1_795_309_900)));
    assert!(archived(archive.path(), SystemTime::now() + hour).is_empty());
    assert!(archived(&archive.path().join("none"), SystemTime::UNIX_EPOCH).is_empty());
}
