//! What a page is. Facts only: which kinds are kept is policy and stands in `capture::policy`.

pub mod kind;

pub use kind::{Kind, KindCounts, KindRun};
