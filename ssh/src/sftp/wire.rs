//! Requests and answers of SFTP version 3, as bytes.
//!
//! Source: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL for `…@openssh.com` (6.5 to 10.2).

use crate::SshError;

pub(super) const INIT: u8 = 1;
pub(super) const VERSION: u8 = 2;
pub(super) const OPEN: u8 = 3;
pub(super) const CLOSE: u8 = 4;
pub(super) const READ: u8 = 5;
pub(super) const WRITE: u8 = 6;
pub(super) const LSTAT: u8 = 7;
pub(super) const FSTAT: u8 = 8;
pub(super) const FSETSTAT: u8 = 10;
pub(super) const OPENDIR: u8 = 11;
pub(super) const READDIR: u8 = 12;
pub(super) const REMOVE: u8 = 13;
pub(super) const MKDIR: u8 = 14;
pub(super) const RMDIR: u8 = 15;
pub(super) const STATUS: u8 = 101;
pub(super) const HANDLE: u8 = 102;
pub(super) const DATA: u8 = 103;
pub(super) const NAME: u8 = 104;
pub(super) const ATTRS: u8 = 105;
pub(super) const EXTENDED: u8 = 200;
pub(super) const EXTENDED_REPLY: u8 = 201;

pub(super) const OK: u32 = 0;
pub(super) const EOF: u32 = 1;

/// The longest answer that is taken, in bytes: OpenSSH's own limit.
pub(super) const LONGEST: u32 = 256 << 10;

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const MORE: u32 = 0x8000_0000;

/// What a server says of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attributes {
    /// Its length in bytes.
    pub size: u64,
    /// The number of its owner on the server.
    pub uid: Option<u32>,
    /// Kind and permissions, as in `st_mode` (stat(2)).
    pub mode: Option<u32>,
    /// When it was last changed, in seconds since 1970.
    pub mtime: Option<u32>,
}

impl Attributes {
    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind() == Some(0o040_000)
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind() == Some(0o100_000)
    }

    fn kind(&self) -> Option<u32> {
        self.mode.map(|mode| mode & 0o170_000)
    }

    /// Whether it belongs to this user of the server, and no other can write to it.
    #[must_use]
    pub fn belongs_to(&self, user: Option<u32>) -> bool {
        self.uid == user && self.mode.is_some_and(|mode| mode & 0o022 == 0)
    }
}

/// The room of a filesystem on the server (statvfs(3)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// Bytes of a block.
    pub block: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks for this user.
    pub available: u64,
}

/// A request that grows: its length comes last.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// Every kind but INIT begins with the number that its answer carries.
    pub(super) fn new(kind: u8, number: u32) -> Self {
        let mut bytes = vec![0, 0, 0, 0, kind];
        bytes.extend(number.to_be_bytes());
        Self(bytes)
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn string(self, bytes: &[u8]) -> Self {
        let mut longer = self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        longer.0.extend(bytes);
        longer
    }

    /// Attributes of a new file: permissions alone.
    pub(super) fn permissions(self, mode: u32) -> Self {
        self.u32(PERMISSIONS).u32(mode)
    }

    /// Attributes that set the length.
    pub(super) fn size(self, size: u64) -> Self {
        self.u32(SIZE).u64(size)
    }

    pub(super) fn bytes(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len().saturating_sub(4)).unwrap_or(u32::MAX);
        for (to, from) in self.0.iter_mut().zip(length.to_be_bytes()) {
            *to = from;
        }
        self.0
    }
}

/// An answer, read from front to back.
pub(super) struct Answer {
    pub(super) kind: u8,
    bytes: Vec<u8>,
    at: usize,
}

const CUT: SshError = SshError::Protocol("an answer is cut off");

impl Answer {
    /// `bytes` are those after the length.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, SshError> {
        let kind = *bytes.first().ok_or(CUT)?;
        Ok(Self { kind, bytes, at: 1 })
    }

    fn take(&mut self, count: usize) -> Result<&[u8], SshError> {
        let end = self.at.checked_add(count).ok_or(CUT)?;
        let taken = self.bytes.get(self.at..end).ok_or(CUT)?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, SshError> {
        let bytes = self.take(4)?.try_into().map_err(|_| CUT)?;
        Ok(u32::from_be_bytes(bytes))
    }

    pub(super) fn u64(&mut self) -> Result<u64, SshError> {
        let bytes = self.take(8)?.try_into().map_err(|_| CUT)?;
        Ok(u64::from_be_bytes(bytes))
    }

    pub(super) fn string(&mut self) -> Result<&[u8], SshError> {
        let length = usize::try_from(self.u32()?).map_err(|_| CUT)?;
        self.take(length)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn attributes(&mut self) -> Result<Attributes, SshError> {
        let flags = self.u32()?;
        let mut found = Attributes::default();
        if flags & SIZE != 0 {
            found.size = self.u64()?;
        }
        if flags & OWNER != 0 {
            found.uid = Some(self.u32()?);
            self.u32()?;
        }
        if flags & PERMISSIONS != 0 {
            found.mode = Some(self.u32()?);
        }
        if flags & TIMES != 0 {
            self.u32()?;
            found.mtime = Some(self.u32()?);
        }
        if flags & MORE != 0 {
            for _ in 0..self.u32()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(found)
    }

    /// A status as a result: its code is OK, or an error.
    pub(super) fn status(&mut self) -> Result<(), SshError> {
        let code = self.u32()?;
        if code == OK {
            return Ok(());
        }
        // The words are optional in old versions.
        let words = self.string().unwrap_or_default();
        let words: String = String::from_utf8_lossy(words)
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        let message = match words.is_empty() {
            true => format!("code {code}"),
            false => words,
        };
        Err(SshError::Status { code, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_their_length_in_front() {
        let bytes = Request::new(MKDIR, 7)
            .string(b"/a")
            .permissions(0o700)
            .bytes();
        assert_eq!(
            bytes,
            [
                0, 0, 0, 19, 14, 0, 0, 0, 7, 0, 0, 0, 2, b'/', b'a', 0, 0, 0, 4, 0, 0, 1, 0o300
            ]
        );
    }

    #[test]
    fn answers_cut_anywhere_are_errors_and_attributes_are_read() {
        let mut bytes = vec![ATTRS];
        for word in [
            SIZE | OWNER | PERMISSIONS | TIMES | MORE,
            0,
            5,
            1000,
            1001,
            0o100_640,
            1,
            2,
            1,
        ] {
            bytes.extend(word.to_be_bytes());
        }
        for text in ["name", "value"] {
            bytes.extend((text.len() as u32).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        let found = Answer::new(bytes.clone()).unwrap().attributes().unwrap();
        assert_eq!(
            (found.size, found.uid, found.mtime),
            (5, Some(1000), Some(2))
        );
        assert!(found.is_file() && !found.is_directory());
        assert!(found.belongs_to(Some(1000)) && !found.belongs_to(Some(0)));
        for cut in 0..bytes.len() {
            let answer = Answer::new(bytes[..cut].to_vec());
            assert!(answer.and_then(|mut a| a.attributes()).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_status_is_a_result() {
        let status = |code: u32, words: &str| {
            let mut bytes = vec![STATUS];
            bytes.extend(code.to_be_bytes());
            bytes.extend((words.len() as u32).to_be_bytes());
            bytes.extend(words.as_bytes());
            Answer::new(bytes).unwrap().status()
        };
        assert!(status(OK, "Success").is_ok());
        let error = status(3, "Permission\u{1b} denied").unwrap_err();
        assert_eq!(error.to_string(), "the server refused: Permission denied");
        assert!(status(2, "").unwrap_err().is_not_found());
    }
}
