//! A storage server in a second guest, for what QEMU's user network cannot be: the kernel's NFS server with
//! version 3, VLANs, bonds, packets that get lost, slow links, OpenSSH of another release.
//!
//! Its cables are Unix sockets between two QEMU processes, so nothing of this needs root or this machine's
//! network. It loses its power when the dump is there: what counts as saved must be on its disk by then.

use crate::guest::{self, command};
use crate::network::{Kind, machine_in};
use crate::ssh::Keys;
use crate::{kernels, tools};
use anyhow::{Result, bail};
use initramfs::files::{Taken, TakenKind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rehearse::disk::{self, Fs};
use rehearse::guest::image::{self, Binaries, Contents};
use rehearse::guest::{End, Mount, SAYS, Script, Step, Which};
use rehearse::vm::{Accel, DiskImage, Event, Flow, Vm};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;

/// What the guest says when everything is started.
pub const SERVES: &str = "serves";
/// The directory that is exported, and where an account writes.
const STORE: &str = "/srv";
/// The disk with the store.
const DISK: &str = "srv";
const DISK_BYTES: u64 = 4 << 30;
const UUID: &str = "0a0b0c0d-5555-2222-3333-444455556666";
const PATIENCE: Duration = Duration::from_secs(180);
const DEADLINE: Duration = Duration::from_secs(1800);
/// The VLAN, where there is one.
const VLAN: u16 = 5;

/// `[network.guest]` of a scenario: what the way to the server is like.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wires {
    /// What the cards are put together to.
    pub link: Link,
    /// Of a hundred packets so many are lost, each way.
    pub loss: u32,
    /// So many Mbit/s, each way; none: as fast as it goes.
    pub mbit: Option<u32>,
    /// The suite of Debian that OpenSSH comes from.
    pub openssh: Option<String>,
}

/// What the cards at both ends are put together to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// One card.
    #[default]
    Card,
    /// A VLAN on one card.
    Vlan,
    /// Two cards as an 802.3ad bond.
    Bond,
}

impl Link {
    /// How many cards each end has.
    fn cards(self) -> usize {
        match self {
            Link::Bond => 2,
            _ => 1,
        }
    }

    /// The module for it.
    fn module(self) -> Option<&'static str> {
        match self {
            Link::Card => None,
            Link::Vlan => Some("8021q"),
            Link::Bond => Some("bonding"),
        }
    }

    /// The lines of ip(8) that bring it up on the cards from `first` on, with an address and its prefix.
    fn up(self, first: usize, address: &str) -> Vec<String> {
        let card = format!("eth{first}");
        let other = format!("eth{}", first + 1);
        let (name, mut lines) = match self {
            Link::Card => (card.clone(), vec![format!("link set {card} up")]),
            Link::Vlan => {
                let name = format!("{card}.{VLAN}");
                let lines = vec![
                    format!("link set {card} up"),
                    format!("link add link {card} name {name} type vlan id {VLAN}"),
                    format!("link set {name} up"),
                ];
                (name, lines)
            }
            Link::Bond => {
                let lines = vec![
                    "link add uplink type bond mode 802.3ad miimon 100 lacp_rate fast".to_owned(),
                    format!("link set {card} master uplink"),
                    format!("link set {other} master uplink"),
                    "link set uplink up".to_owned(),
                ];
                ("uplink".to_owned(), lines)
            }
        };
        let nodad = if address.contains(':') { " nodad" } else { "" };
        lines.push(format!("address add {address} dev {name}{nodad}"));
        lines
    }
}

/// What is to be started.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// What serves.
    pub kind: Kind,
    /// What the way there is like.
    pub wires: &'a Wires,
    /// Addresses are those of IPv6.
    pub ipv6: bool,
    /// So many machines have a cable each.
    pub machines: usize,
    /// What opens the account of an SSH server.
    pub keys: Option<&'a Keys>,
    /// Our binaries: one of them is PID 1 there.
    pub binaries: &'a Binaries,
    /// The laboratory's program for guests.
    pub program: &'a Path,
}

