//! The verbs: one file each, with `Args` (parsed by clap) and `run`.

mod bt;
mod capture;
mod collect;
mod config;
mod convert;
mod crash_test;
mod debugger;
mod dis;
mod dmesg;
mod doctor;
mod generate;
mod image;
mod info;
mod list;
mod load;
mod mods;
mod mount;
mod pages;
mod ps;
mod read;
mod reboot;
mod rehearse;
mod report;
mod reserve;
mod signature;
mod status;
mod structure;
mod sym;
mod syscall;
mod unload;
mod verify;
mod vmlinux;
mod what;

use crate::exit::Exit;
use crate::output::{Context, When};
use clap::{Args, Command, Parser, Subcommand};
use std::path::PathBuf;

/// Saves what a Linux kernel panic leaves, and says why it died.
#[derive(Debug, Parser)]
#[command(name = "afterpanic", version, disable_help_subcommand = true)]
#[command(help_template = "{about}\n\n{usage-heading} {usage}{after-help}\n\nOptions:\n{options}")]
pub(crate) struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// The verb; without one the front page is printed.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Where the help lists the options that every verb has.
const HEADING: &str = "Options of every verb";

/// Options of every verb.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The config file [default: /etc/afterpanic.toml]
    #[arg(long, global = true, help_heading = HEADING, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Prefix for /proc, /sys, /etc, /boot and /var
    #[arg(long, global = true, help_heading = HEADING, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// The age identities that open sealed files [default: the config's]
    #[arg(long, global = true, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Colour headings, the culprit and warnings
    #[arg(
        long,
        global = true, help_heading = HEADING,
        value_name = "WHEN",
        value_enum,
        default_value = "auto"
    )]
    pub color: When,
    /// Print only errors
    #[arg(short, long, global = true, help_heading = HEADING)]
    pub quiet: bool,
    /// Print more messages; given twice, print all of them
    #[arg(short, long, global = true, help_heading = HEADING, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// What the verbs are given.
    pub(crate) fn context(&self) -> Context {
        Context {
            root: self.root.clone(),
            config: self.config.clone(),
            identity: self.identity.clone(),
            quiet: self.quiet,
        }
    }
}

/// Every verb.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Find what would lose a dump, and print each fix
    ///
    /// Changes nothing. Some checks need root; without root, doctor names the checks that it could not make.
    Doctor(doctor::Args),
    /// Compute and reserve the capture kernel's memory
    ///
    /// Prints how much memory each part needs. Changes the boot configuration only with --apply.
    Reserve(reserve::Args),
    /// Build the capture image, load the capture kernel
    ///
    /// The systemd unit does this at boot. From then on a panic is captured.
    Load(load::Args),
    /// Unload the capture kernel
    Unload(unload::Args),
    /// Print whether this machine is armed, and the proof
    ///
    /// Exit code 0: armed and current. Exit code 3: not armed, or stale.
    Status(status::Args),
    /// Panic this kernel, image and config in a VM
    ///
    /// Changes nothing on this machine but the record of the proof. Needs QEMU. A VM cannot prove the machine's own disk controller: see crash-test.
    Rehearse(rehearse::Args),
    /// Panic this machine for real (needs --yes)
    ///
    /// After the reboot `afterpanic status` says whether the core arrived.
    CrashTest(crash_test::Args),
    /// List the crashes saved here
    List(list::Args),
    /// Print why the kernel died
    ///
    /// No debug symbols are needed: symbols, types and unwind tables are read from the core.
    Report(report::Args),
    /// Print the name of the bug, and the frames behind it
    ///
    /// The same bug has the same signature on every machine (docs/signature.md).
    Signature(signature::Args),
    /// Print the crashed kernel's log
    Dmesg(dmesg::Args),
    /// Print kernel stacks
    ///
    /// Without an option, prints the stack of the task that panicked.
    Bt(bt::Args),
    /// List the tasks
    Ps(ps::Args),
    /// List the modules that were loaded
    Mods(mods::Args),
    /// Print a type, and the values at an address
    Struct(structure::Args),
    /// Look up symbols: names to addresses and back
    Sym(sym::Args),
    /// Disassemble a function from the core's memory
    Dis(dis::Args),
    /// Read memory of the crashed kernel
    Read(read::Args),
    /// Print what is at an address: symbol, task, page, …
    What(what::Args),
    /// Print a core's format, kernel and size
    Info(info::Args),
    /// Check every checksum, and the kernel in the core
    ///
    /// Exit code 5: damaged; the output says where.
    Verify(verify::Args),
    /// Convert a core, or filter it further
    Convert(convert::Args),
    /// Make a vmlinux from a core, for crash, drgn and gdb
    ///
    /// No debug package is needed.
    Vmlinux(vmlinux::Args),
    /// Start drgn on a core, with a vmlinux made from it
    #[command(
        after_help = "Examples:\n  afterpanic drgn last\n  afterpanic drgn last script.py\n\
         docs/debuggers.md has more."
    )]
    Drgn(debugger::Args),
    /// Start crash on a core, with a vmlinux made from it
    #[command(
        after_help = "Examples:\n  afterpanic crash last\n  afterpanic crash last -s -i commands\n\
         docs/debuggers.md has more."
    )]
    Crash(debugger::Args),
    /// Count the pages of RAM by use
    ///
    /// Also prints what each level would keep.
    Pages(pages::Args),
    /// Show a core as files for gdb, drgn and crash
    Mount(mount::Args),
    /// Check, show or import the config
    Config(config::Args),
    /// Build a capture image, or look into one
    Image(image::Args),
    /// Boot another kernel by kexec, past the firmware
    Reboot(reboot::Args),
    /// Filter and write a core by hand
    ///
    /// Runs the program of the capture kernel on a core that is there already, with the config of this machine.
    Capture(capture::Args),
    /// Finish interrupted crashes, announce new ones
    ///
    /// Finishes crash directories that were cut off, imports pstore records and announces new crashes as `[notify]` in the config says. A systemd unit runs it at boot.
    Collect(collect::Args),
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man(generate::ManArgs),
    /// Print a shell's completions
    #[command(hide = true)]
    Completions(generate::CompletionArgs),
}

