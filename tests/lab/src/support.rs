//! docs/support.md: what was tested, from the scenarios and from docs/support/results.json.
//!
//! The page is a function of the two, so that it can claim nothing that is in neither. A pair that
//! no scenario covers is `expected` where both halves of it are covered apart.

use crate::cores;
use crate::libkdumpfile;
use crate::reboot;
use crate::results::{Outcome, Results};
use crate::scenario::Scenario;
use crate::server::Kind;
use crate::servers;
use rehearse::vm::Bus;
use rehearse::vm::machine::{AARCH64, X86_64};
use std::collections::BTreeSet;
use std::fmt::Write;

const HEAD: &str = "\
# What is supported

`cargo xtask support` writes this page from tests/lab/scenarios and docs/support/results.json. A run of
`cargo xtask test --full=SHARD` records its results there. Every machine is a QEMU virtual machine.

A cell says what came of the scenarios that cover it:

- **tested**: every one passed when it last ran; the day and the commit of the oldest of them.
- **FAILED**: these did not pass when they last ran.
- **not recorded**: scenarios cover it, and some of them have no result in the file yet.
- **expected**: no scenario covers this pair, but scenarios cover its row and its column.
- **no scenario**: nothing covers it.
";

/// The row and the column of a scenario.
type Place = fn(&Scenario) -> (String, String);

/// A table: the scenarios are sorted into rows and columns.
struct Table {
    title: &'static str,
    corner: &'static str,
    rows: Vec<String>,
    columns: Vec<String>,
    place: Place,
}

/// The page.
#[must_use]
pub fn page(scenarios: &[Scenario], results: &Results) -> String {
    let mut out = HEAD.to_owned();
    // One that does not panic shows nothing of a capture.
    let panics = scenarios.iter().filter(|s| s.panic != "nothing");
    let (here, elsewhere): (Vec<&Scenario>, Vec<&Scenario>) =
        panics.partition(|s| s.arch == X86_64.arch);
    for table in tables(&here) {
        write_table(&mut out, &table, &here, results);
    }
    out += "\n## Architectures\n\n| architecture | panics, captures |\n|---|---|\n";
    for (name, arch, panics) in [
        ("x86-64", X86_64.arch, &here),
        ("aarch64", AARCH64.arch, &elsewhere),
    ] {
        let of_arch = panics.iter().filter(|s| s.arch == arch);
        let names = of_arch.map(|s| s.name.clone()).collect::<Vec<_>>();
        let text = match names.is_empty() {
            true => "no scenario".to_owned(),
            false => cell(&names, results),
        };
        let _ = writeln!(out, "| {name} | {text} |");
    }
    for name in cores::ARCHITECTURES {
        if name != X86_64.arch && name != AARCH64.arch {
            let _ = writeln!(out, "| {name} | no scenario; its cores are read |");
        }
    }
    let machines = cores::names().map(|(name, about)| (format!("cores/{name}"), about));
    write_names(
        &mut out,
        "Cores that a hypervisor wrote, read on x86-64",
        &machines.collect::<Vec<_>>(),
        results,
    );
    write_names(
        &mut out,
        "Boot loaders: the life of a Debian server",
        &Kind::ALL.map(|kind| (format!("server/{}", kind.name()), kind.about().to_owned())),
        results,
    );
    write_names(
        &mut out,
        "Targets on servers, beyond the scenarios",
        &servers::names().collect::<Vec<_>>(),
        results,
    );
    let machines = reboot::names().map(|(name, about)| (format!("reboot/{name}"), about));
    write_names(
        &mut out,
        "Fast reboots",
        &machines.collect::<Vec<_>>(),
        results,
    );
    write_names(
        &mut out,
        "Tests of others",
        &[libkdumpfile::about()],
        results,
    );
    let shards: BTreeSet<&str> = scenarios.iter().map(|s| s.shard.as_str()).collect();
    for shard in shards {
        let of_shard = scenarios.iter().filter(|s| s.shard == shard);
        let rows: Vec<_> = of_shard
            .map(|s| (s.name.clone(), s.about.clone()))
            .collect();
        write_names(&mut out, &format!("Scenarios: {shard}"), &rows, results);
    }
    out
}

