//! `cargo xtask bench`: capture beside makedumpfile, on a core that is made for it.
//!
//! The core is a whole machine's: 7 GiB with files, processes, slab, and a process that holds every
//! second page of a long stretch in pipes. Both sides read it from one file and write to one filesystem,
//! by turns, so that what else the machine does hits both. Ours is the core step of the capture kernel's
//! own binary: it classifies, estimates, writes and waits until all is on the disk; makedumpfile does not
//! wait.

mod devices;

use crate::measured::{self, Where};
use crate::runner::{Lab, Options};
use crate::scenario::Scenario;
use crate::tools;
use anyhow::{Context, Result, bail, ensure};
use rehearse::vm::Accel;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vmcore::addr::{PAGE_SIZE, Pfn};
use vmcore::dump;

/// What the core must hold at level standard: runs of pages, and bytes.
const LEAST_RUNS: u64 = 100_000;
const LEAST_KEPT: u64 = 3 << 29;
/// Pages that the guest's pipes hold.
const PIPE_PAGES: u32 = 440_000;

/// A row of the table.
struct Contest {
    ours: &'static str,
    theirs: &'static str,
    /// Most of the other's wall time, and of its bytes.
    bars: (f64, f64),
}

const CONTESTS: [Contest; 3] = [
    Contest {
        ours: "elf-zst",
        theirs: "-z",
        bars: (0.5, 0.97),
    },
    Contest {
        ours: "elf-lz4",
        theirs: "-l",
        bars: (0.7, 1.0),
    },
    Contest {
        ours: "kdump-zstd",
        theirs: "-z",
        bars: (0.6, 1.01),
    },
];

/// What one run took and made.
#[derive(Clone, Copy, Debug)]
struct Run {
    seconds: f64,
    bytes: u64,
}

/// What is compared.
#[derive(Debug)]
pub struct Request {
    /// A core that is there already; none: one is made.
    pub core: Option<PathBuf>,
    /// How often each side runs, in turn; 0: the core is made, and nothing else.
    pub pairs: usize,
    /// Instead of the table: so many rounds on devices of several speeds; 0: none.
    pub devices: usize,
    /// Of our formats only these; none: every one in the table.
    pub formats: Vec<String>,
    /// Write the results into docs/measurements.
    pub update: bool,
}

/// Makes the core, runs both sides, prints the table. Whether every bar holds.
///
/// # Errors
/// A side cannot be run, or the core is not worth a comparison.
pub fn run(options: Options, request: &Request) -> Result<bool> {
    let wanted = |contest: &&Contest| {
        request.formats.is_empty() || request.formats.iter().any(|name| name == contest.ours)
    };
    let contests: Vec<&Contest> = CONTESTS.iter().filter(wanted).collect();
    ensure!(
        !contests.is_empty(),
        "There is no such contest; there are: {}",
        CONTESTS.map(|contest| contest.ours).join(", ")
    );
    let at = Where::here()?;
    let lab = Lab::new(options)?;
    let dir = crate::cache().join("bench");
    fs::create_dir_all(&dir)?;
    let core = match &request.core {
        Some(core) => core.canonicalize()?,
        None => made(&lab, &dir)?,
    };
    let bench = Bench {
        lab: &lab,
        core: &core,
        out: dir.join("out"),
    };
    // Both sides find the core in the cache from here on.
    bench.ours("elf-zst")?;
    let kept = kept(&bench.saved()?)?;
    let on = format!(
        "a core of {} MiB, {} pages kept ({} MiB) in {} runs",
        fs::metadata(&core)?.len() >> 20,
        kept.pages,
        (kept.pages * PAGE_SIZE) >> 20,
        kept.runs
    );
    println!("core     {on}");
    ensure!(
        kept.runs >= LEAST_RUNS && kept.pages * PAGE_SIZE >= LEAST_KEPT,
        "A comparison wants {LEAST_RUNS} runs of kept pages and {} MiB of them at least",
        LEAST_KEPT >> 20
    );
    if request.devices > 0 {
        return devices::run(&bench, &dir, request.devices);
    }
    if request.pairs == 0 {
        return Ok(true);
    }
    let mut good = true;
    println!(
        "ours       makedumpfile      wall, s            of theirs  bar    bytes of theirs  bar"
    );
    let mut all = Vec::new();
    for contest in contests {
        let one = bench.contest(contest, request.pairs)?;
        let (wall, bytes) = one.ratios();
        good &= wall <= one.bars.0 && bytes <= one.bars.1;
        all.push(one);
    }
    let _ = fs::remove_dir_all(&bench.out);
    if request.update {
        measured::write_contests(&at, &on, &all)?;
    }
    Ok(good)
}

