//! Pictures, each with its answer in text beside it. They are SVG written by hand: a bar or a line of
//! time takes its coordinates in per cent, so that it fits any page while its letters keep their size.

pub(super) mod cpus;
pub(super) mod dump;
pub(super) mod graph;
pub(super) mod memory;
pub(super) mod timeline;
pub(super) mod waits;
