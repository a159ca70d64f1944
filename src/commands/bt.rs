//! `afterpanic bt`: kernel stacks, unwound by the crashed kernel's own tables.

use crate::core_arg::CoreArg;
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::output::{self, Context, Style};
use analysis::evidence::Log;
use analysis::tasks::{self, State, Task};
use analysis::unwind::{
    End, Frame, FrameKind, Saved, StackKind, Start, Trace, Trust, Unwinder, panic_cpu_or,
};
use anyhow::{Context as _, bail};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use vmcore::kernel::Kernel;

/// Arguments of `bt`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    core: CoreArg,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Print every task
    #[arg(long, conflicts_with_all = ["cpu", "cpus", "pid", "state"])]
    all: bool,
    /// Print the stack of every CPU that was online, idle ones too
    #[arg(long, conflicts_with_all = ["cpu", "pid", "state"])]
    cpus: bool,
    /// Print the stack of this CPU, across its interrupt stacks
    #[arg(long, value_name = "N", conflicts_with_all = ["pid", "state"])]
    cpu: Option<u32>,
    /// Print the task or thread with this id
    #[arg(long, value_name = "PID", conflicts_with = "state")]
    pid: Option<i32>,
    /// Print tasks in this state: R, S, D, T, t, X, Z, P, I
    #[arg(long, value_name = "LETTER", value_parser = super::ps::state)]
    state: Option<State>,
    /// Print the registers of user mode too
    #[arg(long)]
    registers: bool,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

/// One stack and whose it is.
struct Stack {
    who: Option<Task>,
    cpu: Option<u32>,
    trace: Trace,
}

#[derive(Serialize)]
struct Stacks {
    stacks: Vec<StackRow>,
}

#[derive(Serialize)]
struct StackRow {
    pid: Option<i32>,
    comm: Option<String>,
    state: Option<char>,
    task: Option<String>,
    cpu: Option<u32>,
    start: &'static str,
    frames: Vec<FrameRow>,
    end: &'static str,
    broken_because: Option<String>,
}

#[derive(Serialize)]
struct FrameRow {
    pc: String,
    sp: String,
    function: Option<String>,
    offset: Option<u64>,
    size: Option<u64>,
    module: Option<String>,
    kind: &'static str,
    trust: &'static str,
    stack: String,
    registers_at: Option<String>,
    registers: Option<BTreeMap<&'static str, String>>,
}

/// Prints the stacks asked for, by default that of the CPU that panicked.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (found_core, kernel) =
        core_arg::kernel_with(context, args.core.core.as_deref(), &args.symbols)?;
    let unwinder = Unwinder::new(&kernel);
    let mut warnings = unwinder.warnings().to_vec();
    let mut printer = Printer {
        rows: args.json.then(Vec::new),
        out: output::buffered(),
        all_registers: args.registers,
        first: true,
    };
    let mut found = false;
    let mut show = |stack: Stack| -> anyhow::Result<()> {
        found = true;
        printer.stack(&stack)
    };
    let cpus = chosen_cpus(args, &kernel)?;
    for &cpu in cpus.iter().flatten() {
        let who = unwinder
            .current(cpu)
            .and_then(|task| tasks::one(&kernel, task, tasks::Options::default()).ok());
        let trace = unwinder.cpu(cpu);
        show(Stack {
            who,
            cpu: Some(cpu),
            trace,
        })?;
    }
    if cpus.is_none() {
        let options = tasks::Options {
            idle: args.pid == Some(0),
            ..tasks::Options::default()
        };
        let mut outcome = Ok(());
        let soft = tasks::for_each(&kernel, options, |task| {
            let wanted = args.all || args.pid == Some(task.pid) || args.state == Some(task.state);
            if !wanted {
                return ControlFlow::Continue(());
            }
            let trace = unwinder.task(task.address.into());
            let cpu = match trace.start {
                Start::Cpu(cpu) => Some(cpu),
                _ => None,
            };
            outcome = show(Stack {
                who: Some(task),
                cpu,
                trace,
            });
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        outcome?;
        warnings.extend(soft);
    }
    if let (false, Some(pid)) = (found, args.pid) {
        bail!("no task {pid} in this core");
    }
    if let (false, Some(state)) = (found, args.state) {
        let text = format!("no task was in state {}", state.letter());
        printer.note(&text)?;
    }
    printer.finish(&warnings)?;
    for warning in &warnings {
        context.warn(warning);
    }
    let exit = if warnings.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    };
    Ok(exit.of_incomplete(found_core.incomplete))
}

