//! The verbs of the laboratory's command line and their arguments.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Real panics in virtual machines
#[derive(Debug, Parser)]
#[command(name = "lab")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run scenarios and print what came of them
    Crash(Box<Crash>),
    /// A panic, its capture and its core, narrated
    Demo {
        /// Another kernel than 6.12: a series or a vmlinuz
        #[arg(long, alias = "kernel", value_name = "NAME|FILE")]
        kernel_image: Option<String>,
        /// The modules of a kernel given as a file
        #[arg(long, value_name = "DIR")]
        modules: Option<PathBuf>,
        /// The cargo profile of the binaries
        #[arg(long, default_value = "release", hide = true)]
        profile: String,
    },
    /// Score the diagnosis on a directory of logs with right answers
    Oopses {
        /// The directory
        dir: PathBuf,
        #[command(flatten)]
        options: lab::oopses::Options,
    },
    /// From kernel to kernel by kexec, past the firmware, and what that saves
    Reboot {
        /// Machines: bios-1, bios-2, bios-reset, uefi-1, uefi-2, uefi-reset [default: all]
        names: Vec<String>,
        /// Put the results into docs/support/results.json
        #[arg(long)]
        record: bool,
        /// The cargo profile of the binaries
        #[arg(long, default_value = "release", hide = true)]
        profile: String,
    },
    /// A Debian server: the package installed, armed at boot, a panic, a fast reboot, removal (root)
    Server {
        /// `grub`, `mkconfig`, `bls`, `uki`, `rehearse` or `rearm` [default: all]
        #[arg(value_parser = ["grub", "mkconfig", "bls", "uki", "rehearse", "rearm"])]
        kind: Option<String>,
        /// Put the results into docs/support/results.json
        #[arg(long)]
        record: bool,
        /// The cargo profile of the binaries
        #[arg(long, default_value = "release", hide = true)]
        profile: String,
    },
    /// Targets on servers: two machines at once, and rehearsals
    Servers {
        /// together-nfs, together-ssh, rehearse-nfs, rehearse-ssh [default: all]
        names: Vec<String>,
        /// Put the results into docs/support/results.json
        #[arg(long)]
        record: bool,
        /// The cargo profile of the binaries
        #[arg(long, default_value = "release", hide = true)]
        profile: String,
    },
    /// Capture beside makedumpfile, on a core that is made for it
    Bench {
        /// How often each side runs, in turn; 0: only make the core
        #[arg(long, default_value_t = 5)]
        pairs: usize,
        /// Of our formats only this one; may be given again
        #[arg(long = "format", value_name = "FORMAT")]
        formats: Vec<String>,
        /// A core that is there already
        #[arg(long, value_name = "FILE")]
        core: Option<PathBuf>,
        /// Instead: so many rounds on throttled devices, each effort beside makedumpfile (root)
        #[arg(long, value_name = "N", default_value_t = 0, conflicts_with_all = ["pairs", "update"])]
        devices: usize,
        /// Instead: so many rounds of machines with targets on servers, ours and kdump-utils' way (root)
        #[arg(long, value_name = "N", default_value_t = 0, conflicts_with_all = ["pairs", "formats", "core", "devices"])]
        network: usize,
        /// Then so many rounds of whole machines, ours and makedumpfile's in a busybox image [with --update: 8]
        #[arg(
            long,
            value_name = "N",
            default_value_t = 1,
            default_value_if("update", "true", "8")
        )]
        machines: usize,
        /// Only these machines, no core of 7 GiB
        #[arg(long, conflicts_with_all = ["pairs", "formats", "core"])]
        only_machines: bool,
        /// Write the tables of docs/measurements, and the rows of README.md, that it measures
        #[arg(long, conflicts_with = "formats")]
        update: bool,
        /// Virtual CPUs of those machines
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
        vcpus: u32,
        /// The cargo profile of the binaries
        #[arg(long, default_value = "release", hide = true)]
        profile: String,
    },
    /// Make the table of globals' types from Debian's debug packages, or judge the answers made with it
    Globals {
        #[command(flatten)]
        options: lab::globals::Options,
    },
    /// The page of `report --html` in a browser: its width, folding, searching, the keyboard
    Pages {
        /// Instead: a site of `afterpanic-fleet page`: its width, links, colours
        #[arg(value_name = "DIR")]
        site: Option<PathBuf>,
    },
    /// Cores that QEMU wrote of guests of any architecture: what is read of them is held against drgn
    Cores {
        /// Only machines of this architecture
        #[arg(long, value_name = "NAME", value_parser = lab::cores::ARCHITECTURES)]
        arch: Option<String>,
        /// Machines (docs/support.md lists them) [default: all]
        names: Vec<String>,
        /// Only a small core of each architecture that is read only; what is there already is not made again
        #[arg(long, conflicts_with_all = ["arch", "names", "keep", "record"])]
        essential: bool,
        /// Leave the cores in target/lab/cores, a gigabyte each
        #[arg(long)]
        keep: bool,
        /// Put the results into docs/support/results.json
        #[arg(long)]
        record: bool,
    },
    /// libkdumpfile's own tests, with our reader in place of its programs that read dumps
    Libkdumpfile {
        /// Put the results into docs/support/results.json
        #[arg(long)]
        record: bool,
    },
    /// One of those programs
    #[command(hide = true)]
    Dumper {
        /// Its name
        program: String,
        /// What it is given
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Build the programs for another architecture, with a compiler that is fetched; prints where they are
    Build {
        /// The architecture as uname(1) names it, or Rust's triple
        #[arg(long, value_name = "NAME")]
        target: String,
        /// The cargo profile
        #[arg(long, default_value = "release")]
        profile: String,
    },
    /// Write docs/support.md from the scenarios and their results
    Support,
    /// crash, drgn and gdb on a core that is there, with our vmlinux and with the debug vmlinux
    Debuggers {
        /// The core, an ELF file
        core: PathBuf,
        /// Its kernel: a series
        kernel: String,
        /// The program that makes the vmlinux
        #[arg(long, value_name = "FILE")]
        afterpanic: PathBuf,
    },
    /// Fetch the kernels of scenarios and do nothing else
    Kernels {
        /// Series
        names: Vec<String>,
        /// Their debug information, too, and the debuggers
        #[arg(long)]
        debug: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Crash {
    /// Scenarios; the file names under tests/lab/scenarios without .toml
    pub(crate) names: Vec<String>,
    /// Every scenario
    #[arg(long)]
    pub(crate) all: bool,
    /// Every scenario of a shard
    #[arg(long, value_name = "NAME")]
    pub(crate) shard: Option<String>,
    /// Put the results into docs/support/results.json
    #[arg(long, conflicts_with_all = ["kernel", "modules", "syscall", "vcpus", "mem", "firmware", "soak"])]
    pub(crate) record: bool,
    /// The scenarios that `cargo xtask test` runs
    #[arg(long)]
    pub(crate) ci: bool,
    /// Say which there are
    #[arg(long)]
    pub(crate) list: bool,
    /// Only the scenarios on machines of this architecture; with --all, every one of them
    #[arg(long, value_name = "NAME", value_parser = ["x86_64", "aarch64"])]
    pub(crate) arch: Option<String>,
    /// A series (5.10, 6.1, 6.12, 7; with -generic the large kernel) or a vmlinuz
    #[arg(long, alias = "kernel-image", value_name = "NAME|FILE")]
    pub(crate) kernel: Option<String>,
    /// The modules of a kernel given as a file
    #[arg(long, value_name = "DIR")]
    pub(crate) modules: Option<PathBuf>,
    /// How the capture kernel is loaded
    #[arg(long, value_name = "file|load", value_parser = ["file", "load"])]
    pub(crate) syscall: Option<String>,
    /// Virtual CPUs
    #[arg(long, value_name = "N")]
    pub(crate) vcpus: Option<u32>,
    /// RAM, for example 512M or 2G
    #[arg(long, value_name = "SIZE", value_parser = mebibytes)]
    pub(crate) mem: Option<u64>,
    /// What starts the kernel
    #[arg(long, value_name = "bios|uefi", value_parser = ["bios", "uefi"])]
    pub(crate) firmware: Option<String>,
    /// Write the results there
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Keep the files of runs that passed, too
    #[arg(long)]
    pub(crate) keep: bool,
    /// Keep the crash directory of each run that passed there, in a folder named as the scenario
    #[arg(long, value_name = "DIR")]
    pub(crate) crashes: Option<PathBuf>,
    /// Show the console as it comes
    #[arg(long)]
    pub(crate) console: bool,
    /// So many panics one after the other, the scenarios in turn (none named: mixed classes)
    #[arg(long, value_name = "N")]
    pub(crate) soak: Option<usize>,
    /// Each panic of the soak with a fault that a seed draws: target, worker, memory, disk, clock, a store
    /// full of strangers. The log and the report must arrive
    #[arg(long, requires = "soak")]
    pub(crate) faults: bool,
    /// The seed of the faults
    #[arg(long, value_name = "N", default_value_t = 1, requires = "faults")]
    pub(crate) seed: u64,
    /// So many machines at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) jobs: usize,
    /// The cargo profile of the binaries
    #[arg(long, default_value = "release", hide = true)]
    pub(crate) profile: String,
}

fn mebibytes(text: &str) -> Result<u64, String> {
    let text = text.trim_end_matches("iB").trim_end_matches('B');
    let (number, shift) = match text.strip_suffix(['G', 'g']) {
        Some(number) => (number, 10),
        None => (text.trim_end_matches(['M', 'm']), 0),
    };
    match number.parse::<u64>() {
        Ok(n) if (64..=1 << 20).contains(&(n << shift)) => Ok(n << shift),
        _ => Err("a size like 512M or 2G".into()),
    }
}
