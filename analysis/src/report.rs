//! The report: facts in [`model`], gathered by [`build`], worded by [`text`].

mod build;
mod diagnosis;
pub mod model;
mod section;
mod sections;
pub mod text;

pub use build::{Options, build, log_lines};
pub use model::Report;
pub use section::Section;
