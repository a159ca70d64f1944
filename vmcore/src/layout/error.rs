//! Why bytes are no structure, or no file, of a format.

use std::borrow::Cow;

/// Why bytes cannot be read as a dump. The text goes behind the file's name: "core: it is …".
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A structure ends before it is whole.
    #[error("{0} is cut off")]
    CutOff(&'static str),
    /// A sound file of a kind that is not read, or larger than a reader takes.
    #[error("{0}")]
    Unsupported(Cow<'static, str>),
    /// Contents that contradict each other, a checksum, or the length of the file.
    #[error("{0}")]
    Damaged(Cow<'static, str>),
    /// The file could not be read: what the system or the container below said.
    #[error("{0}")]
    Read(String),
}

impl FormatError {
    /// A sound file that is not read: why.
    pub(crate) fn unsupported(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Unsupported(why.into())
    }

    /// A damaged file: what is wrong and where.
    pub(crate) fn damaged(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Damaged(what.into())
    }
}
