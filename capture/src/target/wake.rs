//! Waiting until something about the devices is new: one came or changed (the kernel's own events), or
//! a thread that looks at one has its answer.
//!
//! Facts: lib/kobject_uevent.c: the kernel multicasts events to group 1 of NETLINK_KOBJECT_UEVENT; a
//! node in devtmpfs is there before its event (drivers/base/core.c, device_add).

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The kernel's group of listeners.
const KERNEL: u32 = 1;

/// What ends the wait.
#[derive(Debug)]
pub(super) struct Wake {
    /// `None` where the kernel's events are not available, or before the first wait: then only time passes.
    events: Option<OwnedFd>,
    asked: bool,
    answers: Option<PipeReader>,
    waker: Waker,
}

/// Ends the wait from a thread.
#[derive(Debug, Clone)]
pub(super) struct Waker(Option<Arc<PipeWriter>>);

impl Waker {
    /// Ends it.
    pub(super) fn wake(&self) {
        if let Some(mut pipe) = self.0.as_deref() {
            // A full pipe wakes as well.
            let _ = pipe.write(&[0]);
        }
    }
}

impl Wake {
    /// For answers; the kernel's events come in with the first wait for them.
    pub(super) fn new() -> Self {
        let (answers, waker) = match pipe() {
            Ok((reader, writer)) => (Some(reader), Some(Arc::new(writer))),
            Err(_) => (None, None),
        };
        Self {
            events: None,
            asked: false,
            answers,
            waker: Waker(waker),
        }
    }

    /// For a thread.
    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits until something is new, `most` at most; for the kernel's `events`, too, if they are wanted.
    /// Events before the first such wait are not seen.
    pub(super) fn wait(&mut self, most: Duration, events: bool) {
        if events && !self.asked {
            self.asked = true;
            self.events = listen().ok();
            // An event may have come before we listened.
            return;
        }
        let mut fds = Vec::new();
        if let Some(events) = &self.events {
            fds.push(PollFd::new(events.as_fd(), PollFlags::POLLIN));
        }
        if let Some(answers) = &self.answers {
            fds.push(PollFd::new(answers.as_fd(), PollFlags::POLLIN));
        }
        let most_ms = u16::try_from(most.as_millis()).unwrap_or(u16::MAX);
        match poll(&mut fds, PollTimeout::from(most_ms)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => thread::sleep(most),
        }
        // What they say does not matter: the devices are looked at anew.
        let mut waste = [0; 4096];
        if let Some(events) = &self.events {
            while recv(events.as_raw_fd(), &mut waste, MsgFlags::empty()).is_ok() {}
        }
        if let Some(answers) = &mut self.answers {
            while answers
                .read(&mut waste)
                .is_ok_and(|read| read == waste.len())
            {}
        }
    }
}

fn listen() -> nix::Result<OwnedFd> {
    let events = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkKObjectUEvent,
    )?;
    bind(events.as_raw_fd(), &NetlinkAddr::new(0, KERNEL))?;
    Ok(events)
}

/// A pipe without a reader.
fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    for end in [reader.as_fd(), writer.as_fd()] {
        let flags = OFlag::from_bits_truncate(fcntl(end, FcntlArg::F_GETFL)?);
        fcntl(end, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    }
    Ok((reader, writer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn an_answer_ends_the_wait_and_silence_does_not() {
        let mut wake = Wake::new();
        let waker = wake.waker();
        let begun = Instant::now();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            waker.wake();
            waker.wake();
        });
        wake.wait(Duration::from_secs(20), false);
        assert!(begun.elapsed() < Duration::from_secs(10));
        thread.join().unwrap();
        wake.wait(Duration::ZERO, false);
        let begun = Instant::now();
        wake.wait(Duration::from_millis(60), false);
        assert!(begun.elapsed() >= Duration::from_millis(60));
    }
}
