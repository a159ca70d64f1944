//! The host keys of SSH targets' servers, on record in a file of its own: OpenSSH's format without hashed
//! names. `load` records them when it is asked to, and never by itself.

use crate::root::Root;
use config::Account;
use ssh::HostKey;

/// The file.
pub const PATH: &str = "/var/lib/afterpanic/known_hosts";

/// Keys of one server that count.
const MOST: usize = 8;

/// The host keys on record for an account's server.
#[must_use]
pub fn known(root: &Root, account: &Account) -> Vec<HostKey> {
    let text = root.text(PATH).unwrap_or_default();
    let name = account.known_as();
    let of = |line: &str| {
        let (names, key) = line.trim().split_once(char::is_whitespace)?;
        let ours = names.split(',').any(|one| one == name);
        ours.then(|| key.parse().ok())?
    };
    text.lines().filter_map(of).take(MOST).collect()
}

/// The line that records a key.
#[must_use]
pub fn line(account: &Account, key: &HostKey) -> String {
    format!("{} {key}\n", account.known_as())
}
