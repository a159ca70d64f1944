//! A scenario's server and the guest's way there. The server is on the host, by QEMU's user network, in which
//! the host is 10.0.2.2 and fec0::2; or it is a second guest, see [`crate::nas`].

pub(crate) mod host;

use crate::runner::Lab;
use crate::table::Check;
use crate::{artefacts, guest, nas, ssh, tools};
use anyhow::{Context, Result, ensure};
use host::Host;
use initramfs::files::{Taken, TakenKind};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rehearse::server::only_machine;
use rehearse::server::sshd::Keys;
use rehearse::session::Session;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// `[network]` of a scenario: the first target is a directory of a server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// What runs there.
    pub server: Kind,
    /// Mount options of an export.
    #[serde(default)]
    pub options: String,
    /// The NFS server makes another user of root.
    #[serde(default)]
    pub squash: bool,
    /// The guest has another host key on record than the SSH server's.
    #[serde(default)]
    pub wrong_host_key: bool,
    /// The network card by the name of its driver, which is also QEMU's; `virtio_net` if none is named.
    #[serde(default)]
    pub card: Option<String>,
    /// The way there is IPv6.
    #[serde(default)]
    pub ipv6: bool,
    /// The capture kernel asks QEMU's DHCP server for an address. The way there of the armed guest differs from it.
    #[serde(default)]
    pub dhcp: bool,
    /// The server's disk has only so many MiB.
    #[serde(default)]
    pub mib: Option<u64>,
    /// The server stops answering, without closing a connection, when this is part of a line after the panic.
    #[serde(default)]
    pub stops_when: Option<String>,
    /// So many seconds later it goes on.
    #[serde(default)]
    pub resumes_after: Option<u64>,
    /// The target's deadline.
    #[serde(default)]
    pub deadline: Option<String>,
    /// A target on the local disk follows, and takes the dump.
    #[serde(default)]
    pub falls_back: bool,
    /// The dump is saved on the local disk, and sent to the server after the reboot.
    #[serde(default)]
    pub at_boot: bool,
    /// The server is a second guest at the other end of this.
    #[serde(default)]
    pub guest: Option<nas::Wires>,
}

/// A target on the guest's own disk.
const LOCAL: &str = "[[target]]\npath = \"/var/crash\"\n";

/// The kinds of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// nfs-ganesha; in a second guest the kernel's own.
    Nfs,
    /// OpenSSH.
    Ssh,
}

impl Kind {
    /// Its name, as in a scenario.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Nfs => "nfs",
            Kind::Ssh => "ssh",
        }
    }

    /// Its name, as in a table.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Kind::Nfs => "NFS",
            Kind::Ssh => "SSH",
        }
    }
}

#[derive(Debug)]
enum Program {
    Host(Host),
    /// In a second guest, with the place of its files here.
    Guest(rehearse::server::Server, PathBuf),
}

/// Machines that have one server, a second guest, and panic at once.
#[derive(Debug)]
pub struct Together {
    /// The server.
    pub server: rehearse::server::Server,
    /// The machines.
    pub sessions: Vec<Session>,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    program: Option<Program>,
    of: Network,
    /// A small disk, to be unmounted.
    small: Option<PathBuf>,
}

impl Network {
    /// A server of a kind, with nothing special about it.
    #[must_use]
    pub fn of(server: Kind) -> Self {
        Self {
            server,
            options: match server {
                Kind::Nfs => "vers=4.2".into(),
                Kind::Ssh => String::new(),
            },
            squash: false,
            wrong_host_key: false,
            card: None,
            ipv6: false,
            dhcp: false,
            mib: None,
            stops_when: None,
            resumes_after: None,
            deadline: None,
            falls_back: false,
            at_boot: false,
            guest: Some(nas::Wires::default()),
        }
    }