struct Bench<'a> {
    lab: &'a Lab,
    core: &'a Path,
    out: PathBuf,
}

impl Bench<'_> {
    fn contest(&self, contest: &Contest, pairs: usize) -> Result<measured::Contest> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        // One thread and as many as there are CPUs: makedumpfile's best is one of them. Its threads spin
        // while they wait for each other; where CPUs are short that takes ten times as long.
        let one = self.theirs(contest.theirs, 0)?;
        let threads = match self.threaded(contest.theirs, cpus, one.seconds)? {
            true => cpus,
            false => 0,
        };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for pair in 1..=pairs {
            let (us, them) = (
                self.ours(contest.ours)?,
                self.theirs(contest.theirs, threads)?,
            );
            println!("  {pair}: {:.2} / {:.2} s", us.seconds, them.seconds);
            ours.push(us);
            theirs.push(them);
        }
        let (ours, theirs) = (median(&ours)?, median(&theirs)?);
        let one = measured::Contest {
            ours: contest.ours.into(),
            theirs: contest.theirs.into(),
            threads: threads.max(1),
            pairs,
            seconds: (ours.seconds, theirs.seconds),
            bytes: (ours.bytes, theirs.bytes),
            bars: contest.bars,
        };
        let ((wall, bytes), (most_wall, most_bytes)) = (one.ratios(), one.bars);
        println!(
            "{:<10} {:<3} -d 31 {:<8} {:>7.2} / {:<7.2}  {wall:>9.2}  {most_wall:<5} {bytes:>9.3}        {most_bytes:<5} {}",
            one.ours,
            one.theirs,
            format!("{} thr.", one.threads),
            ours.seconds,
            theirs.seconds,
            if wall <= most_wall && bytes <= most_bytes {
                "holds"
            } else {
                "DOES NOT HOLD"
            }
        );
        Ok(one)
    }

    /// The core step of our capture binary.
    fn ours(&self, format: &str) -> Result<Run> {
        // Not what this machine's own config says.
        self.ours_by(format, Path::new("/dev/null"))
    }

    fn ours_by(&self, format: &str, config: &Path) -> Result<Run> {
        self.clear()?;
        let status = Command::new(&self.lab.binaries.afterpanic)
            .arg("--config")
            .arg(config)
            .arg("capture")
            .args([self.core, &self.out])
            .args(["--format", format])
            .stderr(Stdio::null())
            .status()?;
        ensure!(
            matches!(status.code(), Some(0 | 4)),
            "afterpanic capture --format {format} failed: {status}"
        );
        let manifest: Value =
            serde_json::from_slice(&fs::read(self.saved()?.join("manifest.json"))?)?;
        let steps = manifest.get("steps").and_then(Value::as_array);
        let seconds = steps
            .into_iter()
            .flatten()
            .find(|step| step.get("name").and_then(Value::as_str) == Some("core"))
            .and_then(|step| step.get("seconds")?.as_f64());
        let size = manifest.pointer("/core/size").and_then(Value::as_u64);
        Ok(Run {
            seconds: seconds.context("The manifest tells of no core step")?,
            bytes: size.context("The manifest tells of no core")?,
        })
    }

    /// Makedumpfile, and the file that it will write.
    fn makedumpfile(&self, codec: &str, threads: usize) -> Result<(Command, PathBuf)> {
        self.clear()?;
        let out = self.out.join("vmcore");
        let mut command = tools::makedumpfile()?;
        if threads > 0 {
            command.arg("--num-threads").arg(threads.to_string());
        }
        command
            .args([codec, "-d", "31", "--message-level", "0"])
            .args([self.core, &out]);
        Ok((command, out))
    }

    /// Whether makedumpfile is faster with so many threads than in `seconds`. Not waited for longer.
    fn threaded(&self, codec: &str, threads: usize, seconds: f64) -> Result<bool> {
        let (mut command, _) = self.makedumpfile(codec, threads)?;
        let begun = Instant::now();
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success() && begun.elapsed().as_secs_f64() < seconds);
            }
            if begun.elapsed().as_secs_f64() >= seconds {
                child.kill()?;
                child.wait()?;
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn theirs(&self, codec: &str, threads: usize) -> Result<Run> {
        let (mut command, out) = self.makedumpfile(codec, threads)?;
        let begun = Instant::now();
        let ended = command.output()?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(
            ended.status.success(),
            "makedumpfile {codec} failed: {}",
            String::from_utf8_lossy(&ended.stderr)
        );
        Ok(Run {
            seconds,
            bytes: fs::metadata(&out)?.len(),
        })
    }

    fn clear(&self) -> Result<()> {
        let _ = fs::remove_dir_all(&self.out);
        fs::create_dir_all(&self.out)?;
        // What the side before left to write is not this side's to wait for.
        File::open(&self.out)?.sync_all()?;
        Ok(())
    }

    /// The crash directory of the last run of ours.
    fn saved(&self) -> Result<PathBuf> {
        let mut entries = fs::read_dir(&self.out)?.flatten().map(|entry| entry.path());
        entries
            .find(|path| path.is_dir())
            .context("afterpanic capture left no directory")
    }
}

