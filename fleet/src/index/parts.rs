//! The parts of one day's index.
//!
//! Parts are numbered. A new one takes the next number by a conditional write, so of two indexers that saw
//! the same parts one fails, looks again, and adds nothing twice. Compaction writes a part that covers
//! several numbers. A part that another covers is garbage, and is removed after a while: queries that began
//! before still read it. So for that while a crash may be in two parts: queries count DISTINCT crashes.

use super::columns::{self, CRASH, REPORT, TAG};
use super::read::{Batch, scan};
use crate::bucket::{Bucket, Created};
use crate::layout::{Part, Span, index_day};
use anyhow::{Context, Result};
use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch};
use bytes::Bytes;
use futures_util::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// A part is closed at about this size, in bytes.
pub(super) const PART_BYTES: usize = 32 << 20;
/// Parts are merged up to this size in all.
const MERGED_BYTES: u64 = 64 << 20;
/// So many parts of one day are merged.
const MANY: usize = 8;
/// Parts of one day that are looked at.
const MOST_PARTS: usize = 100_000;
/// Bytes of a row group while it is made.
const GROUP_BYTES: usize = 8 << 20;

/// The parts of a day, by number.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Those that make the index.
    pub live: Vec<Part>,
    /// Those that others cover, with the time since when.
    pub covered: Vec<(Part, i64)>,
}

impl Parts {
    /// Lists them. Other objects are passed over.
    pub(crate) async fn list(bucket: &Bucket, day: &str) -> Result<Self> {
        let dir = index_day(day);
        let mut all = Vec::new();
        let mut listing = bucket.list(&dir, None);
        while let Some(meta) = listing.next().await {
            let meta = meta?;
            let key = bucket.key(&meta.location).to_owned();
            let name = key
                .strip_prefix(&dir)
                .and_then(|rest| rest.strip_prefix('/'));
            if let Some(span) = name.and_then(Span::parse)
                && all.len() < MOST_PARTS
            {
                all.push(Part {
                    span,
                    key,
                    size: meta.size,
                    written: meta.last_modified.timestamp_micros(),
                });
            }
        }
        Ok(Self::of(all))
    }

    fn of(mut all: Vec<Part>) -> Self {
        // One that covers others stands before them.
        all.sort_by_key(|part| (part.span.first, std::cmp::Reverse(part.span.last)));
        let mut parts = Self::default();
        for part in all {
            let cover = parts
                .live
                .iter()
                .rev()
                .find(|live| live.span.covers(part.span));
            match cover.map(|live| live.written) {
                Some(since) => parts.covered.push((part, since)),
                None => parts.live.push(part),
            }
        }
        parts
    }

    /// The number behind the last.
    fn next(&self) -> u64 {
        let last = self.live.iter().map(|part| part.span.last).max();
        last.map_or(0, |last| last.saturating_add(1))
    }

    /// Writes a new part; `false`: another indexer was first.
    pub(super) async fn add(&self, bucket: &Bucket, day: &str, content: Bytes) -> Result<bool> {
        let number = self.next();
        let span = Span {
            first: number,
            last: number,
        };
        write(bucket, day, span, content).await
    }

    /// Runs of parts that are worth merging.
    fn runs(&self) -> Vec<Vec<Part>> {
        let mut runs: Vec<Vec<Part>> = vec![Vec::new()];
        let mut size = 0_u64;
        for part in &self.live {
            size = size.saturating_add(part.size);
            if size > MERGED_BYTES {
                runs.push(Vec::new());
                size = part.size;
            }
            if let Some(run) = runs.last_mut() {
                run.push(part.clone());
            }
        }
        runs.retain(|run| run.len() > 1);
        runs
    }

    /// Merges parts where there are many, or where one replaces rows of another. How many were merged.
    pub(super) async fn compact(
        &self,
        bucket: &Bucket,
        day: &str,
        replaced: bool,
    ) -> Result<usize> {
        let mut merged = 0;
        if self.live.len() >= MANY || (replaced && self.live.len() > 1) {
            for run in self.runs() {
                let (Some(first), Some(last)) = (run.first(), run.last()) else {
                    continue;
                };
                let span = Span {
                    first: first.span.first,
                    last: last.span.last,
                };
                let content = merge(bucket, &run).await?;
                if write(bucket, day, span, content).await? {
                    merged += run.len();
                }
            }
        }
        Ok(merged)
    }
}

