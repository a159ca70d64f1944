//! `afterpanic convert`: into another format, or filtered further.

use crate::core_arg;
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::{self, Context};
use crate::progress;
use anyhow::{Context as _, bail};
use dump::Level;
use dump::{Request, convert, workplace};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vmcore::addr::PAGE_SIZE;
use vmcore::dump::source::FileSource;
use vmcore::dump::{self as formats, Completeness, MemoryDump, flattened};
use vmcore::write::OutputFormat;

/// Arguments of `convert`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A core file (the files of a split dump with commas between them), a crash directory, `last`, or
    /// `-` for a dump (flattened or not) on standard input
    #[arg(value_name = "IN")]
    core: PathBuf,
    /// The file to write; it must not exist yet
    out: PathBuf,
    /// elf-zst, elf-lz4, elf, kdump-zstd or kdump-zlib [default: by OUT's name]
    #[arg(long, value_parser = format)]
    format: Option<OutputFormat>,
    /// all, standard, essential, or makedumpfile's bits 0 to 31 [default: every page that IN holds]
    #[arg(long, value_parser = level)]
    level: Option<Level>,
    /// Compression level
    #[arg(long, visible_alias = "codec-level", value_name = "N")]
    zstd_level: Option<i32>,
    /// Worker threads [default: the CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// Converts. OUT's name appears only when the whole file is written.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let format = match args.format {
        Some(format) => format,
        None => by_name(&args.out)?,
    };
    if let Some(dir) = workplace(&args.out) {
        Interrupts::hold()?.remove(dir);
    }
    let dump = match args.core.as_os_str() == "-" {
        true => piped(&args.out, context)?,
        false => core_arg::open(context, Some(&args.core))?.1,
    };
    // They were printed while opening: what the source lacks, the copy lacks.
    let whole = dump.info().warnings.is_empty();
    let cut_off = match &dump.info().completeness {
        Completeness::Incomplete(why) => Some(why.clone()),
        _ => None,
    };
    let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
    let bar = progress::bytes(0, "writing", context.quiet);
    let request = Request {
        dump,
        out: &args.out,
        format,
        level: args.level,
        codec_level: args.zstd_level,
        threads: args.threads.map_or_else(cpus, usize::from),
    };
    let done = convert(&request, &mut |stats, total| {
        bar.set_length(total.saturating_mul(PAGE_SIZE));
        bar.set_position(stats.pages.saturating_mul(PAGE_SIZE));
    })?;
    bar.finish_and_clear();
    let mut exit = if whole { Exit::Done } else { Exit::Degraded };
    for doubt in &done.doubts {
        exit = Exit::Degraded;
        context.warn(doubt);
    }
    for warning in &done.warnings {
        exit = Exit::Degraded;
        context.warn(&format!("essential: {warning}"));
    }
    if done.stats.missing > 0 {
        exit = Exit::Incomplete;
        let missing = output::counted(done.stats.missing, "page");
        context.warn(&format!("{missing} could not be read"));
    }
    if let Some(why) = cut_off {
        exit = Exit::Incomplete;
        context.warn(&format!("the source is incomplete: {why}"));
    }
    writeln!(
        output::stdout(),
        "{}: {}, {} ({}), {}",
        args.out.display(),
        format.name(),
        output::counted(done.stats.pages, "page"),
        output::size(done.stats.pages.saturating_mul(PAGE_SIZE)),
        output::size(done.size)
    )?;
    Ok(exit)
}

/// The dump on standard input, by way of a file without a name beside OUT.
fn piped(out: &Path, context: &Context) -> anyhow::Result<Arc<dyn MemoryDump>> {
    let dir = match out.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let file = tempfile::tempfile_in(dir)
        .with_context(|| format!("Cannot make a file in {}", dir.display()))?;
    flattened::receive(std::io::stdin().lock(), &file).context(
        "The dump on standard input cannot be taken; of one that is cut off a file can be converted \
         as far as it goes",
    )?;
    let len = file.metadata()?.len();
    let source = Arc::new(FileSource::new(file, len));
    let dump = formats::open_source(Path::new("standard input"), source)?;
    for warning in &dump.info().warnings {
        context.warn(&format!("standard input: {warning}"));
    }
    Ok(dump)
}

/// `.elf.zst .elf.lz4 .elf .kdump`, the last one meaning kdump-zstd.
fn by_name(out: &Path) -> anyhow::Result<OutputFormat> {
    let name = out
        .file_name()
        .context("OUT is not a file name")?
        .to_string_lossy();
    match OutputFormat::ALL
        .into_iter()
        .find(|format| name.ends_with(format.suffix()))
    {
        Some(format) => Ok(format),
        None => {
            bail!(
                "the name {name} has no format's suffix (.elf.zst .elf.lz4 .elf .kdump). Choose one: --format"
            )
        }
    }
}

fn format(text: &str) -> Result<OutputFormat, String> {
    let names = || OutputFormat::ALL.map(OutputFormat::name).join(", ");
    OutputFormat::from_name(text).ok_or_else(|| format!("one of {}", names()))
}

pub(super) fn level(text: &str) -> Result<Level, String> {
    Level::parse(text).ok_or_else(|| "all, standard, essential or 0 to 31".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_format() {
        for (name, format) in [
            ("x/vmcore.elf.zst", OutputFormat::ElfZst),
            ("a.elf.lz4", OutputFormat::ElfLz4),
            ("a.elf", OutputFormat::Elf),
            ("a.kdump", OutputFormat::KdumpZstd),
        ] {
            assert_eq!(by_name(Path::new(name)).unwrap(), format);
        }
        assert!(by_name(Path::new("core.zst")).is_err());
    }
}
