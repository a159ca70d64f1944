//! The columns of the index: one row a crash. They are fixed: a later version may add some at the end, and
//! never changes one. docs/fleet.md has the same list.

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use std::sync::Arc;

/// The name of the column with the crash's id.
pub(crate) const CRASH: &str = "crash";
/// The name of the column that tells versions of a crash's manifest apart.
pub(crate) const TAG: &str = "manifest_tag";
/// The large column.
pub(crate) const REPORT: &str = "report";

/// One crash. Times are in microseconds since 1970, in UTC.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub crash: String,
    /// Days since 1970.
    pub day: i32,
    pub time: Option<i64>,
    pub machine: String,
    pub node: Option<String>,
    pub release: Option<String>,
    pub build_id: Option<String>,
    pub arch: Option<String>,
    pub class: Option<String>,
    pub message: Option<String>,
    pub headline: Option<String>,
    pub culprit: Option<String>,
    pub culprit_module: Option<String>,
    pub signature: Option<String>,
    pub signature_version: Option<i32>,
    pub frames: Vec<String>,
    pub stack_modules: Vec<String>,
    pub tainted_modules: Vec<String>,
    pub taint: Option<String>,
    pub trust: Option<String>,
    pub uptime_s: Option<i64>,
    pub cpus: Option<i64>,
    pub memory_bytes: Option<i64>,
    pub hardware: Option<String>,
    pub verdict: Option<String>,
    pub level_asked: Option<String>,
    pub level: Option<String>,
    pub pages_missing: Option<i64>,
    pub why: Option<String>,
    pub core_bytes: Option<i64>,
    pub shipped_bytes: i64,
    pub sealed: bool,
    pub clock: &'static str,
    pub path: String,
    pub report_path: Option<String>,
    pub essential_path: Option<String>,
    pub core_path: Option<String>,
    pub arrived: i64,
    pub indexed: i64,
    pub manifest_tag: String,
    pub version: Option<String>,
    pub report: Option<String>,
}

/// What a column holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    MaybeText,
    Texts,
    Date,
    Time,
    MaybeTime,
    Int,
    Long,
    MaybeLong,
    Flag,
}

const COLUMNS: [(&str, Kind); 42] = [
    (CRASH, Kind::Text),
    ("day", Kind::Date),
    ("time", Kind::MaybeTime),
    ("machine", Kind::Text),
    ("node", Kind::MaybeText),
    ("release", Kind::MaybeText),
    ("build_id", Kind::MaybeText),
    ("arch", Kind::MaybeText),
    ("class", Kind::MaybeText),
    ("message", Kind::MaybeText),
    ("headline", Kind::MaybeText),
    ("culprit", Kind::MaybeText),
    ("culprit_module", Kind::MaybeText),
    ("signature", Kind::MaybeText),
    ("signature_version", Kind::Int),
    ("frames", Kind::Texts),
    ("stack_modules", Kind::Texts),
    ("tainted_modules", Kind::Texts),
    ("taint", Kind::MaybeText),
    ("trust", Kind::MaybeText),
    ("uptime_s", Kind::MaybeLong),
    ("cpus", Kind::MaybeLong),
    ("memory_bytes", Kind::MaybeLong),
    ("hardware", Kind::MaybeText),
    ("verdict", Kind::MaybeText),
    ("level_asked", Kind::MaybeText),
    ("level", Kind::MaybeText),
    ("pages_missing", Kind::MaybeLong),
    ("why", Kind::MaybeText),
    ("core_bytes", Kind::MaybeLong),
    ("shipped_bytes", Kind::Long),
    ("sealed", Kind::Flag),
    ("clock", Kind::Text),
    ("path", Kind::Text),
    ("report_path", Kind::MaybeText),
    ("essential_path", Kind::MaybeText),
    ("core_path", Kind::MaybeText),
    ("arrived", Kind::Time),
    ("indexed", Kind::Time),
    (TAG, Kind::Text),
    ("version", Kind::MaybeText),
    (REPORT, Kind::MaybeText),
];

/// The element of a list column.
fn item() -> Field {
    Field::new("element", DataType::Utf8, false)
}

/// The schema of every part.
pub(crate) fn schema() -> Arc<Schema> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, None);
    let field = |(name, kind): (&str, Kind)| {
        let (data, nullable) = match kind {
            Kind::Text => (DataType::Utf8, false),
            Kind::MaybeText => (DataType::Utf8, true),
            Kind::Texts => (DataType::List(Arc::new(item())), false),
            Kind::Date => (DataType::Date32, false),
            Kind::Time => (time(), false),
            Kind::MaybeTime => (time(), true),
            Kind::Int => (DataType::Int32, true),
            Kind::Long => (DataType::Int64, false),
            Kind::MaybeLong => (DataType::Int64, true),
            Kind::Flag => (DataType::Boolean, false),
        };
        Field::new(name, data, nullable)
    };
    Arc::new(Schema::new(COLUMNS.map(field).to_vec()))
}

