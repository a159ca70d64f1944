//! `/etc/afterpanic.toml`: the types of its sections with every default, and what reads, shows and
//! imports the file.
//!
//! Holds the syntax of the file, its checks, the importers of other suites' configs, and what the
//! sections become in the plan. May name `plan` and the crates below it: levels, formats and page kinds
//! are theirs. Never looks at the machine, and never runs in the capture kernel: the file is read while
//! arming only. An unknown key is an error, with its line and column and the nearest known key.
//!
//! ```
//! let config = config::Config::parse("[dump]\nlevel = \"essential\"\n").unwrap();
//! assert_eq!(config.dump.level, dump::Level::Essential);
//! assert_eq!(config.keep.dumps, 5);
//! let error = config::Config::parse("[dump]\nlevle = 1\n").unwrap_err();
//! assert_eq!((error.line(), error.column()), (Some(2), Some(1)));
//! ```

mod error;
pub mod import;
mod load;
mod model;
mod scalar;
mod settings;
mod units;

pub use error::{ConfigError, ValueError};
pub use load::DEFAULT_PATH;
pub use model::{
    Account, Action, After, Auto, CaptureKernel, Config, Copy, Device, Dump, Export, Hook, Image,
    Keep, KernelChoice, Notify, Report, Syscall, Target,
};
pub use scalar::Scalar;
pub use units::{Size, Time};