/// The CPUs to print; `None`: tasks are printed instead.
fn chosen_cpus(args: &Args, kernel: &Kernel) -> anyhow::Result<Option<Vec<u32>>> {
    if args.all || args.pid.is_some() || args.state.is_some() {
        return Ok(None);
    }
    if args.cpus {
        return Ok(Some(kernel.online_cpus()?.iter().collect()));
    }
    let cpu = match args.cpu {
        Some(cpu) => cpu,
        None => panic_cpu_or(kernel, || Log::read(kernel).ok()?.reason.oops.cpu)
            .context("cannot tell which CPU panicked. Choose one: --cpu N, --pid N or --all")?,
    };
    // Where the mask cannot be read, the registers that the CPU saved answer.
    let possible = match kernel.possible_cpus() {
        Ok(mask) => mask.contains(cpu),
        Err(why) => kernel.prstatus(cpu).map(|_| true).ok_or(why)?,
    };
    if !possible {
        bail!("this machine has no CPU {cpu}");
    }
    Ok(Some(vec![cpu]))
}

struct Printer {
    rows: Option<Vec<StackRow>>,
    out: output::Buffered,
    all_registers: bool,
    first: bool,
}

impl Printer {
    fn stack(&mut self, stack: &Stack) -> anyhow::Result<()> {
        if let Some(rows) = &mut self.rows {
            rows.push(row(stack));
            return Ok(());
        }
        if !std::mem::take(&mut self.first) {
            writeln!(self.out)?;
        }
        output::styled(&mut self.out, Style::Heading, &heading(stack))?;
        let mut on = None;
        for (i, frame) in stack.trace.frames.iter().enumerate() {
            let changed = on.map_or(frame.stack != StackKind::Task, |on| on != frame.stack);
            if changed && frame.kind != FrameKind::User {
                writeln!(self.out, "     --- {} ---", stack_words(frame.stack))?;
            }
            on = Some(frame.stack);
            writeln!(self.out, "{}", line(i, frame))?;
            // Those of user mode are there for every task and seldom wanted.
            if let Some(saved) = frame.registers.as_deref()
                && (self.all_registers || i == 0 || frame.kind == FrameKind::Interrupted)
            {
                registers(&mut self.out, saved)?;
            }
        }
        match &stack.trace.end {
            End::Broken(why) => writeln!(self.out, "     (not unwound further: {why})")?,
            End::TooLong => writeln!(self.out, "     (longer than any stack; cut off)")?,
            _ => {}
        }
        Ok(())
    }