    /// The server as the guest names it.
    pub(crate) fn host(&self) -> &'static str {
        if self.ipv6 { "fec0::2" } else { "10.0.2.2" }
    }

    /// Starts the server, whose files go below `dir`, and has the guest use it.
    ///
    /// # Errors
    /// It does not start.
    pub fn serve(&self, lab: &Lab, dir: &Path, session: &mut Session) -> Result<Server> {
        let mut server = Server {
            program: None,
            of: self.clone(),
            small: None,
        };
        self.tools(lab, 0, session)?;
        if self.at_boot {
            session.config.push_str(LOCAL);
        }
        if let Some(wires) = &self.guest {
            let second = self.second(lab, wires, dir, session)?;
            server.program = Some(Program::Guest(second, dir.join("dumps")));
            self.last(session);
            return Ok(server);
        }
        let store = dir.join("dumps");
        fs::create_dir_all(&store)?;
        if let Some(mib) = self.mib {
            let size = format!("size={mib}m");
            let none = Some("none");
            mount(none, &store, Some("tmpfs"), MsFlags::empty(), Some(&*size))
                .context("Cannot make a small disk for the server (root)")?;
            server.small = Some(store.clone());
        }
        let host = Host::start(self.server, dir, &store, self.ipv6, self.squash)?;
        self.attach(&host, session)?;
        server.program = Some(Program::Host(host));
        self.last(session);
        Ok(server)
    }

    /// Gives the machine of a number what it needs to use a server on this host, which runs already.
    ///
    /// # Errors
    /// A program of it cannot be had.
    pub(crate) fn join_host(
        &self,
        lab: &Lab,
        host: &Host,
        machine: usize,
        session: &mut Session,
    ) -> Result<()> {
        self.tools(lab, machine, session)?;
        self.attach(host, session)
    }

    /// Puts a machine into QEMU's user network, with a server there as its target.
    fn attach(&self, host: &Host, session: &mut Session) -> Result<()> {
        let files = host.files(!self.wrong_host_key, self.host())?;
        session.files.extend(files);
        let target = host.target(self.host(), &self.options);
        session.config.push_str(&target);
        session.qemu.extend(host::card(device(self.driver())));
        session.arm.splice(0..0, host::up(self.ipv6, self.dhcp));
        Ok(())
    }

    /// Starts the server for several machines, each made by `session`; its files go into `dir`.
    ///
    /// # Errors
    /// It does not start, or a machine cannot be made.
    pub fn together(
        &self,
        lab: &Lab,
        dir: &Path,
        machines: usize,
        session: &dyn Fn() -> Result<Session>,
    ) -> Result<Together> {
        let wires = self.guest.clone().unwrap_or_default();
        let nas = self.nas(&wires, machines);
        let keys = self.keys(dir)?;
        let program = program(&session()?)?;
        let server = nas.start(dir, keys.as_ref(), &lab.binaries, &program)?;
        let mut sessions = Vec::new();
        for machine in 0..machines {
            let mut one = session()?;
            one.hostname = format!("lab{machine}");
            self.tools(lab, machine, &mut one)?;
            self.join(&nas, &server, keys.as_ref(), machine, &mut one)?;
            sessions.push(one);
        }
        Ok(Together { server, sessions })
    }

    /// The driver of the guest's card.
    fn driver(&self) -> &str {
        self.card.as_deref().unwrap_or("virtio_net")
    }

    /// Puts into the guest what it needs for the network and the kind of server.
    fn tools(&self, lab: &Lab, machine: usize, session: &mut Session) -> Result<()> {
        match self.server {
            // Nothing in the guest loads what a mount asks for.
            Kind::Nfs if self.at_boot => session.storage.modules.push("nfsv4".into()),
            Kind::Nfs => session.present.extend(["nfsv4", "nfsv3"].map(String::from)),
            Kind::Ssh => {
                let capture = artefacts::with_ssh(std::env::consts::ARCH, &lab.options.profile)?;
                let there = "/usr/lib/afterpanic/afterpanic-capture-ssh";
                session.files.push((there.into(), capture));
                session.present.push("fuse".into());
            }
        }
        session.storage.modules.push(self.driver().to_owned());
        session.storage.tools.extend(tools::network(&["ip"])?);
        session.storage.tools.push(machine_id(machine));
        Ok(())
    }

    /// The server as a second guest.
    fn nas<'a>(&self, wires: &'a nas::Wires, machines: usize) -> nas::Nas<'a> {
        nas::Nas {
            kind: self.server,
            wires,
            ipv6: self.ipv6,
            machines,
        }
    }

    /// Keys for an SSH server.
    fn keys(&self, dir: &Path) -> Result<Option<Keys>> {
        match self.server {
            Kind::Ssh => Ok(Some(Keys::make(dir)?)),
            Kind::Nfs => Ok(None),
        }
    }

    /// Starts the server as a second guest.
    fn second(
        &self,
        lab: &Lab,
        wires: &nas::Wires,
        dir: &Path,
        session: &mut Session,
    ) -> Result<rehearse::server::Server> {
        let nas = self.nas(wires, 1);
        let keys = self.keys(dir)?;
        let program = program(session)?;
        let started = nas.start(dir, keys.as_ref(), &lab.binaries, &program)?;
        self.join(&nas, &started, keys.as_ref(), 0, session)?;
        Ok(started)
    }

    /// Puts a machine at the other end of its cables to a second guest.
    fn join(
        &self,
        nas: &nas::Nas<'_>,
        started: &rehearse::server::Server,
        keys: Option<&Keys>,
        machine: usize,
        session: &mut Session,
    ) -> Result<()> {
        if let Some(keys) = keys {
            let right = !self.wrong_host_key;
            let files = ssh::files(keys, right, &nas.host(machine))?;
            session.files.extend(files);
        }
        session.config.push_str(&nas.target(machine, &self.options));
        let modules = &mut session.storage.modules;
        modules.extend(nas.module().map(String::from));
        let device = device(self.driver());
        session.qemu.extend(nas.cards(started, machine, device));
        session.arm.splice(0..0, nas.up(machine));
        for boot in &mut session.later {
            boot.run.splice(0..0, nas.up(machine));
        }
        Ok(())
    }

    /// The target's deadline, and the target that follows, if one does.
    fn last(&self, session: &mut Session) {
        if let Some(deadline) = &self.deadline {
            let line = format!("deadline = \"{deadline}\"\n");
            session.config.push_str(&line);
        }
        if self.at_boot {
            session.config.push_str("at_boot = true\n");
        }
        if self.dhcp {
            session.config.push_str("dhcp = true\n");
        }
        if self.falls_back {
            session.config.push_str(LOCAL);
        }
    }
}

