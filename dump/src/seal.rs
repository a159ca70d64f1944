//! Sealed files: age v1 files that only the holder of a private key can read.
//!
//! The format: C2SP's specification of age (`age-encryption.org/v1`), with X25519 recipients. age and
//! rage open such a file. It is written in one pass and constant memory: [`write`] never encrypts a
//! piece twice. It is read at any offset: [`read`]. The cryptography is RustCrypto's and dalek's; the
//! format around it is ours, because the age crate brings 109 others.
//!
//! In the capture kernel there are only public keys.

mod bech32;
mod chunks;
mod header;
mod keys;
mod random;
mod read;
mod scratch;
mod write;

pub use keys::{Identities, Identity, Recipient};
pub use read::{SealedSource, is_sealed, open, open_dump, open_text};
pub use write::{NewFile, SealedFile};

pub(crate) use chunks::Encryptor;
pub(crate) use scratch::Scratch;
pub(crate) use write::begin;

use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// How a sealed file's name ends.
pub const SUFFIX: &str = ".age";

/// How a sealed file begins.
pub const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// Which files of a crash directory are sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything that holds memory or log: cores, log, reports, page map, firmware's records.
    #[default]
    All,
    /// The core and the essential pages. Logs and reports stay readable.
    Core,
}

/// What went wrong with a sealed file or a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Not a public key.
    #[error("{text:?} is no age recipient (age1…): {why}")]
    Recipient {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a private key. The text is not repeated: it may be most of a key.
    #[error("line {line} holds no age identity (AGE-SECRET-KEY-1…): {why}")]
    Identity {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file of identities without one.
    #[error("there is no identity in it (AGE-SECRET-KEY-1…)")]
    NoIdentity,
    /// The header cannot be parsed, or was changed.
    #[error("the header of the sealed file is damaged: {0}")]
    Header(&'static str),
    /// It is sealed, and no identity was given.
    #[error(
        "it is sealed. Give the identity that opens it: --identity FILE, or [report] identity in the config"
    )]
    Sealed,
    /// No identity opens it.
    #[error("it is sealed to another key: none of the {identities} identities opens it")]
    NoMatch {
        /// How many were tried.
        identities: usize,
    },
    /// The payload cannot be authenticated at all.
    #[error("the sealed file is cut off before its first piece, or damaged there")]
    Payload,
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Seals what a crash leaves to some recipients.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sealer {
    recipients: Vec<Recipient>,
    scope: Scope,
}

impl Sealer {
    /// Seals to each of `recipients`; to none of them means that nothing is sealed.
    #[must_use]
    pub fn new(recipients: Vec<Recipient>, scope: Scope) -> Self {
        Self { recipients, scope }
    }

    /// Whether nothing is sealed.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.recipients.is_empty()
    }

    /// Whether files with logs and reports are sealed, too.
    #[must_use]
    pub fn covers_logs(&self) -> bool {
        !self.is_off() && self.scope == Scope::All
    }

    /// The recipients of a core.
    #[must_use]
    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// The recipients of a log, a report or the page map; none where these stay open.
    #[must_use]
    pub fn recipients_of_logs(&self) -> &[Recipient] {
        match self.scope {
            Scope::All => &self.recipients,
            Scope::Core => &[],
        }
    }

    /// The name of a core in a crash directory.
    #[must_use]
    pub fn core_name(&self, name: &str) -> String {
        named(name, !self.is_off())
    }

    /// The name of a log, a report or the page map in a crash directory.
    #[must_use]
    pub fn log_name(&self, name: &str) -> String {
        named(name, self.covers_logs())
    }

    /// The bytes of a log or a report as they are stored.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn seal_log(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self.recipients_of_logs() {
            [] => Ok(bytes.to_vec()),
            recipients => write::seal(bytes, recipients),
        }
    }

    /// Makes a new file for a log or a report. Its name is [`Sealer::log_name`]'s.
    ///
    /// # Errors
    /// There is a file of that name, or what the system said.
    pub fn create(&self, dir: &Path, name: &str) -> io::Result<NewFile> {
        let file = crate::files::create_file(dir, &self.log_name(name))?;
        NewFile::new(file, self.recipients_of_logs())
    }
}

fn named(name: &str, sealed: bool) -> String {
    match sealed {
        true => format!("{name}{SUFFIX}"),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
