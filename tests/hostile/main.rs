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

/// The harness compares answers with docs/json.md; the tests of `tests/cli` cover that.
mod json_docs {
    pub fn assert_documented(_: &serde_json::Value) {}
}

mod configs;
mod sources;
mod stores;
mod terminal;
mod timely;
