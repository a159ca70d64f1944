//! The variables that say where the core goes.

use super::super::imported::{Fate, OWN_DIRECTORY, RECORD, absolute};
use super::super::place::Place;
use super::super::shell::Value;
use super::super::suite::Suite;
use crate::model::{Account, Config, Device, Export, Target};
use crate::scalar::Scalar;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Variables that hold a path of this machine, or a URL.
const PATHS: [&str; 5] = [
    "KDUMP_COREDIR",
    "KDUMP_VMCORE_PATH",
    "KDUMP_SAVEDIR",
    "MOUNT_FOLDER",
    "KDUMP_FOLDER",
];

/// Variables that name a server, and the way to it.
const SERVERS: [(&str, &str); 1] = [("FTP", "this version does not write to FTP servers")];

/// The private key of kdump-tools where `SSH_KEY` is not set, and of kdump on SUSE, which tries root's own.
const TOOLS_KEY: &str = "/root/.ssh/kdump_id_rsa";
const SUSE_KEY: &str = "/root/.ssh/id_ed25519";

/// Whether this module knows the variable.
pub(super) fn is_one(name: &str) -> bool {
    PATHS.contains(&name)
        || SERVERS.iter().any(|(server, _)| *server == name)
        || matches!(
            name,
            "MOUNT_DEVNODE" | "NFS" | "SSH" | "SSH_KEY" | "KDUMP_SSH_IDENTITY"
        )
}

/// Takes the target over.
pub(super) fn take(
    suite: Suite,
    name: &str,
    values: &BTreeMap<&str, &Value>,
    config: &mut Config,
    fate: &mut Fate,
) {
    let Some(value) = values.get(name) else {
        return;
    };
    let Some(text) = value.text() else {
        return dated(name, value, config, fate);
    };
    if text.trim().is_empty() {
        return fate.take("the default");
    }
    if let Some((_, why)) = SERVERS.iter().find(|(server, _)| *server == name) {
        return fate.block(*why);
    }
    match name {
        "NFS" => return export(&text, config, fate),
        "SSH" => {
            account(&text, TOOLS_KEY, config, fate);
            if let Some(directory) = values.get("KDUMP_COREDIR").and_then(|value| value.text()) {
                set(&directory, config, fate);
            }
            return;
        }
        "SSH_KEY" | "KDUMP_SSH_IDENTITY" => return key(&text, config, fate),
        _ => {}
    }
    if name == "MOUNT_DEVNODE" {
        return match Device::try_from(Scalar::Word(text)) {
            Ok(device) => {
                if let Some(first) = config.target.first_mut() {
                    Place::Device(device).put(first);
                }
                fate.take("device in [[target]]");
            }
            Err(why) => fate.block(why.to_string()),
        };
    }
    let path = match text.split_once("://") {
        None => text.as_str(),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => rest,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("nfs") => {
            // nfs://server/export
            return export(&rest.replacen('/', ":/", 1), config, fate);
        }
        Some((scheme, rest))
            if ["sftp", "ssh"]
                .iter()
                .any(|s| scheme.eq_ignore_ascii_case(s)) =>
        {
            return url(rest, config, fate);
        }
        Some((scheme, _)) => {
            return fate.block(format!(
                "this version does not write to {} targets",
                scheme.to_ascii_lowercase()
            ));
        }
    };
    if suite == Suite::Suse && !path.starts_with('/') {
        return fate.block(format!("\"{text}\" is neither an absolute path nor a URL"));
    }
    set(path, config, fate);
}

/// An export: both suites write to its top.
fn export(name: &str, config: &mut Config, fate: &mut Fate) {
    match Export::try_from(name.to_owned()) {
        Ok(export) => {
            if let Some(target) = server(config, fate) {
                Place::Nfs(export).put(target);
                target.path = PathBuf::from("/");
            }
            fate.take("nfs in [[target]]");
            fate.remark(OWN_DIRECTORY);
        }
        Err(why) => fate.block(why.to_string()),
    }
}

/// The target that a server becomes: the first, or a second one where the first has a server already.
fn server<'a>(config: &'a mut Config, fate: &mut Fate) -> Option<&'a mut Target> {
    let first = config.target.first()?;
    if first.server().is_some() {
        fate.remark(
            "kdump-tools writes to both servers; afterpanic writes to the first target, and to the next one \
             where that fails",
        );
        let second = Target {
            key: first.key.clone(),
            ..Target::default()
        };
        config.target.push(second);
    }
    config.target.last_mut()
}

/// What follows `sftp://`: `[user[:password]@]host[:port]/path`.
fn url(rest: &str, config: &mut Config, fate: &mut Fate) {
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, place) = place.rsplit_once('@').unwrap_or(("root", place));
    if user.contains(':') {
        return fate.block(
            "a password is of no use to the capture kernel: give the account a key, and take the password out of the URL",
        );
    }
    account(&format!("{user}@{place}"), SUSE_KEY, config, fate);
    set(&format!("/{path}"), config, fate);
}

fn account(name: &str, usual_key: &str, config: &mut Config, fate: &mut Fate) {
    match Account::try_from(name.to_owned()) {
        Ok(account) => {
            if let Some(target) = server(config, fate) {
                Place::Ssh(account).put(target);
                target.key.get_or_insert_with(|| PathBuf::from(usual_key));
            }
            fate.take("ssh and key in [[target]]");
            fate.remark(OWN_DIRECTORY);
            fate.remark(RECORD);
        }
        Err(why) => fate.block(why.to_string()),
    }
}

/// The private key. The variable may stand before the one that names the server, or alone.
fn key(text: &str, config: &mut Config, fate: &mut Fate) {
    let first = text.split_whitespace().next().unwrap_or_default();
    match absolute(first) {
        Ok(path) => {
            for target in &mut config.target {
                target.key = Some(path.clone());
            }
            fate.take("key in [[target]]");
        }
        Err(why) => fate.nothing(why),
    }
}

fn set(path: &str, config: &mut Config, fate: &mut Fate) {
    match absolute(path) {
        Ok(path) => {
            // The top of an export is where kdump-tools writes, whatever KDUMP_COREDIR is.
            for target in &mut config.target {
                if target.nfs.is_none() {
                    target.path.clone_from(&path);
                }
            }
            fate.take("path in [[target]]");
        }
        Err(why) => fate.block(why),
    }
}

/// A directory that the shell names by the date.
fn dated(name: &str, value: &Value, config: &mut Config, fate: &mut Fate) {
    match value.dated_directory() {
        Some(directory) => {
            set(&directory, config, fate);
            fate.remark(format!(
                "the date is left out: each crash directory in {directory} has the time in its name"
            ));
        }
        None => fate.block(format!(
            "only a shell can compute {name}; it says where the core goes"
        )),
    }
}
