//! An NFS server on the host for a guest's target: nfs-ganesha of Debian, unpacked, run by its own loader.
//!
//! The guest reaches it by QEMU's user network, in which the host is 10.0.2.2. It needs root here:
//! ganesha opens files by handle.

use crate::tools;
use anyhow::{Context, Result, bail, ensure};
use initramfs::files::{Taken, TakenKind};
use rehearse::guest::Step;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The name of the export.
const EXPORT: &str = "/dumps";

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl Server {
    /// Starts a server whose files go below `dir`. With `squash` it makes another user of root.
    ///
    /// # Errors
    /// It cannot be fetched or does not start.
    pub fn start(dir: &Path, squash: bool) -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "An NFS server on this machine needs root"
        );
        let (mut command, plugins) = tools::ganesha()?;
        let export = dir.join("export");
        fs::create_dir_all(&export)?;
        if squash {
            std::os::unix::fs::chown(&export, Some(65534), Some(65534))?;
        }
        // Free a moment ago; the server opens it next.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = dir.join("ganesha.conf");
        fs::write(&config, configuration(&plugins, dir, port, squash))?;
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
                let log = fs::read_to_string(self.dir.join("ganesha.log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                bail!("The NFS server ended with {status}: {}", tail.join(" | "));
            }
            if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("The NFS server did not open its port");
    }

    /// The target of the guest's config.
    #[must_use]
    pub fn target(&self, options: &str) -> String {
        let port = self.port;
        format!("[[target]]\nnfs = \"10.0.2.2:{EXPORT}\"\noptions = \"port={port},{options}\"\n")
    }

    /// The one machine's directory that a guest made on the export.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn saved(&self) -> Result<PathBuf> {
        let store = self.dir.join("export/var/crash");
        let found: Vec<PathBuf> = fs::read_dir(&store)
            .with_context(|| format!("Nothing was written to {}", store.display()))?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        match found.as_slice() {
            [one] => Ok(one.clone()),
            _ => bail!("{} machines have a directory on the export", found.len()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(plugins: &Path, dir: &Path, port: u16, squash: bool) -> String {
    let (plugins, dir) = (plugins.display(), dir.display());
    let squash = if squash {
        "Root_Squash"
    } else {
        "No_Root_Squash"
    };
    format!(
        "NFS_Core_Param {{
    Plugins_Dir = {plugins};
    Bind_addr = 127.0.0.1;
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
    Path = {dir}/export;
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

/// The guest's /etc/machine-id.
#[must_use]
pub fn machine_id() -> Taken {
    Taken {
        path: "/etc/machine-id".into(),
        kind: TakenKind::File(0o444, b"0123456789abcdef0123456789abcdef\n".to_vec()),
        why: "the laboratory".into(),
    }
}

/// QEMU's arguments for a card in the user network.
#[must_use]
pub fn card() -> Vec<String> {
    [
        "-netdev",
        "user,id=net0",
        "-device",
        "virtio-net-pci,netdev=net0,mac=52:54:00:12:34:56,romfile=",
    ]
    .map(String::from)
    .to_vec()
}

/// What the guest runs to be on the network.
#[must_use]
pub fn up() -> Vec<Step> {
    [
        "/sbin/ip link set eth0 up",
        "/sbin/ip address add 10.0.2.15/24 dev eth0",
        "/sbin/ip route add default via 10.0.2.2",
    ]
    .map(|line| Step {
        command: line.split(' ').map(str::to_owned).collect(),
        ok: vec![0],
    })
    .to_vec()
}