/// The ends of a cable between a machine and the server.
#[derive(Debug)]
pub struct Cable<'a> {
    server: &'a Server,
    machine: usize,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    wires: Wires,
    kind: Kind,
    ipv6: bool,
    sockets: TempDir,
    disk: PathBuf,
    pid: u32,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server whose files go into `dir`.
    ///
    /// # Errors
    /// It cannot be built, or does not come up.
    pub fn start(dir: &Path, order: &Order<'_>) -> Result<Self> {
        let Order {
            kind,
            wires,
            ipv6,
            machines,
            keys,
            binaries,
            program,
        } = *order;
        let sockets = tempfile::Builder::new().prefix("ap-net-").tempdir_in("/tmp")?;
        let disk = dir.join("server.img");
        disk::make(&disk, DISK_BYTES, Fs::Ext4, UUID)?;
        let kernel = kernels::get("6.12", None, &mut |line| eprintln!("lab: {line}"))?;
        let mut load: Vec<String> = ["virtio_pci", "virtio_blk", "virtio_net", "ext4"]
            .map(String::from)
            .to_vec();
        load.extend(wires.link.module().map(String::from));
        if wires.loss > 0 || wires.mbit.is_some() {
            let shaping = ["sch_netem", "sch_ingress", "ifb", "cls_matchall", "act_mirred"];
            load.extend(shaping.map(String::from));
        }
        if kind == Kind::Nfs {
            load.push("nfsd".into());
        }
        let mut tools = match kind {
            Kind::Nfs => tools::nfs_server()?,
            Kind::Ssh => tools::openssh_server(wires.openssh.as_deref().unwrap_or("trixie"))?,
        };
        tools.extend(tools::network(&["ip", "tc"])?);
        tools.extend(kind.files(keys)?);
        let mut run = vec![step("/sbin/ip link set lo up")];
        for machine in 0..machines {
            let first = machine * wires.link.cards();
            run.extend(ip(&wires.link.up(first, &address(ipv6, machine, 2))));
        }
        run.extend(wires.shape());
        run.extend(kind.started());
        let script = Script {
            hostname: "server".into(),
            modules: Vec::new(),
            before: Vec::new(),
            mounts: vec![Mount {
                disk: Which::Serial(DISK.into()),
                fs: "ext4".into(),
                at: STORE.into(),
                read_only: false,
            }],
            run,
            end: End::Become(command(&["serve"])),
            later: Vec::new(),
        };
        let contents = Contents {
            kernel: &kernel,
            binaries,
            config: "",
            load: &load,
            present: &[],
            absent: &[],
            files: &[(guest::PROGRAM.into(), program.to_owned())],
            tools: &tools,
        };
        let initrd = dir.join("server.cpio");
        image::build(&contents, script, &initrd)?;
        let accel = Accel::choose(&kernel.image, &crate::cache())?;
        let mut vm = Vm::new(&kernel.image, dir.join("server-console.txt"));
        vm.initrd = Some(initrd);
        vm.memory_mib = 768;
        vm.cmdline = format!("console={} loglevel=5 panic=-1", vm.machine.console);
        vm.deadline = DEADLINE;
        vm.disks.push(DiskImage {
            path: disk.clone(),
            serial: DISK.into(),
            ..DiskImage::default()
        });
        for machine in 0..machines {
            for card in 0..wires.link.cards() {
                let socket = socket(sockets.path(), machine, card);
                vm.extra.extend(cable(&socket, true, "virtio-net-pci", machine, card));
            }
        }
        let mut server = Self {
            wires: wires.clone(),
            kind,
            ipv6,
            sockets,
            disk,
            pid: 0,
            thread: None,
        };
        let (said, hears) = channel();
        server.thread = Some(thread::spawn(move || follow(&vm, accel, &said)));
        loop {
            match hears.recv_timeout(PATIENCE) {
                Ok(Heard::Pid(pid)) => server.pid = pid,
                Ok(Heard::Serves) => return Ok(server),
                Ok(Heard::Ended(why)) => bail!("The server's guest ended: {why}"),
                Err(_) => bail!("The server's guest is not up after {PATIENCE:?}"),
            }
        }
    }

    /// The cable of a machine.
    #[must_use]
    pub fn cable(&self, machine: usize) -> Cable<'_> {
        Cable {
            server: self,
            machine,
        }
    }

    /// QEMU's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Takes the power from it.
    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            if let Ok(pid @ 1..) = i32::try_from(self.pid) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = thread.join();
        }
    }

    /// Takes the power from it, and reads its disk: the directories of the machines are below the answer.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn store(&mut self) -> Result<PathBuf> {
        self.stop();
        let to = self.disk.with_file_name("dumps");
        disk::read_ext4(&self.disk, "/", &to)?;
        let _ = fs::remove_file(&self.disk);
        Ok(to.join("var/crash"))
    }

    /// The one machine's directory.
    ///
    /// # Errors
    /// The disk cannot be read, or holds none, or more than one.
    pub fn saved(&mut self) -> Result<PathBuf> {
        machine_in(&self.store()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Cable<'_> {
    /// The server's address at the other end.
    #[must_use]
    pub fn host(&self) -> String {
        let all = address(self.server.ipv6, self.machine, 2);
        all.split('/').next().unwrap_or_default().to_owned()
    }

    /// What the machine runs to be on the network.
    #[must_use]
    pub fn up(&self) -> Vec<Step> {
        let own = address(self.server.ipv6, self.machine, 15);
        ip(&self.server.wires.link.up(0, &own))
    }

    /// The machine's modules beside its card's.
    #[must_use]
    pub fn module(&self) -> Option<&'static str> {
        self.server.wires.link.module()
    }

    /// QEMU's arguments for the machine's cards.
    #[must_use]
    pub fn cards(&self, device: &str) -> Vec<String> {
        let sockets = self.server.sockets.path();
        (0..self.server.wires.link.cards())
            .flat_map(|card| {
                let socket = socket(sockets, self.machine, card);
                cable(&socket, false, device, self.machine, card)
            })
            .collect()
    }

    /// The target of the machine's config.
    #[must_use]
    pub fn target(&self, options: &str, keys: Option<&Keys>) -> String {
        let host = match self.server.ipv6 {
            true => format!("[{}]", self.host()),
            false => self.host(),
        };
        match (self.server.kind, keys) {
            (Kind::Ssh, Some(keys)) => keys.target(&host, 22, &format!("{STORE}/var/crash")),
            _ => format!("[[target]]\nnfs = \"{host}:{STORE}\"\noptions = \"{options}\"\n"),
        }
    }
}

