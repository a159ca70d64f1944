//! `pages.map`: the kind of every page of RAM, run-length coded and compressed.
//!
//! The format is ours. Little-endian throughout:
//! - a header of 16 bytes: magic `APAGEMAP`, version u16, page shift u8, a zero byte, CRC-32 of the
//!   twelve bytes before;
//! - blocks: a header of 40 bytes (the private module `block` has the fields) and one zstd frame with
//!   at most 64 KiB of tokens;
//! - an end block: pages by kind, and a sparse index of the blocks; then where it begins, in the
//!   last 16 bytes of the file. A file without it was cut off, and is good up to its last whole
//!   block.
//!
//! A token is one byte for a run of up to seven pages and a few more for a longer one; what no run
//! covers is not RAM. Each block says where it begins and holds no state from the block before.
//! Writer and reader hold a few blocks and a sparse index of at most 1024 entries, whatever the
//! amount of RAM.
//!
//! It does not say which pages a dump holds: that is the dump's own business.

mod index;
mod read;
mod write;

pub use read::{Bytes, Kept, Lookup, MapError, MapReader};
pub use write::{MapSummary, MapWriter};

#[cfg(test)]
mod tests;