fn tables(panics: &[&Scenario]) -> Vec<Table> {
    let of = |place: Place| {
        let places = panics.iter().map(|s| place(s));
        let (rows, columns): (BTreeSet<_>, BTreeSet<_>) = places.unzip();
        (
            rows.into_iter().collect::<Vec<_>>(),
            columns.into_iter().collect::<Vec<_>>(),
        )
    };
    let places: [(&str, &str, Place); 3] = [
        (
            "Kernels, by how the capture kernel is loaded",
            "kernel",
            |s| (kernel(s), format!("{}, {}", syscall(s), firmware(s))),
        ),
        ("Kernels, by the target's filesystem", "kernel", |s| {
            (kernel(s), s.fs.name().to_owned())
        }),
        ("What the target is on, by its filesystem", "target", |s| {
            (target(s), s.fs.name().to_owned())
        }),
    ];
    let table = |(title, corner, place)| {
        let (rows, columns) = of(place);
        Table {
            title,
            corner,
            rows,
            columns,
            place,
        }
    };
    places.map(table).into_iter().collect()
}

/// The row of a kernel; two digits sort behind one.
fn kernel(s: &Scenario) -> String {
    match s.kernel.split_once('-') {
        None => format!("{} cloud", s.kernel),
        Some((series, "lab")) => format!("{series} built for the laboratory"),
        Some((series, "zst")) => format!("{series} cloud, modules in zstd"),
        Some((series, kind)) => format!("{series} {kind}"),
    }
}

fn firmware(s: &Scenario) -> &str {
    match s.firmware.as_str() {
        "uefi" => "UEFI",
        _ => "BIOS",
    }
}

/// The system call that a scenario asks for; `auto` takes kexec_file_load where there is one.
fn syscall(s: &Scenario) -> &'static str {
    let config: toml::Table = toml::from_str(&s.config).unwrap_or_default();
    let configured = config
        .get("capture_kernel")
        .and_then(|table| table.get("syscall")?.as_str());
    let asked = s.load.iter().skip_while(|word| *word != "--syscall").nth(1);
    match asked.map(String::as_str).or(configured) {
        Some("load") => "kexec_load",
        _ => "kexec_file_load",
    }
}

fn target(s: &Scenario) -> String {
    let made = |tool: &str| {
        s.make
            .iter()
            .any(|step| step.iter().any(|word| word == tool))
    };
    match (made("lvm"), made("mdadm")) {
        (true, _) if made("cryptsetup") => "LVM on LUKS2".into(),
        _ if made("cryptsetup") => "LUKS2".into(),
        (true, true) => "LVM on RAID 1".into(),
        (true, false) => "LVM".into(),
        (false, true) => "RAID 1".into(),
        (false, false) => bus(s.bus).to_owned(),
    }
}

fn bus(bus: Bus) -> &'static str {
    match bus {
        Bus::VirtioBlk => "virtio-blk",
        Bus::VirtioScsi => "virtio-scsi",
        Bus::Nvme => "NVMe",
        Bus::Ahci => "SATA (AHCI)",
        Bus::UsbStorage => "USB storage",
    }
}

fn write_table(out: &mut String, table: &Table, panics: &[&Scenario], results: &Results) {
    let _ = writeln!(out, "\n## {}\n", table.title);
    let _ = writeln!(out, "| {} | {} |", table.corner, table.columns.join(" | "));
    let _ = writeln!(out, "|---|{}", "---|".repeat(table.columns.len()));
    for row in &table.rows {
        let _ = write!(out, "| {row} |");
        for column in &table.columns {
            let here = |s: &&&Scenario| (table.place)(s) == (row.clone(), column.clone());
            let names: Vec<String> = panics.iter().filter(here).map(|s| s.name.clone()).collect();
            // Rows and columns are there because a scenario is in each.
            let text = match names.is_empty() {
                true => "expected".to_owned(),
                false => cell(&names, results),
            };
            let _ = write!(out, " {text} |");
        }
        out.push('\n');
    }
}