impl Verb {
    /// Runs it; `command` is the whole command line, for man pages and completions.
    pub(crate) fn run(self, context: &Context, command: Command) -> anyhow::Result<Exit> {
        let arms = matches!(
            self,
            Self::Load(_) | Self::Unload(_) | Self::Rehearse(_) | Self::CrashTest(_)
        );
        if arms || matches!(self, Self::Doctor(_) | Self::Reserve(_) | Self::Reboot(_)) {
            loader::arch::check()?;
        }
        let exit = self.run_alone(context, command);
        // Whether the machine is armed or proved may have changed.
        if arms && let Ok(config) = context.load_config() {
            let requested = ::collect::request_metrics(&context.root, &config);
            if let Err(why) = requested {
                context.warn(&format!("the metrics are not written anew: {why}"));
            }
        }
        exit
    }

    fn run_alone(self, context: &Context, mut command: Command) -> anyhow::Result<Exit> {
        match self {
            Self::Doctor(args) => doctor::run(&args, context),
            Self::Reserve(args) => reserve::run(&args, context),
            Self::Reboot(args) => reboot::run(&args, context),
            Self::Load(args) => load::run(&args, context),
            Self::Unload(args) => unload::run(&args, context),
            Self::Status(args) => status::run(&args, context),
            Self::Rehearse(args) => rehearse::run(&args, context),
            Self::CrashTest(args) => crash_test::run(&args, context),
            Self::List(args) => list::run(&args, context),
            Self::Report(args) => report::run(&args, context),
            Self::Signature(args) => signature::run(&args, context),
            Self::Dmesg(args) => dmesg::run(&args, context),
            Self::Bt(args) => bt::run(&args, context),
            Self::Ps(args) => ps::run(&args, context),
            Self::Mods(args) => mods::run(&args, context),
            Self::Struct(args) => structure::run(&args, context),
            Self::Sym(args) => sym::run(&args, context),
            Self::Dis(args) => dis::run(&args, context),
            Self::Read(args) => read::run(&args, context),
            Self::What(args) => what::run(&args, context),
            Self::Info(args) => info::run(&args, context),
            Self::Verify(args) => verify::run(&args, context),
            Self::Convert(args) => convert::run(&args, context),
            Self::Vmlinux(args) => vmlinux::run(&args, context),
            Self::Drgn(args) => debugger::drgn(&args, context),
            Self::Crash(args) => debugger::crash(&args, context),
            Self::Pages(args) => pages::run(&args, context),
            Self::Mount(args) => mount::run(&args, context),
            Self::Config(args) => config::run(&args, context),
            Self::Image(args) => image::run(&args, context),
            Self::Capture(args) => capture::run(&args, context),
            Self::Collect(args) => collect::run(&args, context),
            Self::Man(args) => generate::man(&args, command),
            Self::Completions(args) => generate::completions(&args, &mut command),
        }
    }
}
