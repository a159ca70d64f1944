//! The types of `/etc/afterpanic.toml`, with every default, and what reads, shows and imports them.
//!
//! The file is read when the capture kernel is loaded, never after the panic: what it says is resolved
//! once into the plan inside the image. This crate knows the words of the file and whether they can
//! be true; it does not look at the machine. An unknown key is an error, with its line and column and
//! the nearest known key.
//!
//! ```
//! let config = config::Config::parse("[dump]\nlevel = \"essential\"\n").unwrap();
//! assert_eq!(config.dump.level, config::Level::Essential);
//! assert_eq!(config.keep.dumps, 5);
//! let error = config::Config::parse("[dump]\nlevle = 1\n").unwrap_err();
//! assert_eq!((error.line(), error.column()), (Some(2), Some(1)));
//! ```

mod error;
pub mod import;
mod load;
mod model;
mod scalar;
mod units;

pub use error::ConfigError;
pub use load::DEFAULT_PATH;
pub use model::{
    Action, After, Auto, CaptureKernel, Config, Device, Dump, Format, Image, KINDS, Keep,
    KernelChoice, Level, Syscall, Target,
};
pub use scalar::Scalar;
pub use units::{Size, Time};
