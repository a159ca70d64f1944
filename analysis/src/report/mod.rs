//! The report: facts in [`model`], gathered by [`build`], worded by [`text`].

mod build;
pub mod model;
pub mod text;

pub use build::{Options, build, log_lines};
pub use model::Report;
