//! `afterpanic verify`: every checksum, the structure, and whether the kernel inside is consistent.

use crate::core_arg;
use crate::core_arg::{CoreArg, Found};
use crate::exit::Exit;
use crate::output::{self, Context};
use crate::progress;
use anyhow::bail;
use dump::seal::is_sealed;
use serde::Serialize;
use std::io::Write;
use store::manifest::FILE;
use vmcore::dump::verify::{Damage, verify};
use vmcore::dump::{Completeness, MemoryDump};
use vmcore::kernel::sanity::{self, Outcome};
use vmcore::kernel::{Kernel, chain};

/// Damages printed or kept for JSON; all are counted.
const SHOWN: usize = 1000;

/// Arguments of `verify`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    core: CoreArg,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    path: String,
    verdict: &'static str,
    checksums: bool,
    pages_good: u64,
    pages_lost: u64,
    damages: u64,
    damage: Vec<String>,
    incomplete_because: Option<String>,
    kernel: Vec<Check>,
    files: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    what: String,
    /// False only where something is wrong.
    ok: bool,
    /// False where it could not be made: what is not known is not damage.
    checked: bool,
    detail: String,
}

/// Reads all of it; exit code 0 is sound, 4 sound as far as it could be checked, 5 damaged or
/// incomplete, 1 unreadable.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let core = args.core.core.as_deref();
    let place = core_arg::find(context, core)?;
    if is_sealed(&place.path) && context.identities()?.is_empty() {
        return sealed(args, &place, context);
    }
    let (found, dump) = core_arg::open(context, core)?;
    let bar = progress::bytes(dump.info().file_size, "reading", context.quiet);
    let mut damage = Vec::new();
    let sum = verify(&*dump, &mut |bytes| bar.inc(bytes), &mut |found: Damage| {
        if damage.len() < SHOWN {
            damage.push(found.to_string());
        }
    })?;
    bar.finish_and_clear();
    let incomplete_because = match &dump.info().completeness {
        Completeness::Incomplete(why) => Some(why.clone()),
        _ => None,
    };
    let checksums = dump.info().checksums;
    let kernel = kernel_checks(dump);
    let sound =
        sum.damages == 0 && incomplete_because.is_none() && kernel.iter().all(|check| check.ok);
    // Other suites leave no manifest beside their core.
    let ours = |dir: &&std::path::Path| {
        dir.join(FILE).exists() || store::foreign::core_of(dir).as_deref() != Some(&found.path)
    };
    let dir = found.dir.as_deref().filter(ours);
    let files = dir.map(file_checks).unwrap_or_default();
    let sound = sound && files.iter().all(|check| check.ok);
    let checked = kernel.iter().all(|check| check.checked);
    let answer = Answer {
        path: found.path.display().to_string(),
        verdict: if sound { "sound" } else { "damaged" },
        checksums,
        pages_good: sum.pages_good,
        pages_lost: sum.pages_lost,
        damages: sum.damages,
        damage,
        incomplete_because,
        kernel,
        files,
    };
    if args.json {
        output::json("afterpanic.verify/1", &[], &answer)?;
    } else {
        print(&answer)?;
    }
    Ok(match (sound, checked) {
        (true, true) => Exit::Done,
        (true, false) => Exit::Degraded,
        (false, _) => Exit::Incomplete,
    })
}

/// A sealed core whose key is not here: its files against the manifest, by what needs no key.
fn sealed(args: &Args, found: &Found, context: &Context) -> anyhow::Result<Exit> {
    let Some(dir) = &found.dir else {
        bail!(
            "{} is sealed. Give the identity that opens it: --identity FILE",
            found.path.display()
        );
    };
    let files = file_checks(dir);
    let right = files.iter().all(|check| check.ok);
    context.warn("the core is sealed and no identity was given: its contents were not read");
    let answer = Answer {
        path: found.path.display().to_string(),
        verdict: if right { "sealed" } else { "damaged" },
        checksums: true,
        pages_good: 0,
        pages_lost: 0,
        damages: 0,
        damage: Vec::new(),
        incomplete_because: None,
        kernel: Vec::new(),
        files,
    };
    if args.json {
        output::json("afterpanic.verify/1", &[], &answer)?;
    } else {
        print(&answer)?;
    }
    Ok(if right {
        Exit::Degraded
    } else {
        Exit::Incomplete
    })
}

fn kernel_checks(dump: std::sync::Arc<dyn MemoryDump>) -> Vec<Check> {
    let check = |what: &str, answer| {
        let (ok, checked, detail) = match answer {
            Outcome::Agrees(detail) => (true, true, detail),
            Outcome::Differs(detail) => (false, true, detail),
            Outcome::NotChecked(detail) => (true, false, detail),
        };
        Check {
            what: what.into(),
            ok,
            checked,
            detail,
        }
    };
    match Kernel::new(dump) {
        // Another machine, page size or no VMCOREINFO: nothing of it says that the dump is wrong.
        Err(why) => vec![check("the kernel inside", Outcome::NotChecked(chain(&why)))],
        Ok(kernel) => sanity::check(&kernel)
            .into_iter()
            .map(|sanity| check(sanity.what, sanity.answer))
            .collect(),
    }
}

/// The files of a crash directory against its manifest.
fn file_checks(dir: &std::path::Path) -> Vec<Check> {
    match store::audit::audit(dir) {
        Ok(files) => files
            .into_iter()
            .map(|file| {
                let ok = file.outcome.is_ok();
                let detail = file
                    .outcome
                    .map_or_else(|why| why.to_string(), str::to_owned);
                Check {
                    what: file.name,
                    ok,
                    checked: true,
                    detail,
                }
            })
            .collect(),
        Err(error) => {
            vec![Check {
                what: "manifest.json".into(),
                ok: false,
                checked: true,
                detail: error.to_string(),
            }]
        }
    }
}

fn print(answer: &Answer) -> anyhow::Result<()> {
    let mut out = output::stdout();
    writeln!(out, "{}: {}", answer.path, answer.verdict)?;
    if answer.verdict == "sealed" {
        writeln!(
            out,
            "  contents not read; the files are as the manifest says"
        )?;
    }
    let how = match (answer.checksums, answer.files.is_empty()) {
        (true, _) => "every checksum right",
        (false, true) => "no checksums to check",
        (false, false) => "the checksums being the manifest's",
    };
    if answer.verdict != "sealed" {
        writeln!(
            out,
            "  pages   {} read, {how}; {} lost",
            answer.pages_good, answer.pages_lost
        )?;
    }
    if let Some(why) = &answer.incomplete_because {
        writeln!(out, "  incomplete: {why}")?;
    }
    for damage in &answer.damage {
        writeln!(out, "  damage  {damage}")?;
    }
    if answer.damages > SHOWN as u64 {
        writeln!(out, "  damage  and {} more", answer.damages - SHOWN as u64)?;
    }
    for check in answer.kernel.iter().chain(&answer.files) {
        let word = match (check.ok, check.checked) {
            (true, true) => "ok",
            (true, false) => "not checked",
            (false, _) => "WRONG",
        };
        let detail = if check.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", check.detail)
        };
        writeln!(out, "  {word:<7} {}{detail}", check.what)?;
    }
    Ok(())
}