    /// A sentence for people; JSON says it by an empty list.
    fn note(&mut self, text: &str) -> anyhow::Result<()> {
        if self.rows.is_none() {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    fn finish(mut self, warnings: &[String]) -> anyhow::Result<()> {
        self.out.flush()?;
        drop(self.out);
        if let Some(stacks) = self.rows {
            output::json("afterpanic.bt/1", warnings, &Stacks { stacks })?;
        }
        Ok(())
    }
}

fn heading(stack: &Stack) -> String {
    let mut text = match &stack.who {
        Some(who) => format!("pid {} {} ({})", who.pid, who.comm, who.state.letter()),
        None => "no known task".to_string(),
    };
    if let Some(cpu) = stack.cpu {
        text.push_str(&format!(" on CPU {cpu}"));
    }
    if let Some(task) = stack.trace.task {
        text.push_str(&format!(", task {task}"));
    }
    if stack.trace.start == Start::Scan {
        text.push_str(", scanned");
    }
    text
}

fn line(index: usize, frame: &Frame) -> String {
    let mark = if frame.trust == Trust::Guess {
        "? "
    } else {
        ""
    };
    let place = match (&frame.symbol, frame.kind) {
        (_, FrameKind::User) => format!("user mode at {}", frame.pc),
        (Some(symbol), FrameKind::Trampoline) => {
            format!("{} (a tracer's trampoline)", symbol.name)
        }
        (Some(symbol), _) => format!("{symbol}"),
        (None, _) if frame.trust == Trust::FramePointer => {
            format!("{} (generated code)", frame.pc)
        }
        (None, _) => format!("{}", frame.pc),
    };
    format!("{:>4} {mark}{place}", format!("#{index}"))
}

/// Registers, four to a line.
fn registers(out: &mut impl Write, saved: &Saved) -> io::Result<()> {
    let named = saved.registers.named();
    let shown: Vec<_> = named
        .iter()
        .filter(|(name, _)| saved.full || PARTIAL.contains(name))
        .collect();
    for four in shown.chunks(4) {
        let mut text = String::from("   ");
        for (name, value) in four {
            text.push_str(&format!("{name:>10}: {value:016x}"));
        }
        writeln!(out, "{text}")?;
    }
    Ok(())
}

/// The registers that the CPU itself saves.
const PARTIAL: [&str; 5] = ["rip", "cs", "rflags", "rsp", "ss"];

fn stack_words(stack: StackKind) -> String {
    match stack {
        StackKind::Task => "the task's stack".into(),
        StackKind::Irq(cpu) => format!("interrupt stack of CPU {cpu}"),
        StackKind::Exception(cpu, name) => format!("{name} stack of CPU {cpu}"),
        StackKind::Entry(cpu) => format!("entry stack of CPU {cpu}"),
        StackKind::User => "user mode".into(),
        StackKind::Unknown => "an unknown stack".into(),
    }
}

fn row(stack: &Stack) -> StackRow {
    let trace = &stack.trace;
    StackRow {
        pid: stack.who.as_ref().map(|who| who.pid),
        comm: stack.who.as_ref().map(|who| who.comm.clone()),
        state: stack.who.as_ref().map(|who| who.state.letter()),
        task: trace.task.map(|task| task.to_string()),
        cpu: stack.cpu,
        start: match trace.start {
            Start::Cpu(_) => "cpu",
            Start::Sleeping => "sleeping",
            Start::Given => "registers",
            Start::Scan => "scan",
        },
        frames: trace.frames.iter().map(frame_row).collect(),
        end: match trace.end {
            End::User => "user",
            End::Kernel => "kernel",
            End::Broken(_) => "broken",
            End::TooLong => "too-long",
        },
        broken_because: match &trace.end {
            End::Broken(why) => Some(why.clone()),
            _ => None,
        },
    }
}

fn frame_row(frame: &Frame) -> FrameRow {
    let symbol = frame.symbol.as_ref();
    let saved = frame.registers.as_deref();
    FrameRow {
        pc: frame.pc.to_string(),
        sp: frame.sp.to_string(),
        function: symbol.map(|symbol| symbol.name.clone()),
        offset: symbol.map(|symbol| symbol.offset),
        size: symbol.map(|symbol| symbol.size),
        module: symbol.and_then(|symbol| symbol.module.clone()),
        kind: match frame.kind {
            FrameKind::Call => "call",
            FrameKind::Interrupted => "interrupted",
            FrameKind::User => "user",
            FrameKind::Trampoline => "trampoline",
        },
        trust: match frame.trust {
            Trust::Orc => "orc",
            Trust::Code => "code",
            Trust::FramePointer => "frame-pointer",
            Trust::Guess => "guess",
        },
        stack: match frame.stack {
            StackKind::Task => "task".into(),
            StackKind::Irq(cpu) => format!("irq:{cpu}"),
            StackKind::Exception(cpu, name) => format!("{}:{cpu}", name.to_lowercase()),
            StackKind::Entry(cpu) => format!("entry:{cpu}"),
            StackKind::User => "user".into(),
            StackKind::Unknown => "unknown".into(),
        },
        registers_at: saved.and_then(|saved| saved.at).map(|at| at.to_string()),
        registers: saved.map(|saved| {
            let named = saved.registers.named();
            named
                .into_iter()
                .filter(|(name, _)| saved.full || PARTIAL.contains(name))
                .map(|(name, value)| (name, format!("{value:#x}")))
                .collect()
        }),
    }
}