/// The run of median time.
fn median(runs: &[Run]) -> Result<Run> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let middle = sorted.get(sorted.len() / 2).copied();
    middle.context("Nothing was run")
}

struct Kept {
    pages: u64,
    runs: u64,
}

/// What a core of ours holds.
fn kept(dir: &Path) -> Result<Kept> {
    let image = dump::open(&dir.join("vmcore.elf.zst"))?;
    let mut kept = Kept { pages: 0, runs: 0 };
    let mut from = Pfn(0);
    while let Some(run) = image.next_present(from) {
        kept.pages += run.len();
        kept.runs += 1;
        from = run.end;
    }
    Ok(kept)
}

/// The core: captured whole in a virtual machine, then unpacked.
fn made(lab: &Lab, dir: &Path) -> Result<PathBuf> {
    let core = dir.join("core.elf");
    if core.is_file() {
        println!("core     {} is there from an earlier run", core.display());
        return Ok(core);
    }
    let scenario = Scenario {
        name: "bench".into(),
        memory: 7168,
        crashkernel: "256M".into(),
        disk: 6144,
        pipe_pages: PIPE_PAGES,
        config: "[dump]\nlevel = \"all\"\n".into(),
        deadline: 1800,
        ..Scenario::default()
    };
    println!(
        "core     a machine of {} MiB dies; all of it is captured",
        scenario.memory
    );
    let kernel = lab.kernel(&scenario)?;
    // Gigabytes are written and read: a boot in thirty that an old translator loses is the lesser evil.
    let accel = match Accel::choose(&kernel.image, &crate::cache())? {
        Accel::TcgOneThread => Accel::Tcg,
        other => other,
    };
    let session = lab.session(&scenario, kernel, accel)?;
    let machine = dir.join("machine");
    let _ = fs::remove_dir_all(&machine);
    let crash = session.crash(&machine, &mut |_, _| {})?;
    let saved = machine.join("saved");
    session.fetch(&crash, &saved)?;
    let _ = fs::remove_file(&crash.disk);
    let packed = fs::read_dir(&saved)?
        .flatten()
        .map(|entry| entry.path().join("vmcore.elf.zst"))
        .find(|path| path.is_file());
    let Some(packed) = packed else {
        bail!("No core arrived; the console: {}", crash.console.display());
    };
    let status = Command::new(&lab.binaries.afterpanic)
        .args(["convert", "--quiet"])
        .args([&packed, &core])
        .status()?;
    ensure!(status.success(), "The core could not be unpacked: {status}");
    let _ = fs::remove_dir_all(&machine);
    Ok(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_run_that_was_made() {
        let run = |seconds| Run {
            seconds,
            bytes: 1000 + seconds as u64,
        };
        let median = median(&[run(5.0), run(1.0), run(3.0)]).unwrap();
        assert_eq!((median.seconds, median.bytes), (3.0, 1003));
        assert!(super::median(&[]).is_err());
    }
}
