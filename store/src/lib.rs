//! What a crash leaves: crash directories in a store.
//!
//! From low to high: [`names`] (what a crash directory's name says), [`manifest`] (what is in one),
//! [`place`] (the operations that a kind of target offers) with one implementation, a directory of this machine,
//! [`Store`] (crash directories in one place), [`rotation`] and [`loop_guard`] (room for a new core, and
//! when none is written), [`CrashDir`] (one that is read), [`audit`] (one against its own manifest),
//! [`settle`] (those that were cut off), [`open`] (the best core of one).
//!
//! Anybody may be able to write into a store, so nothing in it is believed before its owner was asked.
//! This crate names `dump` and below. It knows nothing of plans, targets or the config, and nothing
//! here decides where a store is.

pub mod audit;
mod crash_dir;
pub mod directory;
mod keep;
mod local;
pub mod loop_guard;
pub mod manifest;
pub mod names;
pub mod open;
pub mod place;
pub mod rotation;
pub mod settle;
mod store;
#[cfg(test)]
mod tests;

pub use crash_dir::CrashDir;
pub use keep::Keep;
pub use manifest::Manifest;
pub use names::{Crash, State};
pub use store::{Listing, Store};
