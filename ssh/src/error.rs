//! What can go wrong between here and a file on the server.

use crate::HostKey;
use std::io;
use std::net::SocketAddr;

/// Why something on a server could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshError {
    /// No connection.
    #[error("cannot connect to {to}")]
    Connect {
        /// The server.
        to: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The connection ended in the middle.
    #[error("the connection to {to} broke")]
    Broken {
        /// The server.
        to: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing came from the server for too long.
    #[error("{to} did not answer within {seconds} s")]
    Silent {
        /// The server.
        to: SocketAddr,
        /// How long was waited.
        seconds: u64,
    },
    /// The server closed the connection or the SFTP session.
    #[error("{to} closed the connection")]
    Closed {
        /// The server.
        to: SocketAddr,
    },
    /// Another server, or one with a new key.
    #[error("{to} has the host key {}, which is not the one on record", found.fingerprint())]
    HostKey {
        /// The server.
        to: SocketAddr,
        /// Its key.
        found: Box<HostKey>,
    },
    /// The server offers no host key of the kind that is checked here.
    #[error(
        "{to} has no Ed25519 host key. Make one on the server: ssh-keygen -A, then restart sshd"
    )]
    HostKind {
        /// The server.
        to: SocketAddr,
    },
    /// The login failed.
    #[error("{to} does not accept this key for the user {user}")]
    Login {
        /// The server.
        to: SocketAddr,
        /// The user.
        user: String,
    },
    /// No algorithm in common, a damaged packet.
    #[error("SSH with {to} failed: {source}")]
    Transport {
        /// The server.
        to: SocketAddr,
        /// What the SSH library said.
        source: sunset::Error,
    },
    /// The server refused a request.
    #[error("the server refused: {message}")]
    Status {
        /// Its code (draft-ietf-secsh-filexfer-02, section 7).
        code: u32,
        /// Its words.
        message: String,
    },
    /// An answer that is not SFTP.
    #[error("the server's answer is not SFTP: {0}")]
    Protocol(&'static str),
    /// A private or public key that cannot be used.
    #[error("{0}")]
    Key(&'static str),
    /// There is no address to connect to.
    #[error("the server has no address")]
    NoAddress,
}

/// The codes of SFTP that say more than "failure".
pub(crate) const NO_SUCH_FILE: u32 = 2;
pub(crate) const PERMISSION_DENIED: u32 = 3;
const UNSUPPORTED: u32 = 8;

impl SshError {
    /// Whether the connection is gone, and another one might do better.
    #[must_use]
    pub(crate) fn ends_the_connection(&self) -> bool {
        matches!(
            self,
            Self::Broken { .. }
                | Self::Silent { .. }
                | Self::Closed { .. }
                | Self::Transport { .. }
                | Self::Protocol(_)
        )
    }

    /// Whether another try would end the same way.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::HostKey { .. } | Self::HostKind { .. } | Self::Login { .. }
        )
    }

    /// Whether the server says that there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Status {
                code: NO_SUCH_FILE,
                ..
            }
        )
    }

    /// The error of the system that says the same.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Connect { source, .. } | Self::Broken { source, .. } => source.kind(),
            Self::Silent { .. } => io::ErrorKind::TimedOut,
            Self::Closed { .. } => io::ErrorKind::ConnectionAborted,
            Self::HostKey { .. } | Self::HostKind { .. } | Self::Login { .. } => {
                io::ErrorKind::PermissionDenied
            }
            Self::Status { code, .. } => match *code {
                NO_SUCH_FILE => io::ErrorKind::NotFound,
                PERMISSION_DENIED => io::ErrorKind::PermissionDenied,
                UNSUPPORTED => io::ErrorKind::Unsupported,
                _ => io::ErrorKind::Other,
            },
            Self::Protocol(_) | Self::Transport { .. } => io::ErrorKind::InvalidData,
            Self::Key(_) | Self::NoAddress => io::ErrorKind::InvalidInput,
        }
    }
}

impl From<SshError> for io::Error {
    fn from(error: SshError) -> Self {
        Self::new(error.kind(), error)
    }
}
