//! One file into the bucket: hashed while it is read, slowed to the rate, and verified when it has arrived.

use crate::bucket::{Bucket, Kind};
use crate::output;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::time::{Duration, Instant};

/// A file up to this size is written by one request, and read back whole.
pub(super) const SMALL: u64 = 8 << 20;
/// The size of a part of a larger one.
const PART: usize = 8 << 20;
/// The largest file that a WebDAV server gets: it goes through memory.
const MOST_BY_HTTP: u64 = 64 << 20;
/// S3 takes 10,000 parts of one object. Larger files have larger parts.
const MOST_PARTS: u64 = 9_000;

/// A file that has arrived.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Arrived {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// Keeps to a rate.
pub(super) struct Pace {
    rate: Option<u64>,
    begun: Instant,
    sent: u64,
}

impl Pace {
    /// Bytes a second; `None`: no limit.
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self {
            rate,
            begun: Instant::now(),
            sent: 0,
        }
    }

    /// Waits until so many more bytes fit the rate.
    async fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
        if let Some(rate) = self.rate {
            let due = Duration::from_secs_f64(self.sent as f64 / rate as f64);
            tokio::time::sleep(due.saturating_sub(self.begun.elapsed())).await;
        }
    }
}

/// Hex digits of a hash.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Writes bytes and reads them back.
pub(super) async fn bytes(
    bucket: &Bucket,
    key: &str,
    name: &str,
    content: Vec<u8>,
    pace: &mut Pace,
) -> Result<Arrived> {
    let content = Bytes::from(content);
    let arrived = Arrived {
        name: name.into(),
        size: content.len() as u64,
        sha256: sha256(&content),
    };
    bucket.put(key, content.clone()).await?;
    pace.sent(content.len()).await;
    let back = bucket.get(key, arrived.size).await?;
    if back.as_deref() != Some(&*content) {
        bail!("{key} in {} differs from what was written", bucket.url());
    }
    Ok(arrived)
}

/// Writes a file of a size. `check`: reads a large one back, too, instead of its size alone.
pub(super) async fn file(
    bucket: &Bucket,
    key: &str,
    name: &str,
    mut from: Box<dyn Read>,
    size: u64,
    check: bool,
    pace: &mut Pace,
) -> Result<Arrived> {
    if size <= SMALL || bucket.kind == Kind::Http {
        if size > MOST_BY_HTTP {
            bail!(
                "{name} has {}: a WebDAV server gets files up to {}. Use s3://, gs://, az:// or file://",
                output::bytes(size),
                output::bytes(MOST_BY_HTTP)
            );
        }
        let mut content = Vec::new();
        from.take(size.saturating_add(1))
            .read_to_end(&mut content)?;
        if content.len() as u64 != size {
            bail!("{name} changed while it was read");
        }
        return bytes(bucket, key, name, content, pace).await;
    }
    let part = PART.max(usize::try_from(size.div_ceil(MOST_PARTS)).unwrap_or(PART));
    let mut upload = bucket.begin(key).await?;
    let sent = parts(bucket, key, &mut from, &mut *upload, part, pace).await;
    let (sent, hash) = match sent {
        Ok(done) if done.0 == size => done,
        other => {
            // What was sent so far costs money until it is removed.
            let _ = upload.abort().await;
            other?;
            bail!("{name} changed while it was read");
        }
    };
    let done = upload.complete().await;
    done.map_err(|error| bucket.part_failed(key, &error))?;
    let there = bucket.size(key).await?;
    if there != Some(sent) {
        bail!(
            "{key} in {} has {there:?} bytes instead of {sent}",
            bucket.url()
        );
    }
    if check && read_back(bucket, key).await? != hash {
        bail!("{key} in {} differs from what was written", bucket.url());
    }
    Ok(Arrived {
        name: name.into(),
        size,
        sha256: hash,
    })
}

/// Sends a file in parts; its length and hash.
async fn parts(
    bucket: &Bucket,
    key: &str,
    from: &mut Box<dyn Read>,
    upload: &mut dyn object_store::MultipartUpload,
    part: usize,
    pace: &mut Pace,
) -> Result<(u64, String)> {
    let (mut hash, mut sent) = (Sha256::new(), 0_u64);
    loop {
        let mut chunk = Vec::with_capacity(part);
        let read = from.by_ref().take(part as u64).read_to_end(&mut chunk);
        let read = read.context("the file cannot be read")?;
        if read == 0 {
            return Ok((sent, hex(&hash.finalize())));
        }
        hash.update(&chunk);
        sent = sent.saturating_add(read as u64);
        let done = upload.put_part(chunk.into()).await;
        done.map_err(|error| bucket.part_failed(key, &error))?;
        pace.sent(read).await;
    }
}

/// The hash of an object.
pub(super) async fn read_back(bucket: &Bucket, key: &str) -> Result<String> {
    let (_, mut stream) = bucket.stream(key).await?;
    let mut hash = Sha256::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| anyhow::anyhow!("cannot read {key}: {error}"))?;
        hash.update(&chunk);
    }
    Ok(hex(&hash.finalize()))
}

/// The hash of a file of this machine, and whether it has the size.
pub(super) fn local_hash(from: Box<dyn Read>, size: u64) -> Result<Option<String>> {
    let (mut hash, mut length) = (Sha256::new(), 0_u64);
    let mut from = from.take(size.saturating_add(1));
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        length = length.saturating_add(read as u64);
        hash.update(chunk.get(..read).unwrap_or_default());
    }
    Ok((length == size).then(|| hex(&hash.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rate_takes_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::open(dir.path().to_str().unwrap()).unwrap();
        let mut pace = Pace::new(Some(200_000));
        let begun = Instant::now();
        let arrived = bytes(&bucket, "a", "a", vec![1; 100_000], &mut pace)
            .await
            .unwrap();
        assert!(
            begun.elapsed() >= Duration::from_millis(490),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(arrived.size, 100_000);
    }

    #[tokio::test]
    async fn large_files_go_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::open(dir.path().to_str().unwrap()).unwrap();
        let content: Vec<u8> = (0..SMALL + 5).map(|n| (n % 251) as u8).collect();
        let source = |bytes: &[u8]| Box::new(std::io::Cursor::new(bytes.to_vec())) as Box<dyn Read>;
        let mut pace = Pace::new(None);
        let size = content.len() as u64;
        let arrived = file(
            &bucket,
            "x/core",
            "core",
            source(&content),
            size,
            true,
            &mut pace,
        );
        assert_eq!(arrived.await.unwrap().sha256, sha256(&content));
        assert_eq!(std::fs::read(dir.path().join("x/core")).unwrap(), content);
        // One that is shorter than it was listed.
        let short = file(
            &bucket,
            "x/short",
            "short",
            source(&content),
            size + 1,
            true,
            &mut pace,
        );
        assert!(short.await.unwrap_err().to_string().contains("changed"));
        assert!(!dir.path().join("x/short").exists());
    }
}