/// What came of all scenarios of a cell.
fn cell(names: &[String], results: &Results) -> String {
    let known: Vec<(&String, &Outcome)> = names
        .iter()
        .filter_map(|name| results.results.get_key_value(name))
        .collect();
    let failed: Vec<&str> = known
        .iter()
        .filter(|(_, outcome)| !outcome.passed)
        .map(|(name, _)| name.as_str())
        .collect();
    if !failed.is_empty() {
        return format!("FAILED: {}", failed.join(", "));
    }
    let oldest = known
        .iter()
        .map(|(_, outcome)| outcome)
        .min_by_key(|o| &o.date);
    match oldest {
        Some(oldest) if known.len() == names.len() => {
            format!("tested {} ({})", oldest.date, oldest.commit)
        }
        Some(_) => format!("not recorded ({} of {} passed)", known.len(), names.len()),
        None => "not recorded".into(),
    }
}

fn write_names(out: &mut String, title: &str, rows: &[(String, String)], results: &Results) {
    let _ = writeln!(
        out,
        "\n## {title}\n\n| name | what | kernel | result |\n|---|---|---|---|"
    );
    for (name, about) in rows {
        let kernel = results.results.get(name).map_or("", |one| &one.kernel);
        let result = cell(std::slice::from_ref(name), results);
        let about = about.replace('|', "\\|");
        let _ = writeln!(out, "| `{name}` | {about} | {kernel} | {result} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;
    use rehearse::disk::Fs;
    use std::fs;

    #[test]
    fn the_page_is_what_the_data_says() {
        let results = Results::read(&Results::path()).unwrap();
        let scenarios = scenario::all().unwrap();
        let page = page(&scenarios, &results);
        let there = fs::read_to_string(crate::root().join("docs/support.md")).unwrap();
        assert!(
            page == there,
            "docs/support.md is old; run: cargo xtask support"
        );
        let machines = reboot::names().map(|(name, _)| format!("reboot/{name}"));
        let servers = Kind::ALL.map(|kind| format!("server/{}", kind.name()));
        let known: BTreeSet<String> = scenarios
            .iter()
            .map(|s| s.name.clone())
            .chain(machines)
            .chain(servers)
            .chain(cores::names().map(|(name, _)| format!("cores/{name}")))
            .chain(servers::names().map(|(name, _)| name))
            .chain([libkdumpfile::about().0])
            .collect();
        for name in results.results.keys() {
            assert!(
                known.contains(name),
                "{name} has a result and does not exist"
            );
        }
    }

    fn outcome(passed: bool, date: &str) -> Outcome {
        Outcome {
            commit: "0123456789".into(),
            date: date.into(),
            kernel: String::new(),
            passed,
            checks: 1,
            failed: Vec::new(),
        }
    }

    #[test]
    fn a_cell_says_no_more_than_its_results() {
        let mut results = Results::default();
        let names = ["a", "b"].map(String::from);
        assert_eq!(cell(&names, &results), "not recorded");
        let put = |results: &mut Results, name: &str, passed, date| {
            results.results.insert(name.into(), outcome(passed, date));
        };
        put(&mut results, "a", true, "2026-02-02");
        assert_eq!(cell(&names, &results), "not recorded (1 of 2 passed)");
        put(&mut results, "b", true, "2026-01-01");
        assert_eq!(cell(&names, &results), "tested 2026-01-01 (0123456789)");
        put(&mut results, "b", false, "2026-03-03");
        assert_eq!(cell(&names, &results), "FAILED: b");
    }

    #[test]
    fn pairs_without_a_scenario_are_only_expected() {
        let one = |name: &str, kernel: &str, fs| Scenario {
            name: name.into(),
            kernel: kernel.into(),
            shard: "x".into(),
            fs,
            ..Scenario::default()
        };
        let mut uefi = one("c", "6.1", Fs::Ext4);
        uefi.firmware = "uefi".into();
        uefi.load = ["--syscall", "load"].map(String::from).to_vec();
        let all = [one("a", "6.12", Fs::Xfs), one("b", "6.1", Fs::Ext4), uefi];
        let page = page(&all, &Results::default());
        assert!(
            page.contains("| kernel | kexec_file_load, BIOS | kexec_load, UEFI |"),
            "{page}"
        );
        assert!(
            page.contains("| 6.12 cloud | not recorded | expected |"),
            "{page}"
        );
        assert!(
            page.contains("| 6.1 cloud | not recorded | not recorded |"),
            "{page}"
        );
    }
}
