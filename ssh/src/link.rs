//! One SSH connection with one SFTP channel: bytes in, bytes out, each wait with a deadline.
//!
//! The protocol is the crate `sunset`'s, which does no input or output of its own. One thread and one
//! socket; nothing is kept per byte sent. The server's requests for a sign of life and for new keys are
//! answered whenever something is sent or awaited.

use crate::{HostKey, PrivateKey, SshError};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use sunset::{ChanData, ChanHandle, CliEvent, Client, Event, Runner};

/// Bytes read from the socket at once.
const WIRE: usize = 32 << 10;

/// Answers that wait to be looked at, in bytes. More is not taken from the server.
const MOST_RECEIVED: usize = 512 << 10;

/// However slowly a server answers, one answer takes no longer than this many times the patience.
const MOST_PATIENCE: u32 = 20;

/// Who logs in, and where that is right.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account.
    pub user: String,
    /// Its key.
    pub key: PrivateKey,
    /// The host keys that the server may have.
    pub hosts: Vec<HostKey>,
}

/// A connection with an open SFTP channel.
pub(crate) struct Link {
    to: SocketAddr,
    socket: TcpStream,
    runner: Runner<'static, Client>,
    channel: Option<ChanHandle>,
    stage: Stage,
    /// What the socket gave and the runner did not take yet.
    wire: Vec<u8>,
    taken: usize,
    filled: usize,
    received: VecDeque<u8>,
    patience: Duration,
    /// When bytes went over the socket last.
    moved: Instant,
}

/// How far the connection is.
enum Stage {
    /// Only the host key is asked for.
    Scanning(Option<HostKey>),
    /// Host key, login, channel.
    Opening {
        login: Box<Login>,
        offered: bool,
        authenticated: bool,
    },
    /// Bytes of the channel go both ways. New keys are agreed on with the same host key only.
    Open { hosts: Vec<HostKey> },
}

/// The host key of a server, before anybody trusts it.
///
/// # Errors
/// The server cannot be reached, or speaks no SSH that is spoken here.
pub fn scan(to: SocketAddr, patience: Duration) -> Result<HostKey, SshError> {
    let mut link = Link::dial(to, patience, Stage::Scanning(None))?;
    let begun = Instant::now();
    loop {
        let moved = link.turn();
        if let Stage::Scanning(Some(key)) = &link.stage {
            return Ok(key.clone());
        }
        if !moved? {
            link.pause(begun)?;
        }
    }
}

impl Link {
    /// Connects, checks the host key, logs in and opens the SFTP subsystem.
    ///
    /// # Errors
    /// What failed first.
    pub(crate) fn open(
        to: SocketAddr,
        login: &Login,
        patience: Duration,
    ) -> Result<Self, SshError> {
        let stage = Stage::Opening {
            login: Box::new(login.clone()),
            offered: false,
            authenticated: false,
        };
        let mut link = Self::dial(to, patience, stage)?;
        let begun = Instant::now();
        while !matches!(link.stage, Stage::Open { .. }) {
            if !link.turn()? {
                link.pause(begun)?;
            }
        }
        Ok(link)
    }

