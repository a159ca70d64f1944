//! What a store is made of: directories with plain files, wherever they are.
//!
//! One implementation a kind of target. [`crate::local::Local`] is a directory of this machine.

use std::io::{self, Read};
use std::time::SystemTime;

/// Entries of one store that are looked at: the bound for a listing's time. Its memory is bounded by
/// what the caller keeps.
pub const MAX_ENTRIES: usize = 1_000_000;

/// A directory in a store, as far as listing tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it belongs to the writer of this store, and no other user can write into it.
    pub ours: bool,
}

/// The operations that a kind of target must offer. `directory` is a plain name below the store,
/// `file` a plain name below that: other names are an error (`InvalidInput`).
pub trait Place: Send + Sync {
    /// Makes a directory that only its owner can enter.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken by anything; else the system's error.
    fn create(&self, directory: &str) -> io::Result<()>;

    /// Whether anything has this name.
    fn exists(&self, directory: &str) -> bool;

    /// Writes a new file and brings it to the disk. `file` may be in a subdirectory (`pstore/record`),
    /// which is made when it is missing.
    ///
    /// # Errors
    /// There is a file of that name, or what the system said.
    fn write(&self, directory: &str, file: &str, content: &mut dyn Read) -> io::Result<()>;

    /// Opens a regular file of a directory of ours; with its length in bytes. `file` may be in a
    /// subdirectory (`pstore/record`).
    ///
    /// # Errors
    /// The directory or the file is not ours or no regular file (`PermissionDenied`), or what the
    /// system said.
    fn open(&self, directory: &str, file: &str) -> io::Result<(Box<dyn Read>, u64)>;

    /// Gives back what was reserved beyond a file's end.
    ///
    /// # Errors
    /// What the system said.
    fn trim(&self, directory: &str, file: &str) -> io::Result<()>;

    /// When a file of a directory was last written; `None` when that is not known.
    fn changed(&self, directory: &str) -> Option<SystemTime>;

    /// Removes a file of a directory of ours; one that is not there is no error.
    ///
    /// # Errors
    /// What the system said.
    fn discard(&self, directory: &str, file: &str) -> io::Result<()>;

    /// The regular files of a directory of ours, by name, with their length in bytes.
    ///
    /// # Errors
    /// The directory is not ours, or what the system said.
    fn files(&self, directory: &str) -> io::Result<Vec<(String, u64)>>;

    /// The regular files in the subdirectories of a directory of ours, as `pstore/record`, by name, with their
    /// length in bytes.
    ///
    /// # Errors
    /// The directory is not ours, or what the system said.
    fn files_below(&self, directory: &str) -> io::Result<Vec<(String, u64)>>;

    /// Bytes that a directory's removal gives back: blocks in use, not lengths.
    fn size(&self, directory: &str) -> u64;

    /// Makes sure that a directory's entries are on the disk.
    ///
    /// # Errors
    /// What the system said.
    fn sync(&self, directory: &str) -> io::Result<()>;

    /// Gives a directory another name, which must be free, and makes sure of it.
    ///
    /// # Errors
    /// The name is taken, or what the system said.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Shows the directories to `seen` one by one, in no order, of [`MAX_ENTRIES`] entries at most.
    /// Links are no directories. Names that are not text are passed over.
    ///
    /// # Errors
    /// The store cannot be listed.
    fn list(&self, seen: &mut dyn FnMut(Entry)) -> io::Result<()>;

    /// Removes a directory of ours with all that is in it.
    ///
    /// # Errors
    /// It is not ours (`PermissionDenied`), or what the system said; the manifest goes last.
    fn remove(&self, directory: &str) -> io::Result<()>;

    /// Free bytes for us.
    ///
    /// # Errors
    /// What the system said.
    fn room(&self) -> io::Result<u64>;
}

/// Whether a name is one component that cannot lead elsewhere.
#[must_use]
pub fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && name.len() <= 255
        && !name.contains(['/', '\0'])
}
