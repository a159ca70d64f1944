//! `afterpanic config import`: other suites' configs, with a table of what became of each line.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use config::Config;
use config::import::{self, Imported, Outcome, Row, Source, Suite};
use serde::Serialize;
use vmcore::escape;

use crate::exit::Exit;
use crate::output::{self, Context};

/// The longest config of another suite that is read, in bytes.
const MAX_CONFIG: u64 = 256 << 10;

/// Where the suites have their files.
const PLACES: [&str; 5] = [
    "/etc/kdump.conf",
    "/etc/sysconfig/kdump",
    "/etc/sysconfig/kdump.conf",
    "/etc/default/kdump-tools",
    "/etc/default/kdump",
];

/// Where kdumpst has its files. They are read in the order of their names.
const FOLDER: &str = "/usr/share/kdumpst.d";

/// Folders whose programs kdump-utils runs, by the directive that names one more: those of the first run
/// after that one's, the others before (do_kdump_pre, do_kdump_post in kdump.sh).
const PROGRAMS: [(&str, &str); 3] = [
    ("kdump_pre", "/etc/kdump/pre.d"),
    ("kdump_post", "/etc/kdump/post.d"),
    ("kdump_emergency", "/etc/kdump/emergency.d"),
];

/// More files than any suite has.
const MOST_FILES: usize = 32;

/// The widest texts of lines in the table.
const WIDEST: usize = 52;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Files of one suite [default: those that this machine has]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Leave this line out, so that it does not block. With several files: FILE:LINE
    #[arg(long, value_name = "LINE")]
    skip: Vec<String>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    files: Vec<FileOf<'a>>,
    blocks: bool,
    rows: Vec<RowOf<'a>>,
    config: Option<&'a Config>,
    toml: Option<String>,
}

#[derive(Serialize)]
struct FileOf<'a> {
    path: &'a Path,
    suite: &'a str,
}

#[derive(Serialize)]
struct RowOf<'a> {
    path: &'a Path,
    line: usize,
    last: usize,
    text: &'a str,
    outcome: &'a str,
    why: &'a str,
}

/// Runs `config import`.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let detected = args.files.is_empty();
    let paths = match detected {
        true => found(context),
        false => args.files.clone(),
    };
    if paths.is_empty() {
        bail!(
            "no config of another suite is here. Looked for {} and {FOLDER}; name the file",
            PLACES.join(", ")
        );
    }
    let texts: Vec<(&PathBuf, String)> = paths
        .iter()
        .map(|path| Ok((path, read(path)?)))
        .collect::<anyhow::Result<_>>()?;
    let mut sources = Vec::new();
    for (path, text) in &texts {
        let Some(source) = Source::of(path, text) else {
            bail!(
                "{} is not a kdump.conf, kdump-tools, sysconfig/kdump or kdumpst file",
                path.display()
            );
        };
        sources.push(source);
    }
    let Some(first) = sources.first() else {
        bail!("no file was read");
    };
    if let Some(other) = sources.iter().find(|s| !s.suite.belongs_to(first.suite)) {
        bail!(
            "{} is {}, and {} is {}. Name the files of one suite",
            first.path.display(),
            first.suite.words(),
            other.path.display(),
            other.suite.words()
        );
    }
    let suite = first.suite;
    let folders = match detected {
        true => programs(context),
        false => Vec::new(),
    };
    if suite.belongs_to(Suite::KdumpConf) {
        for (at, (path, text)) in folders.iter().enumerate() {
            let source = Source {
                path,
                suite: Suite::KdumpConf,
                text,
            };
            match at {
                0 => sources.push(source),
                _ => sources.insert(0, source),
            }
        }
    }
    let skip = skipped(&args.skip, &sources)?;
    let imported = import::import(&sources, &skip);
    let exit = match imported.worst() {
        Outcome::Taken => Exit::Done,
        Outcome::Remark | Outcome::NoCounterpart => Exit::Degraded,
        Outcome::Blocks => Exit::No,
    };
    let warnings = differences(suite, &imported);
    if args.json {
        let answer = answer(&sources, &imported);
        output::json("afterpanic.config-import/1", &warnings, &answer)?;
        return Ok(exit);
    }
    table(&sources, &imported, context);
    if imported.blocks() {
        let lines = imported.rows.iter();
        let count = lines.filter(|row| row.outcome == Outcome::Blocks).count();
        output::complain(&format!(
            "no config was printed: {} must be answered first. Change what is marked BLOCKS in a copy \
             of the file, or leave it out with --skip LINE",
            output::counted(count as u64, "line")
        ));
        return Ok(exit);
    }
    for warning in warnings {
        context.hint(&format!("Note: {warning}"));
    }
    print(&sources, &imported)?;
    context.hint(&format!("Next: write this to {}", config::DEFAULT_PATH));
    Ok(exit)
}

/// The files of other suites that this machine has.
fn found(context: &Context) -> Vec<PathBuf> {
    let places = PLACES.iter().map(|place| context.path(place));
    let mut out: Vec<PathBuf> = places.filter(|path| path.is_file()).collect();
    if let Ok(entries) = std::fs::read_dir(context.path(FOLDER)) {
        let entries = entries.flatten().map(|entry| entry.path());
        let mut more: Vec<PathBuf> = entries
            .filter(|path| path.is_file())
            .take(MOST_FILES)
            .collect();
        more.sort();
        out.extend(more);
    }
    out
}

