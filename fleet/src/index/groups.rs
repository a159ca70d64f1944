//! The objects of one day, gathered into crash directories. Stores list in the order of keys, so a directory's
//! objects follow each other, and one directory is held at a time.

use super::row::Found;
use crate::bucket::Bucket;
use crate::layout::CrashKey;
use crate::output;
use anyhow::Result;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::ObjectMeta;
use store::manifest::FILE;

/// Files of one directory that are kept.
const MOST_FILES: usize = 32;

/// Objects that are listed at once.
#[derive(Clone, Debug)]
pub(super) struct Range {
    /// The key that they are below.
    pub below: String,
    /// The key that they are behind.
    pub after: Option<String>,
}

/// One directory of the listing.
pub(super) enum Group {
    /// With a manifest.
    Crash(Found),
    /// Still without one: it has not arrived as a whole.
    Unfinished,
    /// An object that is not part of any crash directory.
    Stranger(String),
}

/// Groups as they come.
pub(super) struct Groups {
    bucket: Bucket,
    list: BoxStream<'static, Result<ObjectMeta>>,
    open: Option<Found>,
    whole: bool,
    /// An object that was read and belongs to the next group.
    next: Option<ObjectMeta>,
}

impl Groups {
    /// Those of a range.
    pub(super) fn new(bucket: &Bucket, range: &Range) -> Self {
        Self {
            list: bucket.list(&range.below, range.after.as_deref()),
            bucket: bucket.clone(),
            open: None,
            whole: false,
            next: None,
        }
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Result<Option<Group>> {
        loop {
            let meta = match self.next.take() {
                Some(meta) => Some(meta),
                None => self.list.next().await.transpose()?,
            };
            let Some(meta) = meta else {
                return Ok(self.close());
            };
            let key = self.bucket.key(&meta.location).to_owned();
            let Some((crash, file)) = CrashKey::parse(&key) else {
                return Ok(Some(Group::Stranger(output::cut(&key, 200).to_owned())));
            };
            if self.open.as_ref().is_some_and(|open| open.key != crash) {
                self.next = Some(meta);
                return Ok(self.close());
            }
            self.add(crash, file, &meta);
        }
    }

    fn add(&mut self, crash: CrashKey, file: &str, meta: &ObjectMeta) {
        let open = self.open.get_or_insert_with(|| Found {
            key: crash,
            files: Vec::new(),
            bytes: 0,
            tag: String::new(),
            arrived: 0,
        });
        open.bytes = open.bytes.saturating_add(meta.size);
        if file == FILE {
            self.whole = true;
            open.arrived = meta.last_modified.timestamp_micros();
            open.tag = match &meta.e_tag {
                Some(tag) => output::cut(tag, 200).to_owned(),
                None => format!("{}-{}", meta.size, open.arrived),
            };
        }
        let matters = ["report.", "essential.", "vmcore."]
            .iter()
            .any(|head| file.starts_with(head));
        let always = file == FILE || file == "report.json";
        if always || (open.files.len() < MOST_FILES && (matters || file.ends_with(".age"))) {
            open.files.push((file.to_owned(), meta.size));
        }
    }

    fn close(&mut self) -> Option<Group> {
        let found = self.open.take()?;
        Some(match std::mem::take(&mut self.whole) {
            true => Group::Crash(found),
            false => Group::Unfinished,
        })
    }
}
