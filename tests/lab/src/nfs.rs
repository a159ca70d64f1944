//! An NFS server on the host for a guest's target: nfs-ganesha of Debian, unpacked, run by its own loader.
//!
//! It needs root here: ganesha opens files by handle.

use crate::tools;
use anyhow::{Context, Result, bail, ensure};
use rehearse::server::only_machine;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The name of the export.
pub(crate) const EXPORT: &str = "/dumps";

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    dir: PathBuf,
    export: PathBuf,
    at: SocketAddr,
}

impl Server {
    /// Starts a server that exports `export` and has its other files in `dir`. With `squash` it makes another
    /// user of root.
    ///
    /// # Errors
    /// It cannot be fetched or does not start.
    pub fn start(dir: &Path, export: &Path, ipv6: bool, squash: bool) -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "An NFS server on this machine needs root"
        );
        let (mut command, plugins) = tools::ganesha()?;
        if squash {
            std::os::unix::fs::chown(export, Some(65534), Some(65534))?;
        }
        let address: IpAddr = match ipv6 {
            true => Ipv6Addr::LOCALHOST.into(),
            false => Ipv4Addr::LOCALHOST.into(),
        };
        // Free a moment ago; the server opens it next.
        let at = TcpListener::bind((address, 0))?.local_addr()?;
        let config = dir.join("ganesha.conf");
        fs::write(&config, configuration(&plugins, dir, export, at, squash))?;
        let log = dir.join("ganesha.log");
        let child = command
            .arg("-F")
            .args(["-N", "NIV_EVENT"])
            .arg("-f")
            .arg(&config)
            .arg("-L")
            .arg(&log)
            .arg("-p")
            .arg(dir.join("ganesha.pid"))
            .stdin(Stdio::null())
            .stdout(File::create(dir.join("ganesha.out"))?)
            .stderr(File::create(dir.join("ganesha.err"))?)
            .spawn()
            .context("Cannot start the NFS server")?;
        let mut server = Self {
            child,
            dir: dir.to_owned(),
            export: export.to_owned(),
            at,
        };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.dir.join("ganesha.log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                bail!("The NFS server ended with {status}: {}", tail.join(" | "));
            }
            if TcpStream::connect_timeout(&self.at, Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("The NFS server did not open its port");
    }

    /// The target of the guest's config, in which this host is called `host`.
    #[must_use]
    pub fn target(&self, host: &str, options: &str) -> String {
        let port = self.at.port();
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        format!("[[target]]\nnfs = \"{host}:{EXPORT}\"\noptions = \"port={port},{options}\"\n")
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

    /// Where machines make their directories.
    #[must_use]
    pub fn machines(&self) -> PathBuf {
        self.export.join("var/crash")
    }

    /// The one machine's directory that a guest made on the export.
    ///
    /// # Errors
    /// The store holds no directory, or more than one.
    pub fn saved(&self) -> Result<PathBuf> {
        Ok(only_machine(&self.machines())?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(
    plugins: &Path,
    dir: &Path,
    export: &Path,
    at: SocketAddr,
    squash: bool,
) -> String {
    let (plugins, dir, export) = (plugins.display(), dir.display(), export.display());
    let (address, port) = (at.ip(), at.port());
    let squash = if squash {
        "Root_Squash"
    } else {
        "No_Root_Squash"
    };
    format!(
        "NFS_Core_Param {{
    Plugins_Dir = {plugins};
    Bind_addr = {address};
    NFS_Port = {port};
    Protocols = 4;
    Enable_NLM = false;
    Enable_RQUOTA = false;
    Enable_UDP = false;
    allow_set_io_flusher_fail = true;
}}
DIRECTORY_SERVICES {{
    idmapping_active = false;
}}
NFS_KRB5 {{
    Active_krb5 = false;
}}
NFSv4 {{
    UseGetpwnam = true;
    Only_Numeric_Owners = true;
    Graceless = true;
    RecoveryBackend = fs;
    RecoveryRoot = {dir};
    Minor_Versions = 0, 1, 2;
}}
EXPORT {{
    Export_Id = 1;
    Path = {export};
    Pseudo = {EXPORT};
    Access_Type = RW;
    Squash = {squash};
    Anonymous_uid = 65534;
    Anonymous_gid = 65534;
    SecType = sys;
    Protocols = 4;
    Transports = TCP;
    FSAL {{ Name = VFS; }}
}}
"
    )
}
