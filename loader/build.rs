//! Builds the purgatory (purgatory/main.rs) with the same compiler: a small static PIE for the bare
//! machine, whose bytes the loader embeds. It needs only the prebuilt `core` of the host's target.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    for file in ["main.rs", "sha256.rs", "link.ld"] {
        println!("cargo::rerun-if-changed=purgatory/{file}");
    }
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("cargo::error=purgatory: {why}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let variable =
        |name| env::var_os(name).ok_or_else(|| format!("{name} is not set; build with cargo"));
    let out = PathBuf::from(variable("OUT_DIR")?).join("purgatory.elf");
    let source = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("purgatory");
    if variable("CARGO_CFG_TARGET_ARCH")? != "x86_64" {
        return Err("only x86_64 is supported".to_owned());
    }
    let mut link = std::ffi::OsString::from("link-arg=-Wl,-T,");
    link.push(source.join("link.ld"));
    let status = Command::new(variable("RUSTC")?)
        .args([
            "--edition=2024",
            "--crate-type=bin",
            "--crate-name=purgatory",
        ])
        .arg("--target=x86_64-unknown-linux-gnu")
        .args([
            "-Copt-level=s",
            "-Cpanic=abort",
            "-Crelocation-model=pie",
            "-Clto=fat",
        ])
        .args([
            "-Cno-redzone=y",
            "-Cdebuginfo=0",
            "-Cforce-unwind-tables=n",
            "-Cdebug-assertions=n",
        ])
        .args([
            "-Coverflow-checks=n",
            "-Clink-arg=-nostartfiles",
            "-Clink-arg=-nostdlib",
        ])
        .args([
            "-Clink-arg=-static-pie",
            "-Clink-arg=-Wl,--build-id=none,-z,norelro",
        ])
        .arg("-C")
        .arg(link)
        .arg("-o")
        .arg(&out)
        .arg(source.join("main.rs"))
        .status()
        .map_err(|e| format!("cannot run the compiler: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the compiler ended with {status}"))
    }
}