impl Server {
    /// Sees a line of the console that came after the panic.
    pub fn hear(&self, line: &str) {
        if let Some(when) = &self.of.stops_when
            && line.contains(when)
        {
            let all = self.processes();
            signal(&all, Signal::SIGSTOP);
            if let Some(seconds) = self.of.resumes_after {
                thread::spawn(move || {
                    thread::sleep(Duration::from_secs(seconds));
                    signal(&all, Signal::SIGCONT);
                });
            }
        }
    }

    /// Where the dump must be: on the server, if it is not on the local disk.
    ///
    /// # Errors
    /// It has no directory of a machine, or more than one.
    #[must_use]
    pub fn saved(&mut self) -> Option<Result<PathBuf>> {
        match (self.of.falls_back || self.of.at_boot, &mut self.program) {
            (false, Some(Program::Host(server))) => Some(server.saved()),
            (false, Some(Program::Guest(server, to))) => {
                let read = server.store(to);
                let found = read.and_then(|()| only_machine(&to.join("var/crash")));
                Some(found.map_err(Into::into))
            }
            _ => None,
        }
    }

    /// What must hold of the server itself in the end. `afterpanic` reads what was sent to it.
    #[must_use]
    pub fn checks(&mut self, afterpanic: &Path) -> Vec<Check> {
        let one = |what: &str, held: Result<()>| {
            vec![Check::new(what, held.map_err(|why| format!("{why:#}")))]
        };
        match &mut self.program {
            Some(Program::Host(Host::Ssh(server))) if self.of.wrong_host_key => {
                one("the server got nothing", server.untouched())
            }
            Some(Program::Guest(server, to)) if self.of.at_boot => {
                let sent = server.store(to).map_err(Into::into).and_then(|()| {
                    let crash = only_machine(&only_machine(&to.join("var/crash"))?)?;
                    verify(afterpanic, &crash)
                });
                one("it arrived on the server", sent)
            }
            _ => Vec::new(),
        }
    }

    /// The server's process and all that it started.
    fn processes(&self) -> Vec<u32> {
        let parent = match &self.program {
            Some(Program::Host(server)) => server.pid(),
            Some(Program::Guest(server, _)) => server.pid(),
            None => return Vec::new(),
        };
        let mut all = vec![parent];
        let mut at = 0;
        while let Some(pid) = all.get(at).copied() {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let text = fs::read_to_string(path).unwrap_or_default();
            all.extend(
                text.split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
            at += 1;
        }
        all
    }
}

fn signal(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| i32::try_from(*pid).ok()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A stopped child would outlive its parent.
        signal(&self.processes(), Signal::SIGKILL);
        self.program = None;
        if let Some(small) = &self.small {
            let _ = umount2(small, MntFlags::MNT_DETACH);
        }
    }
}

/// Whether a crash directory is whole.
///
/// # Errors
/// It is not.
pub(crate) fn verify(afterpanic: &Path, dir: &Path) -> Result<()> {
    let output = Command::new(afterpanic).arg("verify").arg(dir).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "verify: {}: {said}", output.status);
    Ok(())
}

/// The laboratory's program for guests, which a session has.
fn program(session: &Session) -> Result<PathBuf> {
    let mut files = session.files.iter();
    let found = files.find(|(path, _)| path == guest::PROGRAM);
    let (_, program) = found.context("The guest has no program of the laboratory")?;
    Ok(program.clone())
}

/// The /etc/machine-id of a guest.
fn machine_id(machine: usize) -> Taken {
    let id = format!("{machine:02x}23456789abcdef0123456789abcdef\n");
    Taken {
        path: "/etc/machine-id".into(),
        kind: TakenKind::File(0o444, id.into_bytes()),
        why: "the laboratory".into(),
    }
}

/// QEMU's name of a card, by that of its driver.
fn device(driver: &str) -> &str {
    match driver {
        "virtio_net" => "virtio-net-pci",
        other => other,
    }
}
