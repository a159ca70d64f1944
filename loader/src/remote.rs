//! A target on a server, opened from the running system: with its network, its name service and its routes.
//!
//! The server's directory of this machine is the one that the capture kernel would write to. An account is
//! reached over SSH with the host keys on record. An export is used where it is mounted already; else it is
//! mounted for as long as the store is open, as the capture kernel mounts it.

use crate::root;
use crate::stores;
use config::{Account, Export, Target};
use initramfs::resolve::{self, ResolveError};
use initramfs::root::Root;
use initramfs::{host_keys, machine};
use nix::errno::Errno;
use nix::mount::{MntFlags, mount, umount2};
use plan::mount::{nfs_options, nfs_source, split};
use ssh::{Login, PrivateKey, Remote, Server, Sftp, SshError};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Store, directory};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a connection that broke is tried again.
const PERSIST: Duration = Duration::from_secs(120);

/// Where an export is mounted.
const POINT: &str = "/run/afterpanic/target";

/// Why a target on a server cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The target is on this machine.
    #[error("the target is not on a server")]
    Local,
    /// There is no usable /etc/machine-id.
    #[error("this machine has no id (/etc/machine-id), which names its directory on a server")]
    NoMachineId,
    /// Nobody has recorded a host key.
    #[error(
        "no host key of the server is on record; record it with: afterpanic load --record-host-keys"
    )]
    UnknownHost,
    /// The account's key.
    #[error("the key {} cannot be read", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server's name, or an option of the target.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The server, or the account's key.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// mount(2).
    #[error("cannot mount {from} with NFS {version}: {}", errno.desc())]
    Mount {
        /// The export.
        from: String,
        /// The version of the protocol.
        version: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// The directory on the server.
    #[error("the server's directory cannot be opened: {0}")]
    Directory(#[from] io::Error),
}

/// This machine's directory on a server.
pub struct Opened {
    /// It.
    pub store: Store,
    /// An export that was mounted for it. Dropped after the store.
    _mounted: Option<Mounted>,
}

/// Opens this machine's directory of a target on a server; it is made where it is missing.
///
/// # Errors
/// The server cannot be reached or refuses, or this machine lacks something for it.
pub fn open(root: &Path, target: &Target) -> Result<Opened, RemoteError> {
    let own = machine::store_name(&Root::new(root)).ok_or(RemoteError::NoMachineId)?;
    match (&target.ssh, &target.nfs) {
        (Some(account), _) => {
            let base = target.path.join(own);
            let sftp = connect(root, target, account, PERSIST)?;
            let remote = Remote::open(sftp, &base.to_string_lossy())?;
            Ok(Opened {
                store: Store::on(Box::new(remote), &base),
                _mounted: None,
            })
        }
        (None, Some(export)) => {
            let (point, mounted) = match stores::export(export, root) {
                Some(point) => (root::under(root, point), None),
                None => {
                    let mounted = Mounted::new(root, target, export)?;
                    (mounted.point.clone(), Some(mounted))
                }
            };
            let base = directory::ensure(&point, &target.path.join(own).to_string_lossy())?;
            Ok(Opened {
                store: Store::open(&base)?,
                _mounted: mounted,
            })
        }
        (None, None) => Err(RemoteError::Local),
    }
}

/// Logs in to an account. A connection that breaks is tried again for `persist`.
///
/// # Errors
/// Those of [`open`].
pub(crate) fn connect(
    root: &Path,
    target: &Target,
    account: &Account,
    persist: Duration,
) -> Result<Sftp, RemoteError> {
    let hosts = host_keys::known(&Root::new(root), account);
    if hosts.is_empty() {
        return Err(RemoteError::UnknownHost);
    }
    let path = target.private_key();
    let bytes = fs::read(root::under(root, path)).map_err(|source| RemoteError::Key {
        path: path.to_owned(),
        source,
    })?;
    let addresses = resolve::addresses(&account.server)?.into_iter();
    Ok(Sftp::connect(Server {
        addresses: addresses
            .map(|address| SocketAddr::new(address, account.port))
            .collect(),
        login: Login {
            user: account.user.clone(),
            key: PrivateKey::parse(&bytes)?,
            hosts,
        },
        patience: PATIENCE,
        persist,
    })?)
}

/// An export that is mounted until this is dropped.
struct Mounted {
    point: PathBuf,
}

impl Mounted {
    /// Tries each address of the server with each version of the protocol.
    fn new(root: &Path, target: &Target, export: &Export) -> Result<Self, RemoteError> {
        let point = root::under(root, POINT);
        fs::create_dir_all(&point)?;
        // Of a run that was killed.
        let _ = umount2(&point, MntFlags::MNT_DETACH);
        let (versions, options) = resolve::nfs_options(target)?;
        let directory = export.directory.to_string_lossy();
        let mut refused = None;
        for address in resolve::addresses(&export.server)? {
            for version in &versions {
                match mounted(address, version, &directory, &options, &point) {
                    Ok(()) => return Ok(Self { point }),
                    Err(errno) => {
                        refused = Some(RemoteError::Mount {
                            from: nfs_source(address, &directory),
                            version: version.clone(),
                            errno,
                        });
                        if !lacks_version(errno) {
                            break;
                        }
                    }
                }
            }
        }
        Err(refused.unwrap_or(RemoteError::Local))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if umount2(&self.point, MntFlags::empty()).is_err() {
            let _ = umount2(&self.point, MntFlags::MNT_DETACH);
        }
    }
}

fn mounted(
    server: IpAddr,
    version: &str,
    directory: &str,
    options: &[String],
    point: &Path,
) -> Result<(), Errno> {
    let own = resolve::own_address(server)
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    let (flags, data) = split(&nfs_options(version, server, own, options));
    let from = nfs_source(server, directory);
    mount(
        Some(from.as_str()),
        point,
        Some("nfs"),
        flags,
        Some(data.as_str()),
    )
}

/// Whether another version may help: the server or this kernel lacks this one.
fn lacks_version(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EPROTONOSUPPORT | Errno::EINVAL | Errno::ENODEV | Errno::EOPNOTSUPP
    )
}
