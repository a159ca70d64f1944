//! PID 1 of the crashed kernel: follows the script, one console line a step.
//!
//! Source of the facts: Documentation/admin-guide/initrd and init(8): PID 1 may not end, nothing is
//! mounted, /dev/console is standard output when the initramfs has that node.

use super::{
    Boot, End, HANDED_OUT, Mount, PANICS_NOW, RESERVED, SAYS, SCRIPT, SERVES, Script, Which, nfsd,
};
use crate::export;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use plan::superblock::probe;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a disk may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// A step of the script that failed.
#[derive(Debug, thiserror::Error)]
#[error("Cannot {what}")]
pub struct GuestError {
    what: String,
    #[source]
    source: io::Error,
}

fn cannot<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> GuestError {
    let what = what.into();
    move |source| GuestError {
        what,
        source: source.into(),
    }
}

/// Says a line on the console, and waits until the serial port has sent it.
pub fn say(text: impl std::fmt::Display) {
    // PID 1 must not die of a closed console, so not `println!`.
    let mut out = io::stdout();
    let _ = writeln!(out, "{SAYS}{text}");
    let _ = out.flush();
    // The serial port sends from a buffer, which a panic would swallow.
    let _ = nix::sys::termios::tcdrain(out);
}

/// Whether this is PID 1 of a rehearsal's guest.
#[must_use]
pub fn is_pid1() -> bool {
    std::process::id() == 1 && Path::new(SCRIPT).exists()
}

/// Follows the script and powers the machine off. Only for PID 1, see [`is_pid1`].
pub fn main() -> ! {
    if let Err(error) = follow() {
        say(format_args!("failed: {error}: {}", error.source));
    }
    off()
}

fn off() -> ! {
    nix::unistd::sync();
    let _ = reboot(RebootMode::RB_POWER_OFF);
    // Without ACPI power-off: the host's deadline ends the run.
    loop {
        sleep(PATIENCE);
    }
}

fn follow() -> Result<(), GuestError> {
    for (fs, at) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/run"),
    ] {
        mount_fs(fs, fs, Path::new(at), false)?;
    }
    for (fs, at) in [
        ("pstore", "/sys/fs/pstore"),
        ("securityfs", "/sys/kernel/security"),
        ("configfs", "/sys/kernel/config"),
    ] {
        if Path::new(at).is_dir() {
            mount_fs(fs, fs, Path::new(at), false)?;
        }
    }
    let text = fs::read_to_string(SCRIPT).map_err(cannot(format!("read {SCRIPT}")))?;
    let script: Script = serde_json::from_str(&text).map_err(cannot(format!("parse {SCRIPT}")))?;
    nix::unistd::sethostname(&script.hostname).map_err(cannot("set the host name"))?;
    let uname = nix::sys::utsname::uname().map_err(cannot("read uname"))?;
    say(format_args!("is up: {}", uname.release().display()));
    if let Some(bytes) = loader::probe::crash_size(Path::new("/")) {
        say(format_args!("{RESERVED}{bytes}"));
    }
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    for path in &script.modules {
        load_module(path, &parameters(path, &cmdline))?;
    }
    for step in &script.before {
        run(&step.command, &step.ok)?;
    }
    for what in &script.mounts {
        let device = match &what.disk {
            Which::Serial(serial) => disk(serial)?,
            Which::Uuid(uuid) => filesystem(uuid)?,
        };
        mount_disk(&device, what)?;
    }
    for folder in &script.folders {
        let made = fs::create_dir_all(&folder.path);
        made.and_then(|()| std::os::unix::fs::chown(&folder.path, Some(folder.owner), None))
            .map_err(cannot(format!("make {}", folder.path.display())))?;
    }
    if let Some(boot) = later_boot(&script)? {
        for step in &boot.run {
            run(&step.command, &step.ok)?;
        }
        return end(&boot.end);
    }
    for step in &script.run {
        run(&step.command, &step.ok)?;
    }
    end(&script.end)
}

fn end(end: &End) -> Result<(), GuestError> {
    match end {
        End::Panic => panic(),
        End::Become(command) => Err(become_program(command)),
        End::HandOut { dir, serial } => hand_out(dir, serial),
        End::Serve { export, to } => serve(export, to),
        End::PowerOff => Ok(()),
    }
}

