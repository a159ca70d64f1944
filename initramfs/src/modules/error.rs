//! Why a module cannot be had, and what is wrong with a line of depmod's files.

use std::path::PathBuf;

/// Why a kernel's modules cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The folder of the release is missing.
    #[error(
        "No modules of Linux {release} under {}; install that kernel's package, or name another with --kernel",
        dir.display()
    )]
    NoRelease {
        /// The release asked for.
        release: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A file of the index cannot be read.
    #[error("Cannot read {}; run depmod for this kernel", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the index makes no sense.
    #[error("{}:{line}: {what}; run depmod for this kernel", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// Nothing is called so.
    #[error(
        "Linux {release} has no module \"{name}\", which {why} needs, and it is not built in either"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// Who asked.
        why: String,
        /// The kernel.
        release: String,
    },
    /// Modules that need each other.
    #[error("The modules need each other in a circle: {}; run depmod for this kernel", circle.join(" -> "))]
    Circle {
        /// The names, the first one again at the end.
        circle: Vec<String>,
    },
    /// A module that is needed was left out by the config.
    #[error(
        "\"{name}\" is in omit_modules, but {needed_by} cannot be loaded without it; take it out of the list"
    )]
    Omitted {
        /// The module.
        name: String,
        /// What depends on it.
        needed_by: String,
    },
    /// The module's file cannot be read.
    #[error("Cannot read the module {}, which modules.dep lists; reinstall that kernel's package", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The module's file is damaged.
    #[error("The module {} is damaged: {what}; reinstall that kernel's package", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// What is wrong with a line of `modules.dep`; [`ModuleError::Corrupt`] says where.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("no colon after the module's path")]
    NoColon,
    #[error("\"{}\" is no path of a module", .0.escape_default())]
    Path(String),
}
