//! The same core onto devices of several speeds: the effort that follows the device, beside each fixed effort and
//! beside makedumpfile.
//!
//! The device is a loop device over memory, which the block layer holds to a rate
//! (Documentation/admin-guide/cgroup-v1/blkio-controller.rst). Root and cgroup v1's blkio are needed.

use super::{Bench, Run, median};
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes a second that the device takes; none: as fast as it is.
const RATES: [Option<u64>; 4] = [Some(50 << 20), Some(200 << 20), Some(1 << 30), None];
/// Room for the largest core.
const SIZE: u64 = 3 << 30;
/// Which bytes a second the block layer lets through to a device.
const THROTTLE: &str = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device";
/// Who writes: ours by effort, makedumpfile by codec.
const SIDES: [&str; 7] = ["auto", "1", "2", "3", "4", "-z", "-l"];

/// Most of the best fixed effort's time.
const OF_BEST: f64 = 1.10;
/// Device-bound: most of makedumpfile's time, in units of the ratio of bytes.
const OF_BYTES: f64 = 1.05;
/// CPU-bound: most of makedumpfile's time with one thread (against -z) and with more (against the better).
const OF_TIME: [f64; 2] = [1.0, 0.6];
/// Most of the bytes of -l.
const OF_LZO: f64 = 1.05;
/// A device is what a core waits for where the core's bytes alone take this share of the time.
const BOUND: f64 = 0.85;

/// A throttled device with a filesystem, until it is dropped.
struct Device {
    image: PathBuf,
    name: String,
    number: String,
    at: PathBuf,
}

fn tool(name: &str, arguments: &[&str]) -> Result<String> {
    let ended = Command::new(name)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(ended.status.success(), "{name} failed: {}", ended.status);
    Ok(String::from_utf8_lossy(&ended.stdout).trim().to_string())
}

impl Device {
    fn new(dir: &Path) -> Result<Self> {
        if !Path::new(THROTTLE).exists() {
            bail!("{THROTTLE} is missing: this comparison needs root and cgroup v1's blkio");
        }
        let image = PathBuf::from(format!("/dev/shm/afterpanic-bench-{}", std::process::id()));
        File::create(&image)?.set_len(SIZE)?;
        let path = image.to_string_lossy().into_owned();
        let name = tool("losetup", &["-f", "--show", &path])?;
        let short = name.trim_start_matches("/dev/");
        let number = fs::read_to_string(format!("/sys/block/{short}/dev"))?;
        let at = dir.join("device");
        fs::create_dir_all(&at)?;
        let device = Self {
            image,
            name,
            number: number.trim().to_string(),
            at,
        };
        tool(
            "mkfs.ext4",
            &[
                "-q",
                "-E",
                "lazy_itable_init=0,lazy_journal_init=0",
                &device.name,
            ],
        )?;
        tool("mount", &[&device.name, &device.at.to_string_lossy()])?;
        Ok(device)
    }

    fn throttle(&self, rate: Option<u64>) -> Result<()> {
        // 0 takes the limit away.
        fs::write(THROTTLE, format!("{} {}", self.number, rate.unwrap_or(0)))?;
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.throttle(None);
        let _ = tool("umount", &[&self.at.to_string_lossy()]);
        let _ = tool("losetup", &["-d", &self.name]);
        let _ = fs::remove_file(&self.image);
    }
}

/// Compares, prints the table, and answers whether every bar holds.
pub(super) fn run(bench: &Bench<'_>, dir: &Path, rounds: usize) -> Result<bool> {
    let device = Device::new(dir)?;
    let on = Bench {
        lab: bench.lab,
        core: bench.core,
        out: device.at.join("out"),
    };
    let mut good = true;
    let mut table = String::from(
        "| device, MB/s | threads | auto | 1 | 2 | 3 | 4 | makedumpfile -z | -l | auto: of the best fixed | bytes of -l | bound by |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for rate in RATES {
        device.throttle(rate)?;
        for threads in [1, 2] {
            let mut runs: [Vec<Run>; SIDES.len()] = Default::default();
            for _ in 0..rounds {
                for (side, runs) in SIDES.iter().zip(&mut runs) {
                    runs.push(on.side(side, threads, dir)?);
                }
            }
            let mut cell = Vec::new();
            for runs in &runs {
                cell.push(median(runs)?);
            }
            let (line, held) = judge(rate, threads, &cell)?;
            println!("{line}");
            good &= held;
            table += &line;
            table.push('\n');
        }
    }
    println!("{table}");
    Ok(good)
}

