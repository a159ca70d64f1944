//! Crash directories into the bucket. Files go first and `manifest.json` last, so that an index never sees
//! half a crash. Nothing is removed here. A second run finds by the manifest in the bucket what is there; a
//! run that was interrupted left `ship.json`, which names the large files that had arrived.

mod plan;
mod redact;
mod source;
mod upload;

use crate::bucket::{Bucket, Denied, Unreachable};
use crate::config::{Fleet, rate};
use crate::layout::CrashKey;
use crate::output;
use anyhow::{Context, Result, bail};
use plan::{Fate, Wanted};
use redact::Redactor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use source::{Batch, Source};
use std::collections::BTreeMap;
use std::path::PathBuf;
use store::manifest::{FILE, MAX_MANIFEST, REPORT_JSON};
use store::{Crash, State};
pub(crate) use upload::sha256;
use upload::{Arrived, Pace};

/// Large files that have arrived, while the manifest has not.
const JOURNAL: &str = "ship.json";
/// The largest report.
pub(crate) const MAX_REPORT: u64 = 16 << 20;

/// A run ends after so many crashes in a row that the bucket refused.
const GIVE_UP: u32 = 3;

/// What a run did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Shipped {
    /// Crashes that were shipped.
    pub shipped: Vec<String>,
    /// Crashes that were in the bucket already.
    pub there: usize,
    /// Crashes that the capture kernel or `collect` has not finished.
    pub unfinished: usize,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Whether the bucket cannot be reached, or refused something.
    #[serde(skip)]
    pub failed: bool,
    /// What was skipped or went wrong, a sentence each.
    #[serde(rename = "warnings")]
    pub problems: Vec<String>,
}

/// How to ship.
pub(crate) struct Ship {
    bucket: Bucket,
    wanted: Wanted,
    redactor: Option<Redactor>,
    check: bool,
    machine: Option<String>,
    pace: Pace,
}

/// `fleet` in a manifest of the bucket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Stamp {
    by: String,
    machine: String,
    /// SHA-256 of the manifest on the machine.
    source_sha256: String,
    /// What the rules of `[fleet.redact]` were.
    redacted: Option<String>,
    /// Files that stayed on the machine.
    left_out: Vec<String>,
    /// Bytes of the whole directory on the machine.
    directory_bytes: u64,
}

impl Ship {
    /// With the settings of the config, after the command line changed them.
    pub(crate) fn new(
        bucket: Bucket,
        fleet: &Fleet,
        machine: Option<String>,
        check: bool,
    ) -> Result<Self> {
        if let Some(machine) = machine
            .as_deref()
            .filter(|name| !crate::layout::is_machine(name))
        {
            bail!("--machine {machine}: a machine is named by 32 hex digits in lower case");
        }
        let redactor = Redactor::new(fleet.redact, fleet.key_file.as_deref())?;
        Ok(Self {
            wanted: Wanted {
                logs: fleet.logs,
                cores: fleet.cores,
                unsealed: fleet.allow_unsealed,
                redacted: redactor.is_some(),
            },
            pace: Pace::new(rate(&fleet.rate)?),
            bucket,
            redactor,
            check,
            machine,
        })
    }

    /// Ships what is in these directories. `given`: the user named them, so each must be there.
    pub(crate) async fn run(&mut self, dirs: &[PathBuf], given: bool) -> Result<Shipped> {
        let mut shipped = Shipped::default();
        for dir in dirs {
            if !given && !dir.exists() {
                continue;
            }
            for batch in source::open(dir, self.machine.as_deref(), &mut shipped.problems)? {
                if !self.batch(&batch, &mut shipped).await {
                    shipped.failed = true;
                    return Ok(shipped);
                }
            }
        }
        Ok(shipped)
    }

    /// Ships the crashes of one machine; `false`: the others need not be tried.
    async fn batch(&mut self, batch: &Batch, shipped: &mut Shipped) -> bool {
        let mut denied = 0;
        for crash in &batch.crashes {
            if crash.state == State::Partial {
                shipped.unfinished += 1;
                continue;
            }
            let Err(error) = self.crash(batch, crash, shipped).await else {
                denied = 0;
                continue;
            };
            // The others would wait as long for the same answer.
            if error.is::<Unreachable>() {
                shipped.problems.push(format!("{error:#}"));
                return false;
            }
            shipped
                .problems
                .push(format!("{}: {error:#}", crash.path.display()));
            if error.is::<Denied>() {
                shipped.failed = true;
                denied += 1;
            }
            if denied == GIVE_UP {
                return false;
            }
        }
        true
    }

