//! What the laboratory has done in its guests: the load on the machine, the panics, and what happens
//! to the machine between arming and the panic.
//!
//! `afterpanic` is PID 1 there and runs this program as a step of its script. A panic takes PID 1 over
//! ([`rehearse::guest::End::Become`]), because one of the ways is that PID 1 exits.

mod corrupt;
mod hook;
mod hotplug;
mod live;
mod panic;
mod pipes;
mod strangers;
mod work;

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use rehearse::guest::init::{disk, say};
use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[&str]) -> Result<()> {
    match words {
        // As the shell of the rescue console, which gets no arguments.
        [] => {
            println!("the rescue shell runs");
            Ok(())
        }
        ["work"] => work::begin(),
        ["role", role] => work::role(role),
        ["panic", how @ ..] => panic::panic(how),
        ["set", path, value] => {
            fs::write(path, value).with_context(|| format!("cannot write {value} to {path}"))
        }
        ["mount", fs, at] => mount(Some(*fs), *at, Some(*fs), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {fs} on {at}")),
        ["insmod", path] => load_module(Path::new(path)),
        ["wipe", serial] => wipe(serial),
        ["hide-kcore"] => hide_kcore(),
        ["strangers", count] => strangers::fill(count.parse().context("not a number")?),
        ["hotplug"] => hotplug::change(),
        ["live"] => live::compare(),
        ["hook", way] => hook::run(way),
        ["corrupt", segment] => corrupt::load(segment),
        other => bail!("nothing is called {other:?}"),
    }
}

/// Loads a module of the laboratory: not packed, without parameters.
fn load_module(path: &Path) -> Result<()> {
    let what = || format!("cannot load the module {}", path.display());
    let bytes = fs::read(path).with_context(what)?;
    nix::kmod::init_module(&bytes, &CString::default()).with_context(what)
}

/// Overwrites what identifies a filesystem, as if the disk had been taken away.
fn wipe(serial: &str) -> Result<()> {
    let device = disk(serial)?;
    let what = || format!("cannot wipe {}", device.display());
    let mut file = OpenOptions::new()
        .write(true)
        .open(&device)
        .with_context(what)?;
    file.write_all(&vec![0u8; 1 << 20]).with_context(what)?;
    file.sync_all().with_context(what)?;
    say(format_args!("wiped {}", device.display()));
    Ok(())
}

/// As in a kernel without CONFIG_PROC_KCORE, as far as a program can tell.
fn hide_kcore() -> Result<()> {
    let none = None::<&str>;
    let (from, at) = ("/dev/null", "/proc/kcore");
    mount(Some(from), at, none, MsFlags::MS_BIND, none).context("cannot hide /proc/kcore")
}
