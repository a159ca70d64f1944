//! One QEMU process: its command line, its life, its end.

use super::accel::Accel;
use super::machine::{HOST, Machine};
use super::qmp::{self, Qmp};
use super::{End, Event, Flow, Outcome, VmError, console, spawn};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::marker::PhantomData;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

const QMP_PATIENCE: Duration = Duration::from_secs(60);
/// Lines that are still on their way when QEMU has ended.
const DRAIN: Duration = Duration::from_secs(5);

/// What starts the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Firmware {
    /// SeaBIOS, QEMU's default; on aarch64 none at all: QEMU starts the kernel.
    #[default]
    Bios,
    /// OVMF or AAVMF.
    Uefi,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bus {
    /// A virtio block device on PCI.
    #[default]
    VirtioBlk,
    /// A SCSI disk behind a virtio controller.
    VirtioScsi,
    /// An NVMe controller with one namespace.
    Nvme,
    /// A SATA disk behind an AHCI controller.
    Ahci,
    /// A USB mass storage device behind an xHCI controller.
    UsbStorage,
}

impl Bus {
    /// The kernel's modules for it; some may be built in.
    #[must_use]
    pub fn modules(self) -> &'static [&'static str] {
        match self {
            Bus::VirtioBlk => &["virtio_pci", "virtio_blk"],
            Bus::VirtioScsi => &["virtio_pci", "virtio_scsi", "sd_mod"],
            Bus::Nvme => &["nvme"],
            Bus::Ahci => &["ahci", "sd_mod"],
            Bus::UsbStorage => &["xhci_pci", "usb_storage", "sd_mod"],
        }
    }

    /// QEMU's devices for the disk number `n`, whose drive is `d<n>`; the disk itself is `disk<n>`.
    fn devices(self, n: usize, serial: &str) -> Vec<String> {
        let disk = |device: &str| format!("{device},id=disk{n},drive=d{n},serial={serial}");
        match self {
            Bus::VirtioBlk => vec![disk("virtio-blk-pci")],
            Bus::VirtioScsi => vec![
                format!("virtio-scsi-pci,id=bus{n}"),
                format!(
                    "{},wwn={:#x}",
                    disk(&format!("scsi-hd,bus=bus{n}.0")),
                    wwn(serial)
                ),
            ],
            Bus::Nvme => vec![disk("nvme")],
            Bus::Ahci => vec![
                format!("ich9-ahci,id=bus{n}"),
                disk(&format!("ide-hd,bus=bus{n}.0")),
            ],
            Bus::UsbStorage => vec![
                format!("qemu-xhci,id=bus{n}"),
                disk(&format!("usb-storage,bus=bus{n}.0")),
            ],
        }
    }
}

/// A WWN that belongs to a serial number: two paths to one disk have one. NAA type 5, FNV-1a below it.
fn wwn(serial: &str) -> u64 {
    let hash = serial
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    (0x5 << 60) | (hash >> 4)
}

/// A raw image as a disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskImage {
    /// The file.
    pub path: PathBuf,
    /// Its serial number: on virtio the guest sees it in /sys/block/*/serial.
    pub serial: String,
    /// How it is attached.
    pub bus: Bus,
    /// More options of `-drive`.
    pub options: String,
}

/// A machine to be started.
#[derive(Debug, Clone)]
pub struct Vm {
    /// The kind of machine.
    pub machine: &'static Machine,
    /// The kernel (vmlinuz); empty: the firmware starts what is on the first disk.
    pub kernel: PathBuf,
    /// Its initramfs, if any.
    pub initrd: Option<PathBuf>,
    /// Its command line; `console=` is the caller's.
    pub cmdline: String,
    /// RAM.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Disks, in order.
    pub disks: Vec<DiskImage>,
    /// BIOS or UEFI.
    pub firmware: Firmware,
    /// Further arguments for QEMU.
    pub extra: Vec<String>,
    /// Whether a reboot of the guest reboots it instead of ending the run.
    pub reboots: bool,
    /// When it is killed.
    pub deadline: Duration,
    /// The file that gets everything the serial console says.
    pub console: PathBuf,
}

