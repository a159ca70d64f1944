//! A soak with faults: real panics one after the other, each with a fault that a seed draws. Whatever the
//! fault, the log and the report arrive.
//!
//! The same seed draws the same faults. Six rounds have one fault of each class, in an order of their own.

use crate::guest;
use crate::runner::with_key;
use crate::scenario::{Expect, SOMETHING, Scenario};
use crate::table::Row;
use rehearse::storage::{Cue, Holds, MoreDisk};
use rehearse::vm::Bus;
use serde_json::json;

/// The second target.
const SECOND: &str = "0a0b0c0d-2222-2222-3333-444455556666";
/// The line of the core step before it writes.
const WRITES: &str = "pages to write";
/// Strangers' directories in a store that is full of them.
const STRANGERS: u32 = 400;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The first target is gone after the panic, or goes while the core is written.
    Target,
    /// A step's process is killed or hangs.
    Worker,
    /// There is little memory, or a step takes all of it.
    Memory,
    /// The target's disk is full, slow, or fails.
    Disk,
    /// The clock is decades wrong.
    Clock,
    /// Another user has filled the store with crash directories.
    Strangers,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Target,
        Self::Worker,
        Self::Memory,
        Self::Disk,
        Self::Clock,
        Self::Strangers,
    ];

    /// Its name, the first word of a round's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Worker => "worker",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Strangers => "strangers",
        }
    }
}

/// So many rounds: a panic out of `panics` and a fault each.
#[must_use]
pub fn draw(panics: &[Scenario], seed: u64, rounds: usize) -> Vec<Scenario> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut classes = Vec::new();
    let mut drawn = Vec::new();
    for _ in 0..rounds {
        if classes.is_empty() {
            classes.extend(Class::ALL);
            rng.shuffle(&mut classes);
        }
        let class = classes.pop();
        if let (Some(class), Some(panic)) = (class, rng.choice(panics)) {
            drawn.push(faulty(panic, class, &mut rng));
        }
    }
    drawn
}

/// A panic with a fault of a class.
fn faulty(panic: &Scenario, class: Class, rng: &mut fastrand::Rng) -> Scenario {
    let mut round = panic.clone();
    round.deadline = 900;
    round.expect = Expect {
        saved: SOMETHING.into(),
        dmesg: panic.expect.dmesg.clone(),
        files: ["dmesg.txt", "report.txt", "report.json", "manifest.json"]
            .map(String::from)
            .to_vec(),
        ..Expect::default()
    };
    let what = match class {
        Class::Target => target(&mut round, rng),
        Class::Worker => worker(&mut round, rng),
        Class::Memory => memory(&mut round, rng),
        Class::Disk => disk(&mut round, rng),
        Class::Clock => clock(&mut round, rng),
        Class::Strangers => {
            let count = STRANGERS.to_string();
            round
                .after_load
                .push(guest::command(&["strangers", &count]));
            format!("{count}-directories")
        }
    };
    round.name = format!("{}-{what}-{}", class.name(), panic.name);
    round.about = format!("{} fails ({what}): {}", class.name(), panic.about);
    round
}

/// A second target behind the first, which is given up after a minute or two.
fn second(round: &mut Scenario) {
    round.disks.push(MoreDisk {
        serial: "second".into(),
        mib: 2048,
        holds: Holds::Filesystem(SECOND.into()),
        fs: None,
        untouched: false,
    });
    round.saved_on = Some("second".into());
    round.config.push_str(&format!(
        "\n[[target]]\npath = \"/var/crash\"\ndeadline = \"2min\"\n\
         [[target]]\ndevice = \"UUID={SECOND}\"\npath = \"/\"\n"
    ));
}

fn target(round: &mut Scenario, rng: &mut fastrand::Rng) -> String {
    second(round);
    if rng.bool() {
        round.disk_disappears = true;
        return "gone".into();
    }
    round.bus = Bus::VirtioScsi;
    round.cues.push(Cue {
        when: WRITES.into(),
        then: vec![("device_del".into(), json!({ "id": "disk0" }))],
    });
    "unplugged".into()
}

fn worker(round: &mut Scenario, rng: &mut fastrand::Rng) -> String {
    let step = rng.choice(["log", "essential", "core", "pstore"]);
    let step = step.unwrap_or("core");
    let how = if rng.bool() { "kill" } else { "hang" };
    fault(round, step, how)
}

/// Makes a step of the capture go wrong, see capture/src/fault.rs.
fn fault(round: &mut Scenario, step: &str, how: &str) -> String {
    let line = format!("cmdline_add = [\"afterpanic.fault={step}:{how}\"]");
    round.config = with_key(&round.config, "capture_kernel", &line);
    format!("{step}-{how}")
}

fn memory(round: &mut Scenario, rng: &mut fastrand::Rng) -> String {
    match rng.u8(..4) {
        0 => fault(round, "core", "memory"),
        1 => fault(round, "essential", "memory"),
        2 => {
            let left = rng.u64(32..=96);
            round.press_leave_mib = Some(left);
            format!("{left}-mib-available")
        }
        _ => {
            let line = "worker_memory = \"8MiB\"";
            round.config = with_key(&round.config, "dump", line);
            "worker-of-8-mib".into()
        }
    }
}

