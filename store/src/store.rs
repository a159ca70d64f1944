//! A store: crash directories in one place, the newest last.

use crate::foreign::Foreign;
use crate::local::Local;
use crate::manifest::{FILE, FileFacts, MAX_MANIFEST, Manifest};
use crate::names::{Crash, State};
use crate::place::Place;
use dump::files::sha256;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Files up to this size are hashed whole.
const SMALL: u64 = 16 << 20;

/// Names of strangers' directories that a listing keeps for its warning. Anybody can make any number.
const SHOWN: usize = 3;

/// Crash directories of other suites that a listing keeps.
const MOST_FOREIGN: usize = 1000;

/// Numbers that are tried for a crash of one machine in one second.
const MAX_SERIAL: u32 = 1000;

/// Random numbers that are tried after them. Any user may have taken the first ones in a world-writable
/// store.
const DRAWN: usize = 16;

/// A directory of crash directories.
pub struct Store {
    place: Box<dyn Place>,
    path: PathBuf,
}

/// What is in a store.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Our crash directories, oldest first.
    pub crashes: Vec<Crash>,
    /// Those of other suites, by time; the newest ones where there are very many.
    pub foreign: Vec<Foreign>,
    /// The first names of crash directories that another user may have written.
    strangers: Vec<String>,
    /// How many of those there are in all.
    strangers_total: usize,
}

impl Listing {
    fn newest_foreign(&mut self) {
        let order = |one: &Foreign| (one.time.clone(), one.path.clone());
        self.foreign.sort_by_key(order);
        let surplus = self.foreign.len().saturating_sub(MOST_FOREIGN);
        self.foreign.drain(..surplus);
    }

    /// One sentence about the directories that were skipped.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let shown: Vec<String> = self.strangers.iter().map(|n| format!("{n:?}")).collect();
        let more = match self.strangers_total.saturating_sub(shown.len()) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        (!shown.is_empty()).then(|| {
            format!(
                "skipped {}{more}: another user owns them, or others may write to them",
                shown.join(", ")
            )
        })
    }
}

/// A random number above [`MAX_SERIAL`], from the seed of a hash map.
fn drawn_serial() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).max(MAX_SERIAL.saturating_add(1))
}

impl Store {
    /// Opens a directory of this machine; not one that must be made first.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            place: Box::new(Local::open(path)?),
            path: path.to_path_buf(),
        })
    }

    /// A store at another kind of place. `path` is its name in messages.
    #[must_use]
    pub fn on(place: Box<dyn Place>, path: &Path) -> Self {
        Self {
            place,
            path: path.to_path_buf(),
        }
    }

    /// Where a crash directory is.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The crash directories. Other entries are skipped.
    ///
    /// # Errors
    /// The store cannot be listed.
    pub fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        self.place.list(&mut |entry| {
            let path = self.path_of(&entry.name);
            let Some(crash) = Crash::parse(&path) else {
                let found = Foreign::parse(&path).filter(|_| entry.ours);
                listing.foreign.extend(found);
                if listing.foreign.len() > MOST_FOREIGN.saturating_mul(2) {
                    listing.newest_foreign();
                }
                return;
            };
            if entry.ours {
                listing.crashes.push(crash);
                return;
            }
            listing.strangers_total = listing.strangers_total.saturating_add(1);
            if listing.strangers.len() < SHOWN {
                listing.strangers.push(entry.name);
            }
        })?;
        listing.crashes.sort_by(Crash::order);
        listing.newest_foreign();
        Ok(listing)
    }

    /// Makes a `.partial` crash directory with the first free number. Answers its name.
    ///
    /// # Errors
    /// What the system said.
    pub fn begin(&self, node: &str, stamp: &str) -> io::Result<String> {
        let drawn = std::iter::repeat_with(drawn_serial).take(DRAWN);
        for serial in (1..=MAX_SERIAL).chain(drawn) {
            let stem = match serial {
                1 => format!("{node}-{stamp}"),
                n => format!("{node}-{stamp}-{n}"),
            };
            let named = |state: State| format!("{stem}{}", state.suffix());
            if [State::Done, State::Incomplete]
                .into_iter()
                .any(|state| self.place.exists(&named(state)))
            {
                continue;
            }
            let name = named(State::Partial);
            match self.place.create(&name) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{MAX_SERIAL} crashes of {node} at {stamp}"),
        ))
    }

    /// Gives a `.partial` directory its final name and syncs it. Answers the new name.
    ///
    /// # Errors
    /// What the system said.
    pub fn settle(&self, name: &str, state: State) -> io::Result<String> {
        let stem = name.strip_suffix(State::Partial.suffix()).unwrap_or(name);
        let settled = format!("{stem}{}", state.suffix());
        self.place.rename(name, &settled)?;
        Ok(settled)
    }

    /// The manifest of a crash directory of ours.
    ///
    /// # Errors
    /// The directory or the manifest is not ours, there is none, or it is damaged.
    pub fn manifest(&self, name: &str) -> io::Result<Manifest> {
        let (file, _) = self.place.open(name, FILE)?;
        let mut text = Vec::new();
        file.take(MAX_MANIFEST).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// The files of a crash directory without the manifest, with the hashes of small ones. A file that
    /// cannot be read has no hash.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn files(&self, name: &str) -> io::Result<Vec<FileFacts>> {
        let files = self.place.files(name)?.into_iter();
        let others = files.filter(|(file, _)| file != FILE);
        let facts = others.map(|(file, size)| {
            let hashed = size <= SMALL && !file.starts_with("vmcore.");
            let hash = || sha256(self.place.open(name, &file).ok()?.0).ok();
            FileFacts {
                sha256: if hashed { hash() } else { None },
                name: file,
                size,
            }
        });
        Ok(facts.collect())
    }

    /// Writes the manifest of a crash directory, in place of another.
    ///
    /// # Errors
    /// What the system said.
    pub fn write_manifest(&self, name: &str, manifest: &Manifest) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(manifest)?;
        text.push(b'\n');
        self.place.discard(name, FILE)?;
        self.place.write(name, FILE, &mut text.as_slice())
    }

    /// The operations below the names.
    #[must_use]
    pub fn place(&self) -> &dyn Place {
        &*self.place
    }
}