impl Bench<'_> {
    fn side(&self, side: &str, threads: usize, dir: &Path) -> Result<Run> {
        if side.starts_with('-') {
            let begun = std::time::Instant::now();
            let mut run = self.theirs(side, 0)?;
            File::open(self.out.join("vmcore"))?.sync_all()?;
            run.seconds = begun.elapsed().as_secs_f64();
            return Ok(run);
        }
        let config = dir.join("effort.toml");
        let effort = match side {
            "auto" => "\"auto\"".to_string(),
            step => step.to_string(),
        };
        fs::write(
            &config,
            format!("[dump]\nthreads = {threads}\neffort = {effort}\n"),
        )?;
        self.ours_by("elf-zst", &config)
    }
}

/// A row of the table, and whether its bars hold.
fn judge(rate: Option<u64>, threads: usize, cell: &[Run]) -> Result<(String, bool)> {
    let [auto, one, two, three, four, z, l] = cell else {
        bail!("{} sides, not {}", cell.len(), SIDES.len());
    };
    let fixed = [one, two, three, four];
    let seconds = |run: &&Run| run.seconds;
    let best = fixed.iter().map(|run| run.seconds).fold(f64::MAX, f64::min);
    let better = if z.seconds <= l.seconds { z } else { l };
    let device = rate.is_some_and(|rate| auto.bytes as f64 / rate as f64 >= BOUND * auto.seconds);
    let mut broken = String::new();
    let mut bar = |name: &str, is: f64, most: f64| {
        if is > most {
            let _ = write!(broken, " {name} {is:.2}, at most {most:.2}");
        }
    };
    bar(
        "of the best fixed effort's time",
        auto.seconds / best,
        OF_BEST,
    );
    bar(
        "of the bytes of -l",
        auto.bytes as f64 / l.bytes as f64,
        OF_LZO,
    );
    let of_better = auto.seconds / better.seconds;
    if device {
        let bytes = auto.bytes as f64 / better.bytes as f64;
        bar("time for its bytes", of_better, OF_BYTES * bytes);
    } else if threads == 1 {
        bar("of the time of -z", auto.seconds / z.seconds, OF_TIME[0]);
    } else {
        bar("of makedumpfile's time", of_better, OF_TIME[1]);
    }
    let mut line = match rate {
        Some(rate) => format!("| {} ", rate >> 20),
        None => "| no limit ".into(),
    };
    let _ = write!(line, "| {threads} ");
    for run in cell {
        let _ = write!(line, "| {:.2} s, {} MiB ", seconds(&run), run.bytes >> 20);
    }
    let _ = write!(
        line,
        "| {:.2} | {:.2} | {} |",
        auto.seconds / best,
        auto.bytes as f64 / l.bytes as f64,
        if device { "device" } else { "CPU" },
    );
    if !broken.is_empty() {
        println!("DOES NOT HOLD:{broken}");
    }
    Ok((line, broken.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(seconds: [f64; 7]) -> Vec<Run> {
        let bytes = [100, 111, 105, 100, 98, 120, 130];
        let runs = seconds.iter().zip(bytes);
        runs.map(|(seconds, mib)| Run {
            seconds: *seconds,
            bytes: mib << 20,
        })
        .collect()
    }

    #[test]
    fn bars_are_judged_by_what_the_core_waits_for() {
        let held = |rate: Option<u64>, threads, seconds| {
            judge(rate.map(|mib| mib << 20), threads, &cell(seconds))
                .unwrap()
                .1
        };
        // Two seconds for 100 MiB at 50 MiB/s; theirs in 2.4 and 2.6.
        assert!(held(Some(50), 1, [2.0, 2.2, 2.1, 2.0, 1.97, 2.4, 2.6]));
        assert!(!held(Some(50), 1, [2.3, 2.2, 2.1, 2.0, 1.97, 2.4, 2.6]));
        assert!(held(None, 1, [1.0, 0.95, 1.1, 1.2, 1.4, 1.0, 0.8]));
        assert!(!held(None, 1, [1.1, 1.05, 1.1, 1.2, 1.4, 1.0, 0.8]));
        assert!(held(None, 2, [0.5, 0.5, 0.6, 0.6, 0.7, 1.0, 0.9]));
        assert!(!held(None, 2, [0.6, 0.6, 0.6, 0.6, 0.7, 1.0, 0.9]));
        assert!(judge(None, 1, &cell([1.0; 7])[1..]).is_err());
    }
}
