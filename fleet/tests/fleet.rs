//! The program over file://: a bucket in a directory, crash directories made from a real one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use support::{Lab, M1, M2};

#[test]
fn three_crashes_arrive_and_are_indexed_once() {
    let lab = Lab::new();
    lab.crash("a", "web-1", "20261129T010203Z", "bug:one:000001");
    lab.crash("b", "web-2", "20261129T020304Z", "bug:one:000001");
    lab.crash("b", "web-2", "20261130T020304Z", "bug:two:000002");
    lab.ship("a", M1, &[]).done();
    let shipped = lab.ship("b", M2, &["--json"]).done().json();
    assert_eq!(shipped["schema"], "afterpanic-fleet.ship/1");
    assert_eq!(shipped["shipped"].as_array().unwrap().len(), 2);
    let again = lab.ship("b", M2, &["--json"]).done().json();
    assert_eq!((&again["there"], &again["bytes"]), (&json!(2), &json!(0)));
    let first = lab.index(&[]).done().json();
    assert_eq!((&first["added"], &first["parts"]), (&json!(3), &json!(2)));
    let second = lab.index(&[]).done().json();
    assert_eq!((&second["added"], &second["known"]), (&json!(0), &json!(3)));
    // Only what a report holds has left, and the manifest says so.
    let dir = lab.crash_dir(M1, "2026-11-29", "web-1-20261129T010203Z");
    let mut names: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["manifest.json", "panic.log", "report.json", "report.txt"]
    );
    let manifest: Value =
        serde_json::from_slice(&fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["files"].as_array().unwrap().len(), 3);
    assert_eq!(manifest["fleet"]["machine"], M1);
    assert!(
        manifest["fleet"]["left_out"]
            .to_string()
            .contains("vmcore.elf.zst")
    );
    assert_eq!(manifest["core"]["format"], "elf-zst");
}

#[test]
fn nothing_leaves_that_is_not_sealed() {
    let lab = Lab::new();
    let crash = lab.crash("a", "web-1", "20261129T010203Z", "bug:one:000001");
    let run = lab.ship("a", M1, &["--cores"]);
    assert_eq!(run.code, 4);
    assert!(
        run.stderr
            .contains("vmcore.elf.zst stays here: it is not sealed"),
        "{}",
        run.stderr
    );
    let there = lab.crash_dir(M1, "2026-11-29", "web-1-20261129T010203Z");
    assert!(there.join("manifest.json").exists() && !there.join("vmcore.elf.zst").exists());
    lab.ship("a", M1, &["--cores", "--allow-unsealed"]).done();
    let same =
        |name: &str| fs::read(there.join(name)).unwrap() == fs::read(crash.join(name)).unwrap();
    assert!(same("vmcore.elf.zst"));
    // Everything is still here.
    assert!(crash.join("vmcore.elf.zst").exists() && crash.join("report.json").exists());
}

