//! Questions: SQL over the table `crashes`, from `sql/` or the user, answered by an engine that is installed.
//! Local parts of an index are read in place; those of a remote bucket are copied into a cache first, so the
//! engine needs neither network nor credentials.

mod engine;
mod parameters;
mod table;

use crate::bucket::{Bucket, Kind};
use crate::cli;
use crate::config::Fleet;
use crate::index::parts::Parts;
use crate::layout::{INDEX, Part, day_in};
use crate::output;
use crate::ship::sha256;
use crate::{End, Usage, json};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// The largest query from standard input.
const LONGEST_QUERY: u64 = 1 << 20;

/// The questions.
pub(crate) const QUESTIONS: [(&str, &str); 8] = [
    ("top", include_str!("../sql/top.sql")),
    ("new", include_str!("../sql/new.sql")),
    ("regressions", include_str!("../sql/regressions.sql")),
    ("machine", include_str!("../sql/machine.sql")),
    ("signature", include_str!("../sql/signature.sql")),
    ("arrivals", include_str!("../sql/arrivals.sql")),
    ("modules", include_str!("../sql/modules.sql")),
    ("similar", include_str!("../sql/similar.sql")),
];

/// Rows of an answer.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub(crate) struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, in the order of the columns.
    pub rows: Vec<Vec<Value>>,
}

/// Asks a question of `sql/`.
pub(crate) async fn named(name: &str, options: &cli::Ask, fleet: &Fleet) -> Result<End> {
    let found = QUESTIONS.iter().find(|(known, _)| *known == name);
    let (_, text) = found.with_context(|| format!("there is no question {name}"))?;
    for (wanted, value) in [
        ("machine", &options.machine),
        ("signature", &options.signature),
    ] {
        if name == wanted && value.is_none() {
            return Err(Usage(format!("name one with --{wanted}")).into());
        }
    }
    let sql = parameters::fill(text, name, options)?;
    let days = (options.since.clone(), options.until.clone());
    // What is new is known only from all that is old.
    let days = if matches!(name, "new" | "similar") {
        (None, None)
    } else {
        days
    };
    answer(&sql, &options.from, fleet, days).await
}

/// Runs a query of the user's.
pub(crate) async fn free(options: &cli::Sql, fleet: &Fleet) -> Result<End> {
    let mut query = options.query.clone();
    if query == "-" {
        query.clear();
        std::io::stdin()
            .take(LONGEST_QUERY)
            .read_to_string(&mut query)?;
    }
    answer(&query, &options.from, fleet, (None, None)).await
}

async fn answer(
    sql: &str,
    from: &cli::From,
    fleet: &Fleet,
    days: (Option<String>, Option<String>),
) -> Result<End> {
    if from.print_sql {
        let url = from.bucket.as_ref().or(fleet.to.as_ref());
        let url = url.map_or("BUCKET", |url| url.trim_end_matches('/'));
        let mut out = output::out();
        writeln!(
            out,
            "-- crashes is the table of {url}/{INDEX}/dt=*/part-*.parquet"
        )?;
        out.write_all(sql.trim_end().as_bytes())?;
        out.write_all(b";\n")?;
        out.flush()?;
        return Ok(End::Done);
    }
    let bucket = crate::bucket(from.bucket.as_ref(), fleet)?;
    let files = files(&bucket, from.cache.as_deref(), &days).await?;
    let rows = match from.engine {
        cli::Engine::Duckdb => engine::duckdb(&files, sql)?,
    };
    match from.json {
        true => json("afterpanic-fleet.rows/1", &rows)?,
        false => table::print(&rows)?,
    }
    Ok(End::Done)
}

/// The live parts of an index between two days.
pub(crate) async fn live(
    bucket: &Bucket,
    (since, until): &(Option<String>, Option<String>),
) -> Result<Vec<(String, Part)>> {
    let mut all = Vec::new();
    for prefix in bucket.below(INDEX).await? {
        let Some(day) = day_in(&prefix, INDEX) else {
            continue;
        };
        let early = since.as_deref().is_some_and(|since| day < since);
        let late = until.as_deref().is_some_and(|until| day > until);
        if early || late {
            continue;
        }
        let parts = Parts::list(bucket, day).await?;
        all.extend(parts.live.into_iter().map(|part| (day.to_owned(), part)));
    }
    if all.is_empty() {
        bail!(
            "the index of {} has no crash of these days. Run: afterpanic-fleet index",
            bucket.url()
        );
    }
    Ok(all)
}

/// The parts as files of this machine.
async fn files(
    bucket: &Bucket,
    cache: Option<&Path>,
    days: &(Option<String>, Option<String>),
) -> Result<Vec<PathBuf>> {
    let live = live(bucket, days).await?;
    if let Kind::Local(root) = &bucket.kind {
        return Ok(live.iter().map(|(_, part)| root.join(&part.key)).collect());
    }
    let home = || {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
        Some(base.or_else(home)?.join("afterpanic-fleet"))
    };
    let cache = cache.map(Path::to_owned).or_else(home);
    let cache = cache.context("there is no home directory. Name a directory with --cache")?;
    let name = sha256(bucket.url().as_bytes());
    let dir = cache.join(output::cut(&name, 16));
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut files = Vec::new();
    for (day, part) in live {
        let name = format!("{day}-{}-{}-{}", part.span.name(), part.size, part.written);
        let file = dir.join(format!("{name}.parquet"));
        if !file.is_file() {
            copy(bucket, &part, &file).await?;
        }
        files.push(file);
    }
    Ok(files)
}

/// Copies a part; under its name it is whole.
async fn copy(bucket: &Bucket, part: &Part, to: &Path) -> Result<()> {
    use futures_util::StreamExt;
    let partial = to.with_extension(format!("{}.partial", std::process::id()));
    let shown = || format!("cannot write {}", partial.display());
    let (_, mut stream) = bucket.stream(&part.key).await?;
    let mut file = tokio::fs::File::create(&partial)
        .await
        .with_context(shown)?;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.with_context(|| format!("cannot read {}", part.key))?;
        file.write_all(&chunk).await.with_context(shown)?;
    }
    file.sync_all().await.with_context(shown)?;
    tokio::fs::rename(&partial, to).await.with_context(shown)
}
