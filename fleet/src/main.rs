//! `afterpanic-fleet`: ships the crashes of many machines into an object store, indexes them as Parquet, and
//! asks engines that exist. No server, no store and no query engine of its own.

mod ask;
mod bucket;
mod cli;
mod config;
mod fetch;
mod index;
mod layout;
mod output;
mod page;
mod ship;

use anyhow::{Context, Result};
use bucket::Bucket;
use clap::Parser;
use cli::{Cli, Verb};
use config::{Config, Fleet};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// How a run ended, as docs/fleet.md says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Done,
    Degraded,
    /// What went wrong was said.
    Failed,
}

/// Something is wrong with the command line or the config.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The code of wrong usage, as clap has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One provider for the whole process: object_store brings none of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let end = runtime.context("cannot start").and_then(|runtime| {
        let end = runtime.block_on(run(&cli));
        // A request that hangs must not keep the process.
        runtime.shutdown_background();
        end
    });
    match end {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Degraded) => ExitCode::from(4),
        Ok(End::Failed) => ExitCode::FAILURE,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            match error.is::<Usage>() {
                true => ExitCode::from(USAGE),
                false => ExitCode::FAILURE,
            }
        }
    }
}

async fn run(cli: &Cli) -> Result<End> {
    let path = cli.config.as_deref();
    let config = Config::read(path.unwrap_or(Path::new(config::FILE)), path.is_some())
        .map_err(|error| Usage(format!("{error:#}")))?;
    match &cli.verb {
        Verb::Ship(options) => ship(options, config.fleet).await,
        Verb::Index(options) => index(options, &config.fleet).await,
        Verb::Top(options) => ask::named("top", options, &config.fleet).await,
        Verb::New(options) => ask::named("new", options, &config.fleet).await,
        Verb::Regressions(options) => ask::named("regressions", options, &config.fleet).await,
        Verb::Machine(options) => ask::named("machine", options, &config.fleet).await,
        Verb::Signature(options) => ask::named("signature", options, &config.fleet).await,
        Verb::Arrivals(options) => ask::named("arrivals", options, &config.fleet).await,
        Verb::Modules(options) => ask::named("modules", options, &config.fleet).await,
        Verb::Similar(options) => ask::named("similar", options, &config.fleet).await,
        Verb::Sql(options) => ask::free(options, &config.fleet).await,
        Verb::Fetch(options) => fetch::run(options, &config.fleet).await,
        Verb::Page(options) => page::run(options, &config.fleet).await,
    }
}

/// The bucket of the command line or of the config.
fn bucket(given: Option<&String>, fleet: &Fleet) -> Result<Bucket> {
    let Some(url) = given.or(fleet.to.as_ref()) else {
        let said = "no bucket. Name its URL, or set to in [fleet] of /etc/afterpanic-fleet.toml";
        return Err(Usage(said.into()).into());
    };
    Bucket::open(url)
}

async fn ship(options: &cli::Ship, mut fleet: Fleet) -> Result<End> {
    fleet.cores |= options.cores;
    fleet.logs |= options.logs;
    fleet.allow_unsealed |= options.allow_unsealed;
    if let Some(rate) = &options.rate {
        fleet.rate.clone_from(rate);
    }
    let bucket = bucket(options.to.as_ref(), &fleet)?;
    let given = !options.dirs.is_empty();
    let dirs = match given {
        true => options.dirs.clone(),
        false => fleet.stores.clone(),
    };
    let url = bucket.url().to_owned();
    let mut ship = ship::Ship::new(bucket, &fleet, options.machine.clone(), options.verify)?;
    let shipped = ship.run(&dirs, given).await?;
    shipped
        .problems
        .iter()
        .for_each(|problem| output::complain(problem));
    match options.json {
        true => json("afterpanic-fleet.ship/1", &shipped)?,
        false => ship::print(&shipped, &url)?,
    }
    Ok(match shipped.failed {
        true => End::Failed,
        false => end(!shipped.problems.is_empty()),
    })
}

async fn index(options: &cli::Index, fleet: &Fleet) -> Result<End> {
    let index = index::Index {
        bucket: bucket(options.url.as_ref(), fleet)?,
        since: options.since.clone(),
        grace: i64::from(options.grace).saturating_mul(1_000_000),
    };
    let done = index.run().await?;
    done.problems
        .iter()
        .for_each(|problem| output::complain(problem));
    if done.more_problems > 0 {
        output::complain(&format!("{} more problems", done.more_problems));
    }
    match options.json {
        true => json("afterpanic-fleet.index/1", &done)?,
        false => index::print(&done)?,
    }
    Ok(end(done.is_degraded()))
}

fn end(degraded: bool) -> End {
    match degraded {
        true => End::Degraded,
        false => End::Done,
    }
}

/// Prints an answer as one JSON object with its schema's name.
fn json(schema: &str, data: &impl serde::Serialize) -> Result<()> {
    let mut value = serde_json::to_value(data)?;
    if let Some(members) = value.as_object_mut() {
        members.shift_insert(0, "schema".into(), schema.into());
    }
    let mut out = output::json();
    writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?;
    out.flush()?;
    Ok(())
}
