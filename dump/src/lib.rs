//! From a crashed kernel's memory to one core file.
//!
//! Holds, from low to high: [`level`] and [`policy`] (which kinds of pages are kept), [`settings`] (the
//! config's `[dump]` section), [`budget`] (memory and threads of the worker), [`facts`] (what the
//! manifest says of a core), [`files`] (new files, never over a file or link that exists),
//! [`classify()`] (every page's kind into `pages.map`), [`pipeline`] (read, compress and write pages),
//! [`save`] (one core), [`convert()`] (one core into another). There is one pipeline: PID 1's core
//! step, `convert`, `capture` by hand and the benchmark call it.
//!
//! May name `vmcore` and `analysis`.
//!
//! Never decides where a file goes, and knows nothing of crash directories, targets or PID 1.

pub mod budget;
mod classify;
mod convert;
pub mod describe;
pub mod facts;
pub mod files;
pub mod level;
mod new_file;
pub mod pipeline;
pub mod policy;
pub mod save;
pub mod seal;
pub mod settings;
mod sums;
mod sys;

pub use classify::{Classified, ClassifyError, allowed, classify};
pub use convert::{ConvertError, Converted, Request, convert, workplace};
pub use level::Level;
pub use new_file::write_new;
pub use policy::Policy;
pub use settings::Dump;
pub use sums::{Sums, SumsError};
