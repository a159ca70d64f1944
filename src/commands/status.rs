//! `afterpanic status`: armed or not, and what proves it.

use crate::armed::summary;
use crate::exit::Exit;
use crate::output::{self, Context};
use loader::filter::{Filter, Outcome};
use loader::shipping::Shipping;
use loader::state::CrashTest;
use loader::status::{Armed, Status, status};
use rehearse::crash_test;
use std::io::Write;
use vmcore::addr::PAGE_SIZE;

/// Arguments of `status`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

/// Prints the state; exit code 0 means armed and current, 3 not.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let status = status(&context.root, &context.config_or_default());
    if args.json {
        output::json("afterpanic.status/1", &status.warnings, &status)?;
    } else {
        print(&status, context)?;
    }
    Ok(match status.armed {
        Armed::Yes => Exit::Done,
        Armed::Stale | Armed::No => Exit::No,
        Armed::Unknown => Exit::Failed,
    })
}

/// `checked on this kernel: free 412,903 counted, 412,871 by the kernel, in 1.0 GiB of 1.0 GiB`.
pub(crate) fn filter(filter: Option<&Filter>) -> String {
    let Some(filter) = filter else {
        return "not checked on this kernel yet".to_owned();
    };
    let why = filter.why.join("; ");
    match filter.outcome {
        Outcome::NotChecked => format!("not checked on this kernel: {why}"),
        Outcome::DoesNotFit => {
            format!(
                "does not fit this kernel ({why}): the core keeps more pages than asked and is marked degraded"
            )
        }
        Outcome::Fits => {
            let bytes = |pages: u64| output::size(pages.saturating_mul(PAGE_SIZE));
            format!(
                "checked on this kernel: free {} counted, {} by the kernel, in {} of {}",
                output::count(filter.free_counted),
                output::count(filter.free_expected),
                bytes(filter.covered_pages),
                bytes(filter.ram_pages)
            )
        }
    }
}

fn print(status: &Status, context: &Context) -> anyhow::Result<()> {
    let mut out = output::stdout();
    writeln!(out, "armed   {}", summary(status))?;
    if status.unrecorded {
        writeln!(out, "filter  unknown: run as root")?;
        writeln!(out, "proof   unknown: run as root")?;
    } else {
        writeln!(out, "filter  {}", filter(status.filter.as_ref()))?;
        writeln!(out, "proof   {}", proof(status))?;
    }
    if let Some(test) = &status.crash_test {
        writeln!(out, "test    {}", crash_test(test, context))?;
    }
    writeln!(out, "dumps   {}", dumps(status))?;
    if let Some(why) = &status.loop_guard {
        writeln!(
            out,
            "loop    {why}: the next such crash saves log, report and essential pages only. \
             Next: afterpanic report last"
        )?;
    }
    for one in &status.shipping {
        writeln!(out, "sent    {}", sent(one))?;
    }
    if let Some(next) = &status.next {
        writeln!(out, "Next    {next}")?;
    }
    for warning in &status.warnings {
        context.warn(warning);
    }
    Ok(())
}

fn proof(status: &Status) -> String {
    let Some(proof) = &status.proof else {
        return "none.  Next: sudo afterpanic rehearse".to_string();
    };
    let word = match (proof.passed, status.proof_void.is_empty()) {
        (true, true) => "passed",
        (true, false) => "expired",
        (false, _) => "failed",
    };
    let mut text = format!(
        "{} {word} for Linux {}: {}",
        proof.by, proof.release, proof.summary
    );
    if !status.proof_void.is_empty() {
        let void = status.proof_void.join(", ");
        text.push_str(&format!("; but {void}.  Next: sudo afterpanic rehearse"));
    }
    text
}

/// `crash-test 3f2a9c8b1d04 passed: its core arrived: …`.
fn crash_test(test: &CrashTest, context: &Context) -> String {
    let name = format!("crash-test {}", test.id);
    match crash_test::outcome(&context.root, test) {
        Some(found) => {
            let word = if found.passed { "passed" } else { "failed" };
            let wrong: String = found.wrong.iter().map(|w| format!(". {w}")).collect();
            format!("{name} {word}: {}{wrong}", found.summary)
        }
        None => format!("{name} was asked for in this boot, and the machine is still up"),
    }
}

/// `nas:/srv/var/crash: 2 arrived, 1 waits (the server does not answer).  Next: sudo afterpanic collect --ship`
fn sent(one: &Shipping) -> String {
    let (target, arrived) = (&one.target, one.arrived);
    let mut text = format!("{target}: {arrived} arrived");
    if one.waiting > 0 {
        let word = if one.waiting == 1 { "waits" } else { "wait" };
        let why = one.problem.as_deref().map(|why| format!(" ({why})"));
        text.push_str(&format!(
            ", {} {word}{}.  Next: sudo afterpanic collect --ship",
            one.waiting,
            why.unwrap_or_default()
        ));
    }
    text
}

/// `last 20261121T231500Z, complete, null-deref:acme_poll:9f3c21, in /var/crash/…`
fn dumps(status: &Status) -> String {
    let Some(last) = &status.last_dump else {
        // The stores are root's, too.
        return match status.unrecorded {
            true => "none that this user can read".into(),
            false => "none".into(),
        };
    };
    let verdict = last.verdict.as_deref().unwrap_or("cut off");
    let signature = last.signature.as_deref().unwrap_or("no signature");
    format!(
        "last {}, {verdict}, {signature}, in {}",
        last.time,
        last.path.display()
    )
}
