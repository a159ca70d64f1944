//! The laboratory's command line; `cargo xtask` calls it.

mod verbs;

use crate::verbs::{Cli, Crash, Verb};
use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use lab::artefacts::QUICK;
use lab::faults;
use lab::results::{self, Entry, Results, Stamp};
use lab::runner::{Lab, Options};
use lab::scenario::{self, Scenario};
use lab::server::{self, Kind};
use lab::table;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn main() -> ExitCode {
    analysis::unwind::read_all();
    let result = match Cli::parse().verb {
        Verb::Crash(args) => crash(*args),
        Verb::Demo {
            kernel_image,
            modules,
            profile,
        } => lab::demo::run(Options {
            kernel: kernel_image,
            modules,
            profile,
            ..Options::default()
        }),
        Verb::Reboot {
            names,
            record,
            profile,
        } => {
            let options = Options {
                profile,
                ..Options::default()
            };
            lab::reboot::run(&names, &options).and_then(|all| judged(&all, record))
        }
        Verb::Server {
            kind,
            record,
            profile,
        } => {
            let wanted = |k: &Kind| kind.as_deref().is_none_or(|name| k.name() == name);
            let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(wanted).collect();
            server::run(&kinds, &profile).and_then(|all| judged(&all, record))
        }
        Verb::Servers {
            names,
            record,
            profile,
        } => {
            let options = Options {
                profile,
                ..Options::default()
            };
            lab::servers::run(&names, options).and_then(|all| judged(&all, record))
        }
        Verb::Bench {
            pairs,
            formats,
            core,
            devices,
            network,
            machines,
            only_machines,
            update,
            vcpus,
            profile,
        } => {
            let options = Options {
                profile,
                ..Options::default()
            };
            if network > 0 {
                return answer(lab::peer::network::compare(options, network, update));
            }
            let request = lab::bench::Request {
                core,
                pairs,
                devices,
                formats,
                update,
            };
            bench(
                options,
                (!only_machines).then_some(&request),
                if devices > 0 { 0 } else { machines },
                |options| lab::peer::compare(options, machines, vcpus, update),
            )
        }
        Verb::Oopses { dir, options } => lab::oopses::run(&dir, &options).map(|()| true),
        Verb::Globals { options } => lab::globals::run(&options),
        Verb::Pages { site: None } => lab::pages::run(),
        Verb::Pages { site: Some(dir) } => lab::pages::site(&dir),
        Verb::Cores {
            essential: true, ..
        } => lab::cores::essential(),
        Verb::Cores {
            arch,
            names,
            keep,
            record,
            ..
        } => lab::cores::run(arch.as_deref(), &names, keep).and_then(|all| judged(&all, record)),
        Verb::Libkdumpfile { record } => {
            lab::libkdumpfile::check().and_then(|all| judged(&all, record))
        }
        Verb::Dumper { program, words } => {
            return ExitCode::from(lab::libkdumpfile::dumper(&program, &words));
        }
        Verb::Build { target, profile } => build(&target, &profile),
        Verb::Support => support(),
        Verb::Debuggers {
            core,
            kernel,
            afterpanic,
        } => debuggers(&core, &kernel, &afterpanic),
        Verb::Kernels { names, debug } => fetch(&names, debug),
    };
    answer(result)
}

