//! OpenSSH's server for a guest: its programs from a tree, an account that may do nothing but SFTP, and keys made
//! for this run.

use super::{STORE, ServerError, io_error};
use crate::guest::{Folder, Step};
use initramfs::files::{self, Taken, TakenKind};
use initramfs::root::Root;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The server's program.
const SSHD: &str = "/usr/sbin/sshd";
/// What it starts for a connection, from OpenSSH 9.8 on.
const OWN: [&str; 2] = [
    "/usr/lib/openssh/sshd-session",
    "/usr/lib/openssh/sshd-auth",
];
/// The same on distributions of the other half.
const OTHER: [&str; 4] = [
    "/usr/libexec/openssh/sshd-session",
    "/usr/libexec/openssh/sshd-auth",
    "/usr/libexec/ssh/sshd-session",
    "/usr/libexec/ssh/sshd-auth",
];
const CONFIG: &str = "/etc/sshd_config";
/// SFTP cannot sync a directory: the last rename is safe with the next commit of the server's filesystem (ext4: 5 s).
pub const SETTLES: Duration = Duration::from_secs(6);

/// The keys of a server and of the account on it.
#[derive(Debug)]
pub struct Keys {
    dir: PathBuf,
}

impl Keys {
    /// Makes them in a directory: `host`, `other` (a host key that the server does not have) and `user`.
    ///
    /// # Errors
    /// There is no ssh-keygen, or it fails.
    pub fn make(dir: &Path) -> Result<Self, ServerError> {
        for key in ["host", "other", "user"] {
            let path = dir.join(key);
            let _ = fs::remove_file(&path);
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"])
                .arg(&path)
                .stdin(Stdio::null())
                .output();
            let said = match made {
                Ok(made) if made.status.success() => continue,
                Ok(made) => String::from_utf8_lossy(&made.stderr).trim().to_owned(),
                Err(error) => error.to_string(),
            };
            return Err(ServerError::Keys { said });
        }
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Their directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The account's private key.
    #[must_use]
    pub fn user(&self) -> PathBuf {
        self.dir.join("user")
    }

    /// Writes what a machine knows of the server, whose name there is `host` (`[host]:port` where the port is not 22).
    /// Without `right` it is a host key that the server does not have.
    ///
    /// # Errors
    /// A file fails.
    pub fn known_hosts(&self, right: bool, host: &str) -> Result<PathBuf, ServerError> {
        let public = self.read(if right { "host.pub" } else { "other.pub" })?;
        // Machines may know it by different names.
        let path = self.dir.join(format!("known_hosts {host}"));
        fs::write(&path, format!("{host} {public}")).map_err(io_error("write", &path))?;
        Ok(path)
    }

    fn read(&self, name: &str) -> Result<String, ServerError> {
        let path = self.dir.join(name);
        fs::read_to_string(&path).map_err(io_error("read", &path))
    }
}

/// Whether a tree has a server.
#[must_use]
pub fn is_in(root: &Path) -> bool {
    inside(root, SSHD).exists()
}

/// The server of a tree with its libraries, set up for the account `user`.
///
/// # Errors
/// A file is missing or cannot be read.
pub fn files(root: &Path, user: &str, keys: &Keys) -> Result<Vec<Taken>, ServerError> {
    let own = OWN.iter().chain(&OTHER);
    let own = own.filter(|path| inside(root, path).exists());
    let asked: Vec<_> = std::iter::once(&SSHD)
        .chain(own)
        .map(|path| (PathBuf::from(path), "the server".to_owned()))
        .collect();
    let mut taken = files::closure(&Root::new(root), &asked)?;
    // sshd asks for the user that it becomes before anybody has logged in, and whether the account has a shell.
    let account = match user {
        "root" => String::new(),
        user => format!("{user}:x:1000:1000::/:{SSHD}\n"),
    };
    taken.extend([
        file(
            "/etc/passwd",
            0o644,
            &format!("root:x:0:0:root:/:{SSHD}\nsshd:x:101:65534::/run/sshd:{SSHD}\n{account}"),
        ),
        file(
            "/etc/group",
            0o644,
            "root:x:0:\nusers:x:1000:\nnogroup:x:65534:\n",
        ),
        file("/etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\n"),
        file("/etc/ssh_host_key", 0o600, &keys.read("host")?),
        file("/etc/authorized_keys", 0o644, &keys.read("user.pub")?),
        // Where it changes its root to on other distributions.
        file("/usr/share/empty.sshd/.keep", 0o644, ""),
        file("/var/empty/.keep", 0o644, ""),
        file("/var/lib/empty/.keep", 0o644, ""),
        file(
            CONFIG,
            0o644,
            "HostKey /etc/ssh_host_key\nAuthorizedKeysFile /etc/authorized_keys\nStrictModes no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nPidFile none\n\
             Subsystem sftp internal-sftp\nForceCommand internal-sftp\n",
        ),
    ]);
    Ok(taken)
}

/// The folder that it changes its root to, where that is not on a disk.
#[must_use]
pub fn folder() -> Folder {
    Folder {
        path: "/run/sshd".into(),
        owner: 0,
    }
}

/// What starts it. Its log is kept in the store.
#[must_use]
pub fn start() -> Step {
    let log = format!("{STORE}/sshd.log");
    let command = [SSHD, "-f", CONFIG, "-E", &log].map(String::from).to_vec();
    Step {
        command,
        ok: vec![0],
    }
}

/// A path of the guest in a tree.
fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn file(path: &str, mode: u32, text: &str) -> Taken {
    Taken {
        path: path.into(),
        kind: TakenKind::File(mode, text.as_bytes().to_vec()),
        why: "the server".into(),
    }
}
