//! The evidence of a crash that a user names: a core, a crash directory with or without one, a text log,
//! or `-` for a text on stdin.

mod unpack;

use crate::core_arg::{self, SymbolsArg};
use crate::output::Context;
use analysis::report::details::{self, Full};
use analysis::report::{self, Options, Report};
use anyhow::{Context as _, anyhow, bail};
use dump::seal::{Identities, MAGIC, is_sealed, open_text};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use store::CrashDir;
use store::manifest::{DMESG, REPORT_JSON};
use unpack::Packing;

/// Bytes looked at to tell a text from a core.
const SNIFF: usize = 4096;
/// No report is larger, in bytes.
pub(crate) const MAX_REPORT: u64 = 16 << 20;
/// A log larger than this is not read beside a stored report.
const MAX_LOG: u64 = 64 << 20;
/// Logs in a crash directory without a core, in the order of preference: ours, kdump-utils', makedumpfile's.
const LOGS: [&str; 4] = [
    "dmesg.txt",
    "dmesg.txt.age",
    "vmcore-dmesg.txt",
    "vmcore-dmesg-incomplete.txt",
];

/// The CORE argument of the verbs that read a text log, too.
#[derive(clap::Args, Debug)]
pub(crate) struct EvidenceArg {
    /// A core file, a crash directory, a text that holds the kernel's log (also packed by gzip or xz), `-` for such a text on stdin,
    /// `last` (the default) or `live`
    pub core: Option<PathBuf>,
}

/// A text that holds a kernel's log.
pub(crate) struct Text {
    /// What the user calls it.
    pub name: String,
    /// The crash directory that it is in.
    pub dir: Option<PathBuf>,
    /// Its bytes.
    pub input: Box<dyn BufRead>,
}

/// The text that `core` names, or `None` where it names a core.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn text(context: &Context, core: Option<&Path>) -> anyhow::Result<Option<Text>> {
    let given = core.unwrap_or(Path::new("last"));
    if given == Path::new("-") {
        return Ok(Some(Text {
            name: "stdin".into(),
            dir: None,
            input: Box::new(BufReader::new(io::stdin())),
        }));
    }
    if given == Path::new("live") {
        return Ok(None);
    }
    let path = core_arg::resolve(context, given)?;
    let (path, dir) = match path.is_dir() {
        false => (path, None),
        true if store::open::core_of(&path).is_some_and(|core| !is_closed(context, &core)) => {
            return Ok(None);
        }
        true => match log_of(&path) {
            Some(log) => (log, Some(path)),
            None => return Ok(None),
        },
    };
    let mut file = match vmcore::dump::open_regular(&path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::InvalidInput && !is_device(&path) => {
            let path = path.display();
            bail!("Cannot read {path}: {why}. Give a text on stdin: afterpanic report - < {path}");
        }
        // A split dump, or a path that the opener of cores names in its error.
        Err(_) => return Ok(None),
    };
    let mut start = Vec::new();
    let read = Read::by_ref(&mut file)
        .take(SNIFF as u64)
        .read_to_end(&mut start);
    read.with_context(|| format!("Cannot read {}", path.display()))?;
    let name = path.display().to_string();
    if start.starts_with(MAGIC) {
        return sealed_text(context, &path, dir);
    }
    let packing = Packing::of(&start);
    if packing.is_none() && !is_text(&start) {
        return Ok(None);
    }
    let packed = io::Cursor::new(start).chain(file);
    let input: Box<dyn BufRead> = match packing {
        None => Box::new(BufReader::new(packed)),
        Some(packing) => {
            let mut input = BufReader::with_capacity(SNIFF, packing.unpack(packed));
            let start = input
                .fill_buf()
                .with_context(|| format!("Cannot unpack {name}, a file packed by {packing}"))?;
            if !is_text(start) {
                bail!(
                    "{name} is packed by {packing}, and holds no text. If it is a core, unpack it first: \
                     no core can be read at random inside such a file"
                );
            }
            Box::new(input)
        }
    };
    Ok(Some(Text { name, dir, input }))
}

/// Whether a core is sealed and no key is at hand: the log beside it may be open.
fn is_closed(context: &Context, core: &Path) -> bool {
    let sealed = is_sealed(core) && context.identities().is_ok_and(|keys| keys.is_empty());
    if sealed {
        context.warn(&format!(
            "{} is sealed and no identity was given: this is what the log says",
            core.display()
        ));
    }
    sealed
}

/// The text in a sealed file, or `None` where a core is in it.
fn sealed_text(
    context: &Context,
    path: &Path,
    dir: Option<PathBuf>,
) -> anyhow::Result<Option<Text>> {
    let name = path.display().to_string();
    let failed = || format!("Cannot read {name}");
    let file = vmcore::dump::open_regular(path).with_context(failed)?;
    let text = open_text(file, &context.identities()?).with_context(failed)?;
    let mut input = Box::new(BufReader::with_capacity(SNIFF, text));
    let is_text = is_text(input.fill_buf().with_context(failed)?);
    Ok(is_text.then_some(Text { name, dir, input }))
}

