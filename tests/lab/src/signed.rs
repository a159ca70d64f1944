//! A kernel whose signature the guest's firmware knows, and the same one damaged.
//!
//! Debian's ovmf brings a key pair that is meant to be known to everybody, and a variable store in
//! whose db its certificate stands; Linux takes the db into its .platform keyring, which is where
//! kexec_file_load looks (security/integrity/platform_certs/load_uefi.c, 5.10 to 7.x). The store is
//! the scenario's business: `-drive if=pflash,unit=1,…,file=OVMF_VARS_4M.snakeoil.fd`.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const KEY: &str = "/usr/share/ovmf/PkKek-1-snakeoil.key";
const CERTIFICATE: &str = "/usr/share/ovmf/PkKek-1-snakeoil.pem";
/// The key's passphrase, from the package's README.
const PASSPHRASE: &str = "pass:snakeoil";

/// What is done with the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signed {
    /// Debian's signature is replaced by the well-known key's.
    Anew,
    /// So it is, and then one bit in the middle, where only code is, is turned over.
    ThenFlipped,
}

impl Signed {
    /// Makes it in `dir`.
    ///
    /// # Errors
    /// A tool is missing or fails.
    pub fn make(self, kernel: &Path, dir: &Path) -> Result<PathBuf> {
        let path = dir.join("vmlinuz-signed");
        let key = dir.join("snakeoil.key");
        // sbsign adds a second signature, and the kernel looks at the first.
        fs::copy(kernel, &path).with_context(|| format!("Cannot copy {}", kernel.display()))?;
        run(Command::new("sbattach").arg("--remove").arg(&path))?;
        run(Command::new("openssl")
            .args(["rsa", "-passin", PASSPHRASE, "-in", KEY, "-out"])
            .arg(&key))?;
        run(Command::new("sbsign")
            .arg("--key")
            .arg(&key)
            .args(["--cert", CERTIFICATE, "--output"])
            .args([&path, &path]))?;
        if self == Self::ThenFlipped {
            let mut bytes = fs::read(&path)?;
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            fs::write(&path, bytes)?;
        }
        Ok(path)
    }
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("Cannot run {name}; install sbsigntool, openssl and ovmf"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}): {}", output.status, said.trim());
    }
    Ok(())
}