fn disk(round: &mut Scenario, rng: &mut fastrand::Rng) -> String {
    match rng.u8(..3) {
        0 => {
            let left = rng.u64(3000..=24_000);
            (round.disk, round.fill_leave_kib) = (192, Some(left));
            round.config = with_key(&round.config, "keep", "free = \"0\"");
            format!("{left}-kib-free")
        }
        1 => {
            let rate = rng.u32(400_000..=2_000_000);
            round.drive = format!("throttling.bps-write={rate}");
            let target = "\n[[target]]\npath = \"/var/crash\"\ndeadline = \"1min\"\n";
            round.config.push_str(target);
            format!("{rate}-bytes-a-second")
        }
        _ => {
            second(round);
            round.drive = "node-name=top,file.node-name=low".into();
            let error = json!({ "event": "none", "iotype": "write", "errno": 5, "once": false });
            let bad = json!({
                "driver": "blkdebug", "node-name": "bad", "image": "low", "inject-error": [error],
            });
            let top = json!({
                "driver": "raw", "node-name": "top", "file": "bad", "discard": "unmap",
            });
            round.cues.push(Cue {
                when: WRITES.into(),
                then: vec![
                    ("blockdev-add".into(), bad),
                    ("blockdev-reopen".into(), json!({ "options": [top] })),
                ],
            });
            "errors".into()
        }
    }
}

fn clock(round: &mut Scenario, rng: &mut fastrand::Rng) -> String {
    let base = rng.choice([
        "1970-01-02T00:00:00",
        "1999-12-31T23:59:40",
        "2038-01-19T03:14:00",
        "2099-06-01T12:00:00",
    ]);
    let base = base.unwrap_or("1970-01-02T00:00:00");
    let rtc = ["-rtc".to_owned(), format!("base={base}")];
    round.qemu.extend(rtc);
    base.replace([':', 'T'], "-")
}

/// The rows by class of fault, as a table for docs/measurements.
#[must_use]
pub fn summary(rows: &[Row]) -> String {
    let mut text = String::from(
        "| fault | panics | log and report | complete | degraded | incomplete | slowest, panic to end |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let all = Class::ALL.map(|class| (class.name(), format!("{}-", class.name())));
    let sums = [("all", String::new())];
    for (name, prefix) in all.into_iter().chain(sums) {
        let of: Vec<&Row> = rows
            .iter()
            .filter(|row| row.name.starts_with(&prefix))
            .collect();
        let saved = |verdict: &str| of.iter().filter(|row| row.saved == verdict).count();
        let slowest = of.iter().filter_map(|row| row.panic_to_end);
        let slowest = slowest.fold(0.0, f64::max);
        text.push_str(&format!(
            "| {name} | {} | {} | {} | {} | {} | {slowest:.0} s |\n",
            of.len(),
            of.iter().filter(|row| row.passed).count(),
            saved("complete"),
            saved("degraded"),
            saved("incomplete"),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_faults_and_every_class() {
        let panic = Scenario {
            name: "sysrq".into(),
            ..Scenario::default()
        };
        let names = |seed, rounds| -> Vec<String> {
            let drawn = draw(std::slice::from_ref(&panic), seed, rounds);
            drawn.into_iter().map(|round| round.name).collect()
        };
        assert_eq!(names(7, 50), names(7, 50));
        assert_ne!(names(7, 50), names(8, 50));
        let six = names(3, 6);
        for class in Class::ALL {
            let of = six.iter().filter(|name| name.starts_with(class.name()));
            assert_eq!(of.count(), 1, "{six:?}");
        }
        let plain = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        assert!(names(1, 200).iter().all(plain));
    }

    #[test]
    fn every_config_is_one() {
        let panics = crate::scenario::all().unwrap();
        let soak = crate::scenario::lists().unwrap().soak;
        let panics: Vec<_> = panics
            .into_iter()
            .filter(|s| soak.contains(&s.name))
            .collect();
        for round in draw(&panics, 1, 300) {
            let table: Result<toml::Table, _> = toml::from_str(&round.config);
            assert!(table.is_ok(), "{}: {}", round.name, round.config);
            assert_eq!(round.expect.saved, SOMETHING);
        }
    }

    #[test]
    fn the_table_counts() {
        let row = |name: &str, saved: &str, passed| Row {
            name: name.into(),
            saved: saved.into(),
            passed,
            panic_to_end: Some(12.4),
            ..Row::default()
        };
        let rows = [
            row("disk-errors-sysrq", "degraded", true),
            row("disk-1-sysrq", "nothing", false),
        ];
        let text = summary(&rows);
        assert!(
            text.contains("| disk | 2 | 1 | 0 | 1 | 0 | 12 s |"),
            "{text}"
        );
        assert!(text.contains("| all | 2 | 1 |"), "{text}");
        assert!(text.contains("| clock | 0 | 0 |"), "{text}");
    }
}
