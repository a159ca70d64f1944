//! A child of PID 1: one job, and a pipe for its events.
//!
//! A job with a memory limit runs in a new process of this binary, with the order on standard input: a
//! fresh heap to be limited. The others run in forks of PID 1, which start in a tenth of the time.

use crate::protocol::{CHILD, Order};
use crate::sys;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

/// glibc copies and clears large blocks with `rep movsb` and `rep stosb`. Processors are as fast
/// without, and an emulated one goes byte by byte.
const COPYING: &str = "glibc.cpu.x86_rep_movsb_threshold=0x40000000:\
                       glibc.cpu.x86_rep_stosb_threshold=0x40000000";

/// Does the job of an order in a process that has nothing else to do; answers the exit code.
pub(super) type Follow = fn(&Order) -> u8;

/// A running child.
pub(super) struct Child {
    pub pid: Pid,
    pub pipe: PipeReader,
    /// The line that has not ended yet.
    pub line: Vec<u8>,
    /// Whether its end of the pipe is open.
    pub open: bool,
}

impl Child {
    /// Forks a child that does a job.
    ///
    /// # Errors
    /// What the system said; [`io::ErrorKind::ResourceBusy`] where this process has threads.
    pub(super) fn forked(order: &Order, follow: Follow) -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        let pid = sys::fork(None, writer.as_fd(), || {
            // PID 1 blocks its signals and reads them from a file.
            let _ = SigSet::empty().thread_set_mask();
            let code = follow(order);
            let _ = io::stdout().flush();
            code
        })?;
        Ok(Self::new(pid, reader))
    }

    /// Starts a new process of this binary that does a job.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn started(program: &Path, order: &Order) -> io::Result<Self> {
        let mut input = File::from(memfd_create(c"order", MFdFlags::MFD_CLOEXEC)?);
        input.write_all(&serde_json::to_vec(order)?)?;
        input.rewind()?;
        let (reader, writer) = pipe()?;
        let child = Command::new(program)
            .env_clear()
            .env(CHILD, "1")
            .env("MALLOC_ARENA_MAX", "1")
            // A batch has 256 KiB: as mappings of their own its buffers would be made and torn down
            // for every frame (seen: a quarter of the worker's time with lz4).
            .env("MALLOC_TRIM_THRESHOLD_", "1048576")
            .env("MALLOC_MMAP_THRESHOLD_", "4194304")
            .env("GLIBC_TUNABLES", COPYING)
            .current_dir("/")
            .stdin(Stdio::from(input))
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()?;
        let pid =
            i32::try_from(child.id()).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
        Ok(Self::new(pid, reader))
    }

    fn new(pid: i32, pipe: PipeReader) -> Self {
        Self {
            pid: Pid::from_raw(pid),
            pipe,
            line: Vec::new(),
            open: true,
        }
    }
}

/// A pipe that is read without waiting.
fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    do_not_wait(&reader)?;
    Ok((reader, writer))
}

/// Reading from or writing to this file never waits from now on.
pub(super) fn do_not_wait(file: impl AsFd) -> io::Result<()> {
    let flags = fcntl(file.as_fd(), FcntlArg::F_GETFL)?;
    let flags = OFlag::from_bits_truncate(flags) | OFlag::O_NONBLOCK;
    fcntl(file.as_fd(), FcntlArg::F_SETFL(flags))?;
    Ok(())
}
