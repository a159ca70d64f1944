//! A storage server in a second guest, at the other end of a cable: NFS by the kernel, SFTP by OpenSSH.
//!
//! The cables are Unix sockets between two QEMU processes, so nothing of this needs root or this machine's
//! network. The server loses its power when the dump is there: what counts as saved must be on its disk by
//! then.

pub mod cable;
pub mod sshd;

use crate::disk::{self, DiskError, Fs};
use crate::guest::image::{self, Binaries, Contents, ImageError, KernelFiles};
use crate::guest::{End, Folder, Mount, SAYS, SERVES, Script, Step, Which};
use crate::vm::{Accel, DiskImage, Event, Flow, Vm, spawn};
use cable::Cable;
use initramfs::files::{FileError, Taken};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;

/// Where the server's disk is mounted: the root of what it exports over NFS.
pub const STORE: &str = "/srv";
/// The disk with the store.
const DISK: &str = "srv";
const DISK_BYTES: u64 = 4 << 30;
const UUID: &str = "0a0b0c0d-5555-2222-3333-444455556666";
const MEMORY_MIB: u64 = 768;
const PATIENCE: Duration = Duration::from_secs(240);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Its disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Its programs.
    #[error(transparent)]
    Files(#[from] FileError),
    /// ssh-keygen.
    #[error("ssh-keygen failed: {said}; it is in the package openssh-client")]
    Keys {
        /// What it said.
        said: String,
    },
    /// It is not there when its time is over.
    #[error("The server's guest is not up after {0:?}")]
    Late(Duration),
    /// It ended.
    #[error("The server's guest ended: {said}")]
    Ended {
        /// The last that it said.
        said: String,
    },
    /// The store does not have what one machine leaves.
    #[error("{machines} machines have a directory in {store}")]
    Machines {
        /// How many.
        machines: usize,
        /// The directory of all machines.
        store: PathBuf,
    },
    /// A file failed.
    #[error("Cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ServerError {
    let path = path.to_owned();
    move |source| ServerError::Io { what, path, source }
}

/// What is to be started.
#[derive(Debug)]
pub struct Order<'a> {
    /// The kernel.
    pub kernel: &'a KernelFiles,
    /// Ours: one of them is PID 1 there.
    pub binaries: &'a Binaries,
    /// KVM or TCG.
    pub accel: Accel,
    /// Modules beyond those of its disk and its cards.
    pub load: Vec<String>,
    /// Programs with their libraries, and files.
    pub tools: Vec<Taken>,
    /// Further files: path in the guest, file here.
    pub files: Vec<(String, PathBuf)>,
    /// Directories that it makes.
    pub folders: Vec<Folder>,
    /// What it runs.
    pub run: Vec<Step>,
    /// Addresses that the kernel's NFS server exports [`STORE`] to, as the root of its exports, without a helper in
    /// user space and in version 4 alone. None: it is not started.
    pub exported_to: Vec<String>,
    /// How many cards it has: `eth0` and so on.
    pub cables: usize,
    /// How long it keeps its power when the dump is there, see [`sshd::SETTLES`].
    pub settles: Duration,
    /// When it is killed.
    pub deadline: Duration,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    sockets: TempDir,
    disk: PathBuf,
    settles: Duration,
    pid: u32,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server whose files go into `dir`, and waits until it serves.
    ///
    /// # Errors
    /// It cannot be built, or does not come up.
    pub fn start(dir: &Path, order: &Order<'_>) -> Result<Self, ServerError> {
        // Socket addresses hold 108 bytes: a deep TMPDIR would not fit.
        let sockets = tempfile::Builder::new()
            .prefix("ap-net-")
            .tempdir_in("/tmp")
            .map_err(io_error("create a directory in", Path::new("/tmp")))?;
        let disk = dir.join("server.img");
        disk::make(&disk, DISK_BYTES, Fs::Ext4, UUID)?;
        let initrd = dir.join("server.cpio");
        order.image(&initrd)?;
        let mut vm = Vm::new(&order.kernel.image, dir.join("server-console.txt"));
        vm.initrd = Some(initrd);
        vm.memory_mib = MEMORY_MIB;
        vm.cmdline = format!("console={} loglevel=5 panic=-1", vm.machine.console);
        vm.deadline = order.deadline;
        vm.disks.push(DiskImage {
            path: disk.clone(),
            serial: DISK.into(),
            ..DiskImage::default()
        });
        for n in 0..order.cables {
            vm.extra.extend(Cable::new(sockets.path(), n).server());
        }
        let mut server = Self {
            sockets,
            disk,
            settles: order.settles,
            pid: 0,
            thread: None,
        };
        let (said, hears) = channel();
        let accel = order.accel;
        // A machine stays on the thread that started it.
        server.thread = Some(thread::spawn(move || follow(&vm, accel, &said)));
        loop {
            match hears.recv_timeout(PATIENCE) {
                Ok(Heard::Pid(pid)) => server.pid = pid,
                Ok(Heard::Serves) => return Ok(server),
                Ok(Heard::Ended(said)) => return Err(ServerError::Ended { said }),
                Err(_) => return Err(ServerError::Late(PATIENCE)),
            }
        }
    }

    /// The other end of a cable.
    #[must_use]
    pub fn cable(&self, n: usize) -> Cable {
        Cable::new(self.sockets.path(), n)
    }

    /// QEMU's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The image of its disk.
    #[must_use]
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Takes the power from it.
    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            spawn::kill_group(self.pid);
            let _ = thread.join();
        }
    }

    /// Takes the power from it and reads its disk into `to`: what lay below [`STORE`].
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn store(&mut self, to: &Path) -> Result<(), ServerError> {
        thread::sleep(self.settles);
        self.stop();
        Ok(disk::read_ext4(&self.disk, "/", to)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The one machine's directory in a store.
///
/// # Errors
/// The store holds no directory, or more than one.
pub fn only_machine(store: &Path) -> Result<PathBuf, ServerError> {
    let entries = fs::read_dir(store).map_err(io_error("list", store))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (one, rest) => Err(ServerError::Machines {
            machines: rest + usize::from(one.is_some()),
            store: store.to_owned(),
        }),
    }
}

impl Order<'_> {
    fn image(&self, to: &Path) -> Result<(), ServerError> {
        let mut load: Vec<String> = ["virtio_pci", "virtio_blk", "virtio_net", "ext4"]
            .map(String::from)
            .to_vec();
        load.extend(self.load.iter().cloned());
        if !self.exported_to.is_empty() {
            load.push("nfsd".into());
        }
        let script = Script {
            hostname: "server".into(),
            modules: Vec::new(),
            before: Vec::new(),
            mounts: vec![Mount {
                disk: Which::Serial(DISK.into()),
                fs: Fs::Ext4.name().into(),
                at: STORE.into(),
                read_only: false,
            }],
            folders: self.folders.clone(),
            run: self.run.clone(),
            end: End::Serve {
                export: STORE.into(),
                to: self.exported_to.clone(),
            },
            later: Vec::new(),
        };
        let contents = Contents {
            kernel: self.kernel,
            binaries: self.binaries,
            config: "",
            load: &load,
            present: &[],
            absent: &[],
            files: &self.files,
            tools: &self.tools,
        };
        Ok(image::build(&contents, script, to)?)
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