/// Serves until the power is taken away.
fn serve(export: &Path, to: &[String]) -> Result<(), GuestError> {
    if !to.is_empty() {
        mount_fs("nfsd", "nfsd", Path::new(nfsd::CONTROL), false)?;
        nfsd::export(export, to)
            .map_err(|(path, error)| cannot(format!("write to {path}"))(error))?;
    }
    say(SERVES);
    loop {
        // Daemons leave children behind.
        if nix::sys::wait::wait().is_err() {
            sleep(PATIENCE);
        }
    }
}

/// Panics. Returns only when the kernel did not.
///
/// Source of the facts: Documentation/admin-guide/sysrq.rst, 5.10 to 7.x.
fn panic() -> Result<(), GuestError> {
    say(PANICS_NOW);
    for (path, value) in [
        ("/proc/sys/kernel/sysrq", "1"),
        ("/proc/sysrq-trigger", "c"),
    ] {
        fs::write(path, value).map_err(cannot(format!("write {value} to {path}")))?;
    }
    sleep(PATIENCE);
    let source = io::Error::from(io::ErrorKind::TimedOut);
    Err(cannot("panic by sysrq")(source))
}

/// Replaces PID 1; returns only when that failed.
fn become_program(command: &[String]) -> GuestError {
    let what = format!("become {}", command.join(" "));
    let Some((program, arguments)) = command.split_first() else {
        return cannot(what)(io::Error::from(io::ErrorKind::InvalidInput));
    };
    cannot(what)(Command::new(program).args(arguments).exec())
}

/// Which boot of the machine this is: none for the first. Counts it.
fn later_boot(script: &Script) -> Result<Option<&Boot>, GuestError> {
    let Some(disk) = script.mounts.first().filter(|_| !script.later.is_empty()) else {
        return Ok(None);
    };
    // What the machine knows of itself outlives the boot, as on a disk of its own.
    let kept = disk.at.join(".lib");
    fs::create_dir_all(&kept).map_err(cannot("make a place for what is kept"))?;
    mount(
        Some(&kept),
        "/var/lib/afterpanic",
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .map_err(cannot("bind /var/lib/afterpanic"))?;
    let counter = disk.at.join(".boots");
    let count: usize = fs::read_to_string(&counter)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    fs::write(&counter, count.saturating_add(1).to_string()).map_err(cannot("count the boots"))?;
    nix::unistd::sync();
    say(format_args!("this is boot {}", count.saturating_add(1)));
    match count.checked_sub(1) {
        None => Ok(None),
        Some(n) => match script.later.get(n) {
            Some(boot) => Ok(Some(boot)),
            None => Err(cannot("go on")(io::Error::other(format!(
                "the script ends after {} boots",
                script.later.len()
            )))),
        },
    }
}

fn mount_fs(source: &str, fs: &str, at: &Path, read_only: bool) -> Result<(), GuestError> {
    let what = format!("mount {source} ({fs}) on {}", at.display());
    fs::create_dir_all(at).map_err(cannot(what.clone()))?;
    let flags = if read_only {
        MsFlags::MS_RDONLY
    } else {
        MsFlags::empty()
    };
    match mount(Some(source), at, Some(fs), flags, None::<&str>) {
        // CONFIG_DEVTMPFS_MOUNT has done it already.
        Ok(()) | Err(nix::Error::EBUSY) => Ok(()),
        Err(error) => Err(cannot(what)(error)),
    }
}

fn mount_disk(device: &Path, what: &Mount) -> Result<(), GuestError> {
    mount_fs(
        &device.display().to_string(),
        &what.fs,
        &what.at,
        what.read_only,
    )?;
    say(format_args!(
        "mounted {} ({}) on {}",
        device.display(),
        what.fs,
        what.at.display()
    ));
    Ok(())
}

/// What the kernel's command line says for a module, as modprobe(8) would give it.
fn parameters(module: &Path, cmdline: &str) -> String {
    let file = module.file_name().unwrap_or_default().to_string_lossy();
    let name = file.split('.').next().unwrap_or_default().replace('-', "_");
    let found = cmdline.split_whitespace().filter_map(|word| {
        let (prefix, rest) = word.split_once('.')?;
        (prefix.replace('-', "_") == name).then_some(rest)
    });
    found.collect::<Vec<_>>().join(" ")
}

fn load_module(path: &Path, parameters: &str) -> Result<(), GuestError> {
    let what = format!("load module {}", path.display());
    let bytes = fs::read(path).map_err(cannot(what.clone()))?;
    let bytes = initramfs::modules::decompress(path, bytes)
        .map_err(|e| cannot(what.clone())(io::Error::other(e.to_string())))?;
    let parameters = std::ffi::CString::new(parameters)
        .map_err(|_| cannot(what.clone())(io::Error::from(io::ErrorKind::InvalidInput)))?;
    match nix::kmod::init_module(&bytes, &parameters) {
        Ok(()) | Err(nix::Error::EEXIST) => Ok(()),
        Err(error) => Err(cannot(what)(error)),
    }
}

/// The device node of the virtio disk with this serial number, waiting until there is one.
///
/// # Errors
/// None comes within a minute.
pub fn disk(serial: &str) -> Result<PathBuf, GuestError> {
    find(&format!("the disk with serial {serial}"), &|sys, _| {
        let found = fs::read_to_string(sys.join("serial")).unwrap_or_default();
        found.trim_end() == serial
    })
}

/// The device node that holds this filesystem and is part of nothing.
fn filesystem(uuid: &str) -> Result<PathBuf, GuestError> {
    find(&format!("the filesystem {uuid}"), &|sys, node| {
        let size = fs::read_to_string(sys.join("size")).unwrap_or_default();
        let sectors = size.trim_end().parse().unwrap_or(0);
        let held =
            fs::read_dir(sys.join("holders")).is_ok_and(|mut holders| holders.next().is_some());
        if held {
            return false;
        }
        probe(node, sectors)
            .is_ok_and(|found| found.member.is_none() && found.uuid.eq_ignore_ascii_case(uuid))
    })
}

/// The node of the first block device that is it.
fn find(what: &str, is_it: &dyn Fn(&Path, &Path) -> bool) -> Result<PathBuf, GuestError> {
    let start = Instant::now();
    loop {
        for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let node = Path::new("/dev").join(entry.file_name());
            if node.exists() && is_it(&entry.path(), &node) {
                return Ok(node);
            }
        }
        if start.elapsed() > PATIENCE {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(cannot(format!("find {what}"))(source));
        }
        sleep(Duration::from_millis(20));
    }
}