    async fn crash(&mut self, batch: &Batch, crash: &Crash, shipped: &mut Shipped) -> Result<()> {
        let source = &batch.source;
        let text = source.read(crash, FILE, MAX_MANIFEST)?;
        let manifest: Value = serde_json::from_slice(&text).context("manifest.json is damaged")?;
        if !manifest.is_object() {
            bail!("manifest.json is damaged");
        }
        let named = match &self.redactor {
            Some(redactor) => redactor.crash(crash),
            None => crash.clone(),
        };
        let key = CrashKey::new(&batch.machine, &named);
        let dir = key.dir();
        if CrashKey::parse(&format!("{dir}/{FILE}")).is_none() {
            bail!("the name {:?} cannot be a name in the bucket", named.name());
        }
        let mut files = Vec::new();
        let mut left_out = Vec::new();
        let mut total = text.len() as u64;
        for (name, size) in source.files(crash)? {
            total = total.saturating_add(size);
            match plan::fate(&name, self.wanted) {
                Fate::Ship => files.push((name, size)),
                Fate::Refused(why) => {
                    shipped.problems.push(format!(
                        "{} stays here: {why}",
                        crash.path.join(&name).display()
                    ));
                    left_out.push(name);
                }
                Fate::Stay if name != FILE => left_out.push(name),
                Fate::Stay => {}
            }
        }
        let stamp = Stamp {
            by: concat!("afterpanic-fleet ", env!("CARGO_PKG_VERSION")).into(),
            machine: batch.machine.clone(),
            source_sha256: sha256(&text),
            redacted: self.redactor.as_ref().map(Redactor::fingerprint),
            left_out,
            directory_bytes: total,
        };
        let before = self.remote(&dir).await?;
        if before
            .as_ref()
            .is_some_and(|before| before.holds(&stamp, &files))
        {
            shipped.there += 1;
            return Ok(());
        }
        let mut known = self.journal(&dir).await?;
        if let Some(before) = before.filter(|before| before.stamp.redacted == stamp.redacted) {
            known.extend(
                before
                    .files
                    .into_iter()
                    .map(|file| (file.name.clone(), file)),
            );
        }
        let expected = hashes(&manifest);
        let mut arrived: Vec<Arrived> = Vec::new();
        for (name, size) in &files {
            let there = known.get(name).filter(|_| *size > upload::SMALL);
            let done = match self.still_there(source, crash, &dir, there, *size).await? {
                Some(done) => done,
                None => {
                    let done = self
                        .file(source, crash, (name, *size), &dir, expected.get(name))
                        .await?;
                    shipped.bytes = shipped.bytes.saturating_add(done.size);
                    done
                }
            };
            arrived.push(done);
            if *size > upload::SMALL {
                self.write_journal(&dir, &arrived).await?;
            }
        }
        let manifest = self.manifest(manifest, &stamp, &arrived, crash)?;
        upload::bytes(
            &self.bucket,
            &format!("{dir}/{FILE}"),
            FILE,
            manifest,
            &mut self.pace,
        )
        .await?;
        self.bucket.remove(&format!("{dir}/{JOURNAL}")).await?;
        shipped.shipped.push(dir);
        Ok(())
    }

    /// One file, as it leaves.
    async fn file(
        &mut self,
        source: &Source,
        crash: &Crash,
        (name, size): (&str, u64),
        dir: &str,
        expected: Option<&String>,
    ) -> Result<Arrived> {
        let key = format!("{dir}/{name}");
        let wrong =
            || format!("{name} is not what manifest.json says: it is damaged, or was changed");
        if name == REPORT_JSON
            && let Some(redactor) = &self.redactor
        {
            let text = source.read(crash, name, MAX_REPORT)?;
            if expected.is_some_and(|hash| *hash != sha256(&text)) {
                bail!(wrong());
            }
            let mut report: Value = serde_json::from_slice(&text)
                .with_context(|| format!("{name} is no JSON, so nothing in it can be hidden"))?;
            redactor.json(&mut report, &crash.node);
            let text = serde_json::to_vec(&report)?;
            return upload::bytes(&self.bucket, &key, name, text, &mut self.pace).await;
        }
        // A damaged file must not take a good one's place.
        if let Some(hash) = expected
            && upload::local_hash(source.open(crash, name)?, size)?.as_ref() != Some(hash)
        {
            bail!(wrong());
        }
        let from = source.open(crash, name)?;
        upload::file(
            &self.bucket,
            &key,
            name,
            from,
            size,
            self.check,
            &mut self.pace,
        )
        .await
    }

