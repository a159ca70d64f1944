//! Rehearses a target on a server. A second VM takes the server's place, with keys that are made for this run.

use crate::output::Context;
use anyhow::Context as _;
use config::{Account, Config, Copy, Export, Target};
use initramfs::files::{self, Taken, TakenKind};
use initramfs::modules::Index;
use initramfs::root::Root;
use initramfs::{binary, host_keys};
use rehearse::guest::image::KernelFiles;
use rehearse::guest::{Folder, Step};
use rehearse::server::sshd::{self, Keys};
use rehearse::server::{self, Order, STORE, Server};
use rehearse::session::Session;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The server's address, and the machine's, with nothing else in their network.
const SERVER: &str = "10.7.0.2";
const MACHINE: &str = "10.7.0.15";
const CARD: &str = "virtio_net";
/// The machine's id in a rehearsal.
const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef\n";
/// Where ip(8) may be.
const IP: [&str; 2] = ["/usr/sbin/ip", "/sbin/ip"];
/// User ids of root, and of any other account.
const ROOT: &str = "root";
const USER: u32 = 1000;

/// The server of the rehearsal, in place of a target's own.
#[derive(Debug)]
pub(super) struct Remote {
    /// The target, as the config names it.
    pub name: String,
    target: Target,
    ip: PathBuf,
    root: PathBuf,
}

/// The first target that takes the dump, if it is on a server.
pub(super) fn first(config: &Config) -> Option<&Target> {
    let mut taking = config.target.iter();
    let first = taking.find(|target| target.copy == Copy::Dump && !target.at_boot)?;
    first.server().map(|_| first)
}

impl Remote {
    /// The server for a target, or in words why it cannot be rehearsed.
    ///
    /// # Errors
    /// The modules cannot be read.
    pub(super) fn of(
        target: &Target,
        context: &Context,
        kernel: &KernelFiles,
    ) -> anyhow::Result<Result<Self, String>> {
        let (name, _) = target.server().context("The target is on no server")?;
        let index = Index::open_dir(&kernel.modules, &kernel.release)?;
        let missing = |module: &str| index.module(module).is_none() && !index.is_builtin(module);
        let root = context.path("/");
        let Some(ip) = IP.into_iter().find(|path| context.path(path).exists()) else {
            return Ok(Err("install iproute2 for that".to_owned()));
        };
        if missing(CARD) {
            return Ok(Err(format!("this kernel has no {CARD}")));
        }
        if target.nfs.is_some() {
            if missing("nfsd") {
                return Ok(Err(
                    "this kernel has no nfsd, so the rehearsal has no NFS server".to_owned(),
                ));
            }
            let options = target.options.as_deref().unwrap_or_default();
            if options.contains("vers=3") {
                return Ok(Err("the rehearsal's server has no NFS 3".to_owned()));
            }
        } else if !sshd::is_in(&root) {
            return Ok(Err("install openssh-server for that".to_owned()));
        }
        Ok(Ok(Self {
            name,
            target: target.clone(),
            ip: ip.into(),
            root,
        }))
    }

    /// The target as the guest's config has it.
    pub(super) fn target(&self) -> Target {
        let mut target = self.target.clone();
        // Nobody gives addresses there.
        target.dhcp = false;
        if let Some(account) = &mut target.ssh {
            *account = Account {
                user: account.user.clone(),
                server: SERVER.to_owned(),
                port: Account::PORT,
            };
            target.path = self.directory();
        }
        if let Some(export) = &mut target.nfs {
            *export = Export {
                server: SERVER.to_owned(),
                directory: export.directory.clone(),
            };
            target.options = target.options.as_deref().and_then(options);
        }
        target
    }

    /// The directory of all machines on the server: its disk is below [`STORE`]. An NFS client sees that as `/`.
    fn directory(&self) -> PathBuf {
        Path::new(STORE).join(self.inside())
    }

    /// The same on the disk.
    fn inside(&self) -> PathBuf {
        let path = self
            .target
            .path
            .strip_prefix("/")
            .unwrap_or(&self.target.path);
        match &self.target.nfs {
            Some(export) => {
                let export = export.directory.strip_prefix("/");
                export.unwrap_or(Path::new("")).join(path)
            }
            None => path.to_owned(),
        }
    }

    /// What a machine needs to reach it, beside its card.
    pub(super) fn prepare(&self, session: &mut Session) -> anyhow::Result<()> {
        session.storage.modules.push(CARD.to_owned());
        let ip = [(self.ip.clone(), "the rehearsal".to_owned())];
        session
            .storage
            .tools
            .extend(files::closure(&Root::new(&self.root), &ip)?);
        session.storage.tools.push(Taken {
            path: "/etc/machine-id".into(),
            kind: TakenKind::File(0o444, MACHINE_ID.as_bytes().to_vec()),
            why: "the rehearsal".into(),
        });
        if self.target.ssh.is_some() {
            let capture = binary::with_ssh(&session.binaries.capture)?;
            let there = format!("/usr/lib/afterpanic/{}", binary::WITH_SSH);
            session.files.push((there, capture));
            session.present.push("fuse".to_owned());
        } else {
            session.present.push("nfsv4".to_owned());
        }
        session.arm.splice(0..0, self.up("eth0", MACHINE));
        Ok(())
    }

