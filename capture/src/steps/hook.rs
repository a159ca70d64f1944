//! The operator's programs, and the rescue console.
//!
//! A hook runs in a process group of its own, which PID 1 kills when the hook is over: at its end or at
//! its deadline. Its output becomes lines of the log. Its memory is limited like the worker's.

use crate::protocol::{self, Event, say};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, setsid};
use plan::{Hook, Rescue};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

/// Where programs are looked for by a script.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Lines of a hook's output that go to the log.
const MOST_LINES: usize = 200;

/// The longest line of it, in bytes.
const LONGEST_LINE: u64 = 1024;

/// Runs a hook to its end.
pub(super) fn run(hook: &Hook, dir: Option<&str>, core: &str) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot run {}: {error}", hook.program);
    let (reader, writer) = io::pipe().map_err(failed)?;
    let mut command = Command::new(&hook.program);
    command
        .args(&hook.args)
        .env_clear()
        .env("PATH", PATH)
        .env("AFTERPANIC_WHEN", hook.when.name())
        .env("AFTERPANIC_CORE", core)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer);
    if let Some(dir) = dir {
        command.env("AFTERPANIC_DIR", dir);
    }
    let mut child = command.spawn().map_err(failed)?;
    // The command holds the writing end of the pipe.
    drop(command);
    let group = i32::try_from(child.id()).unwrap_or_default();
    say(&Event::Group(group));
    let lines = thread::Builder::new().spawn(move || relay(reader));
    let status = child.wait().map_err(failed)?;
    if group > 1 {
        // What it left running would keep the pipe open.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    if let Ok(lines) = lines {
        let _ = lines.join();
    }
    match ended(status) {
        None => Ok(()),
        Some(how) => Err(how),
    }
}

/// Makes lines of a program's output lines of the log.
fn relay(output: PipeReader) {
    let mut output = BufReader::new(output);
    let mut said = 0_usize;
    loop {
        let mut line = Vec::new();
        match output
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
        {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        }
        match said.cmp(&MOST_LINES) {
            std::cmp::Ordering::Less => {
                let line = String::from_utf8_lossy(&line);
                protocol::log(format!("hook: {}", line.trim_end()));
            }
            std::cmp::Ordering::Equal => protocol::log("hook: further lines are left out"),
            std::cmp::Ordering::Greater => continue,
        }
        said += 1;
    }
}

/// How a program ended, where that was not well.
fn ended(status: ExitStatus) -> Option<String> {
    match (status.success(), status.code(), status.signal()) {
        (true, ..) => None,
        (false, Some(code), _) => Some(format!("exit code {code}")),
        (false, None, Some(signal)) => Some(format!("ended by signal {signal}")),
        (false, None, None) => Some("it ended in an unknown way".to_owned()),
    }
}

/// Opens a shell on the console, until it exits.
pub(super) fn rescue(rescue: &Rescue) -> Result<(), String> {
    // A session of its own, so that the terminal becomes its controlling terminal.
    setsid().map_err(|error| format!("cannot begin a session: {error}"))?;
    say(&Event::Group(
        i32::try_from(std::process::id()).unwrap_or_default(),
    ));
    let name = terminal(Path::new("/sys/class/tty/console/active"));
    let path = Path::new("/dev").join(&name);
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| format!("cannot open {}: {error}", path.display()))
    };
    let (input, output, errors) = (open()?, open()?, open()?);
    let status = Command::new(&rescue.shell)
        .env_clear()
        .env("PATH", PATH)
        .env("TERM", "linux")
        .env("HOME", "/")
        .current_dir("/")
        .stdin(input)
        .stdout(output)
        .stderr(errors)
        .status()
        .map_err(|error| format!("cannot run {}: {error}", rescue.shell))?;
    protocol::log(match ended(status) {
        None => "rescue: the shell exited".to_owned(),
        Some(how) => format!("rescue: the shell ended: {how}"),
    });
    Ok(())
}

/// The terminal behind /dev/console: the last one that the kernel writes to (drivers/tty/tty_io.c,
/// `show_cons_active`, 5.10 to 7.2).
fn terminal(active: &Path) -> String {
    let names = fs::read_to_string(active).unwrap_or_default();
    let name = names
        .split_ascii_whitespace()
        .next_back()
        .unwrap_or("console");
    match name.contains('/') || name.starts_with('.') {
        true => "console".to_owned(),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_is_the_last_console() {
        let dir = tempfile::tempdir().unwrap();
        let active = dir.path().join("active");
        assert_eq!(terminal(&active), "console");
        for (text, name) in [
            ("tty0 ttyS0\n", "ttyS0"),
            ("", "console"),
            ("../x\n", "console"),
        ] {
            fs::write(&active, text).unwrap();
            assert_eq!(terminal(&active), name);
        }
    }
}
