//! Host keys of SSH targets put on record, because the administrator asks for that.

use crate::root;
use crate::state::{self, StateError};
use config::{Account, Config};
use initramfs::host_keys::{PATH, known, line};
use initramfs::resolve;
use initramfs::root::Root;
use ssh::HostKey;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the server of one target.
#[derive(Debug)]
pub struct Recorded {
    /// The target as the config names it.
    pub account: String,
    /// The recorded fingerprint, or why no key was recorded.
    pub fingerprint: Result<String, String>,
}

/// Puts the host keys of all SSH targets on record that have none.
///
/// # Errors
/// The file cannot be written.
pub fn record(at: &Path, config: &Config) -> Result<Vec<Recorded>, StateError> {
    record_by(at, config, &ask)
}

fn record_by(
    at: &Path,
    config: &Config,
    ask: &dyn Fn(&Account) -> Result<HostKey, String>,
) -> Result<Vec<Recorded>, StateError> {
    let path = root::under(at, PATH);
    let mut out = Vec::new();
    for account in config.target.iter().filter_map(|one| one.ssh.as_ref()) {
        if !known(&Root::new(at), account).is_empty() {
            continue;
        }
        let found = ask(account);
        if let Ok(key) = &found {
            let text = fs::read_to_string(&path).unwrap_or_default();
            state::replace(&path, (text + &line(account, key)).as_bytes())?;
        }
        out.push(Recorded {
            account: account.to_string(),
            fingerprint: found.map(|key| key.fingerprint()),
        });
    }
    Ok(out)
}

/// The host key that a server shows now.
fn ask(account: &Account) -> Result<HostKey, String> {
    let addresses = resolve::addresses(&account.server).map_err(|why| why.to_string())?;
    let mut why = String::new();
    for address in addresses {
        match ssh::scan(SocketAddr::new(address, account.port), PATIENCE) {
            Ok(key) => return Ok(key),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMn4IYrXxMZ3zXvBBUbzF5B5zF4EbvKOcFqvUqKuqJcf";

    #[test]
    fn a_key_is_recorded_once_and_only_on_demand() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[[target]]\nssh = \"dumps@nas\"\nkey = \"/k\"\n\
                    [[target]]\nssh = \"dumps@[fd00::7]:2222\"\nkey = \"/k\"\n";
        let config = Config::parse(text).unwrap();
        let ask = |account: &Account| match account.server.as_str() {
            "nas" => Ok(KEY.parse().unwrap()),
            _ => Err("it is down".to_owned()),
        };
        let first = record_by(dir.path(), &config, &ask).unwrap();
        let print = first[0].fingerprint.as_ref().unwrap();
        assert!(print.starts_with("SHA256:"), "{print}");
        assert_eq!(first[1].fingerprint.as_ref().unwrap_err(), "it is down");
        let kept = fs::read_to_string(root::under(dir.path(), PATH)).unwrap();
        assert_eq!(kept, format!("nas {KEY}\n"));
        // Another key for the same server is not taken over.
        let again = record_by(dir.path(), &config, &|_| Err("asked again".into())).unwrap();
        assert_eq!(again.len(), 1);
        let both = record_by(dir.path(), &config, &|_| Ok(KEY.parse().unwrap())).unwrap();
        assert_eq!(both.len(), 1);
        let kept = fs::read_to_string(root::under(dir.path(), PATH)).unwrap();
        assert_eq!(kept, format!("nas {KEY}\n[fd00::7]:2222 {KEY}\n"));
    }
}
