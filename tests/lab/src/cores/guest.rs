//! A kernel that panics or runs, and its memory as QEMU writes it.

use super::{Core, Fate, Machine};
use crate::apt::{Apt, unpack};
use crate::cache;
use anyhow::{Context, Result, bail, ensure};
use initramfs::archive::Archive;
use initramfs::compress::Compression;
use rehearse::guest::image::KernelFiles;
use rehearse::vm::spawn;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a machine may take under translation.
const DEADLINE: Duration = Duration::from_secs(300);
/// How long a kernel may print after the words that are waited for.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// What one prints that runs on.
const READY: &str = "guest: it runs";
/// Modules that need no others.
pub(super) const MODULES: [(&str, &str); 3] = [
    ("loop", "a module"),
    ("dummy", "a module"),
    ("virtio_blk", "the disk"),
];
/// Tasks that sleep, one that runs, pages of a file, two that talk through a pipe.
const INIT: &str = "#!/bin/busybox sh
busybox mkdir -p /proc /sys /tmp /dev
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
busybox mount -t sysfs sys /sys
busybox mount -t tmpfs tmp /tmp
for module in /*.ko; do busybox insmod $module; done
for n in 1 2 3 4 5; do busybox sleep 100$n & done
busybox dd if=/dev/zero of=/tmp/file bs=1M count=20
busybox sh -c 'while :; do :; done' &
busybox cat /dev/zero | busybox md5sum > /dev/null &
busybox sleep 2
";
/// What the kernel says of itself goes to the disk, without the page cache: see [`super::witness`]. While the disk is
/// written its module is in use.
const RECORD: &str = "busybox cat /proc/modules > /tmp/modules
busybox dd if=/tmp/modules of=/dev/vda bs=64k iflag=fullblock oflag=direct conv=sync
busybox dd if=/proc/kpageflags of=/dev/vda seek=1 bs=64k iflag=fullblock oflag=direct conv=sync
";
/// Bytes of the disk.
const DISK: u64 = 64 << 20;
/// The end of it.
const PANIC: &str = "echo 1 > /proc/sys/kernel/sysrq
# Every task's stack, as the kernel unwinds it, into the log only.
echo 0 > /proc/sys/kernel/printk
echo t > /proc/sysrq-trigger
echo 7 > /proc/sys/kernel/printk
";
const CRASH: &str = "echo c > /proc/sysrq-trigger
";
/// Another end: a task with a line that has none.
const HOG: &str = "echo 2 > /proc/sys/vm/panic_on_oom
busybox tail /dev/zero
";
/// A third.
const FAULT: &str = "busybox insmod /last/acme.ko
";
/// The last.
const RUN_ON: &str = "echo guest: it runs
busybox sleep 1000
";

/// Lets the kernel panic, or run for a while, and writes the machine's memory into the files of `core`.
pub(super) fn dumped(
    kernel: &KernelFiles,
    machine: &Machine,
    dir: &Path,
    core: &Core,
) -> Result<()> {
    let initrd = dir.join("initrd");
    fs::write(&initrd, initramfs(kernel, machine, dir)?)?;
    File::create(&core.disk)?.set_len(DISK)?;
    let words = match machine.fate {
        Fate::RunsOn => READY,
        _ => machine.board.last_words,
    };
    let socket = dir.join("qmp");
    let mut qemu = start(kernel, machine, (&initrd, &core.disk), &socket)?;
    let written = wait(&mut qemu, words, &core.console).and_then(|()| dump(&socket, core));
    spawn::kill(&mut qemu);
    written
}

/// A number that changes with what the guest is and does.
pub(super) fn fingerprint(machine: &Machine) -> u64 {
    let mut hasher = DefaultHasher::new();
    (INIT, script(machine.fate)).hash(&mut hasher);
    (machine.kernel, machine.cpu, machine.cmdline).hash(&mut hasher);
    (machine.board.words, MODULES).hash(&mut hasher);
    hasher.finish()
}

/// What a guest does after it is up.
fn script(fate: Fate) -> String {
    match fate {
        Fate::Sysrq => [PANIC, RECORD, CRASH].concat(),
        Fate::OutOfMemory => [RECORD, HOG].concat(),
        Fate::Fault => [RECORD, FAULT].concat(),
        Fate::RunsOn => RUN_ON.to_owned(),
    }
}

fn initramfs(kernel: &KernelFiles, machine: &Machine, dir: &Path) -> Result<Vec<u8>> {
    let board = machine.board;
    let mut archive = Archive::new();
    archive.nodes()?;
    archive.file(
        "bin/busybox",
        0o755,
        fs::read(busybox(board.debian)?)?,
        "the guest's programs",
    )?;
    let index = initramfs::modules::Index::open_dir(&kernel.modules, &kernel.release)?;
    let noted = board
        .noted
        .then_some(("qemu_fw_cfg", "brings VMCOREINFO to QEMU"));
    for (name, why) in noted.into_iter().chain(MODULES) {
        let module = index.module(name);
        let module = module.with_context(|| format!("The kernel has no {name}"))?;
        let module = initramfs::modules::read(&index, module)?;
        archive.file(&format!("{name}.ko"), 0o644, module, why)?;
    }
    if machine.fate == Fate::Fault {
        let module = crate::module::build(kernel, board.arch, "null-deref", dir)?;
        archive.file("last/acme.ko", 0o644, fs::read(module)?, "what dies")?;
    }
    let init = format!("{INIT}{}", script(machine.fate)).into_bytes();
    archive.file("init", 0o755, init, "what the guest does")?;
    Ok(archive.pack(Compression::None)?)
}

fn busybox(architecture: &str) -> Result<PathBuf> {
    let root = cache().join(format!("tools/busybox-{architecture}"));
    let program = root.join("usr/bin/busybox");
    if !program.exists() {
        let apt = Apt::of("trixie", Some(architecture))?;
        fs::create_dir_all(&root)?;
        for deb in apt.download(&["busybox-static".to_owned()])? {
            unpack(&deb, &root)?;
        }
    }
    Ok(program)
}

fn start(
    kernel: &KernelFiles,
    machine: &Machine,
    (initrd, disk): (&Path, &Path),
    socket: &Path,
) -> Result<Child> {
    let _ = fs::remove_file(socket);
    let board = machine.board;
    let mut command = Command::new(board.qemu);
    command
        .args(board.words)
        .args([
            "-accel",
            "tcg",
            "-smp",
            "2",
            "-m",
            "1G",
            "-cpu",
            machine.cpu,
        ])
        .args(["-display", "none", "-nodefaults", "-serial", "stdio"])
        .arg("-append")
        .arg(format!(
            "console={} rdinit=/init panic=0 oops=panic log_buf_len=4M {}",
            board.console, machine.cmdline
        ))
        .args(["-device", "virtio-blk,drive=disk", "-drive"])
        .arg(format!(
            "if=none,id=disk,format=raw,file={}",
            disk.display()
        ))
        .arg("-qmp")
        .arg(format!("unix:{},server,nowait", socket.display()))
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initrd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if board.noted {
        command.args(["-device", "vmcoreinfo"]);
    }
    spawn::spawn(&mut command).with_context(|| {
        format!(
            "Cannot run {}; it is in Debian's package {}",
            board.qemu, board.package
        )
    })
}

/// Until the kernel, or the guest's program, has said these words.
fn wait(qemu: &mut Child, words: &'static str, console: &Path) -> Result<()> {
    let output = qemu.stdout.take().context("QEMU has no output")?;
    let (tell, told) = std::sync::mpsc::channel();
    let console = File::create(console)?;
    std::thread::spawn(move || {
        let mut console = console;
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let _ = console
                .write_all(&line)
                .and_then(|()| console.write_all(b"\n"));
            if String::from_utf8_lossy(&line).contains(words) {
                let _ = tell.send(());
            }
        }
    });
    told.recv_timeout(DEADLINE)
        .with_context(|| format!("The console never said \"{words}\"; see console.txt"))?;
    std::thread::sleep(AFTERWARDS);
    Ok(())
}

/// Stops the machine and lets QEMU write its memory.
fn dump(socket: &Path, core: &Core) -> Result<()> {
    let mut control = Control::connect(socket)?;
    control.ask("qmp_capabilities", Value::Null)?;
    control.ask("stop", Value::Null)?;
    let mut write = |to: &Path, format: &str| {
        let to = to.to_str().context("The core's name is no text")?;
        let protocol = format!("file:{to}");
        control.ask(
            "dump-guest-memory",
            json!({ "paging": false, "protocol": protocol, "format": format }),
        )
    };
    write(&core.elf, "elf")?;
    write(&core.kdump, "kdump-zlib")
}

struct Control {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Control {
    fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("Cannot reach QEMU")?;
        let answers = BufReader::new(stream.try_clone()?);
        let mut control = Self { stream, answers };
        control.line()?;
        Ok(control)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "QEMU is gone");
        Ok(serde_json::from_str(&line)?)
    }

    fn ask(&mut self, command: &str, arguments: Value) -> Result<()> {
        let mut message = json!({ "execute": command });
        if let (false, Some(message)) = (arguments.is_null(), message.as_object_mut()) {
            message.insert("arguments".into(), arguments);
        }
        writeln!(self.stream, "{message}")?;
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            let answer = self.line()?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses {command}: {error}");
            }
            if answer.get("return").is_some() {
                return Ok(());
            }
        }
        bail!("QEMU does not answer {command}")
    }
}
