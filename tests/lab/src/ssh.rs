//! An SSH server on the host for a guest's target: OpenSSH's sshd of this machine, with keys of its own.
//!
//! The guest reaches it by QEMU's user network, in which the host is 10.0.2.2.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the guest has the account's key.
pub const KEY: &str = "/etc/afterpanic.key";

/// Where the guest has the host keys on record.
pub const KNOWN: &str = "/var/lib/afterpanic/known_hosts";

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl Server {
    /// Starts a server whose files go below `dir`. Without `right` the guest has another host key on record
    /// than the server's.
    ///
    /// # Errors
    /// There is no sshd, or it does not start.
    pub fn start(dir: &Path, right: bool) -> Result<Self> {
        for key in ["host", "other", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"])
                .arg(dir.join(key))
                .status()
                .context(
                    "Cannot run ssh-keygen; install it with: apt-get install openssh-client",
                )?;
            ensure!(made.success(), "ssh-keygen: {made}");
        }
        // Its own check at the start.
        fs::create_dir_all("/run/sshd")?;
        fs::create_dir_all(dir.join("dumps"))?;
        // Free a moment ago; the server opens it next.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let text = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\n\
             StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n\
             PasswordAuthentication no\nSubsystem sftp internal-sftp\n",
            dir = dir.display()
        );
        fs::write(dir.join("sshd_config"), text)?;
        let shown = if right { "host.pub" } else { "other.pub" };
        let public = fs::read_to_string(dir.join(shown))?;
        fs::write(
            dir.join("known_hosts"),
            format!("[10.0.2.2]:{port} {public}"),
        )?;
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(File::create(dir.join("sshd.log"))?)
            .spawn()
            .context("Cannot start sshd; install it with: apt-get install openssh-server")?;
        let mut server = Self {
            child,
            dir: dir.to_owned(),
            port,
        };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(60);
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.dir.join("sshd.log")).unwrap_or_default();
                bail!("sshd ended with {status}: {log}");
            }
            if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("sshd did not open its port");
    }

    /// The target of the guest's config.
    #[must_use]
    pub fn target(&self) -> String {
        let dumps = self.dir.join("dumps");
        format!(
            "[[target]]\nssh = \"root@10.0.2.2:{}\"\nkey = \"{KEY}\"\npath = \"{}\"\n",
            self.port,
            dumps.display()
        )
    }

    /// Files that the guest has: path there, file here.
    #[must_use]
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        vec![
            (KEY.to_owned(), self.dir.join("user")),
            (KNOWN.to_owned(), self.dir.join("known_hosts")),
        ]
    }

    /// The one machine's directory that a guest made on the server.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn saved(&self) -> Result<PathBuf> {
        let store = self.dir.join("dumps");
        let found: Vec<PathBuf> = fs::read_dir(&store)?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        match found.as_slice() {
            [one] => Ok(one.clone()),
            _ => bail!("{} machines have a directory on the server", found.len()),
        }
    }

    /// Whether nobody logged in and nothing was written.
    ///
    /// # Errors
    /// Somebody did.
    pub fn untouched(&self) -> Result<()> {
        let log = fs::read_to_string(self.dir.join("sshd.log"))?;
        ensure!(!log.contains("Accepted"), "somebody logged in: {log}");
        ensure!(
            fs::read_dir(self.dir.join("dumps"))?.next().is_none(),
            "something was written to the server"
        );
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