fn answer(result: Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds for another architecture.
fn build(target: &str, profile: &str) -> Result<bool> {
    let arch = target.split('-').next().unwrap_or(target);
    for program in lab::cross::build(arch, profile)? {
        println!("{}", program.display());
    }
    Ok(true)
}

/// Whether the bars held.
fn bench(
    options: Options,
    core: Option<&lab::bench::Request>,
    machines: usize,
    compare: impl FnOnce(Options) -> Result<()>,
) -> Result<bool> {
    let good = match core {
        Some(request) => lab::bench::run(options.clone(), request)?,
        None => true,
    };
    if machines > 0 {
        compare(options)?;
    }
    Ok(good)
}

/// Whether all of it held; recorded if that is wanted.
fn judged(entries: &[Entry], record: bool) -> Result<bool> {
    if record {
        results::record(&Results::path(), entries, &Stamp::now()?)?;
        support()?;
    }
    Ok(entries.iter().all(|entry| entry.failed.is_empty()))
}

/// Writes the page.
fn support() -> Result<bool> {
    let page = lab::support::page(&scenario::all()?, &Results::read(&Results::path())?);
    let path = lab::root().join("docs/support.md");
    std::fs::write(&path, page).with_context(|| format!("Cannot write {}", path.display()))?;
    Ok(true)
}

fn debuggers(core: &Path, kernel: &str, afterpanic: &Path) -> Result<bool> {
    let kernel = lab::kernels::get(kernel, None, &mut |line| eprintln!("lab: {line}"))?;
    let core = core.canonicalize()?;
    Ok(lab::checks::debuggers(afterpanic, &core, &kernel))
}

fn fetch(names: &[String], debug: bool) -> Result<bool> {
    for name in names {
        let kernel = lab::kernels::get(name, None, &mut |line| eprintln!("lab: {line}"))?;
        println!("{name}: {} {}", kernel.release, kernel.image.display());
        if debug {
            println!("{}", lab::kernels::vmlinux(&kernel)?.display());
        }
    }
    if debug {
        lab::tools::reader("crash")?;
    }
    Ok(true)
}

fn chosen(args: &Crash) -> Result<Vec<Scenario>> {
    let mut all = scenario::all()?;
    if let Some(arch) = &args.arch {
        all.retain(|s| s.arch == *arch);
    }
    if args.all {
        return Ok(all);
    }
    if let Some(shard) = &args.shard {
        let of_shard: Vec<_> = all.into_iter().filter(|s| s.shard == *shard).collect();
        if of_shard.is_empty() {
            bail!("No scenario is in shard {shard}; see tests/lab/shards.toml");
        }
        return Ok(of_shard);
    }
    let names = match args.ci {
        true => scenario::lists()?.scenarios,
        false if args.names.is_empty() && args.soak.is_some() => scenario::lists()?.soak,
        false => args.names.clone(),
    };
    if names.is_empty() {
        bail!("Which scenario? Name some, or --all, or see --list");
    }
    let prefix = args.arch.as_deref().unwrap_or_default();
    let find = |name: &String| {
        let whole = format!("{prefix}-{name}");
        let found = all.iter().find(|s| s.name == *name || s.name == whole);
        let found = found.cloned();
        found.with_context(|| format!("No scenario is called {name}; see --list"))
    };
    names.iter().map(find).collect()
}

fn crash(args: Crash) -> Result<bool> {
    if args.list {
        let ci = scenario::lists()?.scenarios;
        for s in scenario::all()? {
            let mark = if ci.contains(&s.name) { "*" } else { " " };
            println!(
                "{mark} {:<22} {:<8} {:<6} {}",
                s.name, s.shard, s.kernel, s.about
            );
        }
        println!("* run by cargo xtask test");
        return Ok(true);
    }
    let mut scenarios = chosen(&args)?;
    let runs = args.soak.unwrap_or(scenarios.len());
    if args.faults {
        scenarios = faults::draw(&scenarios, args.seed, runs);
    }
    let mut archs: Vec<&str> = scenarios.iter().map(|s| s.arch.as_str()).collect();
    if scenarios
        .iter()
        .any(|s| s.expect.truth.iter().any(|word| word == "hosts"))
    {
        archs.push("aarch64");
    }
    let options = Options {
        kernel: args.kernel,
        modules: args.modules,
        vcpus: args.vcpus,
        memory: args.mem,
        firmware: args.firmware,
        syscall: args.syscall,
        keep: args.keep,
        crashes: args.crashes,
        console: args.console,
        profile: args.profile,
        cross_profile: args.ci.then(|| QUICK.to_owned()),
    };
    let lab = Lab::for_machines(options, &archs)?;
    let queue: Vec<&Scenario> = scenarios.iter().cycle().take(runs).collect();
    let keep = Keep {
        json: args.json.as_deref(),
        stamp: args.record.then(Stamp::now).transpose()?,
    };
    let rows = run_all(&lab, &queue, args.jobs.max(1), &keep)?;
    table::print(&rows);
    if args.faults {
        println!("seed {}\n{}", args.seed, faults::summary(&rows));
    }
    let failed = rows.iter().filter(|r| !r.passed).count();
    println!("{} passed, {failed} failed", rows.len() - failed);
    Ok(failed == 0)
}

/// Where results go.
struct Keep<'a> {
    /// A file of this run.
    json: Option<&'a Path>,
    /// What is tested, if the results are recorded.
    stamp: Option<Stamp>,
}

impl Keep<'_> {
    /// Keeps what is done. After each scenario: a run that is broken off leaves what it has.
    fn keep(&self, rows: &BTreeMap<usize, table::Row>, last: &table::Row) -> Result<()> {
        if let Some(path) = self.json {
            let done: Vec<_> = rows.values().cloned().collect();
            let text = serde_json::to_string_pretty(&table::json(&done))?;
            std::fs::write(path, text + "\n")
                .with_context(|| format!("Cannot write {}", path.display()))?;
        }
        if let Some(stamp) = &self.stamp {
            results::record(&Results::path(), &[Entry::from(last)], stamp)?;
            support()?;
        }
        Ok(())
    }
}

/// Runs the queue with so many machines at once; the rows in the queue's order.
fn run_all(
    lab: &Lab,
    queue: &[&Scenario],
    jobs: usize,
    keep: &Keep<'_>,
) -> Result<Vec<table::Row>> {
    let next = AtomicUsize::new(0);
    let rows: Mutex<BTreeMap<usize, table::Row>> = Mutex::new(BTreeMap::new());
    let work = || -> Result<()> {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = queue.get(n) else {
                return Ok(());
            };
            eprintln!(
                "lab: {}/{} {}: {}",
                n + 1,
                queue.len(),
                scenario.name,
                scenario.about
            );
            let dir = lab::cache()
                .join("runs")
                .join(format!("{:02}-{}", n + 1, scenario.name));
            let row = lab.run(scenario, &dir).unwrap_or_else(|error| table::Row {
                name: scenario.name.clone(),
                checks: vec![table::Check::new(
                    "the laboratory",
                    Err(format!("{error:#}")),
                )],
                ..table::Row::default()
            });
            let word = if row.passed { "ok" } else { "FAILED" };
            eprintln!("lab: {} {word} after {:.0} s", row.name, row.seconds);
            let mut rows = rows.lock().map_err(|_| anyhow!("A run has panicked"))?;
            rows.insert(n, row.clone());
            keep.keep(&rows, &row)?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("A run has panicked"))?)
    })?;
    Ok(rows
        .into_inner()
        .map_err(|_| anyhow!("A run has panicked"))?
        .into_values()
        .collect())
}
