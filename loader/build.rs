//! Builds the purgatory (purgatory/main.rs) with the same compiler: a small static PIE for the bare
//! machine, whose bytes the loader embeds. It needs only the prebuilt `core` of the target.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    for file in ["main.rs", "x86_64.rs", "aarch64.rs", "sha256.rs", "link.ld"] {
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
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let own = match arch.to_str() {
        // The stack below its pointer is nobody's.
        Some("x86_64") => "-Cno-redzone=y",
        // With the MMU off an access that is not aligned is a fault.
        Some("aarch64") => "-Ctarget-feature=+strict-align",
        // Nothing is loaded there: the program reads cores, and refuses the rest (src/arch.rs).
        _ => return std::fs::write(&out, []).map_err(|e| e.to_string()),
    };
    let mut link = std::ffi::OsString::from("link-arg=-Wl,-T,");
    link.push(source.join("link.ld"));
    let mut compiler = Command::new(variable("RUSTC")?);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = std::ffi::OsString::from("-Clinker=");
        option.push(linker);
        compiler.arg(option);
    }
    let status = compiler
        .args([
            "--edition=2024",
            "--crate-type=bin",
            "--crate-name=purgatory",
        ])
        .arg("--target")
        .arg(variable("TARGET")?)
        .arg(own)
        .args([
            "-Copt-level=s",
            "-Cpanic=abort",
            "-Crelocation-model=pie",
            "-Clto=fat",
        ])
        .args([
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
            "-Clink-arg=-Wl,--build-id=none,-z,norelro,-z,max-page-size=4096",
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
