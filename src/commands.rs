//! The verbs: one file each, with `Args` (parsed by clap) and `run`.

mod bt;
mod capture;
mod collect;
mod config;
mod convert;
mod crash_test;
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
mod what;

use crate::exit::Exit;
use crate::frontpage;
use crate::output::{Context, When};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;

/// Saves what a Linux kernel panic leaves, and says why it died.
#[derive(Debug, Parser)]
#[command(name = "afterpanic", version, disable_help_subcommand = true)]
#[command(help_template = "{about}\n\n{usage-heading} {usage}{after-help}\n\nOptions:\n{options}")]
#[command(after_help = frontpage::verbs())]
pub(crate) struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// The verb; without one the front page is printed.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Options of every verb.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The config file [default: /etc/afterpanic.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Prefix for /proc, /sys, /etc, /boot and /var
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Colour headings, the culprit and warnings
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value = "auto"
    )]
    pub color: When,
    /// Print only errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more messages; twice: all of them
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// What the verbs are given.
    pub(crate) fn context(&self) -> Context {
        Context {
            root: self.root.clone(),
            config: self.config.clone(),
            quiet: self.quiet,
        }
    }
}

/// Every verb.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Check this machine for problems that would lose a dump, and print each fix
    Doctor(doctor::Args),
    /// Compute the memory that the capture kernel needs, and reserve it
    Reserve(reserve::Args),
    /// Build the capture image and load the capture kernel
    Load(load::Args),
    /// Unload the capture kernel
    Unload(unload::Args),
    /// Print whether this machine is armed, and the last proof
    Status(status::Args),
    /// Panic this kernel, image and config in a VM; nothing here is touched
    Rehearse(rehearse::Args),
    /// Panic this machine for real, and see at the next boot whether its core arrived
    CrashTest(crash_test::Args),
    /// List the crashes saved here
    List(list::Args),
    /// Print why the kernel died
    Report(report::Args),
    /// Print the signature of a crash and the frames that made it
    Signature(signature::Args),
    /// Print the crashed kernel's log
    Dmesg(dmesg::Args),
    /// Print kernel stacks
    Bt(bt::Args),
    /// List the tasks
    Ps(ps::Args),
    /// List the modules that were loaded
    Mods(mods::Args),
    /// Print a type's layout, and the values at an address
    Struct(structure::Args),
    /// Look up symbols: names to addresses and back
    Sym(sym::Args),
    /// Disassemble a function from the core's memory
    Dis(dis::Args),
    /// Read memory of the crashed kernel
    Read(read::Args),
    /// Print what is at an address: symbol, task, stack, slab object, page
    What(what::Args),
    /// Print a core's format, its kernel and how much memory it holds
    Info(info::Args),
    /// Check a core: every checksum, and whether the kernel in it is consistent
    Verify(verify::Args),
    /// Convert a core into another format, or filter it further
    Convert(convert::Args),
    /// Count the pages of RAM by use, and what each level would keep
    Pages(pages::Args),
    /// Show a core as files that gdb, drgn and crash open
    Mount(mount::Args),
    /// Check, show or import the config
    Config(config::Args),
    /// Build the capture kernel's image, or look into one
    Image(image::Args),
    /// Boot another kernel by kexec, past the firmware
    Reboot(reboot::Args),
    /// Filter and write a core by hand, as the capture kernel does
    Capture(capture::Args),
    /// Finish interrupted crash directories, import pstore records and tell of new crashes (run at boot)
    Collect(collect::Args),
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man(generate::ManArgs),
    /// Print a shell's completions
    #[command(hide = true)]
    Completions(generate::CompletionArgs),
}

impl Verb {
    /// Runs it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let arms = matches!(
            self,
            Self::Load(_) | Self::Unload(_) | Self::Rehearse(_) | Self::CrashTest(_)
        );
        let exit = self.run_alone(context);
        // Whether the machine is armed or proved may have changed.
        if arms && let Ok(config) = context.load_config() {
            let requested = ::collect::request_metrics(&context.root, &config);
            if let Err(why) = requested {
                context.warn(&format!("the metrics are not written anew: {why}"));
            }
        }
        exit
    }

    fn run_alone(self, context: &Context) -> anyhow::Result<Exit> {
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
            Self::Pages(args) => pages::run(&args, context),
            Self::Mount(args) => mount::run(&args, context),
            Self::Config(args) => config::run(&args, context),
            Self::Image(args) => image::run(&args, context),
            Self::Capture(args) => capture::run(&args, context),
            Self::Collect(args) => collect::run(&args, context),
            Self::Man(args) => generate::man(&args, Cli::command()),
            Self::Completions(args) => generate::completions(&args, &mut Cli::command()),
        }
    }
}
