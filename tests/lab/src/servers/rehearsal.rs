//! `afterpanic rehearse` of a config whose first target is on a server that is not there: a second guest stands in
//! for it.

use super::Check;
use crate::network::Kind;
use crate::runner::Lab;
use crate::{artefacts, kernels};
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

const KERNEL: &str = "6.12";

pub(super) fn run(lab: &Lab, server: Kind, dir: &Path) -> Result<(String, Vec<Check>)> {
    let (target, name) = match server {
        Kind::Nfs => (
            "nfs = \"nas.example.org:/srv/dumps\"",
            "nas.example.org:/srv/dumps itself",
        ),
        Kind::Ssh => {
            // It is found beside the program that rehearses.
            artefacts::with_ssh(std::env::consts::ARCH, &lab.options.profile)?;
            let account = "dumps@backup.example.org:2222";
            (
                "ssh = \"dumps@backup.example.org:2222\"\npath = \"/srv/dumps\"",
                account,
            )
        }
    };
    let kernel = kernels::get(KERNEL, None, &mut |line| eprintln!("lab: {line}"))?;
    let config = dir.join("afterpanic.toml");
    let local = "[[target]]\npath = \"/var/crash\"\n";
    fs::write(&config, format!("[[target]]\n{target}\n\n{local}"))?;
    let output = Command::new(&lab.binaries.afterpanic)
        .arg("--config")
        .arg(&config)
        .arg("rehearse")
        .arg("--kernel")
        .arg(&kernel.image)
        .arg("--modules")
        .arg(&kernel.modules)
        .arg("--keep")
        .arg(dir)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let has = |what: &str| -> Result<()> {
        ensure!(text.contains(what), "it says {text} {error}");
        Ok(())
    };
    let on_server = || -> Result<()> {
        let console = fs::read_to_string(dir.join("console.txt"))?;
        let mounted = match server {
            Kind::Nfs => "with NFS 4.2",
            Kind::Ssh => "mounted by SFTP",
        };
        ensure!(
            console.contains(mounted),
            "the console does not say {mounted}"
        );
        Ok(())
    };
    let checks = vec![
        ("it is proved".to_owned(), has("PROVED for this kernel")),
        (
            "the core is complete".to_owned(),
            has("core: standard, complete"),
        ),
        ("the server's absence is said".to_owned(), has(name)),
        ("the core went to the server".to_owned(), on_server()),
    ];
    Ok((kernel.release, checks))
}