impl Vm {
    /// A machine with 1 GiB and one CPU that ends when its guest reboots.
    #[must_use]
    pub fn new(kernel: impl Into<PathBuf>, console: impl Into<PathBuf>) -> Self {
        Vm {
            machine: HOST,
            kernel: kernel.into(),
            initrd: None,
            cmdline: String::new(),
            memory_mib: 1024,
            vcpus: 1,
            disks: Vec::new(),
            firmware: Firmware::Bios,
            extra: Vec::new(),
            reboots: false,
            deadline: Duration::from_secs(600),
            console: console.into(),
        }
    }

    /// The arguments given to QEMU, for messages and for repeating a run by hand.
    ///
    /// # Errors
    /// UEFI was asked for and there is no firmware image.
    pub fn arguments(&self, accel: Accel) -> Result<Vec<String>, VmError> {
        let mut a: Vec<String> = Vec::new();
        let mut push = |args: &[&str]| a.extend(args.iter().map(|s| (*s).to_owned()));
        push(&["-nodefaults", "-no-user-config", "-display", "none"]);
        push(self.machine.arguments);
        push(&accel.arguments(self.machine));
        push(&[
            "-m",
            &format!("{}M", self.memory_mib),
            "-smp",
            &self.vcpus.to_string(),
        ]);
        push(&[
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
        ]);
        if !self.kernel.as_os_str().is_empty() {
            push(&["-kernel", &self.kernel.display().to_string()]);
            push(&["-append", &self.cmdline]);
        }
        if let Some(initrd) = &self.initrd {
            push(&["-initrd", &initrd.display().to_string()]);
        }
        if !self.reboots {
            push(&["-no-reboot"]);
        }
        if self.firmware == Firmware::Uefi {
            let known = self.machine.uefi.iter();
            let code = known
                .copied()
                .find(|p| Path::new(p).exists())
                .ok_or(VmError::NoFirmware(self.machine.uefi_package))?;
            push(&[
                "-drive",
                &format!("if=pflash,format=raw,unit=0,readonly=on,file={code}"),
            ]);
        }
        for (n, disk) in self.disks.iter().enumerate() {
            // A comma in a QEMU option value is written twice.
            let path = disk.path.display().to_string().replace(',', ",,");
            let options = match disk.options.as_str() {
                "" => String::new(),
                options => format!(",{options}"),
            };
            push(&[
                "-drive",
                &format!(
                    "if=none,id=d{n},format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap{options},file={path}"
                ),
            ]);
            for device in disk.bus.devices(n, &disk.serial) {
                push(&["-device", &device]);
            }
        }
        a.extend(self.extra.iter().cloned());
        Ok(a)
    }

    /// Starts it. It is killed when the calling thread ends or the result is dropped.
    ///
    /// # Errors
    /// QEMU is missing or ends at once; a file cannot be made.
    pub fn start(&self, accel: Accel) -> Result<Running, VmError> {
        let given = Some(&self.kernel).filter(|k| !k.as_os_str().is_empty());
        for file in given.into_iter().chain(&self.initrd) {
            // QEMU would say it, too, but after it has connected the control socket.
            File::open(file).map_err(VmError::io("read", file))?;
        }
        let log = File::create(&self.console).map_err(VmError::io("create", &self.console))?;
        // Socket addresses hold 108 bytes: a deep TMPDIR would not fit.
        let dir = tempfile::Builder::new()
            .prefix("ap-vm-")
            .tempdir_in("/tmp")
            .map_err(VmError::io("create a directory in", "/tmp"))?;
        let socket = dir.path().join("qmp");
        let listener = UnixListener::bind(&socket).map_err(VmError::io("bind", &socket))?;
        let mut command = Command::new(self.machine.program);
        command
            .args(self.arguments(accel)?)
            .args([
                "-chardev",
                &format!("socket,id=qmp,path={}", socket.display()),
            ])
            .args(["-mon", "chardev=qmp,mode=control"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = spawn::spawn(&mut command).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => self.machine.no_qemu(),
            _ => VmError::io("start", self.machine.program)(source),
        })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (sender, events) = channel();
        if let Some(stdout) = stdout {
            let sender = sender.clone();
            thread::spawn(move || {
                console::pump(stdout, log, &mut |l| drop(sender.send(Event::Line(l))));
            });
        }
        let errors = thread::spawn(move || last_words(stderr));
        let mut running = Running {
            child,
            qmp: None,
            events,
            errors: Some(errors),
            started,
            deadline: started + self.deadline,
            on_this_thread: PhantomData,
        };
        let mut child_status = || match running.child.try_wait() {
            Ok(Some(status)) => Err(VmError::Died {
                status: status.to_string(),
                said: running
                    .errors
                    .take()
                    .and_then(|t| t.join().ok())
                    .unwrap_or_default(),
            }),
            _ => Ok(()),
        };
        let qmp = Qmp::accept(&listener, &socket, QMP_PATIENCE, &mut child_status)?;
        let reader = qmp.reader().map_err(VmError::io("read from", &socket))?;
        thread::spawn(move || qmp::pump(reader, &mut |e| drop(sender.send(e))));
        running.qmp = Some(qmp);
        Ok(running)
    }
}

