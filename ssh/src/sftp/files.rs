//! Open files: read, written ahead, brought to the server's disk.

use super::{File, How, Opened, Pending, Sftp, failed, wire};
use crate::SshError;
use wire::{Attributes, Request};

/// Bytes that are sent before the server confirmed them. They are kept until then.
const WINDOW: usize = 2 << 20;

/// Bytes of one write or read. OpenSSH takes a message of 256 KiB.
pub const PIECE: usize = 128 << 10;

const READ: u32 = 1;
const WRITE: u32 = 2;
const CREATE: u32 = 8;
const EXCLUSIVE: u32 = 0x20;

impl Sftp {
    /// Opens a file.
    ///
    /// # Errors
    /// What the server said.
    pub fn open(&mut self, path: &str, how: How) -> Result<File, SshError> {
        let (mut answer, again) = self.ask(&|_, number| Ok(open_request(number, path, how)))?;
        let handle = match answer.kind {
            wire::HANDLE => answer.string()?.to_vec(),
            // Made before the connection broke.
            wire::STATUS if again && how == How::New => return self.open(path, How::Write),
            wire::STATUS => return Err(failed(&mut answer)),
            _ => return Err(SshError::Protocol("a handle was due")),
        };
        let file = File(self.next);
        self.next = self.next.wrapping_add(1);
        let opened = Opened {
            path: path.to_owned(),
            how,
            handle,
            failed: None,
            removed: false,
        };
        self.files.insert(file, opened);
        Ok(file)
    }

    /// Writes at an offset. The bytes are on their way when it returns.
    ///
    /// # Errors
    /// An earlier write to this file failed, or the connection cannot be made again.
    pub fn write(&mut self, file: File, mut offset: u64, data: &[u8]) -> Result<(), SshError> {
        for piece in data.chunks(PIECE) {
            self.check(file)?;
            self.opened(file)?;
            while self.unconfirmed.saturating_add(piece.len()) > WINDOW {
                self.wait_for_one()?;
            }
            self.pending.push_back(Pending {
                number: 0,
                file,
                offset,
                data: piece.to_vec(),
            });
            self.unconfirmed = self.unconfirmed.saturating_add(piece.len());
            let last = self.pending.len().saturating_sub(1);
            let sent = self.send_pending(last);
            self.or_revive(sent)?;
            offset = offset.saturating_add(piece.len() as u64);
        }
        // Confirmations are taken early, so that the server never waits for us.
        let taken = self.take_confirmations();
        self.or_revive(taken)
    }

    /// Sends the write at a place of the list.
    pub(super) fn send_pending(&mut self, at: usize) -> Result<(), SshError> {
        let number = self.take_number();
        let Some(pending) = self.pending.get_mut(at) else {
            return Ok(());
        };
        pending.number = number;
        let opened = self.files.get(&pending.file);
        let opened = opened.ok_or(SshError::Protocol("the file is not open"))?;
        let request = Request::new(wire::WRITE, number).string(&opened.handle);
        let request = request.u64(pending.offset).string(&pending.data);
        self.link.send(&request.bytes())
    }

    fn take_confirmations(&mut self) -> Result<(), SshError> {
        while !self.pending.is_empty() && self.link.has_received()? {
            let (number, answer) = self.next_answer()?;
            self.confirm(number, answer)?;
        }
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result<(), SshError> {
        let waited = self
            .next_answer()
            .and_then(|(number, answer)| self.confirm(number, answer));
        self.or_revive(waited)
    }

    fn or_revive(&mut self, result: Result<(), SshError>) -> Result<(), SshError> {
        match result {
            Err(error) if error.ends_the_connection() => self.revive(error),
            other => other,
        }
    }

    /// Waits until the server has every write to a file.
    ///
    /// # Errors
    /// One of them failed.
    pub fn flush(&mut self, file: File) -> Result<(), SshError> {
        while self.pending.iter().any(|one| one.file == file) {
            self.wait_for_one()?;
        }
        self.check(file)
    }

    /// [`Self::flush`], and the server brings the file to its disk where it can (`fsync@openssh.com`).
    ///
    /// # Errors
    /// A write or the sync failed.
    pub fn sync(&mut self, file: File) -> Result<(), SshError> {
        self.flush(file)?;
        if self.extensions.sync {
            self.done(&|sftp, number| {
                let request = Request::new(wire::EXTENDED, number).string(b"fsync@openssh.com");
                Ok(request.string(sftp.handle(file)?).bytes())
            })?;
        }
        Ok(())
    }

    /// Has the server bring the names in a directory to its disk, where it can. OpenSSH opens and syncs a directory
    /// like a file (`process_open` and `process_extended_fsync` of sftp-server.c); where a server refuses that,
    /// its filesystem decides when they are there.
    ///
    /// # Errors
    /// The connection cannot be made again.
    pub fn sync_directory(&mut self, path: &str) -> Result<(), SshError> {
        let synced = match self.open(path, How::Read) {
            Ok(directory) => self.sync(directory).and(self.close(directory)),
            Err(error) => Err(error),
        };
        match synced {
            Err(SshError::Status { .. }) => Ok(()),
            other => other,
        }
    }

    /// At most `count` bytes at an offset; none at the end.
    ///
    /// # Errors
    /// What the server said.
    pub fn read(&mut self, file: File, offset: u64, count: usize) -> Result<Vec<u8>, SshError> {
        self.flush(file)?;
        let count = u32::try_from(count.min(PIECE)).unwrap_or(0);
        let (mut answer, _) = self.ask(&|sftp, number| {
            let request = Request::new(wire::READ, number).string(sftp.handle(file)?);
            Ok(request.u64(offset).u32(count).bytes())
        })?;
        match answer.kind {
            wire::DATA => Ok(answer.string()?.to_vec()),
            wire::STATUS => match failed(&mut answer) {
                SshError::Status {
                    code: wire::EOF, ..
                } => Ok(Vec::new()),
                error => Err(error),
            },
            _ => Err(SshError::Protocol("data were due")),
        }
    }

    /// Closes a file.
    ///
    /// # Errors
    /// A write failed.
    pub fn close(&mut self, file: File) -> Result<(), SshError> {
        let flushed = self.flush(file);
        let closed = self.done(&|sftp, number| {
            Ok(Request::new(wire::CLOSE, number)
                .string(sftp.handle(file)?)
                .bytes())
        });
        self.files.remove(&file);
        flushed.and(closed.map(|_| ()))
    }

    /// What the server says of an open file, with every write so far.
    ///
    /// # Errors
    /// A write failed, or what the server said.
    pub fn look_at(&mut self, file: File) -> Result<Attributes, SshError> {
        self.flush(file)?;
        self.attributes(&|sftp, number| {
            Ok(Request::new(wire::FSTAT, number)
                .string(sftp.handle(file)?)
                .bytes())
        })
    }

    /// Sets a file's length in bytes.
    ///
    /// # Errors
    /// A write failed, or what the server said.
    pub fn set_len(&mut self, file: File, len: u64) -> Result<(), SshError> {
        self.flush(file)?;
        self.done(&|sftp, number| {
            let request = Request::new(wire::FSETSTAT, number).string(sftp.handle(file)?);
            Ok(request.size(len).bytes())
        })?;
        Ok(())
    }
}

pub(super) fn open_request(number: u32, path: &str, how: How) -> Vec<u8> {
    let flags = match how {
        How::Read => READ,
        How::Write => READ | WRITE,
        How::New => READ | WRITE | CREATE | EXCLUSIVE,
    };
    let request = Request::new(wire::OPEN, number).string(path.as_bytes());
    request.u32(flags).permissions(0o600).bytes()
}
