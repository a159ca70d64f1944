//! What a crash leaves: crash directories in a store.
//!
//! From low to high: [`names`] (what a crash directory's name says), [`manifest`] (what is in one),
//! [`directory`] (making and finishing one), [`rotation`] (room for a new core, and the loop guard),
//! [`audit`] (a crash directory against its own manifest), [`settle`] (directories that were cut off),
//! [`open`] (the best core of a crash directory).
//!
//! This crate names `dump` and below. It knows nothing of plans, targets or the config, and nothing
//! here decides where a store is.

pub mod audit;
pub mod directory;
pub mod keep;
pub mod manifest;
pub mod names;
pub mod open;
pub mod rotation;
pub mod settle;

pub use keep::Keep;
pub use manifest::Manifest;
pub use names::{Crash, State};
