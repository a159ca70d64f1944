//! From a crashed kernel's memory to one core file.
//!
//! From low to high: [`level`] and [`policy`] (which kinds of pages are kept), [`settings`] (what the
//! config's `[dump]` section asks for), [`budget`] (memory and threads of the worker), [`facts`] (what
//! the manifest says of a core), [`files`] (new files that nobody else can have put there),
//! [`classify()`] (every page's kind into `pages.map`), [`pipeline`] (read, compress and write pages),
//! [`save`] (one core), [`convert()`] (one core into another).
//!
//! There is one pipeline: PID 1's core step, `convert`, `capture` by hand and the benchmark call it.
//! This crate names `vmcore` and `analysis` only. It knows nothing of crash directories, targets or
//! PID 1, and it never decides where a file goes.

pub mod budget;
mod classify;
mod convert;
pub mod describe;
pub mod facts;
pub mod files;
pub mod level;
pub mod pipeline;
pub mod policy;
pub mod save;
pub mod settings;
mod sums;
mod sys;

pub use classify::{Classified, allowed, classify};
pub use convert::{ConvertError, Converted, Request, convert, workplace};
pub use level::Level;
pub use policy::Policy;
pub use settings::Dump;
