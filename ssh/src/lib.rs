//! A store on a server, over SFTP.
//!
//! Holds, from low to high: [`key`] (host keys and private keys), the link (one SSH connection, each
//! wait with a deadline), [`sftp`] (files on the server; a connection that breaks is made again), and
//! [`Remote`], the server's directory as a [`store::place::Place`].
//!
//! May name `store` and below.
//!
//! Never asks anybody anything, reads no config and no known_hosts, and talks to no server whose host
//! key it was not given. Memory is bounded: what the server has not confirmed, and one answer.

mod error;
pub mod key;
mod link;
mod place;
pub mod sftp;

pub use error::SshError;
pub use key::{HostKey, PrivateKey};
pub use link::{Login, scan};
pub use place::{Remote, ensure};
pub use sftp::{Server, Sftp};