enum Heard {
    Pid(u32),
    Serves,
    Ended(String),
}

/// Runs the machine until somebody kills it.
fn follow(vm: &Vm, accel: Accel, said: &Sender<Heard>) {
    let running = match vm.start(accel) {
        Ok(running) => running,
        Err(error) => {
            let _ = said.send(Heard::Ended(error.to_string()));
            return;
        }
    };
    let _ = said.send(Heard::Pid(running.pid()));
    let mut last = String::new();
    let outcome = running.wait(&mut |_, event, _| {
        if let Event::Line(line) = event {
            match line.strip_prefix(SAYS) {
                Some(SERVES) => drop(said.send(Heard::Serves)),
                Some(words) => words.clone_into(&mut last),
                None => {}
            }
        }
        Flow::Continue
    });
    let _ = said.send(Heard::Ended(format!("{:?}: {last}", outcome.end)));
}

impl Kind {
    /// Files that its programs want to find.
    fn files(self, keys: Option<&Keys>) -> Result<Vec<Taken>> {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n\
             _rpc:x:102:65534::/run/rpcbind:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n";
        let mut files = vec![
            file("/etc/passwd", 0o644, passwd),
            file("/etc/group", 0o644, "root:x:0:\nnogroup:x:65534:\n"),
            file("/etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nhosts: files\n"),
            file("/etc/hosts", 0o644, "127.0.0.1 localhost\n"),
        ];
        match (self, keys) {
            (Kind::Ssh, Some(keys)) => {
                files.push(file("/etc/host", 0o600, &keys.private("host")?));
                files.push(file("/etc/user.pub", 0o644, &keys.public("user")?));
                let config = "HostKey /etc/host\nAuthorizedKeysFile /etc/user.pub\nStrictModes no\nUsePAM no\n\
                    PermitRootLogin prohibit-password\nPidFile none\nPasswordAuthentication no\n\
                    Subsystem sftp internal-sftp\nForceCommand internal-sftp\n";
                files.push(file("/etc/sshd_config", 0o644, config));
                // sshd looks whether the account has a shell.
                files.push(link("/bin/sh", guest::PROGRAM));
            }
            (Kind::Ssh, None) => bail!("An SSH server needs keys"),
            (Kind::Nfs, _) => {
                let exports = format!("{STORE} *(rw,sync,no_subtree_check,no_root_squash,insecure)\n");
                files.push(file("/etc/exports", 0o644, &exports));
                for empty in ["/var/lib/nfs/etab", "/var/lib/nfs/rmtab", "/var/lib/nfs/v4recovery/.keep"] {
                    files.push(file(empty, 0o644, ""));
                }
            }
        }
        Ok(files)
    }