/// The last line of standard error that says something.
fn last_words(stderr: Option<impl Read>) -> String {
    let mut text = Vec::new();
    if let Some(stderr) = stderr {
        let _ = stderr.take(1 << 20).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .rev()
        .find(|l| !l.trim().is_empty())
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// A machine that runs. Dropping it kills it.
///
/// It stays on the thread that started it, because the kernel kills QEMU when that thread ends.
#[derive(Debug)]
pub struct Running {
    child: Child,
    qmp: Option<Qmp>,
    events: Receiver<Event>,
    errors: Option<thread::JoinHandle<String>>,
    started: Instant,
    deadline: Instant,
    on_this_thread: PhantomData<*const ()>,
}

impl Running {
    /// QEMU's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Follows the run to its end. `on` sees every event with the time since the start and may
    /// send QMP commands.
    pub fn wait(
        mut self,
        on: &mut dyn FnMut(Duration, &Event, &mut Control<'_>) -> Flow,
    ) -> Outcome {
        let mut resets = 0u32;
        let mut reason = String::new();
        let mut stopped = None;
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    if let Event::Qmp { name, data } = &event {
                        match name.as_str() {
                            "RESET" if data.get("guest").and_then(Value::as_bool) == Some(true) => {
                                resets = resets.saturating_add(1);
                            }
                            "SHUTDOWN" => {
                                reason = data
                                    .get("reason")
                                    .and_then(Value::as_str)
                                    .unwrap_or_default()
                                    .to_owned();
                            }
                            _ => {}
                        }
                    }
                    let mut control = Control {
                        qmp: self.qmp.as_mut(),
                    };
                    if on(self.started.elapsed(), &event, &mut control) == Flow::Stop {
                        stopped = Some(End::Stopped);
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    stopped = Some(End::Deadline);
                    break;
                }
                // Both pumps are through: QEMU has closed everything.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let took = self.started.elapsed();
        let end = match stopped {
            Some(end) => {
                spawn::kill(&mut self.child);
                self.drain(on);
                end
            }
            None => self.natural_end(&reason),
        };
        if end == End::Reset {
            resets = resets.saturating_add(1);
        }
        Outcome { end, resets, took }
    }

    fn natural_end(&mut self, reason: &str) -> End {
        let status = self.child.wait();
        match (status, reason) {
            (Ok(status), "guest-reset") if status.success() => End::Reset,
            (Ok(status), "guest-shutdown") if status.success() => End::PowerOff,
            (status, reason) => {
                let said = self
                    .errors
                    .take()
                    .and_then(|t| t.join().ok())
                    .unwrap_or_default();
                let status = status.map_or_else(|e| e.to_string(), |s| s.to_string());
                End::Failed(format!(
                    "{status}, shutdown reason \"{reason}\", said \"{said}\""
                ))
            }
        }
    }

    /// Shows what was said before the kill and is still on its way.
    fn drain(&mut self, on: &mut dyn FnMut(Duration, &Event, &mut Control<'_>) -> Flow) {
        let until = Instant::now() + DRAIN;
        while let Ok(event) = self
            .events
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            on(self.started.elapsed(), &event, &mut Control { qmp: None });
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        spawn::kill(&mut self.child);
    }
}

/// What may be done to a machine from within an event.
#[derive(Debug)]
pub struct Control<'a> {
    qmp: Option<&'a mut Qmp>,
}

impl Control<'_> {
    /// Sends a QMP command, for example `inject-nmi`; a machine that is gone ignores it.
    pub fn execute(&mut self, command: &str, arguments: &Value) {
        if let Some(qmp) = self.qmp.as_mut() {
            let _ = qmp.execute(command, arguments);
        }
    }
}

#[cfg(test)]
mod tests;
