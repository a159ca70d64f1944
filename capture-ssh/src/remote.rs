//! A directory on a server, mounted here: a process of its own answers the kernel's FUSE requests over
//! SFTP.
//!
//! So every step writes by the same calls as on a local disk, and a step that waits for the server can be
//! killed like any other. When the process ends, for whatever reason, every call below the mount point
//! fails at once (fs/fuse/dev.c, `fuse_abort_conn`, Linux 5.10 to 7.2).

mod bridge;
mod nodes;
mod state;

use crate::protocol;
use crate::screen::Screen;
use bridge::Bridge;
use fuser::{MountOption, Session};
use plan::{Ssh, Way};
use serde::{Deserialize, Serialize};
use ssh::{Login, PrivateKey, Server, Sftp};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Set in the environment of the process that holds the connection.
const SERVE: &str = "AFTERPANIC_REMOTE";

/// What that process writes when the directory is mounted; anything else is why not.
const READY: &str = "ready";

/// How long nothing may come from the server while an answer is due.
const PATIENCE: Duration = Duration::from_secs(20);

/// Seconds that a connection that broke is tried again. A server that restarts needs some.
const PERSIST: u64 = 40;

/// What the process is told, as JSON on standard input.
#[derive(Serialize, Deserialize)]
struct Order {
    ssh: Ssh,
    /// The server's addresses to which there is a way.
    addresses: Vec<IpAddr>,
    point: String,
    /// Whether this is a capture kernel.
    init: bool,
    /// Seconds that a connection that broke is tried again.
    persist_s: u64,
}

/// Whether this process is to hold a connection.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os(SERVE).is_some()
}

/// Brings up the ways to the server by `bring_up` and mounts its directory.
///
/// # Errors
/// Why not, in one sentence.
pub(crate) fn mount(
    ssh: &Ssh,
    point: &Path,
    bring_up: &dyn Fn(&Way) -> Result<(), String>,
) -> Result<(), String> {
    let mut addresses = Vec::new();
    let mut why = "the server has no address".to_owned();
    for way in &ssh.ways {
        match bring_up(way) {
            Ok(()) => addresses.push(way.server),
            Err(error) => {
                protocol::log(error.clone());
                why = error;
            }
        }
    }
    if addresses.is_empty() {
        return Err(why);
    }
    let order = Order {
        ssh: ssh.clone(),
        addresses,
        point: point.to_string_lossy().into_owned(),
        init: std::os::unix::process::parent_id() == 1,
        persist_s: PERSIST,
    };
    let begun = Instant::now();
    let answer = start(&order).map_err(|error| format!("Cannot start the SSH client: {error}"))?;
    match answer.trim() {
        READY => {
            let took = begun.elapsed().as_millis();
            protocol::log(format!("{ssh}: mounted by SFTP in {took} ms"));
            Ok(())
        }
        "" => Err(format!("{ssh}: the SSH client ended without a word")),
        why => Err(format!("{ssh}: {why}")),
    }
}

/// Starts the process; its answer.
fn start(order: &Order) -> io::Result<String> {
    fs::create_dir_all(&order.point)?;
    let mut child = Command::new("/proc/self/exe")
        .env_clear()
        .env(SERVE, "1")
        .env("MALLOC_ARENA_MAX", "1")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&serde_json::to_vec(order)?)?;
    }
    let mut answer = Vec::new();
    // It keeps the pipe open: a line is all.
    let mut byte = [0];
    let mut output = child.stdout.take();
    while let Some(output) = &mut output
        && output.read(&mut byte)? == 1
        && byte != *b"\n"
    {
        answer.extend(byte);
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Holds a connection until the mount point is unmounted.
pub(crate) fn serve() -> ExitCode {
    let mut text = Vec::new();
    let order = io::stdin().lock().read_to_end(&mut text);
    let order = order.and_then(|_| Ok(serde_json::from_slice::<Order>(&text)?));
    let order = match order {
        Ok(order) => order,
        Err(error) => return refuse(&format!("cannot read the order: {error}")),
    };
    // The worker of a step is killed before this process is, and PID 1 last.
    let _ = fs::write("/proc/self/oom_score_adj", "500");
    match mounted(&order) {
        Ok(session) => {
            let _ = writeln!(io::stdout(), "{READY}");
            // Every error after this one shows in the steps.
            let _ = session.run();
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error.to_string()),
    }
}

fn refuse(why: &str) -> ExitCode {
    let _ = writeln!(io::stdout(), "{}", why.replace('\n', " "));
    ExitCode::FAILURE
}

fn mounted(order: &Order) -> io::Result<Session<Bridge>> {
    let ssh = &order.ssh;
    let key = PrivateKey::parse(&fs::read(&ssh.key)?)?;
    let hosts = ssh.host_keys.iter().map(|key| key.parse());
    let to = |address: &IpAddr| SocketAddr::new(*address, ssh.port);
    let sftp = Sftp::connect(Server {
        addresses: order.addresses.iter().map(to).collect(),
        login: Login {
            user: ssh.user.clone(),
            key,
            hosts: hosts.collect::<Result<_, _>>()?,
        },
        patience: PATIENCE,
        persist: Duration::from_secs(order.persist_s),
    })?;
    let screen = order.init.then(Screen::open);
    let bridge = Bridge::new(sftp, &ssh.path, screen)?;
    bridge.keep_alive()?;
    let mut config = fuser::Config::default();
    config.mount_options = vec![
        MountOption::FSName(ssh.to_string()),
        MountOption::NoAtime,
        MountOption::NoDev,
        MountOption::NoExec,
        MountOption::NoSuid,
    ];
    Session::new(bridge, Path::new(&order.point), &config)
}