    /// What starts it.
    fn started(self) -> Vec<Step> {
        let lines: &[&str] = match self {
            Kind::Nfs => &[
                "/lab/guest mount nfsd /proc/fs/nfsd",
                "/lab/guest set /proc/fs/nfsd/nfsv4gracetime 10",
                "/sbin/rpcbind",
                "/usr/sbin/exportfs -a",
                "/usr/sbin/rpc.nfsd 4",
                "/usr/sbin/rpc.mountd",
            ],
            Kind::Ssh => &["/lab/guest mkdir /run/sshd", "/usr/sbin/sshd -f /etc/sshd_config"],
        };
        lines.iter().map(|line| step(line)).collect()
    }
}

impl Wires {
    /// The lines of tc(8) that make the way worse: what leaves the first card, and what comes in, by way of an
    /// ifb device, because only what leaves a device can be shaped.
    fn shape(&self) -> Vec<Step> {
        let mut how = String::new();
        if self.loss > 0 {
            how += &format!(" loss {}%", self.loss);
        }
        if let Some(mbit) = self.mbit {
            how += &format!(" rate {mbit}mbit");
        }
        if how.is_empty() {
            return Vec::new();
        }
        [
            "/sbin/ip link set ifb0 up".to_owned(),
            format!("/sbin/tc qdisc add dev eth0 root netem{how}"),
            "/sbin/tc qdisc add dev eth0 handle ffff: ingress".to_owned(),
            "/sbin/tc filter add dev eth0 parent ffff: protocol all matchall action mirred egress redirect dev ifb0"
                .to_owned(),
            format!("/sbin/tc qdisc add dev ifb0 root netem{how}"),
        ]
        .iter()
        .map(|line| step(line))
        .collect()
    }
}

/// An end's address with its prefix. Each machine has a network of its own with the server.
fn address(ipv6: bool, machine: usize, end: u8) -> String {
    match ipv6 {
        true => format!("fd07:{machine}::{end}/64"),
        false => format!("10.7.{machine}.{end}/24"),
    }
}

fn ip(lines: &[String]) -> Vec<Step> {
    lines.iter().map(|line| step(&format!("/sbin/ip {line}"))).collect()
}

fn step(line: &str) -> Step {
    Step {
        command: line.split(' ').map(str::to_owned).collect(),
        ok: vec![0],
    }
}

fn socket(dir: &Path, machine: usize, card: usize) -> PathBuf {
    dir.join(format!("{machine}-{card}"))
}

/// QEMU's arguments for one end of a cable. A bond by 802.3ad asks its cards how fast they are.
fn cable(socket: &Path, listens: bool, device: &str, machine: usize, card: usize) -> Vec<String> {
    let (listens, last) = if listens { ("on", 1) } else { ("off", 0) };
    let id = format!("net{machine}{card}");
    let speed = match device {
        "virtio-net-pci" => ",speed=1000,duplex=full",
        _ => "",
    };
    let way = format!(
        "stream,id={id},server={listens},addr.type=unix,addr.path={}",
        socket.display()
    );
    let mac = format!("52:54:00:7{machine}:0{card}:0{last}");
    let card = format!("{device},netdev={id},mac={mac},romfile={speed}");
    ["-netdev", &way, "-device", &card].map(String::from).to_vec()
}

fn file(path: &str, mode: u32, text: &str) -> Taken {
    Taken {
        path: path.into(),
        kind: TakenKind::File(mode, text.as_bytes().to_vec()),
        why: "the laboratory".into(),
    }
}

fn link(path: &str, to: &str) -> Taken {
    Taken {
        path: path.into(),
        kind: TakenKind::Link(to.into()),
        why: "the laboratory".into(),
    }
}
