//! `cargo xtask`: build, demo and test commands. It depends on no crate of the workspace, so that
//! it runs when they do not build; what boots machines is `cargo run -p lab`.

mod apt;
mod budget;
mod deb;
mod fleet;
mod install;
mod rpm;
mod run;
mod shards;
mod ship;
mod tarball;
mod test;

use anyhow::{Result, bail};
use std::process::ExitCode;
use test::Extent;

const HELP: &str = "\
cargo xtask demo [--kernel-image FILE --modules DIR]
    a real kernel panics in a VM, its core is captured and read; narrated
cargo xtask test [--full[=SHARD]]
    format, lints, documents, tests, and real panics; --full: every scenario there is, and the
    tests that take minutes, in shards of less than an hour each: code, panics, storage, network, faults,
    kernels, memory, checkers, readers, architectures, server. Results go to docs/support/results.json
cargo xtask support
    write docs/support.md from the scenarios and docs/support/results.json
cargo xtask book
    the pages of docs/ as a book, in target/book
cargo xtask crash [NAME…] [--all] [--list] [--arch aarch64] [--kernel 6.12|7|FILE] [--modules DIR]
        [--syscall file|load] [--vcpus N] [--mem SIZE] [--firmware bios|uefi] [--json FILE]
        [--keep] [--console] [--soak N [--faults [--seed N]]]
    real panics and a table of what came of them; --soak: so many in a row, --faults: each with a fault
cargo xtask build [--target ARCH] [--profile PROFILE]
    both programs, static; for another architecture than this machine's (aarch64 on x86_64) with a
    compiler that is fetched once; prints where they are
cargo xtask deb [--fleet] [--target ARCH] [--profile PROFILE]
    a Debian package of what ships, in target/debian; --fleet: that of afterpanic-fleet
cargo xtask rpm [--target ARCH] [--profile PROFILE]
    an RPM package of the same files, in target/rpm
cargo xtask tarball [--target ARCH] [--profile PROFILE]
    a tar file of the same files with an installer that undoes itself, in target/tarball
cargo xtask bench [--pairs N] [--core FILE] [--machines N] [--only-machines] [--network N] [--update]
    capture beside makedumpfile, on a core of 7 GiB made for it; a table, and whether the bars hold;
    then whole machines, from the panic to the reboot, beside makedumpfile in a busybox image;
    --network: instead N rounds of machines with a target on an NFS and on an SSH server, beside
    makedumpfile in an image of dracut, as kdump-utils makes it (as root);
    --update: write the tables of docs/measurements and the rows of README.md that it measures
Each installs the Debian packages it needs when it runs as root, else it says which.";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    match dispatch(&verb, &rest) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: &str, rest: &[String]) -> Result<bool> {
    match verb {
        "demo" | "bench" => {
            install::ensure(&[install::MACHINES])?;
            if rest.iter().any(|a| a.starts_with("--network")) {
                install::ensure(&[install::SERVER, install::TRUTH])?;
            }
            run::lab(verb, rest)
        }
        "crash" => {
            // Saying which there are needs nothing.
            if !rest.iter().any(|a| a == "--list" || a == "--help") {
                install::ensure(&[install::MACHINES, install::TRUTH])?;
            }
            if rest.iter().any(|a| a.contains("aarch64")) {
                install::ensure(&[install::ARM, install::CROSS])?;
            }
            run::lab(verb, rest)
        }
        "test" => match rest {
            [] => test::run(&Extent::Short),
            [full] if full == "--full" => test::run(&Extent::Full),
            [one] if one.starts_with("--full=") => {
                test::run(&Extent::Shard(one.replacen("--full=", "", 1)))
            }
            _ => bail!("cargo xtask test takes --full or --full=SHARD and nothing else"),
        },
        "build" => {
            install::ensure(&[install::CROSS])?;
            run::lab(verb, rest)
        }
        "support" => run::lab(verb, rest),
        "book" => Ok(test::book("run").status()?.success()),
        "deb" => deb::run(rest),
        "rpm" => rpm::run(rest),
        "tarball" => tarball::run(rest),
        "" | "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(true)
        }
        other => bail!("Nothing is called {other}; see cargo xtask --help"),
    }
}
