//! `afterpanic crash-test`: a real panic of this very machine, to see that its core arrives.

use crate::exit::Exit;
use crate::output::{self, Context};
use clap::ValueEnum;
use initramfs::binary;
use loader::state::CrashTest;
use rehearse::crash_test::{self, How, Readiness};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `crash-test`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Panic this machine now. Without this option, print what would happen
    #[arg(long)]
    yes: bool,
    /// How to make it panic
    #[arg(long, value_enum, default_value = "sysrq")]
    how: Way,
    /// Print one JSON object (docs/json.md); not with --yes
    #[arg(long, conflicts_with = "yes")]
    json: bool,
}

/// The ways to panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// The SysRq key c.
    Sysrq,
    /// A kernel module that reads through a NULL pointer.
    Oops,
}

#[derive(Serialize)]
struct Answer<'a> {
    ready: bool,
    how: How,
    #[serde(flatten)]
    readiness: &'a Readiness,
}

/// Panics the machine, or says what it would do; exit code 3 when it must not be.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let how = match args.how {
        Way::Sysrq => How::Sysrq,
        Way::Oops => How::Oops,
    };
    let config = context.load_config()?;
    let config_path = context.config.clone();
    let config_path = config_path.unwrap_or_else(|| config::DEFAULT_PATH.into());
    let capture = binary::find().unwrap_or_else(|_| PathBuf::from("/nonexistent"));
    let ready = crash_test::examine(&context.root, &config, &config_path, capture, how);
    let exit = if ready.refusals.is_empty() {
        Exit::Done
    } else {
        Exit::No
    };
    if args.json {
        let answer = Answer {
            ready: ready.refusals.is_empty(),
            how,
            readiness: &ready,
        };
        output::json("afterpanic.crash-test/1", &[], &answer)?;
        return Ok(exit);
    }
    if !ready.refusals.is_empty() {
        refuse(&ready)?;
        return Ok(exit);
    }
    for login in &ready.logins {
        let terminal = login.terminal.as_deref().unwrap_or("no terminal");
        let from = login.from.as_deref().map(|from| format!(" from {from}"));
        context.warn(&format!(
            "{} is logged in ({terminal}{})",
            login.user,
            from.unwrap_or_default()
        ));
    }
    ready.notes.iter().for_each(|note| context.warn(note));
    if !args.yes {
        preview(how, &ready)?;
        return Ok(exit);
    }
    let test = crash_test::mark(&context.root, how, &ready)?;
    announce(&test)?;
    Err(crash_test::panic(&context.root, how, &ready, &test).into())
}

fn refuse(ready: &Readiness) -> anyhow::Result<()> {
    let mut out = output::stdout();
    writeln!(out, "Not now: the core of a panic would not arrive.")?;
    for refusal in &ready.refusals {
        writeln!(out, "  {}", refusal.why)?;
        if let Some(fix) = &refusal.fix {
            writeln!(out, "    fix: {fix}")?;
        }
    }
    Ok(())
}

fn preview(how: How, ready: &Readiness) -> anyhow::Result<()> {
    let mut out = output::stdout();
    let what = match how {
        How::Sysrq => "a SysRq c",
        How::Oops => "a kernel module that reads through a NULL pointer",
    };
    let stores: Vec<String> = ready
        .stores
        .iter()
        .map(|s| s.display().to_string())
        .collect();
    writeln!(
        out,
        "Would panic this machine, Linux {}, by {what}: every process ends at once.",
        ready.release
    )?;
    writeln!(
        out,
        "  before: note the test's id on disk, write all filesystems' data (sync)"
    )?;
    writeln!(
        out,
        "  after:  the core goes to {}, the machine reboots",
        stores.join(", ")
    )?;
    writeln!(
        out,
        "  then:   afterpanic status says whether the core of this test arrived"
    )?;
    writeln!(out, "Nothing is done without --yes.")?;
    Ok(())
}

fn announce(test: &CrashTest) -> anyhow::Result<()> {
    let mut out = output::stdout();
    writeln!(
        out,
        "crash-test {}: this machine panics now, by {}",
        test.id, test.how
    )?;
    out.flush()?;
    Ok(())
}