/// The folders of programs of kdump-utils, each with the directives that would name its programs.
fn programs(context: &Context) -> Vec<(PathBuf, String)> {
    let folder = |(directive, folder): &(&str, &str)| {
        let here = context.path(folder);
        let entries = std::fs::read_dir(&here).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            // Only a name that is one word fits into a line.
            .filter(|name| !name.contains(|c: char| c.is_whitespace() || "#\"'\\".contains(c)))
            .take(MOST_FILES)
            .collect();
        names.sort();
        let lines = names
            .iter()
            .map(|name| format!("{directive} {folder}/{name}\n"));
        (here, lines.collect::<String>())
    };
    PROGRAMS.iter().map(folder).collect()
}

/// The text of a config file, which is no longer than [`MAX_CONFIG`].
fn read(file: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {}", file.display());
    let mut bytes = Vec::new();
    let opened = vmcore::dump::open_regular(file).with_context(cannot)?;
    let mut opened = opened.take(MAX_CONFIG + 1);
    opened.read_to_end(&mut bytes).with_context(cannot)?;
    if bytes.len() as u64 > MAX_CONFIG {
        bail!(
            "{} is larger than {}: no config file is that long",
            file.display(),
            output::size(MAX_CONFIG)
        );
    }
    // A comment may be in an old encoding.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `LINE` or `FILE:LINE` of each --skip.
fn skipped<'a>(
    wanted: &[String],
    sources: &[Source<'a>],
) -> anyhow::Result<Vec<(&'a Path, usize)>> {
    let mut out = Vec::new();
    for text in wanted {
        let (file, line) = match text.rsplit_once(':') {
            Some((file, line)) => (Some(Path::new(file)), line),
            None => (None, text.as_str()),
        };
        let Ok(line) = line.parse::<usize>() else {
            bail!("--skip {text}: write LINE or FILE:LINE");
        };
        let source = match (file, sources) {
            (None, [one]) => Some(one),
            (None, _) => bail!("--skip {text}: which file is it? Write FILE:LINE"),
            (Some(file), _) => sources.iter().find(|source| source.path == file),
        };
        let Some(source) = source else {
            bail!("--skip {text}: no such file is imported");
        };
        out.push((source.path, line));
    }
    Ok(out)
}

/// What no line is about and still differs.
fn differences(suite: Suite, imported: &Imported) -> Vec<String> {
    let says = ["KDUMP_NUM_DUMPS", "KDUMP_KEEP_OLD_DUMPS"];
    let said = |row: &Row| says.iter().any(|name| row.text.contains(name));
    match imported.rows.iter().any(said) {
        true => Vec::new(),
        false => vec![suite.differences().to_owned()],
    }
}

fn answer<'a>(sources: &[Source<'a>], imported: &'a Imported) -> Answer<'a> {
    let usable = !imported.blocks();
    Answer {
        files: sources
            .iter()
            .map(|source| FileOf {
                path: source.path,
                suite: source.suite.words(),
            })
            .collect(),
        blocks: !usable,
        rows: imported
            .rows
            .iter()
            .map(|row| RowOf {
                path: &row.path,
                line: row.line,
                last: row.last,
                text: &row.text,
                outcome: row.outcome.name(),
                why: &row.why,
            })
            .collect(),
        config: usable.then_some(&imported.config),
        toml: usable.then(|| imported.config.show_changed()),
    }
}

/// The table, on stderr: file and line, text, what became of it.
fn table(sources: &[Source<'_>], imported: &Imported, context: &Context) {
    for source in sources.iter().filter(|source| source.path.is_file()) {
        context.hint(&format!(
            "{} is {}",
            source.path.display(),
            source.suite.words()
        ));
    }
    let shown = imported
        .rows
        .iter()
        .filter(|row| !context.quiet || row.outcome == Outcome::Blocks);
    let cells: Vec<[String; 3]> = shown
        .map(|row| {
            let place = format!("{}:{}:", row.path.display(), row.line);
            let mut words = row.outcome.words().to_owned();
            if !row.why.is_empty() {
                words = format!("{words}: {}", row.why);
            }
            [place, shortened(&row.text), words]
        })
        .map(|cells| cells.map(|cell| escape::line(&cell).into_owned()))
        .collect();
    let width = |column: usize| {
        let column = cells.iter().filter_map(|cells| cells.get(column));
        column.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (places, texts) = (width(0), width(1));
    for [place, text, words] in &cells {
        eprintln!("{place:places$} {text:texts$}  {words}");
    }
}

/// The first words of a text.
fn shortened(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.chars().count() > WIDEST {
        true => line.chars().take(WIDEST - 1).chain(['…']).collect(),
        false => line,
    }
}

/// The config, on stdout.
fn print(sources: &[Source<'_>], imported: &Imported) -> anyhow::Result<()> {
    let mut out = output::stdout();
    let names: Vec<String> = sources
        .iter()
        .map(|source| source.path.display().to_string())
        .collect();
    let names = names.join(", ");
    let changed = imported.config.show_changed();
    if !changed.is_empty() {
        writeln!(out, "# From {names}; every other key has its default.")?;
        out.write_all(changed.as_bytes())?;
    } else if imported.rows.is_empty() {
        writeln!(out, "# {names}: sets nothing. Every key has its default.")?;
    } else if imported.worst() == Outcome::Taken {
        writeln!(
            out,
            "# {names}: every setting is what afterpanic does by default."
        )?;
    } else {
        writeln!(
            out,
            "# {names}: no key differs from its default, but not every line could be taken over as it is."
        )?;
    }
    Ok(())
}
