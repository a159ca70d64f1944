//! Reads columns of the index, one batch at a time.

use crate::bucket::Bucket;
use crate::layout::Part;
use anyhow::{Context, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use std::ops::Range;
use std::sync::Arc;

/// Bytes at a part's end that are read first: they hold the footer of most.
const FOOTER: usize = 64 << 10;

/// A part whose columns are read by ranges.
struct Ranges {
    bucket: Bucket,
    part: Part,
}

impl AsyncFileReader for Ranges {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let read = self.bucket.range(&self.part.key, range);
        read.map(|read| read.map_err(|error| ParquetError::External(error.into())))
            .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.part.size;
        async move {
            let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

/// Shows the rows of a part, with these columns.
pub(crate) async fn scan(
    bucket: &Bucket,
    part: &Part,
    columns: &[&str],
    seen: &mut dyn FnMut(&Batch<'_>),
) -> Result<()> {
    let shown = || format!("{} cannot be read", part.key);
    let reader = Ranges {
        bucket: bucket.clone(),
        part: part.clone(),
    };
    let builder = ParquetRecordBatchStreamBuilder::new(reader)
        .await
        .with_context(shown)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let mut stream = builder.with_projection(mask).build().with_context(shown)?;
    while let Some(batch) = stream.next().await {
        seen(&Batch(&batch.with_context(shown)?));
    }
    Ok(())
}

/// Rows; what is missing or of another type is `None`.
pub(crate) struct Batch<'a>(&'a RecordBatch);

impl Batch<'_> {
    /// How many rows.
    pub(crate) fn rows(&self) -> usize {
        self.0.num_rows()
    }

    /// A text.
    pub(crate) fn text(&self, column: &str, row: usize) -> Option<&str> {
        let column = self.0.column_by_name(column)?.as_string_opt::<i32>()?;
        (row < column.len() && column.is_valid(row)).then(|| column.value(row))
    }

    /// A number.
    pub(crate) fn number(&self, column: &str, row: usize) -> Option<i64> {
        let column = self
            .0
            .column_by_name(column)?
            .as_primitive_opt::<Int64Type>()?;
        (row < column.len() && column.is_valid(row)).then(|| column.value(row))
    }

    /// A day, counted from 1970.
    pub(crate) fn day(&self, column: &str, row: usize) -> Option<i32> {
        let column = self
            .0
            .column_by_name(column)?
            .as_primitive_opt::<Date32Type>()?;
        (row < column.len() && column.is_valid(row)).then(|| column.value(row))
    }
}
