//! Golden outputs: every verb that reads a core on every kind of core, compared with `golden/`.
//!
//! A file there holds what a user sees: the command, its output, what went to stderr (with `! ` in
//! front) and the exit code if it is not 0. `SNAPSHOTS=overwrite cargo test --test cli golden` writes
//! them anew; read the difference before it is committed.

mod asked;
mod configuration;
mod cores;
mod directory;
mod examples;
mod help;
mod json_pages;
mod picture;
mod transcript;