/// Writes a part; `false` where its name is taken, or where it was covered meanwhile.
async fn write(bucket: &Bucket, day: &str, span: Span, content: Bytes) -> Result<bool> {
    let key = format!("{}/{}", index_day(day), span.name());
    if bucket.create(&key, content).await? == Created::Taken {
        return Ok(false);
    }
    // The number may have been used, merged and removed since the listing.
    let now = Parts::list(bucket, day).await?;
    if now.covered.iter().any(|(part, _)| part.span == span) {
        bucket.remove(&key).await?;
        return Ok(false);
    }
    Ok(true)
}

/// Rows of a part that is being made.
pub(super) struct Writer {
    writer: ArrowWriter<Vec<u8>>,
    rows: usize,
}

impl Writer {
    pub(super) fn new() -> Result<Self> {
        let report = ColumnPath::from(REPORT);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_column_dictionary_enabled(report.clone(), false)
            .set_column_statistics_enabled(report, EnabledStatistics::None)
            .set_key_value_metadata(Some(vec![KeyValue::new(
                "afterpanic.index".to_owned(),
                "1".to_owned(),
            )]))
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), columns::schema(), Some(properties))?;
        Ok(Self { writer, rows: 0 })
    }

    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows = self.rows.saturating_add(batch.num_rows());
        self.writer.write(batch)?;
        if self.writer.in_progress_size() > GROUP_BYTES {
            self.writer.flush()?;
        }
        Ok(())
    }

    /// Bytes so far, about.
    pub(super) fn size(&self) -> usize {
        self.writer
            .bytes_written()
            .saturating_add(self.writer.in_progress_size())
    }

    /// Whether it has no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn finish(self) -> Result<Bytes> {
        Ok(self.writer.into_inner()?.into())
    }
}

/// A crash in 16 bytes.
pub(super) type Mark = [u8; 16];

/// The mark of a text.
pub(super) fn mark(text: &str) -> Mark {
    let mut mark = [0; 16];
    mark.iter_mut()
        .zip(Sha256::digest(text))
        .for_each(|(to, from)| *to = from);
    mark
}

/// Adds the crashes of a part, with the manifests that they were read from. Only two columns are read.
pub(super) async fn known(
    bucket: &Bucket,
    part: &Part,
    into: &mut HashMap<Mark, Mark>,
) -> Result<()> {
    let mut add = |batch: &Batch<'_>| {
        for row in 0..batch.rows() {
            if let (Some(crash), Some(tag)) = (batch.text(CRASH, row), batch.text(TAG, row)) {
                into.insert(mark(crash), mark(tag));
            }
        }
    };
    let done = scan(bucket, part, &[CRASH, TAG], &mut add).await;
    done.context("remove it, and its crashes are indexed again")
}

/// Crashes and tags of rows.
fn pairs(batch: &RecordBatch) -> Result<impl Iterator<Item = (&str, &str)>> {
    let column = |name: &str| {
        let column = batch
            .column_by_name(name)
            .with_context(|| format!("no column {name}"))?;
        column
            .as_string_opt::<i32>()
            .with_context(|| format!("{name} is no text"))
    };
    let (crashes, tags) = (column(CRASH)?, column(TAG)?);
    let rows = crashes.iter().zip(tags.iter());
    Ok(rows.map(|(crash, tag)| (crash.unwrap_or_default(), tag.unwrap_or_default())))
}

/// The rows of parts in one; of a crash that several have, the last.
async fn merge(bucket: &Bucket, parts: &[Part]) -> Result<Bytes> {
    let mut contents = Vec::new();
    for part in parts {
        let content = bucket.get(&part.key, MERGED_BYTES).await?;
        contents.push(content.with_context(|| format!("{} is gone", part.key))?);
    }
    merged(&contents)
}

