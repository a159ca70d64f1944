//! `afterpanic capture`: the capture kernel's own binary, by hand, on a core that is there already.

use crate::core_arg;
use crate::exit::Exit;
use crate::output::{self, Context};
use anyhow::{Context as _, bail};
use config::Config;
use dump::settings::format_from_name;
use dump::{Dump, Level};
use plan::{Directory, FinalAction, FirstKernel, Plan, Target, TargetKind};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use vmcore::write::OutputFormat;

/// Seconds for all of it: by hand nobody waits for a reboot.
const DEADLINE_S: u64 = 24 * 3600;

/// Bytes of one line of the child's that are shown as a line.
const MAX_LINE: u64 = 64 << 10;

/// Arguments of `capture`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A core file, or /proc/vmcore
    core: PathBuf,
    /// The directory in which the crash directory is made
    dir: PathBuf,
    /// all, standard, essential, or makedumpfile's bits 0 to 31 [default: the config's, else standard]
    #[arg(long, value_parser = super::convert::level)]
    level: Option<Level>,
    /// elf-zst, elf-lz4, elf, kdump-zstd, kdump-zlib, none [default: the config's, else elf-zst]
    #[arg(long, value_parser = format)]
    format: Option<FormatArg>,
    /// Worker threads [default: the config's, else by the CPUs and the memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
}

/// Writes a plan and runs afterpanic-capture on it; its exit code is the answer.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let found = core_arg::find(context, Some(&args.core))?;
    let absolute = |path: &std::path::Path| {
        let path = path
            .canonicalize()
            .with_context(|| format!("Cannot find {}", path.display()))?;
        path.into_os_string()
            .into_string()
            .ok()
            .context("the path is not UTF-8")
    };
    let mut plan = Plan::new(FirstKernel::default());
    plan.source = absolute(&found.path)?;
    plan.dump = dump(args, &context.load_config()?);
    plan.keep.loop_guard = false;
    plan.targets = vec![Target {
        kind: TargetKind::Directory(Directory {
            path: absolute(&args.dir)?,
        }),
        deadline_s: DEADLINE_S,
        device_wait_s: 1,
        takes: plan::Takes::Dump,
        keep: None,
    }];
    // Nothing is removed, and no margin is kept that the operator did not ask for.
    plan.keep.dumps = 0;
    plan.keep.free = 0;
    plan.after.success = FinalAction::Exit;
    plan.after.failure = FinalAction::Exit;
    plan.after.deadline_s = DEADLINE_S;
    let text = plan.to_json()?;
    let program = initramfs::binary::find()?;
    let mut child = Command::new(&program)
        .arg("/dev/stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("Cannot run {}", program.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(&text)
            .context("cannot pass the plan to it")?;
    }
    let (answers, messages) = (child.stdout.take(), child.stderr.take());
    // Both at once: a pipe that nobody reads stops the child.
    std::thread::scope(|both| {
        both.spawn(|| each_line(answers, |line| drop(writeln!(output::stdout(), "{line}"))));
        each_line(messages, output::message);
    });
    let status = child
        .wait()
        .with_context(|| format!("Cannot wait for {}", program.display()))?;
    match status.code() {
        Some(0) => Ok(Exit::Done),
        Some(4) => Ok(Exit::Degraded),
        Some(5) => Ok(Exit::Incomplete),
        Some(2) => Ok(Exit::Usage),
        Some(_) => Ok(Exit::Failed),
        None => bail!(
            "{} was killed. What it wrote until then is in {}",
            program.display(),
            args.dir.display()
        ),
    }
}

/// Hands each line of a child's output to `show`; a long one in pieces.
fn each_line(from: Option<impl Read>, show: impl Fn(&str)) {
    let Some(mut from) = from.map(BufReader::new) else {
        return;
    };
    let mut line = Vec::new();
    while (Read::by_ref(&mut from).take(MAX_LINE))
        .read_until(b'\n', &mut line)
        .is_ok_and(|n| n > 0)
    {
        let text = String::from_utf8_lossy(&line);
        show(text.strip_suffix('\n').unwrap_or(&text));
        line.clear();
    }
}

/// The config's `[dump]`, with what the command line asks for.
fn dump(args: &Args, config: &Config) -> Dump {
    let configured = config.dump.settings();
    Dump {
        level: args.level.unwrap_or(configured.level),
        format: args.format.map_or(configured.format, |format| format.0),
        threads: args.threads.or(configured.threads),
        ..configured
    }
}

/// A format, or no core: its own type, because clap takes an `Option` for an option that may be absent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FormatArg(Option<OutputFormat>);

fn format(text: &str) -> Result<FormatArg, String> {
    format_from_name(text)
        .map(FormatArg)
        .ok_or_else(|| "elf-zst, elf-lz4, elf, kdump-zstd, kdump-zlib or none".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn asked(level: Option<Level>, format: Option<FormatArg>, threads: Option<u32>) -> Args {
        Args {
            core: PathBuf::new(),
            dir: PathBuf::new(),
            level,
            format,
            threads,
        }
    }

    #[test]
    fn what_is_asked_for_goes_before_the_config_and_never_stays() {
        let text = "[dump]\nlevel = 17\nformat = \"elf-lz4\"\nthreads = 3\nnever = [\"user\"]\n\
                    keep_essential = true\n";
        let config = Config::parse(text).unwrap();
        let found = dump(&asked(None, None, None), &config);
        assert_eq!(found, config.dump.settings());
        assert_eq!(found.level, Level::Bits(17));
        assert_eq!(found.never, ["user"]);
        assert!(found.keep_essential);
        let args = asked(
            Some(Level::ALL),
            Some(FormatArg(Some(OutputFormat::KdumpZstd))),
            Some(1),
        );
        let found = dump(&args, &config);
        assert_eq!(
            (found.level, found.format, found.threads),
            (Level::ALL, Some(OutputFormat::KdumpZstd), Some(1))
        );
        assert_eq!(found.never, ["user"]);
    }

    #[test]
    fn a_childs_output_comes_line_by_line_and_a_long_line_in_pieces() {
        let text = [b"a\x1b[2J\n\nb".to_vec(), vec![b'c'; 70_000]].concat();
        let seen = RefCell::new(Vec::new());
        each_line(Some(&text[..]), |line| {
            seen.borrow_mut().push(line.to_owned());
        });
        let seen = seen.into_inner();
        assert_eq!(seen[..2], ["a\x1b[2J", ""]);
        assert_eq!(seen[2].len() as u64, MAX_LINE);
        assert_eq!(seen.concat().len(), text.len() - 2);
        each_line(None::<&[u8]>, |line| panic!("{line}"));
    }
}
