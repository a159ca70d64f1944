//! `afterpanic info`: a core's format, its kernel and how much memory it holds.

use crate::core_arg;
use crate::core_arg::CoreArg;
use crate::exit::Exit;
use crate::output::{self, Context};
use dump::describe::level_of;
use serde::Serialize;
use std::io::Write;
use vmcore::addr::{PAGE_SIZE, Pfn, PfnRange};
use vmcore::dump::{Completeness, MemoryDump};
use vmcore::kernel::Vmcoreinfo;

/// Arguments of `info`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    core: CoreArg,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Info {
    path: String,
    format: &'static str,
    compression: String,
    machine: u16,
    release: Option<String>,
    build_id: Option<String>,
    crash_time: Option<u64>,
    pages: u64,
    runs: u64,
    ram_pages: u64,
    segments: Option<u64>,
    dump_level: Option<u32>,
    /// `all`, `standard`, `essential`, or makedumpfile's bits.
    level: Option<String>,
    complete: Option<bool>,
    incomplete_because: Option<String>,
    checksums: bool,
    file_bytes: u64,
    notes: Vec<NoteInfo>,
}

#[derive(Serialize)]
struct NoteInfo {
    owner: String,
    n_type: u32,
    bytes: usize,
}

/// Prints what the file says of itself.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (found, dump) = core_arg::open(context, args.core.core.as_deref())?;
    let info = gather(&found.path.display().to_string(), &*dump);
    if args.json {
        output::json("afterpanic.info/1", &dump.info().warnings, &info)?;
    } else {
        print(&info)?;
    }
    Ok(match info.complete {
        Some(false) => Exit::Incomplete,
        _ if dump.info().warnings.is_empty() => Exit::Done,
        _ => Exit::Degraded,
    })
}

fn gather(path: &str, dump: &dyn MemoryDump) -> Info {
    let said = dump.info();
    let vmcoreinfo = said.vmcoreinfo.as_deref().map(Vmcoreinfo::parse);
    let vmcoreinfo = vmcoreinfo.as_ref();
    let (pages, runs) = count(|from| dump.next_present(from));
    let (ram_pages, _) = count(|from| dump.next_ram(from));
    let (complete, incomplete_because) = match &said.completeness {
        Completeness::Complete => (Some(true), None),
        Completeness::Incomplete(why) => (Some(false), Some(why.clone())),
        Completeness::Unknown => (None, None),
    };
    Info {
        path: path.to_string(),
        format: said.format.name(),
        compression: said.compression.clone(),
        machine: said.machine,
        release: vmcoreinfo
            .and_then(Vmcoreinfo::osrelease)
            .or(said.utsname.as_ref().map(|uts| uts.release.as_str()))
            .map(str::to_string),
        build_id: vmcoreinfo.and_then(|info| info.build_id().map(str::to_string)),
        crash_time: vmcoreinfo.and_then(Vmcoreinfo::crashtime),
        pages,
        runs,
        ram_pages,
        segments: said.segments,
        dump_level: said.dump_level,
        level: level_of(said).map(|level| level.to_string()),
        complete,
        incomplete_because,
        checksums: said.checksums,
        file_bytes: said.file_size,
        notes: said
            .notes
            .iter()
            .map(|note| NoteInfo {
                owner: String::from_utf8_lossy(&note.name).into_owned(),
                n_type: note.n_type,
                bytes: note.desc.len(),
            })
            .collect(),
    }
}

/// Pages and runs of what `next` lists.
fn count(next: impl Fn(Pfn) -> Option<PfnRange>) -> (u64, u64) {
    let (mut pages, mut runs, mut from) = (0_u64, 0_u64, Pfn(0));
    while let Some(run) = next(from).filter(|run| run.end > from) {
        pages = pages.saturating_add(run.len());
        runs = runs.saturating_add(1);
        from = run.end;
    }
    (pages, runs)
}

fn print(info: &Info) -> anyhow::Result<()> {
    let mut out = output::stdout();
    let bytes = |pages: u64| output::size(pages.saturating_mul(PAGE_SIZE));
    writeln!(out, "{}", info.path)?;
    writeln!(
        out,
        "  format      {}, pages compressed with: {}",
        info.format, info.compression
    )?;
    writeln!(out, "  size        {}", output::size(info.file_bytes))?;
    writeln!(
        out,
        "  kernel      {}",
        info.release.as_deref().unwrap_or("not named")
    )?;
    if let Some(id) = &info.build_id {
        writeln!(out, "  build id    {id}")?;
    }
    if let Some(time) = info.crash_time {
        let stamp = i64::try_from(time)
            .ok()
            .and_then(|s| jiff::Timestamp::from_second(s).ok());
        let text = stamp.map_or_else(|| time.to_string(), |stamp| stamp.to_string());
        writeln!(out, "  died        {text}")?;
    }
    writeln!(
        out,
        "  pages       {} ({}) in {}, of {} ({}) of RAM",
        info.pages,
        bytes(info.pages),
        output::counted(info.runs, "run"),
        info.ram_pages,
        bytes(info.ram_pages)
    )?;
    if let Some(segments) = info.segments {
        writeln!(out, "  segments    {segments}")?;
    }
    if let Some(level) = &info.level {
        writeln!(out, "  level       {level}")?;
    }
    let complete = match (info.complete, &info.incomplete_because) {
        (Some(true), _) => "yes".to_string(),
        (Some(false), Some(why)) => format!("no: {why}"),
        (Some(false), None) => "no".to_string(),
        (None, _) => "the format does not say".to_string(),
    };
    writeln!(out, "  complete    {complete}")?;
    writeln!(
        out,
        "  checksums   {}",
        if info.checksums { "yes" } else { "none" }
    )?;
    let notes: Vec<String> = info
        .notes
        .iter()
        .map(|note| format!("{} ({} B)", note.owner, note.bytes))
        .collect();
    writeln!(out, "  notes       {}", notes.join(", "))?;
    Ok(())
}
