//! The command line.

use crate::layout::is_day;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Ship, index and query the crashes of many machines
///
/// A bucket is s3://BUCKET/PATH, gs://BUCKET/PATH, az://CONTAINER/PATH, file:///PATH or, but for index,
/// https://HOST/PATH (WebDAV). Credentials are those of the cloud's own tools.
#[derive(Debug, Parser)]
#[command(
    name = "afterpanic-fleet",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  afterpanic-fleet ship --to s3://crashes/fleet
  afterpanic-fleet index s3://crashes/fleet
  afterpanic-fleet top --bucket s3://crashes/fleet
Exit codes: 0 done, 1 failed, 2 wrong usage, 4 done but something was skipped (each is named)"
)]
pub(crate) struct Cli {
    /// Read this config instead of /etc/afterpanic-fleet.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Copy crash directories of this machine into the bucket; remove nothing
    Ship(Ship),
    /// Index new crashes of the bucket as Parquet
    Index(Index),
    /// Show which signatures kill most, on how many machines, since when
    Top(Ask),
    /// Show signatures first seen since --since, or first on --release
    New(Ask),
    /// Compare crashes for each machine and day between releases
    Regressions(Ask),
    /// Show the crashes of --machine, a machine's id or name
    Machine(Ask),
    /// Show the crashes of --signature
    Signature(Ask),
    /// Show the cores that came incomplete, and why
    Arrivals(Ask),
    /// Show the modules on the stacks of crashes
    Modules(Ask),
    /// Show signatures that share frames with --signature
    Similar(Ask),
    /// Run a query of yours over the table `crashes`
    Sql(Sql),
    /// Copy the smallest evidence of a signature into a directory
    Fetch(Fetch),
    /// Write a static site of the index into a directory
    Page(Page),
}

/// `ship`.
#[derive(Debug, Args)]
pub(crate) struct Ship {
    /// Stores or crash directories; default: stores in [fleet] of the config
    pub dirs: Vec<PathBuf>,
    /// The bucket
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Ship sealed cores, too
    #[arg(long)]
    pub cores: bool,
    /// Ship dmesg.txt and capture.log, too
    #[arg(long)]
    pub logs: bool,
    /// With --cores: let cores leave that are not sealed
    #[arg(long)]
    pub allow_unsealed: bool,
    /// Send at most so many bytes a second, such as 10M
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Read large files back after sending, too, and compare their hashes
    #[arg(long)]
    pub verify: bool,
    /// Use this name of 32 hex digits instead of the one made from /etc/machine-id
    #[arg(long, value_name = "ID")]
    pub machine: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `index`.
#[derive(Debug, Args)]
pub(crate) struct Index {
    /// The bucket; default: to in [fleet] of the config
    pub url: Option<String>,
    /// Skip crashes before this day
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub since: Option<String>,
    /// Keep merged parts so many seconds for queries that read them
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub grace: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The engine that answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Engine {
    /// DuckDB: the program duckdb, or Python's package
    Duckdb,
}

/// Where the index is and what answers.
#[derive(Debug, Args)]
pub(crate) struct From {
    /// The bucket; default: to in [fleet] of the config
    #[arg(long, value_name = "URL")]
    pub bucket: Option<String>,
    /// The engine
    #[arg(long, value_enum, default_value = "duckdb")]
    pub engine: Engine,
    /// Keep copies of a remote index here; default: ~/.cache/afterpanic-fleet
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Print the SQL instead, for any engine
    #[arg(long)]
    pub print_sql: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A question.
#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// Where from.
    #[command(flatten)]
    pub from: From,
    /// Count crashes from this day on
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub since: Option<String>,
    /// Count crashes up to this day
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub until: Option<String>,
    /// A kernel release, as uname -r prints it
    #[arg(long)]
    pub release: Option<String>,
    /// A machine: its id of 32 hex digits, or its name
    #[arg(long)]
    pub machine: Option<String>,
    /// A signature
    #[arg(long)]
    pub signature: Option<String>,
    /// Show at most so many rows
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

/// `sql`.
#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// The query, or - to read it from standard input
    pub query: String,
    /// Where from.
    #[command(flatten)]
    pub from: From,
}

/// `fetch`.
#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// The signature
    pub signature: String,
    /// A directory that does not exist yet; default: the crash's name, here
    pub dir: Option<PathBuf>,
    /// The bucket; default: to in [fleet] of the config
    #[arg(long, value_name = "URL")]
    pub bucket: Option<String>,
    /// A crash with an essential core, and that core
    #[arg(long, conflicts_with = "core")]
    pub essential: bool,
    /// A crash with a core, and that core
    #[arg(long)]
    pub core: bool,
}

/// `page`.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// A directory that is empty, or an earlier site
    pub dir: PathBuf,
    /// The bucket; default: to in [fleet] of the config
    #[arg(long, value_name = "URL")]
    pub bucket: Option<String>,
    /// Link reports below this URL, where people reach the bucket
    #[arg(long, value_name = "URL")]
    pub reports: Option<String>,
    /// Leave out crashes before this day
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub since: Option<String>,
}

fn day(text: &str) -> Result<String, String> {
    match is_day(text) {
        true => Ok(text.to_owned()),
        false => Err("not a day such as 2026-11-29".into()),
    }
}
