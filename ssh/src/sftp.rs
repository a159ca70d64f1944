//! Files on a server: SFTP version 3 with OpenSSH's extensions, over one connection.
//!
//! Writes are sent ahead: some of them wait for the server's word. An error that comes late is
//! the answer to the next call on that file. When the connection breaks, another one is made, files are
//! opened again and what the server did not confirm is sent again, at the same place in the file.

mod files;
mod names;
mod revive;
mod wire;

pub use files::PIECE;

pub use wire::{Attributes, Room};

use crate::SshError;
use crate::link::{Link, Login};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use wire::{Answer, Request};

/// Where to connect to, and how long to wait.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its addresses, tried in this order.
    pub addresses: Vec<SocketAddr>,
    /// Who logs in.
    pub login: Login,
    /// How long nothing may come while an answer is due.
    pub patience: Duration,
    /// How long a connection that broke is tried again. Zero gives up at once.
    pub persist: Duration,
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// To read what is there.
    Read,
    /// To read and write what is there.
    Write,
    /// A new file, 0600, to read and write. It is an error if there is one.
    New,
}

/// An open file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct File(u32);

/// An open file's state.
struct Opened {
    path: String,
    how: How,
    /// The server's name for it.
    handle: Vec<u8>,
    /// The first write that failed, until somebody asks.
    failed: Option<SshError>,
    /// Whether it has no name any more: then it cannot be opened again.
    removed: bool,
}

/// A write that the server did not confirm yet.
struct Pending {
    number: u32,
    file: File,
    offset: u64,
    data: Vec<u8>,
}

/// Makes the bytes of a request with this number.
type Build<'a> = dyn Fn(&Sftp, u32) -> Result<Vec<u8>, SshError> + 'a;

/// A session.
pub struct Sftp {
    server: Server,
    link: Link,
    number: u32,
    extensions: Extensions,
    files: BTreeMap<File, Opened>,
    next: u32,
    pending: VecDeque<Pending>,
    unconfirmed: usize,
    /// Connections that broke and were made again.
    revived: u32,
}

/// What the server offers beyond version 3.
#[derive(Clone, Copy, Default, Debug)]
struct Extensions {
    rename: bool,
    room: bool,
    sync: bool,
}

impl Sftp {
    /// Connects to the first address that answers.
    ///
    /// # Errors
    /// What failed with the last one. A wrong host key or a refused login ends it at once.
    pub fn connect(server: Server) -> Result<Self, SshError> {
        let (link, extensions) = begin(&server)?;
        Ok(Self {
            server,
            link,
            number: 0,
            extensions,
            files: BTreeMap::new(),
            next: 0,
            pending: VecDeque::new(),
            unconfirmed: 0,
            revived: 0,
        })
    }

    /// How often a broken connection was replaced.
    #[must_use]
    pub fn revived(&self) -> u32 {
        self.revived
    }

    /// Sends a request and waits for its answer. `build` makes it for a number; it is called again on a
    /// new connection. The second value says whether that happened.
    fn ask(&mut self, build: &Build<'_>) -> Result<(Answer, bool), SshError> {
        let mut again = false;
        loop {
            let number = self.take_number();
            let request = build(self, number)?;
            let answer = self.link.send(&request).and_then(|()| self.answer(number));
            match answer {
                Err(error) if error.ends_the_connection() && !again => {
                    self.revive(error)?;
                    again = true;
                }
                other => return other.map(|answer| (answer, again)),
            }
        }
    }

    fn take_number(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    /// The answer with this number. Confirmed writes on the way are taken off the list.
    fn answer(&mut self, number: u32) -> Result<Answer, SshError> {
        loop {
            let (found, answer) = self.next_answer()?;
            if found == number {
                return Ok(answer);
            }
            self.confirm(found, answer)?;
        }
    }

    fn next_answer(&mut self) -> Result<(u32, Answer), SshError> {
        let mut answer = message(&mut self.link)?;
        Ok((answer.u32()?, answer))
    }

    /// Takes the answer to a write.
    fn confirm(&mut self, number: u32, mut answer: Answer) -> Result<(), SshError> {
        let at = self.pending.iter().position(|one| one.number == number);
        let Some(pending) = at.and_then(|at| self.pending.remove(at)) else {
            return Err(SshError::Protocol("an answer to nothing that was asked"));
        };
        self.unconfirmed = self.unconfirmed.saturating_sub(pending.data.len());
        if answer.kind != wire::STATUS {
            return Err(SshError::Protocol("no status after a write"));
        }
        if let Err(error) = answer.status()
            && let Some(opened) = self.files.get_mut(&pending.file)
        {
            opened.failed.get_or_insert(error);
        }
        Ok(())
    }

    fn done(&mut self, build: &Build<'_>) -> Result<bool, SshError> {
        let (mut answer, again) = self.ask(build)?;
        match answer.kind {
            wire::STATUS => answer.status().map(|()| again),
            _ => Err(SshError::Protocol("a status was due")),
        }
    }

    fn attributes(&mut self, build: &Build<'_>) -> Result<Attributes, SshError> {
        let (mut answer, _) = self.ask(build)?;
        match answer.kind {
            wire::ATTRS => answer.attributes(),
            wire::STATUS => Err(failed(&mut answer)),
            _ => Err(SshError::Protocol("attributes were due")),
        }
    }

    fn opened(&self, file: File) -> Result<&Opened, SshError> {
        self.files
            .get(&file)
            .ok_or(SshError::Protocol("the file is not open"))
    }

    fn handle(&self, file: File) -> Result<&[u8], SshError> {
        Ok(&self.opened(file)?.handle)
    }

    /// What became of earlier writes to a file.
    fn check(&mut self, file: File) -> Result<(), SshError> {
        let opened = self.files.get_mut(&file);
        match opened.and_then(|opened| opened.failed.take()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// The error in a status that should be one.
fn failed(answer: &mut Answer) -> SshError {
    match answer.status() {
        Err(error) => error,
        Ok(()) => SshError::Protocol("success instead of an answer"),
    }
}

/// The next message of the server.
fn message(link: &mut Link) -> Result<Answer, SshError> {
    let length = link.receive(4)?;
    let length = length.try_into().map(u32::from_be_bytes);
    let length = length.unwrap_or_default();
    if !(1..=wire::LONGEST).contains(&length) {
        return Err(SshError::Protocol("a message of an impossible length"));
    }
    Answer::new(link.receive(usize::try_from(length).unwrap_or_default())?)
}

/// Connects and agrees on the version.
fn begin(server: &Server) -> Result<(Link, Extensions), SshError> {
    let mut last = SshError::NoAddress;
    for address in &server.addresses {
        match Link::open(*address, &server.login, server.patience).and_then(greet) {
            Ok(begun) => return Ok(begun),
            Err(error) if error.is_final() => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn greet(mut link: Link) -> Result<(Link, Extensions), SshError> {
    link.send(&Request::new(wire::INIT, 3).bytes())?;
    let mut answer = message(&mut link)?;
    if answer.kind != wire::VERSION || answer.u32()? != 3 {
        return Err(SshError::Protocol("it does not speak version 3"));
    }
    let mut extensions = Extensions::default();
    while !answer.is_at_end() {
        match answer.string()? {
            b"posix-rename@openssh.com" => extensions.rename = true,
            b"statvfs@openssh.com" => extensions.room = true,
            b"fsync@openssh.com" => extensions.sync = true,
            _ => {}
        }
        answer.string()?;
    }
    Ok((link, extensions))
}
