//! The report: facts in [`model`], gathered by [`build`] from a core or by [`from_text`] from a log,
//! worded by [`text`]; as a page by [`html`], which shows [`details`] too.

mod build;
pub mod details;
mod diagnosis;
mod from_text;
pub mod html;
pub mod model;
mod section;
mod sections;
pub mod text;
mod words;

pub(crate) use build::with_log;
pub use build::{Options, build};
pub use details::Full;
pub use from_text::from_text;
pub use model::Report;
pub use section::Section;
