//! `afterpanic ps`: the tasks of the crashed kernel.

use crate::core_arg::CoreArg;
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::output::{self, Context, Style};
use analysis::tasks::{self, Options, State, Task, Tasks};
use std::collections::BTreeMap;
use std::io::{self, Write};
use vmcore::addr::VirtAddr;

/// Deepest indentation of the tree; a longer chain of parents goes on at this depth.
const DEPTH: usize = 32;

/// Arguments of `ps`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    core: CoreArg,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Print children under their parents
    #[arg(long)]
    tree: bool,
    /// Print every thread, not only processes
    #[arg(long)]
    threads: bool,
    /// Print only tasks in this state: R, S, D, T, t, X, Z, P, I
    #[arg(long, value_name = "LETTER", value_parser = state)]
    state: Option<State>,
    /// Print one JSON object (docs/json.md); always with every thread
    #[arg(long)]
    json: bool,
}

/// A state by its letter.
pub(super) fn state(text: &str) -> Result<State, String> {
    let mut letters = text.chars();
    let found = letters.next().and_then(State::from_letter);
    found.filter(|_| letters.next().is_none()).ok_or_else(|| {
        let known = State::ALL.map(|state| state.letter().to_string());
        format!("a task's state is one of {}", known.join(", "))
    })
}

/// Prints the tasks; `>` marks what was on a CPU.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (found_core, kernel) =
        core_arg::kernel_with(context, args.core.core.as_deref(), &args.symbols)?;
    let mut found = tasks::read(
        &kernel,
        Options {
            command_lines: true,
            idle: false,
        },
    )?;
    found
        .tasks
        .retain(|task| args.state.is_none_or(|state| task.state == state));
    let exit = if found.warnings.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    };
    let exit = exit.of_incomplete(found_core.incomplete);
    if args.json {
        let warnings = std::mem::take(&mut found.warnings);
        output::json("afterpanic.ps/1", &warnings, &found)?;
        return Ok(exit);
    }
    print(args, &found)?;
    for warning in &found.warnings {
        context.warn(warning);
    }
    Ok(exit)
}

fn print(args: &Args, found: &Tasks) -> anyhow::Result<()> {
    let mut out = output::buffered();
    let heading = "      PID    PPID CPU ST     RSS KiB   TIME s  TASK                COMMAND";
    output::styled(&mut out, Style::Heading, heading)?;
    // A thread that was on a CPU or in D state is shown even among processes.
    let shown = found.tasks.iter().filter(|task| {
        args.threads || task.is_leader() || task.on_cpu || task.state.letter() == 'D'
    });
    if args.tree {
        let mut children: BTreeMap<i32, Vec<&Task>> = BTreeMap::new();
        let shown: Vec<&Task> = shown.collect();
        let known = |pid: i32| shown.iter().any(|task| task.pid == pid);
        for task in &shown {
            let parent = task
                .ppid
                .filter(|ppid| known(*ppid) && *ppid != task.pid)
                .unwrap_or(0);
            let parent = if task.is_leader() { parent } else { task.tgid };
            children.entry(parent).or_default().push(task);
        }
        branch(&children, 0, 0, &mut out)?;
    } else {
        for task in shown {
            line(task, 0, &mut out)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// The children of one task, each with its own. A ring of parents ends at [`DEPTH`].
fn branch(
    children: &BTreeMap<i32, Vec<&Task>>,
    pid: i32,
    depth: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    for task in children.get(&pid).into_iter().flatten() {
        line(task, depth, out)?;
        if depth < DEPTH && task.pid != pid {
            branch(children, task.pid, depth + 1, out)?;
        }
    }
    Ok(())
}

fn line(task: &Task, depth: usize, out: &mut dyn Write) -> io::Result<()> {
    let mark = if task.on_cpu { '>' } else { ' ' };
    let number = |n: Option<i32>| n.map_or("?".into(), |n| n.to_string());
    let cpu = task.cpu.map_or("?".into(), |cpu| cpu.to_string());
    let rss = task
        .rss
        .as_ref()
        .map_or(String::new(), |rss| (rss.total() >> 10).to_string());
    let nanoseconds = task
        .user_ns
        .zip(task.system_ns)
        .map(|(user, system)| user.saturating_add(system));
    let time = nanoseconds.map_or("?".into(), |ns| {
        format!("{}.{:02}", ns / 1_000_000_000, ns / 10_000_000 % 100)
    });
    let address = VirtAddr::from(task.address).to_string();
    let command = match &task.command_line {
        Some(line) if !line.is_empty() => line.clone(),
        _ if task.kernel_thread => format!("[{}]", task.comm),
        _ => task.comm.clone(),
    };
    writeln!(
        out,
        "{mark} {:>7} {:>7} {cpu:>3} {:<2} {rss:>11} {time:>8}  {address:<18}  {:indent$}{command}",
        task.pid,
        number(task.ppid),
        task.state.letter(),
        "",
        indent = depth * 2
    )
}