fn merged(parts: &[Bytes]) -> Result<Bytes> {
    let schema = columns::schema();
    let open = |part: &Bytes| -> Result<_> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(part.clone())?;
        anyhow::ensure!(
            builder.schema().fields() == schema.fields(),
            "a part has other columns"
        );
        Ok(builder)
    };
    let mut last: HashMap<Mark, (usize, usize)> = HashMap::new();
    for (at, part) in parts.iter().enumerate() {
        let builder = open(part)?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), [CRASH, TAG]);
        let mut row = 0;
        for batch in builder.with_projection(mask).build()? {
            for (crash, _) in pairs(&batch?)? {
                last.insert(mark(crash), (at, row));
                row += 1;
            }
        }
    }
    let mut writer = Writer::new()?;
    for (at, part) in parts.iter().enumerate() {
        let mut row = 0;
        for batch in open(part)?.with_batch_size(256).build()? {
            let batch = batch?;
            let keep: BooleanArray = pairs(&batch)?
                .map(|(crash, _)| {
                    let here = (at, row);
                    row += 1;
                    Some(last.get(&mark(crash)) == Some(&here))
                })
                .collect();
            writer.push(&arrow_select::filter::filter_record_batch(&batch, &keep)?)?;
        }
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::super::columns::Row;
    use super::*;

    fn part(first: u64, last: u64) -> Part {
        let span = Span { first, last };
        Part {
            span,
            key: span.name(),
            size: 1,
            written: 7,
        }
    }

    fn content(rows: &[(&str, &str)]) -> Bytes {
        let row = |(crash, tag): &(&str, &str)| Row {
            crash: (*crash).into(),
            manifest_tag: (*tag).into(),
            clock: "ok",
            report: Some("{}".into()),
            ..Row::default()
        };
        let rows: Vec<Row> = rows.iter().map(row).collect();
        let mut writer = Writer::new().unwrap();
        writer.push(&columns::batch(&rows).unwrap()).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn what_another_part_covers_is_garbage() {
        let parts = Parts::of(vec![
            part(3, 3),
            part(0, 0),
            part(0, 2),
            part(1, 1),
            part(2, 2),
        ]);
        let live: Vec<Span> = parts.live.iter().map(|part| part.span).collect();
        assert_eq!(
            live,
            [Span { first: 0, last: 2 }, Span { first: 3, last: 3 }]
        );
        assert_eq!((parts.covered.len(), parts.next()), (3, 4));
    }

    #[test]
    fn the_last_row_of_a_crash_stays() {
        let parts = [content(&[("a", "1"), ("b", "1")]), content(&[("a", "2")])];
        let merged = merged(&parts).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(merged)
            .unwrap()
            .build()
            .unwrap();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        let mut rows: Vec<(&str, &str)> = batches.iter().flat_map(|b| pairs(b).unwrap()).collect();
        rows.sort_unstable();
        assert_eq!(rows, [("a", "2"), ("b", "1")]);
    }

    #[tokio::test]
    async fn of_two_writers_one_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::open(dir.path().to_str().unwrap()).unwrap();
        let day = "2026-11-29";
        let seen = Parts::list(&bucket, day).await.unwrap();
        assert!(
            seen.add(&bucket, day, content(&[("a", "1")]))
                .await
                .unwrap()
        );
        assert!(
            !seen
                .add(&bucket, day, content(&[("a", "1")]))
                .await
                .unwrap()
        );
        // A third that saw nothing while the number was used, merged and removed.
        let span = Span { first: 0, last: 4 };
        assert!(
            write(&bucket, day, span, content(&[("a", "1")]))
                .await
                .unwrap()
        );
        bucket
            .remove("v1/index/dt=2026-11-29/part-00000000-00000000.parquet")
            .await
            .unwrap();
        assert!(
            !seen
                .add(&bucket, day, content(&[("a", "1")]))
                .await
                .unwrap()
        );
        let now = Parts::list(&bucket, day).await.unwrap();
        assert_eq!((now.live.len(), now.covered.len(), now.next()), (1, 0, 5));
        let mut found = HashMap::new();
        known(&bucket, &now.live[0], &mut found).await.unwrap();
        assert_eq!(found, HashMap::from([(mark("a"), mark("1"))]));
    }
}