/// Runs a command and says how it ended and how long it took. `ok` are the exit statuses that are no error.
///
/// # Errors
/// It cannot be run, or ends in another way.
pub fn run(command: &[String], ok: &[i32]) -> Result<(), GuestError> {
    let shown = command.join(" ");
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let start = Instant::now();
    // Outside every target: a shell would have set these.
    let status = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/bin:/usr/sbin:/bin:/sbin")
        .env("HOME", "/")
        .stdin(Stdio::null())
        .status()
        .map_err(cannot(format!("run {shown}")))?;
    say(format_args!(
        "{shown}: {status}, {} ms",
        start.elapsed().as_millis()
    ));
    if status.code().is_some_and(|code| ok.contains(&code)) {
        return Ok(());
    }
    Err(cannot(format!("go on after {shown}"))(io::Error::other(
        status.to_string(),
    )))
}

fn hand_out(dir: &Path, serial: &str) -> Result<(), GuestError> {
    let device = disk(serial)?;
    let what = format!("hand out {}", dir.display());
    export::write(dir, &device).map_err(cannot(what))?;
    say(HANDED_OUT);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_gets_its_words_of_the_command_line() {
        let line = "console=ttyS0 ramoops.mem_address=0x30000000 virtio-blk.x=1 ramoops.ecc=1\n";
        let of = |path: &str| parameters(Path::new(path), line);
        assert_eq!(
            of("/lib/modules/6.12/kernel/fs/pstore/ramoops.ko.xz"),
            "mem_address=0x30000000 ecc=1"
        );
        assert_eq!(of("/a/virtio_blk.ko"), "x=1");
        assert_eq!(of("/a/console.ko"), "");
    }
}
