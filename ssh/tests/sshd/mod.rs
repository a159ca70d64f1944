//! OpenSSH's own server as a process of the test, on 127.0.0.1.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A server that runs, with a directory for its keys.
pub(crate) struct Sshd {
    dir: PathBuf,
    program: PathBuf,
    /// Where it listens.
    pub(crate) at: SocketAddr,
    child: Option<Child>,
}

/// An address that nobody has. Below the ports that the kernel gives to others (32768 and more), so that nobody gets it
/// before the server; each process has twenty of its own.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 500).unwrap() * 20 + 20_000;
    loop {
        let port = own + NEXT.fetch_add(1, Ordering::Relaxed) % 20;
        if let Ok(free) = TcpListener::bind(("127.0.0.1", port)) {
            return free.local_addr().unwrap();
        }
    }
}

impl Sshd {
    /// Starts a server whose host key is of the kind `host` (`ed25519`, `rsa`) and which lets a key of the
    /// kind `user` in. `None` where there is no sshd; the test says so.
    pub(crate) fn start(dir: &Path, host: &str, user: &str, more: &str) -> Option<Self> {
        let found = ["/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"];
        let Some(program) = found.into_iter().map(PathBuf::from).find(|p| p.exists()) else {
            let why = "there is no sshd here (Debian's package openssh-server)";
            assert!(std::env::var_os("AFTERPANIC_NO_SKIP").is_none(), "{why}");
            eprintln!("not tested: {why}");
            return None;
        };
        make_key(&dir.join("host"), host, "");
        make_key(&dir.join("user"), user, "");
        // Its own check at the start, where it runs as root.
        if nix::unistd::geteuid().is_root() {
            let _ = fs::create_dir_all("/run/sshd");
        }
        let at = free_address();
        let text = format!(
            "ListenAddress {at}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\n\
             StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n\
             PasswordAuthentication no\nSubsystem sftp internal-sftp\n{more}\n",
            dir = dir.display()
        );
        fs::write(dir.join("config"), text).unwrap();
        let mut server = Self {
            dir: dir.to_owned(),
            program,
            at,
            child: None,
        };
        server.run();
        Some(server)
    }

    /// Starts it again, at the same place.
    pub(crate) fn run(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .unwrap();
        let child = Command::new(&self.program)
            .args(["-D", "-e", "-f"])
            .arg(self.dir.join("config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.at).is_err() {
            assert!(
                Instant::now() < until,
                "sshd does not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the server and every session of it.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let parent = i32::try_from(child.id()).unwrap();
        let mut all = vec![parent];
        let mut at = 0;
        while let Some(pid) = all.get(at).copied() {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let text = fs::read_to_string(path).unwrap_or_default();
            all.extend(
                text.split_whitespace()
                    .map(|pid| pid.parse::<i32>().unwrap()),
            );
            at += 1;
        }
        for pid in all {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        child.wait().unwrap();
    }

    /// The server's log up to now.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// The private key that it lets in.
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.join("user")
    }

    /// Its host key, as ssh-keygen wrote it.
    pub(crate) fn host_key(&self) -> String {
        fs::read_to_string(self.dir.join("host.pub")).unwrap()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The account of this process.
pub(crate) fn user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.unwrap().unwrap().name
}

/// Makes a key pair with ssh-keygen.
pub(crate) fn make_key(path: &Path, kind: &str, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success(), "ssh-keygen -t {kind}");
}
