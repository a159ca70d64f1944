//! A connection that broke, made again: the server has every confirmed write, and the others are kept.

use super::files::open_request;
use super::{How, Sftp, begin, wire};
use crate::SshError;
use std::time::{Duration, Instant};

/// Between two tries.
const BETWEEN: Duration = Duration::from_millis(500);

/// More breaks than this are no accident.
const MOST: u32 = 20;

impl Sftp {
    /// Connects again after `why`, opens the files again and sends what was not confirmed.
    ///
    /// # Errors
    /// No connection in the time for that: the error of the last try. A wrong host key ends it at once.
    pub(super) fn revive(&mut self, why: SshError) -> Result<(), SshError> {
        let begun = Instant::now();
        let mut why = why;
        while self.revived < MOST && begun.elapsed() < self.server.persist {
            match self.again() {
                Ok(()) => {
                    self.revived = self.revived.saturating_add(1);
                    return Ok(());
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => why = error,
            }
            std::thread::sleep(BETWEEN);
        }
        Err(why)
    }

    fn again(&mut self) -> Result<(), SshError> {
        (self.link, self.extensions) = begin(&self.server)?;
        let files: Vec<_> = self.files.keys().copied().collect();
        for file in files {
            let number = self.take_number();
            let Some(opened) = self.files.get_mut(&file) else {
                continue;
            };
            if opened.removed {
                opened.failed.get_or_insert(SshError::Protocol(
                    "a file without a name was lost with the connection",
                ));
                continue;
            }
            let how = match opened.how {
                How::New => How::Write,
                how => how,
            };
            self.link.send(&open_request(number, &opened.path, how))?;
            let mut answer = super::message(&mut self.link)?;
            if answer.u32()? != number {
                return Err(SshError::Protocol("an answer to nothing that was asked"));
            }
            match answer.kind {
                wire::HANDLE => opened.handle = answer.string()?.to_vec(),
                _ => {
                    opened.failed.get_or_insert(super::failed(&mut answer));
                }
            }
        }
        let files = &self.files;
        self.pending
            .retain(|one| files.get(&one.file).is_some_and(|file| !file.removed));
        self.unconfirmed = self.pending.iter().map(|one| one.data.len()).sum();
        (0..self.pending.len()).try_for_each(|at| self.send_pending(at))
    }
}