    /// A large file that had arrived before, if it is still the same on both sides.
    async fn still_there(
        &self,
        source: &Source,
        crash: &Crash,
        dir: &str,
        known: Option<&Arrived>,
        size: u64,
    ) -> Result<Option<Arrived>> {
        let Some(known) = known.filter(|known| known.size == size) else {
            return Ok(None);
        };
        let there = self.bucket.size(&format!("{dir}/{}", known.name)).await?;
        if there != Some(size) {
            return Ok(None);
        }
        let here = upload::local_hash(source.open(crash, &known.name)?, size)?;
        Ok((here.as_ref() == Some(&known.sha256)).then(|| known.clone()))
    }

    async fn journal(&self, dir: &str) -> Result<BTreeMap<String, Arrived>> {
        let text = self
            .bucket
            .get(&format!("{dir}/{JOURNAL}"), MAX_MANIFEST)
            .await?;
        let files: Vec<Arrived> = text
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Ok(files
            .into_iter()
            .map(|file| (file.name.clone(), file))
            .collect())
    }

    async fn write_journal(&self, dir: &str, arrived: &[Arrived]) -> Result<()> {
        let text = serde_json::to_vec(arrived)?;
        self.bucket
            .put(&format!("{dir}/{JOURNAL}"), text.into())
            .await
    }

    /// What the bucket has of a crash; `None` where its manifest is missing or damaged.
    async fn remote(&self, dir: &str) -> Result<Option<Remote>> {
        let key = format!("{dir}/{FILE}");
        let Some(text) = self
            .bucket
            .get(&key, MAX_MANIFEST.saturating_mul(2))
            .await?
        else {
            return Ok(None);
        };
        Ok(serde_json::from_slice(&text).ok())
    }

    /// The manifest as the bucket has it: `files` are those that are there.
    fn manifest(
        &self,
        mut manifest: Value,
        stamp: &Stamp,
        arrived: &[Arrived],
        crash: &Crash,
    ) -> Result<Vec<u8>> {
        if let Some(redactor) = &self.redactor {
            redactor.json(&mut manifest, &crash.node);
        }
        if let Some(members) = manifest.as_object_mut() {
            members.insert("files".into(), json!(arrived));
            members.insert("fleet".into(), json!(stamp));
        }
        let mut text = serde_json::to_vec_pretty(&manifest)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// What matters of a manifest in the bucket.
#[derive(Debug, Deserialize)]
struct Remote {
    files: Vec<Arrived>,
    #[serde(rename = "fleet")]
    stamp: Stamp,
}

impl Remote {
    /// Whether the same crash directory is there with all these files.
    fn holds(&self, stamp: &Stamp, files: &[(String, u64)]) -> bool {
        let same = self.stamp.source_sha256 == stamp.source_sha256
            && self.stamp.redacted == stamp.redacted;
        same && files.iter().all(|(name, size)| {
            let hidden = name == REPORT_JSON && stamp.redacted.is_some();
            self.files
                .iter()
                .any(|file| file.name == *name && (hidden || file.size == *size))
        })
    }
}

/// The hashes that a manifest names.
fn hashes(manifest: &Value) -> BTreeMap<String, String> {
    let files = manifest.get("files").and_then(Value::as_array);
    let one = |file: &Value| {
        let text = |name: &str| file.get(name)?.as_str().map(str::to_owned);
        Some((text("name")?, text("sha256")?))
    };
    files.into_iter().flatten().filter_map(one).collect()
}

/// Prints what a run did.
pub(crate) fn print(shipped: &Shipped, url: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = output::out();
    for dir in &shipped.shipped {
        writeln!(out, "shipped {dir}")?;
    }
    let unfinished = match shipped.unfinished {
        0 => String::new(),
        n => format!(", {n} not finished yet"),
    };
    writeln!(
        out,
        "{} shipped to {url}, {} there before{unfinished}; {} sent",
        shipped.shipped.len(),
        shipped.there,
        output::bytes(shipped.bytes)
    )?;
    out.flush()
}
