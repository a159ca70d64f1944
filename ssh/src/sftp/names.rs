//! Names on the server: looked up, made, removed, listed.

use super::{Sftp, failed, wire};
use crate::SshError;
use wire::{Attributes, Request, Room};

impl Sftp {
    /// What the server says of a name. Links are not followed.
    ///
    /// # Errors
    /// What the server said.
    pub fn look_up(&mut self, path: &str) -> Result<Attributes, SshError> {
        self.attributes(&|_, number| {
            Ok(Request::new(wire::LSTAT, number)
                .string(path.as_bytes())
                .bytes())
        })
    }

    /// Makes a directory that only its owner can enter.
    ///
    /// # Errors
    /// What the server said.
    pub fn make_directory(&mut self, path: &str) -> Result<(), SshError> {
        let made = self.done(&|_, number| {
            let request = Request::new(wire::MKDIR, number).string(path.as_bytes());
            Ok(request.permissions(0o700).bytes())
        });
        made.map(|_| ())
    }

    /// Removes a file or, with `directory`, an empty directory.
    ///
    /// # Errors
    /// What the server said.
    pub fn remove(&mut self, path: &str, directory: bool) -> Result<(), SshError> {
        let kind = match directory {
            true => wire::RMDIR,
            false => wire::REMOVE,
        };
        self.done(&|_, number| Ok(Request::new(kind, number).string(path.as_bytes()).bytes()))?;
        for opened in self.files.values_mut().filter(|one| one.path == path) {
            opened.removed = true;
        }
        Ok(())
    }

    /// Gives a file or directory another name. A file of that name is replaced.
    ///
    /// # Errors
    /// The server has no `posix-rename@openssh.com`, or what it said.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), SshError> {
        if !self.extensions.rename {
            return Err(SshError::Protocol("it has no posix-rename@openssh.com"));
        }
        let renamed = self.ask(&|_, number| {
            let request = Request::new(wire::EXTENDED, number).string(b"posix-rename@openssh.com");
            Ok(request
                .string(from.as_bytes())
                .string(to.as_bytes())
                .bytes())
        });
        let (mut answer, again) = renamed?;
        match answer.status() {
            // Done before the connection broke.
            Err(error) if again && error.is_not_found() => {
                self.look_up(to)?;
            }
            other => other?,
        }
        for opened in self.files.values_mut() {
            let rest = opened.path.strip_prefix(from);
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                opened.path = format!("{to}{rest}");
            }
        }
        Ok(())
    }

    /// Shows the entries of a directory one by one, `most` at most, in no order, without `.` and `..`. Names that are
    /// not text are passed over.
    ///
    /// # Errors
    /// What the server said.
    pub fn list(
        &mut self,
        path: &str,
        most: usize,
        seen: &mut dyn FnMut(String, Attributes),
    ) -> Result<(), SshError> {
        let (mut answer, _) = self.ask(&|_, number| {
            Ok(Request::new(wire::OPENDIR, number)
                .string(path.as_bytes())
                .bytes())
        })?;
        let handle = match answer.kind {
            wire::HANDLE => answer.string()?.to_vec(),
            wire::STATUS => return Err(failed(&mut answer)),
            _ => return Err(SshError::Protocol("a handle was due")),
        };
        let listed = self.list_handle(&handle, most, seen);
        let closed =
            self.done(&|_, number| Ok(Request::new(wire::CLOSE, number).string(&handle).bytes()));
        listed.and(closed.map(|_| ()))
    }

    fn list_handle(
        &mut self,
        handle: &[u8],
        most: usize,
        seen: &mut dyn FnMut(String, Attributes),
    ) -> Result<(), SshError> {
        let mut left = most;
        while left > 0 {
            let (mut answer, again) = self
                .ask(&|_, number| Ok(Request::new(wire::READDIR, number).string(handle).bytes()))?;
            match answer.kind {
                wire::NAME if !again => {}
                wire::STATUS if !again => {
                    return match failed(&mut answer) {
                        SshError::Status {
                            code: wire::EOF, ..
                        } => Ok(()),
                        error => Err(error),
                    };
                }
                // The handle was the old connection's.
                _ => return Err(SshError::Protocol("a listing was cut off")),
            }
            for _ in 0..answer.u32()? {
                let name = String::from_utf8(answer.string()?.to_vec()).ok();
                let _as_ls_prints_it = answer.string()?;
                let attributes = answer.attributes()?;
                left = left.saturating_sub(1);
                let plain = name.filter(|name| store::place::is_plain(name));
                if let Some(name) = plain {
                    seen(name, attributes);
                }
            }
        }
        Ok(())
    }

    /// The room of the filesystem that holds `path`.
    ///
    /// # Errors
    /// The server has no `statvfs@openssh.com`, or what it said.
    pub fn room(&mut self, path: &str) -> Result<Room, SshError> {
        if !self.extensions.room {
            return Err(SshError::Protocol("it has no statvfs@openssh.com"));
        }
        let (mut answer, _) = self.ask(&|_, number| {
            let request = Request::new(wire::EXTENDED, number).string(b"statvfs@openssh.com");
            Ok(request.string(path.as_bytes()).bytes())
        })?;
        if answer.kind != wire::EXTENDED_REPLY {
            return Err(failed(&mut answer));
        }
        let _preferred = answer.u64()?;
        Ok(Room {
            block: answer.u64()?,
            blocks: answer.u64()?,
            free: answer.u64()?,
            available: answer.u64()?,
        })
    }
}