    fn up(&self, card: &str, address: &str) -> [Step; 2] {
        let ip = self.ip.display();
        [
            format!("{ip} link set {card} up"),
            format!("{ip} address add {address}/24 dev {card}"),
        ]
        .map(|line| Step {
            command: line.split(' ').map(str::to_owned).collect(),
            ok: vec![0],
        })
    }

    /// Starts the server, and has the machine at the other end of its cable.
    pub(super) fn serve(&self, session: &mut Session, dir: &Path) -> anyhow::Result<Server> {
        let ip = [(self.ip.clone(), "the server".to_owned())];
        let mut order = Order {
            kernel: &session.kernel,
            binaries: &session.binaries,
            accel: session.accel,
            load: Vec::new(),
            tools: files::closure(&Root::new(&self.root), &ip)?,
            files: Vec::new(),
            folders: Vec::new(),
            run: self.up("eth0", SERVER).to_vec(),
            exported_to: Vec::new(),
            cables: 1,
            settles: Duration::ZERO,
            deadline: session.deadline.saturating_add(Duration::from_secs(300)),
        };
        let mut owner = 0;
        let mut account = Vec::new();
        if let Some(ssh) = &self.target.ssh {
            let keys = Keys::make(dir)?;
            order
                .tools
                .extend(sshd::files(&self.root, &ssh.user, &keys)?);
            order.folders.push(sshd::folder());
            order.run.push(sshd::start());
            order.settles = sshd::SETTLES;
            if ssh.user != ROOT {
                owner = USER;
            }
            let key = self.target.private_key().to_string_lossy().into_owned();
            account.push((key, keys.user()));
            account.push((host_keys::PATH.to_owned(), keys.known_hosts(true, SERVER)?));
        } else {
            order.exported_to.push(MACHINE.to_owned());
        }
        order.folders.push(Folder {
            path: self.directory(),
            owner,
        });
        let server = Server::start(dir, &order)?;
        session.qemu = server.cable(0).machine("virtio-net-pci").to_vec();
        session
            .files
            .retain(|(path, _)| account.iter().all(|(new, _)| new != path));
        session.files.extend(account);
        Ok(server)
    }

    /// Takes the power from the server and fetches what is on its disk into `dir`: the machine's directory.
    pub(super) fn fetch(&self, server: &mut Server, dir: &Path) -> anyhow::Result<PathBuf> {
        let _ = std::fs::remove_dir_all(dir);
        server.store(dir)?;
        let _ = std::fs::remove_file(server.disk());
        Ok(server::only_machine(&dir.join(self.inside()))?)
    }
}

/// The options of an export that hold for another server, too.
fn options(options: &str) -> Option<String> {
    let own = ["port=", "mountport=", "mountaddr=", "sec="];
    let words = options.split(',').map(str::trim);
    let kept: Vec<&str> = words
        .filter(|word| !word.is_empty() && own.iter().all(|own| !word.starts_with(own)))
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(text: &str) -> Remote {
        let config = Config::parse(text).unwrap();
        Remote {
            name: "x".into(),
            target: first(&config).unwrap().clone(),
            ip: IP[0].into(),
            root: "/".into(),
        }
    }

    #[test]
    fn only_a_first_target_that_takes_the_dump_counts() {
        let local = "[[target]]\npath = \"/var/crash\"\n";
        let nfs = "[[target]]\nnfs = \"nas:/srv/dumps\"\n";
        let report = "copy = \"report\"\n";
        let is_there = |text: &str| first(&Config::parse(text).unwrap()).is_some();
        assert!(is_there(&format!("{nfs}{local}")));
        assert!(!is_there(&format!("{local}{nfs}")));
        assert!(!is_there(&format!("{nfs}{report}{local}")));
        assert!(!is_there(&format!("{nfs}at_boot = true\n{local}")));
    }

    #[test]
    fn the_server_stands_in_for_export_and_account() {
        let nfs = remote(
            "[[target]]\nnfs = \"nas:/srv/dumps\"\npath = \"/a\"\noptions = \"vers=4.1,port=7,noatime\"\n",
        );
        let target = nfs.target();
        assert_eq!(target.nfs.unwrap().to_string(), "10.7.0.2:/srv/dumps");
        assert_eq!(target.options.as_deref(), Some("vers=4.1,noatime"));
        assert_eq!(nfs.directory(), Path::new("/srv/srv/dumps/a"));
        let ssh = remote("[[target]]\nssh = \"me@backup:2222\"\npath = \"/dumps\"\n");
        let target = ssh.target();
        assert_eq!(target.ssh.unwrap().to_string(), "me@10.7.0.2");
        assert_eq!(
            (target.path, ssh.inside()),
            ("/srv/dumps".into(), "dumps".into())
        );
    }
}