/// A column of texts.
fn texts<'a>(rows: &'a [Row], of: impl Fn(&'a Row) -> Option<&'a str>) -> ArrayRef {
    let mut builder = StringBuilder::new();
    rows.iter().for_each(|row| builder.append_option(of(row)));
    Arc::new(builder.finish())
}

fn lists<'a>(rows: &'a [Row], of: impl Fn(&'a Row) -> &'a [String]) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(item());
    for row in rows {
        of(row)
            .iter()
            .for_each(|text| builder.values().append_value(text));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn longs(rows: &[Row], of: impl Fn(&Row) -> Option<i64>) -> ArrayRef {
    let mut builder = Int64Builder::new();
    rows.iter().for_each(|row| builder.append_option(of(row)));
    Arc::new(builder.finish())
}

fn times(rows: &[Row], of: impl Fn(&Row) -> Option<i64>) -> ArrayRef {
    let mut builder = TimestampMicrosecondBuilder::new();
    rows.iter().for_each(|row| builder.append_option(of(row)));
    Arc::new(builder.finish())
}

/// Rows as columns, in the order of the schema.
pub(super) fn batch(rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let mut days = Date32Builder::new();
    rows.iter().for_each(|row| days.append_value(row.day));
    let mut versions = Int32Builder::new();
    rows.iter()
        .for_each(|row| versions.append_option(row.signature_version));
    let mut sealed = BooleanBuilder::new();
    rows.iter().for_each(|row| sealed.append_value(row.sealed));
    let columns: Vec<ArrayRef> = vec![
        texts(rows, |row| Some(&row.crash)),
        Arc::new(days.finish()),
        times(rows, |row| row.time),
        texts(rows, |row| Some(&row.machine)),
        texts(rows, |row| row.node.as_deref()),
        texts(rows, |row| row.release.as_deref()),
        texts(rows, |row| row.build_id.as_deref()),
        texts(rows, |row| row.arch.as_deref()),
        texts(rows, |row| row.class.as_deref()),
        texts(rows, |row| row.message.as_deref()),
        texts(rows, |row| row.headline.as_deref()),
        texts(rows, |row| row.culprit.as_deref()),
        texts(rows, |row| row.culprit_module.as_deref()),
        texts(rows, |row| row.signature.as_deref()),
        Arc::new(versions.finish()),
        lists(rows, |row| &row.frames),
        lists(rows, |row| &row.stack_modules),
        lists(rows, |row| &row.tainted_modules),
        texts(rows, |row| row.taint.as_deref()),
        texts(rows, |row| row.trust.as_deref()),
        longs(rows, |row| row.uptime_s),
        longs(rows, |row| row.cpus),
        longs(rows, |row| row.memory_bytes),
        texts(rows, |row| row.hardware.as_deref()),
        texts(rows, |row| row.verdict.as_deref()),
        texts(rows, |row| row.level_asked.as_deref()),
        texts(rows, |row| row.level.as_deref()),
        longs(rows, |row| row.pages_missing),
        texts(rows, |row| row.why.as_deref()),
        longs(rows, |row| row.core_bytes),
        longs(rows, |row| Some(row.shipped_bytes)),
        Arc::new(sealed.finish()),
        texts(rows, |row| Some(row.clock)),
        texts(rows, |row| Some(&row.path)),
        texts(rows, |row| row.report_path.as_deref()),
        texts(rows, |row| row.essential_path.as_deref()),
        texts(rows, |row| row.core_path.as_deref()),
        times(rows, |row| Some(row.arrived)),
        times(rows, |row| Some(row.indexed)),
        texts(rows, |row| Some(&row.manifest_tag)),
        texts(rows, |row| row.version.as_deref()),
        texts(rows, |row| row.report.as_deref()),
    ];
    RecordBatch::try_new(schema(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_fills_every_column() {
        let row = Row {
            frames: vec!["a".into(), "b".into()],
            clock: "ok",
            ..Row::default()
        };
        let batch = batch(&[row.clone(), row]).unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (2, COLUMNS.len()));
    }

    #[test]
    fn the_page_has_every_column() {
        let page = include_str!("../../../docs/fleet.md");
        let (_, rest) = page.split_once("## Columns").unwrap();
        let section = rest.split("\n## ").next().unwrap();
        let named: Vec<&str> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        assert_eq!(named, COLUMNS.map(|(name, _)| name));
    }
}
