//! The file that a core is written to: as it is, or sealed.

use crate::pipeline::{Checksums, FileOutput, SealedOutput};
use crate::seal::Recipient;
use std::io;
use vmcore::write::Output;

/// The file, open or sealed.
pub(super) enum Sink {
    Open(FileOutput),
    Sealed(SealedOutput),
}

impl Sink {
    pub(super) fn new(out: FileOutput, recipients: &[Recipient]) -> io::Result<Self> {
        Ok(match recipients.is_empty() {
            true => Self::Open(out),
            false => Self::Sealed(SealedOutput::new(out, recipients)?),
        })
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Open(out) => out.flush(),
            Self::Sealed(out) => out.flush(),
        }
    }

    pub(super) fn finish(self, len: u64) -> io::Result<Checksums> {
        match self {
            Self::Open(out) => out.finish(len),
            Self::Sealed(out) => out.finish(),
        }
    }
}

impl Output for Sink {
    fn lags(&self) -> bool {
        match self {
            Self::Open(out) => out.lags(),
            Self::Sealed(out) => out.lags(),
        }
    }

    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()> {
        match self {
            Self::Open(out) => out.write_at(offset, buf),
            Self::Sealed(out) => out.write_at(offset, buf),
        }
    }

    fn table_begins(&mut self, offset: u64) {
        match self {
            Self::Open(out) => out.table_begins(offset),
            // The sums are those of the sealed bytes, the table's among them.
            Self::Sealed(_) => {}
        }
    }
}
