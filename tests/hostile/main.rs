//! Stores, cores and files made by an attacker: no verb prints what they say raw, hangs on them, or
//! writes anything for them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[allow(dead_code)]
#[path = "../cli/harness.rs"]
mod harness;

mod configs;
mod sources;
mod stores;
mod terminal;
mod timely;