#[test]
fn an_interrupted_run_goes_on() {
    let lab = Lab::new();
    let crash = lab.crash("a", "web-1", "20261129T010203Z", "bug:one:000001");
    fs::write(crash.join("vmcore.elf.zst"), vec![7; 9 << 20]).unwrap();
    // The second large file cannot be read: a link.
    symlink("/etc/hostname", crash.join("vmcore.kdump.link")).unwrap();
    fs::remove_file(crash.join("vmcore.kdump.link")).unwrap();
    let there = lab.crash_dir(M1, "2026-11-29", "web-1-20261129T010203Z");
    fs::create_dir_all(there.join("vmcore.elf.zst")).unwrap();
    let run = lab.ship("a", M1, &["--cores", "--allow-unsealed"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(!there.join("manifest.json").exists());
    assert_eq!(lab.index(&[]).done().json()["unfinished"], 1);
    fs::remove_dir(there.join("vmcore.elf.zst")).unwrap();
    lab.ship("a", M1, &["--cores", "--allow-unsealed"]).done();
    assert!(there.join("manifest.json").exists() && !there.join("ship.json").exists());
    assert_eq!(lab.index(&[]).done().json()["added"], 1);
}

#[test]
fn a_large_file_that_arrived_is_not_sent_again() {
    let lab = Lab::new();
    let crash = lab.crash("a", "web-1", "20261129T010203Z", "bug:one:000001");
    fs::write(crash.join("vmcore.elf.zst"), vec![7; 9 << 20]).unwrap();
    let there = lab.crash_dir(M1, "2026-11-29", "web-1-20261129T010203Z");
    lab.ship("a", M1, &["--cores", "--allow-unsealed"]).done();
    // As after an interruption between the core and the manifest.
    let text = fs::read(there.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    fs::write(there.join("ship.json"), manifest["files"].to_string()).unwrap();
    fs::remove_file(there.join("manifest.json")).unwrap();
    let again = lab
        .ship("a", M1, &["--cores", "--allow-unsealed", "--json"])
        .done()
        .json();
    assert!(again["bytes"].as_u64().unwrap() < 1 << 20, "{again}");
    assert_eq!(fs::read(there.join("manifest.json")).unwrap(), text);
    // One that was changed here meanwhile is.
    fs::write(crash.join("vmcore.elf.zst"), vec![8; 9 << 20]).unwrap();
    fs::rename(there.join("manifest.json"), lab.path("moved")).unwrap();
    fs::write(there.join("ship.json"), manifest["files"].to_string()).unwrap();
    let changed = lab
        .ship("a", M1, &["--cores", "--allow-unsealed", "--json"])
        .done()
        .json();
    assert!(changed["bytes"].as_u64().unwrap() > 9 << 20, "{changed}");
    assert_eq!(fs::read(there.join("vmcore.elf.zst")).unwrap()[0], 8);
}

#[test]
fn a_file_that_is_damaged_here_does_not_leave() {
    let lab = Lab::new();
    let crash = lab.crash("a", "web-1", "20261129T010203Z", "bug:one:000001");
    lab.crash("a", "web-1", "20261129T020203Z", "bug:one:000001");
    fs::write(crash.join("report.txt"), "changed").unwrap();
    let run = lab.ship("a", M1, &[]);
    assert_eq!(run.code, 4);
    assert!(
        run.stderr
            .contains("report.txt is not what manifest.json says"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("1 shipped"), "{}", run.stdout);
}

#[test]
fn damaged_directories_do_not_keep_the_others() {
    let lab = Lab::new();
    for hour in 1..=4 {
        let stamp = format!("20261129T0{hour}0203Z");
        let crash = lab.crash("a", "web-1", &stamp, "bug:one:000001");
        if hour < 4 {
            fs::write(crash.join("manifest.json"), "no JSON").unwrap();
        }
    }
    let run = lab.ship("a", M1, &["--json"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert_eq!(run.json()["shipped"].as_array().unwrap().len(), 1);
    assert_eq!(run.stderr.lines().count(), 3, "{}", run.stderr);
}

#[test]
fn a_strangers_directory_is_skipped() {
    let lab = Lab::new();
    let crash = lab.crash("a", "web-1", "20261129T010203Z", "bug:one:000001");
    fs::set_permissions(&crash, fs::Permissions::from_mode(0o777)).unwrap();
    let run = lab.ship("a", M1, &[]);
    assert_eq!(run.code, 4);
    assert!(
        run.stderr.contains("skipped \"web-1-20261129T010203Z\""),
        "{}",
        run.stderr
    );
    assert!(!lab.path("bucket/v1").exists());
}

#[test]
fn what_is_hidden_does_not_leave() {
    let lab = Lab::new();
    lab.crash(
        "a",
        "web-1.example.org",
        "20261129T010203Z",
        "bug:one:000001",
    );
    fs::write(lab.path("key"), [9; 32]).unwrap();
    let config = format!(
        "[fleet]\nto = \"file://{}\"\nkey_file = \"{}\"\n[fleet.redact]\nhostname = \"hash\"\nlog = \"hash\"\n\
         command_line = \"drop\"\nargv = \"drop\"\n",
        lab.path("bucket").display(),
        lab.path("key").display()
    );
    fs::write(lab.path("fleet.toml"), config).unwrap();
    let config = lab.path("fleet.toml").display().to_string();
    let store = lab.path("a").display().to_string();
    lab.run(&["--config", &config, "ship", &store, "--machine", M1])
        .done();
    let mut all = String::new();
    for file in lab.files("bucket") {
        all.push_str(&file.display().to_string());
        all.push_str(&String::from_utf8_lossy(&fs::read(&file).unwrap()));
    }
    for secret in ["web-1", "example.org", "crashkernel=192M", "20.847431"] {
        assert!(!all.contains(secret), "{secret}");
    }
    assert!(all.contains("bug:one:000001") && all.contains("sysrq_handle_crash"));
    let names: Vec<String> = lab
        .files("bucket")
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["manifest.json", "report.json"]);
    // The hashes in the bucket are of what is in the bucket.
    assert_eq!(lab.index(&[]).done().json()["added"], 1);
    let again = lab
        .run(&[
            "--config",
            &config,
            "ship",
            &store,
            "--machine",
            M1,
            "--json",
        ])
        .done()
        .json();
    assert_eq!(again["there"], 1);
}

#[test]
fn a_hostile_bucket_costs_only_its_own_crashes() {
    let lab = Lab::new();
    for hour in 1..8 {
        lab.crash(
            "a",
            "web-1",
            &format!("2026112{hour}T010203Z"),
            "bug:one:000001",
        );
    }
    lab.ship("a", M1, &[]).done();
    let at = |day: &str| {
        lab.crash_dir(
            M1,
            &format!("2026-11-2{day}"),
            &format!("web-1-2026112{day}T010203Z"),
        )
    };
    fs::write(at("1").join("report.json"), "{\"reason\":7}").unwrap();
    fs::write(at("2").join("manifest.json"), "no JSON").unwrap();
    fs::remove_file(at("3").join("report.json")).unwrap();
    // 1 GB that takes no room.
    fs::File::create(at("4").join("report.json"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let nested = "[".repeat(100_000);
    fs::write(
        at("5").join("manifest.json"),
        format!("{{\"files\":[],\"x\":{nested}"),
    )
    .unwrap();
    for stranger in [
        "v1/crashes/dt=2026-11-26/x\u{1b}[31m",
        "v1/crashes/dt=2026-11-26/..x/y/z",
        "v1/crashes/loose",
    ] {
        let file = lab.path("bucket").join(stranger);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "x").unwrap();
    }
    let run = lab.index(&[]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    let done = run.json();
    assert_eq!(
        (&done["added"], &done["damaged"]),
        (&json!(2), &json!(5)),
        "{}",
        run.stderr
    );
    for said in [
        "report.json does not have the hash",
        "manifest.json cannot be read",
        "report.json is missing, and manifest.json has it",
        "report.json has 1073741824 bytes, more than 16777216",
        "not part of a crash directory",
    ] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    assert!(!run.stderr.contains('\u{1b}') && !run.stdout.contains('\u{1b}'));
    // What is repaired is taken.
    lab.forget(M1);
    lab.ship("a", M1, &[]).done();
    assert_eq!(lab.index(&[]).json()["damaged"], 0);
}

#[test]
fn indexers_at_once_add_nothing_twice() {
    let lab = Lab::new();
    for minute in 10..40 {
        lab.crash(
            "a",
            "web-1",
            &format!("20261129T01{minute}03Z"),
            "bug:one:000001",
        );
    }
    lab.ship("a", M1, &[]).done();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| lab.index(&[]).done().json()))
            .collect();
        let added: u64 = runs
            .into_iter()
            .map(|run| run.join().unwrap()["added"].as_u64().unwrap())
            .sum();
        assert_eq!(added, 30);
    });
    assert_eq!(lab.index(&[]).done().json()["known"], 30);
    assert_eq!(lab.parts("2026-11-29").len(), 1);
}

#[test]
fn parts_are_merged_and_then_removed() {
    let lab = Lab::new();
    for minute in 10..20 {
        lab.crash(
            "a",
            "web-1",
            &format!("20261129T01{minute}03Z"),
            "bug:one:000001",
        );
        lab.ship("a", M1, &[]).done();
        lab.index(&["--grace", "600"]).done();
    }
    // Eight were merged into one, and stay for those who read them; two came later.
    assert_eq!(lab.parts("2026-11-29").len(), 11);
    let tidy = lab.index(&["--grace", "0"]).done().json();
    assert_eq!((&tidy["removed"], &tidy["known"]), (&json!(8), &json!(10)));
    let parts = lab.parts("2026-11-29");
    assert_eq!(parts[0], "part-00000000-00000007.parquet");
    assert_eq!(parts.len(), 3);
    assert_eq!(lab.index(&[]).done().json()["added"], 0);
}

#[test]
fn a_crash_that_is_shipped_again_replaces_its_row() {
    let lab = Lab::new();
    lab.crash("a", "web-1", "20261129T010203Z", "bug:one:000001");
    lab.ship("a", M1, &[]).done();
    lab.index(&[]).done();
    let none = lab.fetch("bug:one:000001", "none", &["--core"]);
    assert_eq!(none.code, 1);
    assert!(
        none.stderr
            .contains("no crash with this signature has its core"),
        "{}",
        none.stderr
    );
    lab.ship("a", M1, &["--cores", "--allow-unsealed"]).done();
    let again = lab.index(&[]).done().json();
    assert_eq!((&again["added"], &again["merged"]), (&json!(1), &json!(2)));
    lab.fetch("bug:one:000001", "core", &["--core"]).done();
    assert!(lab.path("core/vmcore.elf.zst").exists());
}

#[test]
fn a_crash_is_fetched_whole_or_not_at_all() {
    let lab = Lab::new();
    lab.crash("a", "web-1", "20261129T010203Z", "bug:one:000001");
    lab.ship("a", M1, &[]).done();
    lab.index(&[]).done();
    lab.fetch("bug:one:000001", "got", &[]).done();
    let same = |name: &str| {
        let there = lab.path(&format!("a/web-1-20261129T010203Z/{name}"));
        fs::read(lab.path("got").join(name)).unwrap() == fs::read(there).unwrap()
    };
    assert!(same("report.json") && same("report.txt"));
    let mode = fs::metadata(lab.path("got")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(
        lab.fetch("bug:one:000001", "got", &[])
            .stderr
            .contains("exists")
    );
    assert!(
        lab.fetch("bug:none:1", "x", &[])
            .stderr
            .contains("no crash in the index")
    );
    let there = lab.crash_dir(M1, "2026-11-29", "web-1-20261129T010203Z");
    fs::write(there.join("report.txt"), "changed").unwrap();
    let run = lab.fetch("bug:one:000001", "bad", &[]);
    assert!(
        run.stderr.contains("report.txt does not have the hash"),
        "{}",
        run.stderr
    );
    assert!(!lab.path("bad").exists() && !lab.path("bad.fetching").exists());
}

#[test]
fn the_site_shows_text_as_text() {
    let lab = Lab::new();
    lab.crash(
        "a",
        "web-1",
        "20261129T010203Z",
        "bug:<script>alert(1)</script>:000001",
    );
    lab.ship("a", M1, &[]).done();
    lab.index(&[]).done();
    let (site, bucket) = (lab.path("site").display().to_string(), lab.url());
    let run = lab.run(&[
        "page",
        &site,
        "--bucket",
        &bucket,
        "--reports",
        "https://reports.example.org/f",
    ]);
    run.done();
    let page = fs::read_to_string(lab.path("site/index.html")).unwrap();
    assert!(
        page.contains("bug:&lt;script&gt;alert(1)") && !page.contains("<script"),
        "{page}"
    );
    let other = lab
        .files("site")
        .into_iter()
        .find(|file| !file.ends_with("index.html"))
        .unwrap();
    let other = fs::read_to_string(other).unwrap();
    assert!(
        other.contains("href=\"https://reports.example.org/f/v1/crashes/dt=2026-11-29/"),
        "{other}"
    );
    // A second time over the same site, and never over something else.
    lab.run(&["page", &site, "--bucket", &bucket]).done();
    let store = lab.path("a").display().to_string();
    assert!(
        lab.run(&["page", &store, "--bucket", &bucket])
            .stderr
            .contains("is not empty")
    );
}

#[test]
fn errors_are_one_sentence() {
    let lab = Lab::new();
    let missing = lab.path("missing").display().to_string();
    for (words, code, said) in [
        (
            vec!["ship", &missing, "--to", "file:///tmp"],
            1,
            "cannot open",
        ),
        (vec!["ship"], 2, "no bucket. Name its URL"),
        (vec!["index", "ftp://x"], 1, "use s3://"),
        (
            vec!["index", "https://127.0.0.1:1/x"],
            1,
            "no conditional writes",
        ),
        (vec!["index", "https://müll.example/x"], 1, "is not a URL"),
        (
            vec!["top", "--bucket", &missing],
            1,
            "has no crash of these days. Run: afterpanic-fleet index",
        ),
        (vec!["--config", &missing, "ship"], 2, "cannot read"),
        (vec!["machine", "--bucket", &missing], 2, "--machine"),
    ] {
        let run = lab.run(&words);
        assert_eq!(run.code, code, "{words:?}");
        assert!(run.stderr.contains(said), "{words:?}: {}", run.stderr);
        assert_eq!(run.stderr.trim().lines().count(), 1, "{}", run.stderr);
    }
}