    fn dial(to: SocketAddr, patience: Duration, stage: Stage) -> Result<Self, SshError> {
        let failed = |source| SshError::Connect { to, source };
        let socket = TcpStream::connect_timeout(&to, patience).map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            to,
            socket,
            runner: Runner::new_client_owned(),
            channel: None,
            stage,
            wire: vec![0; WIRE],
            taken: 0,
            filled: 0,
            received: VecDeque::new(),
            patience,
            moved: Instant::now(),
        })
    }

    /// Sends bytes on the channel.
    ///
    /// # Errors
    /// The connection ended, or takes nothing for too long.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> Result<(), SshError> {
        let begun = Instant::now();
        while !bytes.is_empty() {
            let channel = self.channel.as_ref();
            let channel = channel.ok_or(SshError::Closed { to: self.to })?;
            let sent = self
                .runner
                .write_channel(channel, ChanData::Normal, bytes)
                .map_err(|source| self.said(source))?;
            bytes = bytes.get(sent..).unwrap_or_default();
            if !self.turn()? && sent == 0 {
                self.pause(begun)?;
            }
        }
        Ok(())
    }

    /// The next `count` bytes of the channel.
    ///
    /// # Errors
    /// The connection ended, or nothing comes for too long.
    pub(crate) fn receive(&mut self, count: usize) -> Result<Vec<u8>, SshError> {
        let begun = Instant::now();
        while self.received.len() < count {
            if !self.turn()? {
                self.pause(begun)?;
            }
        }
        Ok(self.received.drain(..count).collect())
    }

    /// Whether an answer has begun to arrive. Waits for nothing.
    ///
    /// # Errors
    /// The connection ended.
    pub(crate) fn has_received(&mut self) -> Result<bool, SshError> {
        while self.turn()? {}
        Ok(!self.received.is_empty())
    }

    /// Does what can be done without waiting; whether that was anything. What came is worked off before
    /// this answers: a packet can open the window for a write and show no event.
    fn turn(&mut self) -> Result<bool, SshError> {
        let mut moved = self.take_in()?;
        while self.advance()? {
            moved = true;
        }
        moved |= self.take_data()?;
        loop {
            let out = self.runner.output_buf();
            if out.is_empty() {
                break;
            }
            match self.socket.write(out) {
                Ok(n) => {
                    self.runner.consume_output(n);
                    (moved, self.moved) = (true, Instant::now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(SshError::Broken {
                        to: self.to,
                        source,
                    });
                }
            }
        }
        Ok(moved)
    }

    /// Gives the protocol what the socket has; whether it took anything.
    fn take_in(&mut self) -> Result<bool, SshError> {
        if self.taken == self.filled && self.runner.is_input_ready() {
            match self.socket.read(&mut self.wire) {
                Ok(0) => return Err(SshError::Closed { to: self.to }),
                Ok(n) => {
                    (self.taken, self.filled) = (0, n);
                    self.moved = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(SshError::Broken {
                        to: self.to,
                        source,
                    });
                }
            }
        }
        let bytes = self.wire.get(self.taken..self.filled).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(false);
        }
        let taken = self.runner.input(bytes);
        let taken = taken.map_err(|source| self.said(source))?;
        self.taken = self.taken.saturating_add(taken);
        Ok(taken > 0)
    }

    /// Lets the protocol go one step further; whether it did.
    fn advance(&mut self) -> Result<bool, SshError> {
        let to = self.to;
        let said = |source| SshError::Transport { to, source };
        let event = match self.runner.progress() {
            Ok(Event::None) => return Ok(false),
            Ok(Event::Progressed) => return Ok(true),
            Ok(Event::Cli(event)) => event,
            Ok(Event::Serv(_)) => return Err(SshError::Closed { to }),
            Err(sunset::Error::NoAuthMethods) => return Err(refused(to, &self.stage)),
            Err(source) => return Err(said(source)),
        };
        match event {
            CliEvent::Hostkey(check) => {
                let key = HostKey::of(&check.hostkey().map_err(said)?)?;
                if !key.is_known() {
                    return Err(SshError::HostKind { to });
                }
                let hosts = match &mut self.stage {
                    Stage::Scanning(found) => {
                        *found = Some(key);
                        return Err(SshError::Closed { to });
                    }
                    Stage::Opening { login, .. } => &login.hosts,
                    Stage::Open { hosts } => &*hosts,
                };
                if !hosts.contains(&key) {
                    let found = Box::new(key);
                    return Err(SshError::HostKey { to, found });
                }
                check.accept().map_err(said)?;
            }
            CliEvent::Username(ask) => {
                if let Stage::Opening { login, .. } = &self.stage {
                    ask.username(&login.user).map_err(said)?;
                }
            }
            CliEvent::Pubkey(ask) => match &mut self.stage {
                Stage::Opening { login, offered, .. } if !*offered => {
                    *offered = true;
                    ask.pubkey(login.key.signing()).map_err(said)?;
                }
                stage => return Err(refused(to, stage)),
            },
            CliEvent::Password(_) | CliEvent::AgentSign(_) => return Err(refused(to, &self.stage)),
            CliEvent::Authenticated => {
                if let Stage::Opening { authenticated, .. } = &mut self.stage {
                    *authenticated = true;
                }
            }
            CliEvent::SessionOpened(mut session) => {
                session.subsystem("sftp").map_err(said)?;
                if let Stage::Opening { login, .. } = &mut self.stage {
                    let hosts = std::mem::take(&mut login.hosts);
                    self.stage = Stage::Open { hosts };
                }
            }
            CliEvent::SessionExit(_) | CliEvent::Defunct => return Err(SshError::Closed { to }),
            CliEvent::Banner(_) | CliEvent::PollAgain => {}
        }
        if let Stage::Opening { authenticated, .. } = &mut self.stage
            && std::mem::take(authenticated)
        {
            let channel = self.runner.open_client_session();
            self.channel = Some(channel.map_err(said)?);
        }
        Ok(true)
    }

    /// Takes in what the channel has; whether there was anything.
    fn take_data(&mut self) -> Result<bool, SshError> {
        let Some(channel) = &self.channel else {
            return Ok(false);
        };
        let mut moved = false;
        let mut bytes = [0; 4096];
        while let Some((_, kind, _)) = self.runner.read_channel_ready() {
            let read = match kind {
                // Words of the server's shell, for people.
                ChanData::Stderr => self.runner.discard_read_channel(channel).map(|()| 0),
                ChanData::Normal if self.received.len() >= MOST_RECEIVED => break,
                ChanData::Normal => self.runner.read_channel(channel, kind, &mut bytes),
            };
            let read = match read {
                Ok(read) => read,
                Err(sunset::Error::ChannelEOF) => break,
                Err(source) => return Err(self.said(source)),
            };
            self.received.extend(bytes.get(..read).unwrap_or_default());
            moved = true;
        }
        if !moved && self.runner.is_channel_eof(channel) {
            return Err(SshError::Closed { to: self.to });
        }
        Ok(moved)
    }

    /// Waits for the socket, as long as the patience for this answer lasts.
    fn pause(&self, begun: Instant) -> Result<(), SshError> {
        let since = begun.max(self.moved);
        let left = self.patience.saturating_sub(since.elapsed());
        let most = self.patience.saturating_mul(MOST_PATIENCE);
        if left.is_zero() || begun.elapsed() > most {
            return Err(SshError::Silent {
                to: self.to,
                seconds: begun.elapsed().as_secs(),
            });
        }
        let mut flags = PollFlags::POLLIN;
        if self.runner.is_output_pending() {
            flags |= PollFlags::POLLOUT;
        }
        let timeout = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
        let mut fds = [PollFd::new(self.socket.as_fd(), flags)];
        // Interrupted, or something happened: the caller looks.
        let _ = poll(&mut fds, PollTimeout::from(timeout));
        Ok(())
    }

    fn said(&self, source: sunset::Error) -> SshError {
        match source {
            sunset::Error::ChannelEOF | sunset::Error::SessionEOF => {
                SshError::Closed { to: self.to }
            }
            source => SshError::Transport {
                to: self.to,
                source,
            },
        }
    }
}

fn refused(to: SocketAddr, stage: &Stage) -> SshError {
    let user = match stage {
        Stage::Opening { login, .. } => login.user.clone(),
        _ => String::new(),
    };
    SshError::Login { to, user }
}