/// The report of what `core` names, the crash directory that it is in, and whether a part of that
/// was lost.
///
/// # Errors
/// When it cannot be opened or read.
pub(crate) fn report(
    context: &Context,
    core: Option<&Path>,
    symbols: &SymbolsArg,
    options: Options<'_>,
) -> anyhow::Result<(Report, Option<PathBuf>, bool)> {
    if let Some(mut text) = text(context, core)? {
        let report = report::from_text(&mut *text.input, &text.name, options)
            .with_context(|| format!("Cannot read {}", text.name))?;
        if is_blank(&report) && text.dir.is_none() {
            return Err(no_log(&text.name));
        }
        let incomplete = text.dir.as_deref().is_some_and(core_arg::is_incomplete);
        if let Some(dir) = text.dir.as_ref().filter(|_| incomplete) {
            core_arg::warn_incomplete(context, dir);
        }
        return Ok((report, text.dir, incomplete));
    }
    let (found, kernel) = core_arg::kernel_with(context, core, symbols)?;
    let report = report::build(&kernel, options);
    Ok((report, found.dir, found.incomplete))
}

/// The same with every section and the details of the page. A report that was stored as JSON is taken as
/// it is.
///
/// # Errors
/// When it cannot be opened or read.
pub(crate) fn full(
    context: &Context,
    core: Option<&Path>,
    symbols: &SymbolsArg,
) -> anyhow::Result<(Full, Option<PathBuf>, bool)> {
    if let Some(full) = core.map(stored).transpose()?.flatten() {
        return Ok((full, None, false));
    }
    if let Some(mut text) = text(context, core)? {
        let incomplete = text.dir.as_deref().is_some_and(core_arg::is_incomplete);
        if let Some(dir) = text.dir.as_ref().filter(|_| incomplete) {
            core_arg::warn_incomplete(context, dir);
        }
        let identities = context.identities()?;
        let beside = text.dir.as_deref();
        if let Some(full) = beside.and_then(|dir| of_directory(dir, &identities)) {
            return Ok((full, text.dir, incomplete));
        }
        let full = details::full_of_text(&mut *text.input, &text.name)
            .with_context(|| format!("Cannot read {}", text.name))?;
        if is_blank(&full.report) && text.dir.is_none() {
            return Err(no_log(&text.name));
        }
        return Ok((full, text.dir, incomplete));
    }
    let (found, kernel) = core_arg::kernel_with(context, core, symbols)?;
    Ok((details::full(&kernel), found.dir, found.incomplete))
}

/// The stored report of a crash directory, with its log.
pub(crate) fn of_directory(dir: &Path, identities: &Identities) -> Option<Full> {
    let crash = CrashDir::open(dir).ok()?;
    let report = crash
        .read_sealed(REPORT_JSON, MAX_REPORT, identities)
        .ok()?;
    let log = crash.read_sealed(DMESG, MAX_LOG, identities).ok();
    collect::page::of_stored(Some(&report), log.as_deref())
}

/// The report in a file of JSON; `None` for any other file.
fn stored(path: &Path) -> anyhow::Result<Option<Full>> {
    let Ok(file) = vmcore::dump::open_regular(path) else {
        return Ok(None);
    };
    let mut text = Vec::new();
    let mut file = BufReader::new(file).take(MAX_REPORT);
    let starts = file.fill_buf().is_ok_and(|start| start.starts_with(b"{"));
    if !starts {
        return Ok(None);
    }
    let failed = || format!("Cannot read {}", path.display());
    file.read_to_end(&mut text).with_context(failed)?;
    let full: Full = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a report of ours", path.display()))?;
    Ok(Some(full))
}

/// Whether a report of a text tells nothing.
fn is_blank(report: &Report) -> bool {
    report.reason.is_blank()
        && report.uptime_seconds.is_none()
        && report.system.uts.release.is_empty()
}

/// The error for a text in which no kernel speaks.
pub(crate) fn no_log(name: &str) -> anyhow::Error {
    anyhow!(
        "{name} is neither a core nor a kernel's log: no line has a time, and no report of the kernel \
         is in it"
    )
}

/// The log in a crash directory: ours, kdump-utils', Debian's `dmesg.STAMP`, or what pstore held.
fn log_of(dir: &Path) -> Option<PathBuf> {
    let named = LOGS
        .iter()
        .map(|name| dir.join(name))
        .find(|path| path.is_file());
    named
        .or_else(|| first(dir, "dmesg"))
        .or_else(|| first(&dir.join("pstore"), "dmesg"))
}

/// Whether a path is a block device, which may hold a core.
fn is_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device())
}

/// The first file of a directory, by name, that begins so.
fn first(dir: &Path, start: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    let named = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(start))
    };
    entries.filter(|path| path.is_file() && named(path)).min()
}

/// Whether a file that begins so is a text: a core holds NULs at its start, in every format.
fn is_text(start: &[u8]) -> bool {
    let compressed = [[0x28, 0xb5, 0x2f, 0xfd], [0x04, 0x22, 0x4d, 0x18]];
    let packed = compressed.iter().any(|magic| start.starts_with(magic));
    // Old consoles print a NUL now and then.
    let nuls = start.iter().filter(|byte| **byte == 0).count();
    !packed
        && !start.starts_with(b"\x7fELF")
        && !start.starts_with(b"age-encryption")
        && nuls.saturating_mul(64) <= start.len()
        && !start.starts_with(b"KDUMP")
        && !start.starts_with(b"makedumpfile")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_no_text() {
        assert!(is_text(b""));
        assert!(is_text(b"[    0.000000] Linux version\n"));
        assert!(is_text("é\n".as_bytes()));
        for core in [
            &b"\x7fELF\x02\x01"[..],
            b"KDUMP   \x06",
            &[0x28, 0xb5, 0x2f, 0xfd, 1],
            &[0; 64],
            b"makedumpfile\0",
        ] {
            assert!(!is_text(core), "{core:?}");
        }
    }
}
