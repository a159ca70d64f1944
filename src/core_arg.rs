//! The CORE argument: a file, a crash directory, `last`, or `live`.

use crate::output::Context;
use anyhow::{Context as _, bail};
use dump::seal::{is_sealed, open_dump};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Crash, State};
use vmcore::dump::{Completeness, MemoryDump};
use vmcore::kernel::{Kernel, Supplement, SymbolFile, Vmcoreinfo};

/// The CORE argument of the verbs whose only positional it is.
#[derive(clap::Args, Debug)]
pub(crate) struct CoreArg {
    /// A core file (the files of a split dump with commas between them), a crash directory, `last` (the
    /// default) or `live`
    pub core: Option<PathBuf>,
}

/// Where a core was found.
pub(crate) struct Found {
    /// The file to open.
    pub path: PathBuf,
    /// The crash directory that it is in, if any.
    pub dir: Option<PathBuf>,
    /// Whether CORE was that directory, and not one of its files.
    pub whole: bool,
    /// Whether pages or files of it were lost; [`kernel_with`] warns of that.
    pub incomplete: bool,
}

/// Resolves CORE; `None` means `last`.
pub(crate) fn find(context: &Context, core: Option<&Path>) -> anyhow::Result<Found> {
    let given = core.unwrap_or(Path::new("last"));
    if given == Path::new("live") {
        return Ok(Found {
            path: context.path("/proc/kcore"),
            dir: None,
            whole: false,
            incomplete: false,
        });
    }
    let path = resolve(context, given)?;
    if path.is_dir() {
        let core = store::open::core_of(&path);
        let Some(core) = core else {
            bail!(
                "{} holds no core. Its log and report may be there",
                path.display()
            );
        };
        return Ok(Found {
            incomplete: is_incomplete(&path) || store::foreign::is_unfinished(&core),
            path: core,
            dir: Some(path),
            whole: true,
        });
    }
    let dir = path
        .parent()
        .filter(|dir| dir.join("manifest.json").exists())
        .map(Path::to_path_buf);
    Ok(Found {
        path,
        dir,
        whole: false,
        incomplete: false,
    })
}

/// Whether the name of a crash directory says that something is missing in it.
pub(crate) fn is_incomplete(dir: &Path) -> bool {
    Crash::parse(dir).is_some_and(|crash| crash.state != State::Done)
}

/// Warns that answers out of this may lack something.
pub(crate) fn warn_incomplete(context: &Context, what: &Path) {
    let what = what.display();
    context.warn(&format!(
        "{what} is incomplete: this answer may lack what was lost. Next: afterpanic verify {what}"
    ));
}

/// Opens the dump behind CORE.
pub(crate) fn open(
    context: &Context,
    core: Option<&Path>,
) -> anyhow::Result<(Found, Arc<dyn MemoryDump>)> {
    let mut found = find(context, core)?;
    let dump = match &found.dir {
        Some(dir) if found.whole => {
            let opened = store::open::open(dir, &found.path, &context.identities()?)?;
            if let Some(why) = &opened.warning {
                context.warn(&format!("{why}. Using the essential pages instead"));
            }
            found.path = opened.path;
            opened.dump
        }
        _ => match parts(&found.path).as_slice() {
            [path] if is_sealed(path) => open_dump(path, &context.identities()?)?,
            paths => vmcore::dump::open_set(paths)?,
        },
    };
    for warning in &dump.info().warnings {
        context.warn(&format!("{}: {warning}", found.path.display()));
    }
    found.incomplete |= matches!(dump.info().completeness, Completeness::Incomplete(_));
    Ok((found, dump))
}

/// Where symbols come from when the core does not tell them.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct SymbolsArg {
    /// System.map or vmlinux of the crashed kernel, for a core without symbols
    #[arg(long, value_name = "FILE")]
    pub symbols: Option<PathBuf>,
}

/// The files of a split dump, given with commas between them; otherwise the one file.
fn parts(path: &Path) -> Vec<PathBuf> {
    let text = path.to_string_lossy();
    if path.exists() || !text.contains(',') {
        return vec![path.to_path_buf()];
    }
    text.split(',').map(PathBuf::from).collect()
}

/// CORE and what follows it on the command line, where CORE may be left out: the first word is not CORE
/// when it looks like a name or a number and no file has that name. `usage` names what follows, of which
/// `needed` words are needed and no more than `most` taken.
pub(crate) fn split(
    first: &str,
    rest: &[&str],
    needed: usize,
    most: usize,
    usage: &str,
) -> (PathBuf, Vec<String>) {
    let given = rest.len() >= most || is_core(first);
    let (core, words): (&str, Vec<&str>) = match given {
        true => (first, rest.to_vec()),
        false => ("last", [&[first], rest].concat()),
    };
    if words.len() < needed {
        let text = format!("what to look for in {core} is missing: {usage}\n");
        clap::Error::raw(clap::error::ErrorKind::MissingRequiredArgument, text).exit();
    }
    let words = words.into_iter().map(ToOwned::to_owned).collect();
    (PathBuf::from(core), words)
}

/// Whether a word can only be a core: a path, a file that exists, `last` or `live`. Patterns and casts are
/// none.
fn is_core(word: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || "_:+- *?[]()>".contains(c);
    ["last", "live"].contains(&word) || !word.chars().all(name) || Path::new(word).exists()
}

/// Opens the kernel behind CORE.
pub(crate) fn kernel(context: &Context, core: Option<&Path>) -> anyhow::Result<(Found, Kernel)> {
    kernel_with(context, core, &SymbolsArg::default())
}

/// Opens the kernel behind CORE with the symbols of a file.
pub(crate) fn kernel_with(
    context: &Context,
    core: Option<&Path>,
    symbols: &SymbolsArg,
) -> anyhow::Result<(Found, Kernel)> {
    let (found, dump) = open(context, core)?;
    let file = match &symbols.symbols {
        Some(path) => {
            let file = SymbolFile::open(path)?;
            if let Some(note) = dump.info().vmcoreinfo.as_deref() {
                file.check(&Vmcoreinfo::parse(note))?;
            }
            Some(Arc::new(file))
        }
        None => None,
    };
    let supplement = Supplement {
        file,
        ..Supplement::default()
    };
    let kernel = Kernel::with(dump, supplement)
        .with_context(|| format!("Cannot find the kernel inside {}", found.path.display()))?;
    if found.incomplete {
        let what = found.dir.as_ref().filter(|_| found.whole);
        warn_incomplete(context, what.unwrap_or(&found.path));
    }
    Ok((found, kernel))
}

/// The crash directory that CORE is, or is in.
pub(crate) fn crash_dir(context: &Context, core: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = resolve(context, core.unwrap_or(Path::new("last")))?;
    if path.is_dir() {
        return Ok(path);
    }
    let parent = path.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(parent)
}

/// `last` as the newest crash directory; anything else is a path.
pub(crate) fn resolve(context: &Context, given: &Path) -> anyhow::Result<PathBuf> {
    if given != Path::new("last") || given.exists() {
        return Ok(given.to_path_buf());
    }
    let saved = crate::saved::crashes(context, None)?;
    let Some(last) = saved.crashes.into_iter().next_back() else {
        for elsewhere in &saved.elsewhere {
            context.warn(elsewhere);
        }
        bail!(
            "No crash is saved in {}; give a core file or a crash directory",
            saved.places
        );
    };
    Ok(last.path)
}
