//! `cargo xtask demo`: the whole way once, narrated.
