//! A target without a free byte: earlier crashes go, so that the log, the report and the essential pages
//! arrive.

use super::Bench;
use std::fs;
use std::path::Path;
use std::process::Command;
use synth::kernel::{Crash, Kernel};

/// Makes a small filesystem of its own at `$1`, fills it with what `$2` holds and with the cores of two
/// earlier crashes, captures by `$4` with the plan `$5`, and copies what is there in the end to `$3`.
const SCRIPT: &str = r#"
mount -t tmpfs -o size=48m none "$1" && cp -r "$2"/. "$1" || exit 99
dd if=/dev/zero of="$1/old-20200101T000000Z/vmcore.elf" bs=1M count=24 2>/dev/null
dd if=/dev/zero of="$1/old-20200102T000000Z/vmcore.elf" bs=4k 2>/dev/null
"$4" "$5"
code=$?
rm -f "$1"/old-*/vmcore.elf
cp -r "$1"/. "$3"
exit $code
"#;

/// An earlier crash with a whole core.
fn earlier(store: &Path, name: &str, time: u64) {
    let dir = store.join(name);
    fs::create_dir_all(&dir).unwrap();
    let manifest = serde_json::json!({
        "schema": 1, "afterpanic": "0", "verdict": "complete", "release": "6",
        "crash_time": time, "signature": format!("earlier:{time}"), "uptime_s": 9000,
        "files": [], "soft_errors": [], "steps": [],
        "core": {
            "file": "vmcore.elf", "format": "elf", "level": "all", "asked": "all",
            "verdict": "complete", "size": 1, "kinds": {}, "threads": 1,
            "pages": { "ram": 1, "kept": 1, "zero": 0, "missing": 0 },
            "classify_s": 0, "write_s": 0,
        },
    });
    fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
}

#[test]
fn a_full_target_takes_the_log_and_the_report_all_the_same() {
    let bench = Bench::new();
    let core = Kernel::new(Crash::NullPointer).elf();
    fs::write(&bench.plan.source, core).unwrap();
    let at = |name: &str| bench.dir.path().join(name);
    for dir in ["crash", "store", "left"] {
        fs::create_dir(at(dir)).unwrap();
    }
    earlier(&at("store"), "old-20200101T000000Z", 1_577_836_800);
    earlier(&at("store"), "old-20200102T000000Z", 1_577_923_200);
    fs::write(at("plan.json"), bench.plan.to_json().unwrap()).unwrap();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"])
        .args(["crash", "store", "left"].map(at))
        .arg(env!("CARGO_BIN_EXE_afterpanic-capture"))
        .arg(at("plan.json"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let left: Vec<String> = fs::read_dir(at("left"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(said.contains("The log was not saved"), "{said}");
    // The older one went, and the only other core stays.
    assert!(
        !left.iter().any(|name| name.contains("0101T")),
        "{left:?}\n{said}"
    );
    assert!(
        left.iter().any(|name| name.contains("0102T")),
        "{left:?}\n{said}"
    );
    let ours = left.iter().find(|name| !name.starts_with("old"));
    let ours = at("left").join(ours.unwrap_or_else(|| panic!("{left:?}\n{said}")));
    let size = |name: &str| fs::metadata(ours.join(name)).map_or(0, |meta| meta.len());
    for name in ["dmesg.txt", "report.json", "report.txt", "manifest.json"] {
        assert!(size(name) > 0, "{name}: {said}");
    }
    let log = fs::read_to_string(ours.join("dmesg.txt")).unwrap();
    assert!(log.contains("NULL pointer dereference"), "{log}");
}

/// The step is killed while it writes the pages, by a limit on the size of files (SIGXFSZ, 25): the
/// report has 6 KB, the pages 16.
#[test]
fn the_report_is_written_before_the_essential_pages() {
    let mut bench = Bench::new();
    fs::write(&bench.plan.source, Kernel::new(Crash::NullPointer).elf()).unwrap();
    bench.plan.dump.format = None;
    let plan = bench.dir.path().join("plan.json");
    fs::create_dir(bench.dir.path().join("crash")).unwrap();
    fs::write(&plan, bench.plan.to_json().unwrap()).unwrap();
    let output = Command::new("prlimit")
        .args(["--fsize=12000", "--"])
        .arg(env!("CARGO_BIN_EXE_afterpanic-capture"))
        .arg(&plan)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("essential: was ended by signal 25"), "{said}");
    assert!(
        said.contains("report: done with the essential pages"),
        "{said}"
    );
    let report = bench.crashes()[0].join("report.json");
    assert!(fs::metadata(report).unwrap().len() > 0);
}
