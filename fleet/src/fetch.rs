//! `fetch`: the smallest evidence of a signature out of the bucket, as a crash directory that `afterpanic
//! report` and `afterpanic vmlinux` read. Names come from the bucket's listing and are checked; hashes are
//! compared with the manifest; the directory has its name only when all of it is there.

use crate::bucket::Bucket;
use crate::config::Fleet;
use crate::index::read::{Batch, scan};
use crate::layout::CrashKey;
use crate::output;
use crate::ship::sha256;
use crate::{End, ask, cli};
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use store::manifest::{FILE, MAX_MANIFEST};

/// Files of one crash directory.
const MOST_FILES: usize = 1000;
const COLUMNS: [&str; 8] = [
    "signature",
    "path",
    "verdict",
    "core_path",
    "core_bytes",
    "essential_path",
    "shipped_bytes",
    "day",
];

/// What is wanted of a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Report,
    Essential,
    Core,
}

/// A crash that has it. Smaller is better: complete before others, then by bytes, then the newest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Candidate {
    damaged: bool,
    bytes: i64,
    before: std::cmp::Reverse<i32>,
    path: String,
}

/// The bucket's manifest, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    files: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    sha256: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(options: &cli::Fetch, fleet: &Fleet) -> Result<End> {
    let bucket = crate::bucket(options.bucket.as_ref(), fleet)?;
    let wanted = match (options.essential, options.core) {
        (true, _) => Wanted::Essential,
        (_, true) => Wanted::Core,
        _ => Wanted::Report,
    };
    let mut best: Option<Candidate> = None;
    let mut crashes = 0_u64;
    for (_, part) in ask::live(&bucket, &(None, None)).await? {
        scan(&bucket, &part, &COLUMNS, &mut |batch| {
            for row in 0..batch.rows() {
                if batch.text("signature", row) == Some(&options.signature) {
                    crashes = crashes.saturating_add(1);
                    let found = candidate(batch, row, wanted);
                    best = best.take().into_iter().chain(found).min();
                }
            }
        })
        .await?;
    }
    let Some(best) = best else {
        if crashes == 0 {
            bail!(
                "no crash in the index of {} has the signature {}",
                bucket.url(),
                options.signature
            );
        }
        let what = match wanted {
            Wanted::Report => "report",
            Wanted::Essential => "essential core",
            Wanted::Core => "core",
        };
        bail!(
            "no crash with this signature has its {what} in the bucket. On a machine that has: \
             afterpanic-fleet ship --cores"
        );
    };
    let name = best.path.rsplit('/').next().unwrap_or_default();
    if CrashKey::parse(&format!("{}/{FILE}", best.path)).is_none() {
        bail!("{} is no path of a crash directory", best.path);
    }
    let to = options.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    copy(&bucket, &best.path, &to, wanted).await?;
    let mut out = output::out();
    writeln!(out, "{}", to.display())?;
    out.flush()?;
    Ok(End::Done)
}

fn candidate(batch: &Batch<'_>, row: usize, wanted: Wanted) -> Option<Candidate> {
    match wanted {
        Wanted::Report => {}
        Wanted::Essential => {
            batch.text("essential_path", row)?;
        }
        Wanted::Core => {
            batch.text("core_path", row)?;
        }
    }
    let size = match wanted {
        Wanted::Core => "core_bytes",
        _ => "shipped_bytes",
    };
    Some(Candidate {
        damaged: batch.text("verdict", row) != Some("complete"),
        bytes: batch.number(size, row).unwrap_or(i64::MAX),
        before: std::cmp::Reverse(batch.day("day", row).unwrap_or_default()),
        path: batch.text("path", row)?.to_owned(),
    })
}

/// Whether a file belongs to what is wanted.
fn belongs(name: &str, wanted: Wanted) -> bool {
    let is = |head: &str| name.starts_with(head);
    match wanted {
        _ if name == "ship.json" => false,
        Wanted::Core => !is("essential."),
        Wanted::Essential => !is("vmcore."),
        Wanted::Report => !is("vmcore.") && !is("essential.") && !is("pages.map"),
    }
}

/// Copies a crash directory.
async fn copy(bucket: &Bucket, path: &str, to: &Path, wanted: Wanted) -> Result<()> {
    if to.symlink_metadata().is_ok() {
        bail!("{} exists. Name a directory that does not", to.display());
    }
    let text = bucket
        .get(&format!("{path}/{FILE}"), MAX_MANIFEST.saturating_mul(2))
        .await?;
    let text = text.with_context(|| format!("{path}/{FILE} is gone"))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).with_context(|| format!("{path}/{FILE} is damaged"))?;
    let named = manifest
        .files
        .into_iter()
        .filter_map(|file| Some((file.name, file.sha256?)));
    let mut hashes: BTreeMap<String, String> = named.collect();
    hashes.insert(FILE.into(), sha256(&text));
    let mut files = Vec::new();
    let mut listing = bucket.list(path, None);
    while let Some(meta) = listing.next().await {
        let meta = meta?;
        let key = bucket.key(&meta.location);
        let Some((_, name)) = CrashKey::parse(key) else {
            output::complain(&format!("skipped {key}: not a file of a crash directory"));
            continue;
        };
        if belongs(name, wanted) && files.len() < MOST_FILES {
            files.push(name.to_owned());
        }
    }
    let partial = to.with_file_name(format!(
        "{}.fetching",
        to.file_name().unwrap_or_default().to_string_lossy()
    ));
    let made = DirBuilder::new().mode(0o700).create(&partial);
    made.with_context(|| format!("cannot make {}", partial.display()))?;
    for name in &files {
        let hash = hashes.get(name).map(String::as_str);
        let done = one(bucket, &format!("{path}/{name}"), &partial.join(name), hash).await;
        if done.is_err() {
            let _ = fs::remove_dir_all(&partial);
        }
        done?;
    }
    fs::rename(&partial, to).with_context(|| format!("cannot make {}", to.display()))
}

/// Copies a file, and compares its hash where one is known.
async fn one(bucket: &Bucket, key: &str, to: &Path, hash: Option<&str>) -> Result<()> {
    let shown = || format!("cannot write {}", to.display());
    let (_, mut stream) = bucket.stream(key).await?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to);
    let mut file: File = file.with_context(shown)?;
    let mut sum = Sha256::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.with_context(|| format!("cannot read {key}"))?;
        sum.update(&chunk);
        file.write_all(&chunk).with_context(shown)?;
    }
    file.sync_all().with_context(shown)?;
    let sum: String = sum
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    match hash {
        Some(hash) if hash != sum => bail!("{key} does not have the hash that {FILE} names"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_complete_one_is_best() {
        let one = |damaged, bytes, day| Candidate {
            damaged,
            bytes,
            before: std::cmp::Reverse(day),
            path: String::new(),
        };
        assert!(one(false, 9, 1) < one(true, 1, 1));
        assert!(one(false, 1, 1) < one(false, 9, 2));
        assert!(one(false, 1, 2) < one(false, 1, 1));
    }

    #[test]
    fn only_what_is_wanted_is_copied() {
        assert!(belongs("report.json", Wanted::Report) && !belongs("vmcore.elf", Wanted::Report));
        assert!(belongs("essential.elf.zst", Wanted::Essential));
        assert!(belongs("vmcore.elf.zst.age", Wanted::Core) && !belongs("ship.json", Wanted::Core));
    }
}
