//! What a crash leaves: crash directories in a store.
//!
//! Holds, from low to high: [`names`] (what a crash directory's name says), [`manifest`] (what is in
//! one), [`place`] (the operations of a kind of target) with one implementation, a directory of this
//! machine, [`Store`] (crash directories in one place), [`rotation`] and [`loop_guard`] (room for a new
//! core, and when none is written), [`CrashDir`] (one that is read), [`audit`] (one against its own
//! manifest), [`settle`] (those that were cut off), [`open`] (the best core of one),
//! [`foreign`] (crash directories of other suites), [`raw`] (one as a stream on a device without a
//! filesystem).
//!
//! May name `dump` and below.
//!
//! Never trusts an entry of a store before its owner is checked, and never decides where a store is.
//! Knows nothing of plans, targets or the config.

pub mod audit;
mod crash_dir;
pub mod directory;
pub mod foreign;
mod keep;
mod local;
pub mod loop_guard;
pub mod manifest;
pub mod names;
pub mod open;
pub mod place;
pub mod raw;
pub mod rotation;
pub mod settle;
mod store;
#[cfg(test)]
mod tests;

pub use crash_dir::CrashDir;
pub use foreign::Foreign;
pub use keep::Keep;
pub use manifest::Manifest;
pub use names::{Crash, State};
pub use store::{Listing, Store};
