//! An SSH server on the host for a guest's target: OpenSSH's sshd of this machine, with keys of its own.

use anyhow::{Context, Result, bail, ensure};
use rehearse::server::only_machine;
use rehearse::server::sshd::Keys;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the guest has the account's key.
pub const KEY: &str = "/etc/afterpanic.key";

/// Where the guest has the host keys on record.
pub const KNOWN: &str = "/var/lib/afterpanic/known_hosts";

/// Files that a guest has: path there, file here. `host` is the server's name there; without `right` it has another
/// host key on record than the server's.
///
/// # Errors
/// A file fails.
pub fn files(keys: &Keys, right: bool, host: &str) -> Result<Vec<(String, PathBuf)>> {
    Ok(vec![
        (KEY.to_owned(), keys.user()),
        (KNOWN.to_owned(), keys.known_hosts(right, host)?),
    ])
}

/// The target of a guest's config: a directory on a server, IPv6 addresses in brackets.
#[must_use]
pub fn target(host: &str, port: u16, path: &str) -> String {
    format!("[[target]]\nssh = \"root@{host}:{port}\"\nkey = \"{KEY}\"\npath = \"{path}\"\n")
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    keys: Keys,
    store: PathBuf,
    at: SocketAddr,
}

impl Server {
    /// Starts a server that takes dumps in `store` and has its other files in `dir`.
    ///
    /// # Errors
    /// There is no sshd, or it does not start.
    pub fn start(dir: &Path, store: &Path, ipv6: bool) -> Result<Self> {
        let keys = Keys::make(dir)?;
        // Its own check at the start.
        fs::create_dir_all("/run/sshd")?;
        let address: IpAddr = match ipv6 {
            true => Ipv6Addr::LOCALHOST.into(),
            false => Ipv4Addr::LOCALHOST.into(),
        };
        // Free a moment ago; the server opens it next.
        let at = TcpListener::bind((address, 0))?.local_addr()?;
        let text = format!(
            "ListenAddress {at}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\n\
             StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n\
             PasswordAuthentication no\nSubsystem sftp internal-sftp\n",
            dir = dir.display()
        );
        fs::write(dir.join("sshd_config"), text)?;
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(File::create(dir.join("sshd.log"))?)
            .spawn()
            .context("Cannot start sshd; install it with: apt-get install openssh-server")?;
        let mut server = Self {
            child,
            keys,
            store: store.to_owned(),
            at,
        };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.keys.dir().join("sshd.log")).unwrap_or_default();
                bail!("sshd ended with {status}: {log}");
            }
            if TcpStream::connect_timeout(&self.at, Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("sshd did not open its port");
    }

    /// The target of the guest's config, in which this host is called `host`.
    #[must_use]
    pub fn target(&self, host: &str) -> String {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let store = self.store.display().to_string();
        target(&host, self.at.port(), &store)
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.at.port()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Files that the guest has, see [`files`]; it calls this host `host`.
    ///
    /// # Errors
    /// A file fails.
    pub fn files(&self, right: bool, host: &str) -> Result<Vec<(String, PathBuf)>> {
        files(&self.keys, right, &format!("[{host}]:{}", self.at.port()))
    }

    /// Where machines make their directories.
    #[must_use]
    pub fn machines(&self) -> PathBuf {
        self.store.clone()
    }

    /// The one machine's directory that a guest made on the server.
    ///
    /// # Errors
    /// The store holds no directory, or more than one.
    pub fn saved(&self) -> Result<PathBuf> {
        Ok(only_machine(&self.store)?)
    }

    /// Whether nobody logged in and nothing was written.
    ///
    /// # Errors
    /// Somebody did.
    pub fn untouched(&self) -> Result<()> {
        let log = fs::read_to_string(self.keys.dir().join("sshd.log"))?;
        ensure!(!log.contains("Accepted"), "somebody logged in: {log}");
        ensure!(
            fs::read_dir(&self.store)?.next().is_none(),
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
