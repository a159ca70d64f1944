//! A target on an account of a server: its host key, our key, our directory, the ways there, the modules.

use super::error::ResolveError;
use super::network::{self, Network};
use super::resolved::{Resolved, Secret};
use super::sysfs::Machine;
use crate::closure::Wanted;
use crate::{host_keys, machine, read};
use ::ssh::key::MAX_KEY;
use ::ssh::{HostKey, PrivateKey};
use config::Account;
use plan::{Ssh, TargetKind};

/// Seconds that a network card may take until it has a link.
const LINK_WAIT: u64 = 60;

/// Resolves a target of the config that names an account.
///
/// # Errors
/// No host key of the server is on record, the private key cannot be used, the server cannot be reached,
/// or this machine has no id for its directory.
pub(super) fn resolve(
    machine: &Machine,
    network: &dyn Network,
    target: &config::Target,
    account: &Account,
    out: &mut Resolved,
) -> Result<plan::Target, ResolveError> {
    let own = machine::store_name(machine.root).ok_or(ResolveError::NoMachineId)?;
    let ways = ways(machine, network, target, account, &mut out.wanted)?;
    let keys = known(machine, account)?;
    let secret = private_key(machine, account, target)?;
    let what = account.to_string();
    // The server's directory is mounted by FUSE.
    out.wanted.push(Wanted::required(
        "fuse",
        format!("{what}: it is an account"),
    ));
    let key = format!("/{}{}", read::KEYS, out.secrets.len());
    out.secrets.push(Secret {
        path: key.clone(),
        bytes: secret,
        why: format!("the key of {what}"),
    });
    Ok(plan::Target {
        kind: TargetKind::Ssh(Ssh {
            server: account.server.clone(),
            port: account.port,
            user: account.user.clone(),
            path: target.path.join(own).to_string_lossy().into_owned(),
            key,
            host_keys: keys.iter().map(ToString::to_string).collect(),
            ways,
        }),
        deadline_s: target.deadline.seconds(),
        device_wait_s: LINK_WAIT,
        takes: target.copy.takes(),
        keep: target.keep,
    })
}

/// The ways to the server, if everything else that a login needs is there.
///
/// # Errors
/// Those of [`resolve`].
pub(super) fn ways(
    machine: &Machine,
    network: &dyn Network,
    target: &config::Target,
    account: &Account,
    wanted: &mut Vec<Wanted>,
) -> Result<Vec<plan::Way>, ResolveError> {
    known(machine, account)?;
    private_key(machine, account, target)?;
    let what = account.to_string();
    network::ways(machine, network, target, &what, wanted)
}

/// The host keys of the server that are on record.
fn known(machine: &Machine, account: &Account) -> Result<Vec<HostKey>, ResolveError> {
    let keys = host_keys::known(machine.root, account);
    match keys.is_empty() {
        true => Err(ResolveError::UnknownHost {
            account: account.to_string(),
        }),
        false => Ok(keys),
    }
}

/// The file of the account's key, read and proven to be one.
fn private_key(
    machine: &Machine,
    account: &Account,
    target: &config::Target,
) -> Result<Vec<u8>, ResolveError> {
    let path = target.private_key();
    let wrong = |why: String| ResolveError::Key {
        account: account.to_string(),
        path: path.to_owned(),
        why,
    };
    let bytes = machine.root.bytes(path);
    let bytes = bytes.map_err(|error| wrong(error.to_string()))?;
    if bytes.len() > MAX_KEY {
        return Err(wrong("it is too large for a key".to_owned()));
    }
    match PrivateKey::parse(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(wrong(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, RUNNING};
    use super::*;
    use crate::resolve;
    use config::Config;
    use std::process::Command;

    const TEXT: &str = "[[target]]\nssh = \"dumps@192.0.2.7\"\nkey = \"/etc/key\"\n[[target]]\npath = \"/var/crash\"\n";

    fn refused(fixture: &Fixture) -> String {
        let config = Config::parse(TEXT).unwrap();
        let account = config.target[0].ssh.clone().unwrap();
        let root = fixture.root();
        let index = fixture.index(RUNNING);
        let machine = Machine {
            root: &root,
            index: &index,
            same_kernel: true,
        };
        let found = known(&machine, &account).map(|_| ());
        found
            .and_then(|()| private_key(&machine, &account, &config.target[0]).map(|_| ()))
            .map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_host_key_and_a_key_must_be_there() {
        let fixture = Fixture::new();
        let said = refused(&fixture);
        assert!(
            said.contains("afterpanic load --record-host-keys"),
            "{said}"
        );
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        let make = |passphrase: &str| {
            let _ = std::fs::remove_file(&key);
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
                .arg(&key)
                .status();
            assert!(made.unwrap().success());
            std::fs::read_to_string(&key).unwrap()
        };
        let private = make("");
        let public = std::fs::read_to_string(dir.path().join("key.pub")).unwrap();
        fixture.file(
            "/var/lib/afterpanic/known_hosts",
            format!("[192.0.2.7]:2222 {public}192.0.2.8 {public}"),
        );
        assert!(
            refused(&fixture).contains("No host key"),
            "another server's"
        );
        fixture.file(
            "/var/lib/afterpanic/known_hosts",
            format!("# from load\nnas,192.0.2.7 {public}"),
        );
        assert!(refused(&fixture).contains("/etc/key"));
        fixture.file("/etc/key", make("secret"));
        assert!(refused(&fixture).contains("passphrase"));
        fixture.file("/etc/key", private);
        assert_eq!(refused(&fixture), "");
    }

    #[test]
    fn a_target_without_a_host_key_on_record_costs_no_other() {
        let fixture = Fixture::new();
        fixture.virtio(&super::super::fixture::ext4());
        fixture.mounts(&[("254:1", "/", "/", "ext4", "/dev/vda1")]);
        fixture.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        let config = Config::parse(TEXT).unwrap();
        let resolved = resolve::resolve(&fixture.root(), &config, &fixture.index(RUNNING));
        let resolved = resolved.unwrap();
        assert_eq!(resolved.of, [1]);
        assert_eq!(resolved.left_out[0].name, "dumps@192.0.2.7");
        assert!(resolved.secrets.is_empty());
    }
}
