//! Which frame holds a byte of content.
//!
//! The seek table stays on disk. In memory are checkpoints, one every [`STRIDE`] frames (256 MiB
//! of content): read from our own index frame, or summed up from the table of a file that has none.
//! From a checkpoint on, a stretch of the table is read and summed, and must end where the next
//! checkpoint says. Without a table (the file was cut off) the frames are walked once and remembered.

use super::super::source::{ByteSource, SourceError};
use crate::layout::frames::{
    CHECKPOINT_LEN, Codec, ENTRY_LEN, Entry, FOOTER_LEN, Footer, INDEX_HEAD_LEN, SKIPPABLE_LEN,
    STRIDE, TABLE, TAG_INDEX, Tag, index_head, measure, our_frame,
};
use crate::layout::{le32, le64};
use std::sync::{Arc, Mutex, PoisonError};

/// Decoded stretches of the table that are kept.
const KEPT: usize = 16;
/// The longest stride an index may have: what one look-up reads.
const MAX_STRIDE: u32 = 64 << 10;
/// Bytes of checkpoints read at a time: as many as stay in the processor's cache.
const CHECKPOINTS: u64 = 16 << 10;
/// Skippable frames looked at before the table.
const MAX_ATTACHMENTS: u64 = 8;
/// Bytes of attachments' heads.
const OUR_HEAD: usize = 16;

/// A frame, found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    /// Where it begins in the file.
    pub at: u64,
    /// Bytes there.
    pub packed: u32,
    /// Where its content begins.
    pub plain_at: u64,
    /// Bytes of content.
    pub plain: u32,
    /// The content's checksum, as the table has it.
    pub checksum: Option<u32>,
}

/// A skippable frame of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Attached {
    /// What it is.
    pub tag: Tag,
    /// Where its body begins in the file.
    pub at: u64,
    /// Bytes of its body.
    pub len: u64,
}

impl Attached {
    /// The attachment in the frame at `at`, whose last 4 bytes are a checksum of its body.
    fn read(file: &dyn ByteSource, at: u64) -> Option<Self> {
        let mut head = [0; OUR_HEAD];
        file.read_at(at, &mut head).ok()?;
        let (tag, len) = our_frame(&head)?;
        let body = at.checked_add(OUR_HEAD as u64)?;
        let here = body.checked_add(len)? <= file.len() && tag != TAG_INDEX;
        here.then_some(Self {
            tag,
            at: body,
            len: len.checked_sub(4)?,
        })
    }

    /// Compares the checksum of the body.
    pub fn check(&self, file: &dyn ByteSource) -> Result<(), String> {
        let mut crc = crc32fast::Hasher::new();
        let mut buf = vec![0; 64 << 10];
        let (mut at, end) = (self.at, self.at.saturating_add(self.len));
        while at < end {
            let n = usize::try_from(end - at)
                .unwrap_or(usize::MAX)
                .min(buf.len());
            let part = buf.get_mut(..n).unwrap_or_default();
            file.read_at(at, part).map_err(|e| e.to_string())?;
            crc.update(part);
            at += n as u64;
        }
        let mut stored = [0; 4];
        file.read_at(end, &mut stored).map_err(|e| e.to_string())?;
        if u32::from_le_bytes(stored) == crc.finalize() {
            return Ok(());
        }
        Err("the checksum of what travels beside the pages is wrong".into())
    }
}

/// A place in the file and in the content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
struct Point {
    packed: u64,
    plain: u64,
}

impl Point {
    fn after(self, entry: Entry) -> Option<Self> {
        Some(Self {
            packed: self.packed.checked_add(u64::from(entry.packed))?,
            plain: self.plain.checked_add(u64::from(entry.plain))?,
        })
    }
}

/// Where the entries are.
#[derive(Debug)]
enum Store {
    /// In the file, from this offset, of this length each.
    Table { at: u64, entry_len: u64 },
    /// Found by walking: bytes in the file and of content.
    Walked(Vec<(u32, u32)>),
}

/// The way from content to frames.
#[derive(Debug)]
pub(super) struct Index {
    store: Store,
    frames: u64,
    stride: u64,
    /// One a stride, and the end.
    points: Vec<Point>,
    kept: Mutex<Vec<(u64, Arc<Vec<Frame>>)>>,
    /// What travels beside the content.
    pub attachments: Vec<Attached>,
    /// Whether the content is under checksums.
    pub checksums: bool,
    /// Why content is missing, if it is.
    pub cut_off: Option<String>,
    /// Soft errors.
    pub warnings: Vec<String>,
}

impl Index {
    /// Finds the table, or walks.
    ///
    /// # Errors
    /// When there is no content at all.
    pub fn open(file: &dyn ByteSource, codec: Codec) -> Result<Self, String> {
        let why = match Self::from_table(file, codec) {
            Ok(index) => return Ok(index),
            Err(why) => why,
        };
        let mut index = Self::walk(file, codec)?;
        index
            .warnings
            .push(format!("{why}; the frames were found one by one"));
        Ok(index)
    }

    fn from_table(file: &dyn ByteSource, codec: Codec) -> Result<Self, String> {
        let missing = || "the file does not end with a seek table".to_owned();
        let footer_at = file.len().checked_sub(FOOTER_LEN).ok_or_else(missing)?;
        let footer =
            Footer::parse(codec, &read(file, footer_at, FOOTER_LEN)?).ok_or_else(missing)?;
        let at = file.len().checked_sub(footer.table_len());
        let at = at.ok_or("the seek table is longer than the file")?;
        let head = read(file, at, SKIPPABLE_LEN)?;
        let size = le32(&head, 4).map(u64::from);
        if le32(&head, 0) != Some(TABLE) || size != Some(footer.table_len() - SKIPPABLE_LEN) {
            return Err(format!(
                "the seek table does not begin at {at:#x}, where it should"
            ));
        }
        let store = Store::Table {
            at: at + SKIPPABLE_LEN,
            entry_len: footer.entry_len(),
        };
        let mut index = Self {
            store,
            frames: u64::from(footer.frames),
            stride: u64::from(STRIDE),
            points: Vec::new(),
            kept: Mutex::default(),
            attachments: Vec::new(),
            checksums: footer.checksums,
            cut_off: None,
            warnings: Vec::new(),
        };
        if let Err(why) = index.take_checkpoints(file, at) {
            if let Some(why) = why {
                index.warnings.push(why);
            }
            index.sum_up(file, at)?;
        }
        index.find_attachments(file, at);
        Ok(index)
    }

    /// Takes the checkpoints of the index frame, the last before the table.
    ///
    /// # Errors
    /// `None` when there is no such frame, a sentence when it is wrong.
    fn take_checkpoints(
        &mut self,
        file: &dyn ByteSource,
        table: u64,
    ) -> Result<(), Option<String>> {
        let last = self.frames.checked_sub(1).ok_or(None)?;
        let entry = self
            .entries(file, last, 1)
            .ok()
            .and_then(|all| all.first().copied());
        let packed = u64::from(entry.ok_or(None)?.packed);
        let at = table.checked_sub(packed).ok_or(None)?;
        let head_len = SKIPPABLE_LEN + INDEX_HEAD_LEN;
        let head = read(file, at, head_len).map_err(|_| None)?;
        let (stride, frames) = index_head(head.get(8..).unwrap_or_default()).ok_or(None)?;
        let wrong = || Some("the index of the seek table is wrong and was not used".to_owned());
        let points = frames.div_ceil(u64::from(stride.max(1))) + 1;
        let body = points
            .checked_mul(CHECKPOINT_LEN as u64)
            .ok_or_else(wrong)?;
        if stride == 0 || stride > MAX_STRIDE || frames != last || head_len + body != packed {
            return Err(wrong());
        }
        let mut points = Vec::with_capacity(usize::try_from(points).unwrap_or(0));
        let mut done = 0;
        while done < body {
            let n = CHECKPOINTS.min(body - done);
            let bytes = read(file, at + head_len + done, n).map_err(Some)?;
            points.extend(bytes.chunks_exact(CHECKPOINT_LEN).filter_map(|b| {
                Some(Point {
                    packed: le64(b, 0)?,
                    plain: le64(b, 8)?,
                })
            }));
            done += n;
        }
        let rising = points.is_sorted_by(|a, b| a.packed <= b.packed && a.plain <= b.plain);
        let ends = points.last().is_some_and(|end| end.packed == at);
        if !rising || !ends || points.first() != Some(&Point::default()) {
            return Err(wrong());
        }
        self.frames = frames;
        self.stride = u64::from(stride);
        self.points = points;
        Ok(())
    }

    /// Sums the whole table up to checkpoints.
    fn sum_up(&mut self, file: &dyn ByteSource, table: u64) -> Result<(), String> {
        let mut at = Point::default();
        let mut points = Vec::new();
        let mut first = 0;
        while first < self.frames {
            points.push(at);
            let n = self.stride.min(self.frames - first);
            for entry in self.entries(file, first, n).map_err(|e| e.to_string())? {
                at = at.after(entry).ok_or("the seek table's lengths overflow")?;
            }
            first += n;
        }
        if at.packed != table {
            return Err(format!(
                "the seek table speaks of {:#x} bytes of frames and there are {table:#x}",
                at.packed
            ));
        }
        points.push(at);
        self.points = points;
        Ok(())
    }

    fn find_attachments(&mut self, file: &dyn ByteSource, table: u64) {
        let covered = self.points.last().map_or(0, |end| end.packed);
        let mut at = covered.min(table);
        let first = self.frames.saturating_sub(MAX_ATTACHMENTS);
        let Ok(entries) = self.entries(file, first, self.frames - first) else {
            return;
        };
        for entry in entries.iter().rev().take_while(|entry| entry.plain == 0) {
            let Some(begin) = at.checked_sub(u64::from(entry.packed)) else {
                return;
            };
            at = begin;
            self.attachments.extend(Attached::read(file, at));
        }
    }

    fn walk(file: &dyn ByteSource, codec: Codec) -> Result<Self, String> {
        let mut index = Self {
            store: Store::Walked(Vec::new()),
            frames: 0,
            stride: u64::from(STRIDE),
            points: Vec::new(),
            kept: Mutex::default(),
            attachments: Vec::new(),
            checksums: true,
            cut_off: None,
            warnings: Vec::new(),
        };
        let mut peek = |at: u64, n: usize| {
            let mut buf = vec![0; n];
            file.read_at(at, &mut buf).ok().map(|()| buf)
        };
        let mut found = Vec::new();
        let mut at = Point::default();
        while at.packed < file.len() {
            let Some(frame) = measure(codec, at.packed, &mut peek) else {
                index.cut_off = Some(format!(
                    "the file is cut off or damaged at {:#x}: {} frames with {:#x} bytes of \
                     content stand before",
                    at.packed,
                    found.len(),
                    at.plain
                ));
                break;
            };
            let Some(plain) = frame.plain else {
                return Err(format!(
                    "the frame at {:#x} does not say how long its content is; \
                     unpack the file with {} -d first",
                    at.packed,
                    codec.name()
                ));
            };
            let (Ok(packed), Ok(plain)) = (u32::try_from(frame.packed), u32::try_from(plain))
            else {
                return Err(format!(
                    "the frame at {:#x} is longer than 4 GiB; unpack the file with {} -d first",
                    at.packed,
                    codec.name()
                ));
            };
            if plain == 0 {
                index.attachments.extend(Attached::read(file, at.packed));
            }
            if (found.len() as u64).is_multiple_of(index.stride) {
                index.points.push(at);
            }
            found.push((packed, plain));
            let entry = Entry {
                packed,
                plain,
                checksum: None,
            };
            at = at.after(entry).ok_or("the frames' lengths overflow")?;
        }
        if at.plain == 0 {
            return Err(format!(
                "there is no whole frame in it: {} of {:#x} bytes were understood",
                at.packed,
                file.len()
            ));
        }
        index.points.push(at);
        index.frames = found.len() as u64;
        found.shrink_to_fit();
        index.store = Store::Walked(found);
        Ok(index)
    }

    /// `n` entries from number `first` on.
    fn entries(
        &self,
        file: &dyn ByteSource,
        first: u64,
        n: u64,
    ) -> Result<Vec<Entry>, SourceError> {
        let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        match &self.store {
            Store::Table { at, entry_len } => {
                let mut buf = vec![0; place(n * entry_len)];
                file.read_at(at.saturating_add(first * entry_len), &mut buf)?;
                let step = place(*entry_len).clamp(1, ENTRY_LEN);
                Ok(buf.chunks_exact(step).filter_map(Entry::parse).collect())
            }
            Store::Walked(found) => {
                let range = place(first)..place(first.saturating_add(n));
                let entries = found.get(range).unwrap_or_default().iter();
                Ok(entries
                    .map(|(packed, plain)| Entry {
                        packed: *packed,
                        plain: *plain,
                        checksum: None,
                    })
                    .collect())
            }
        }
    }

    /// Bytes of content.
    pub fn plain_len(&self) -> u64 {
        self.points.last().map_or(0, |end| end.plain)
    }

    /// Stretches of frames.
    pub fn blocks(&self) -> u64 {
        self.frames.div_ceil(self.stride)
    }

    /// The frames of stretch number `block`.
    ///
    /// # Errors
    /// When the table does not agree with its checkpoints.
    pub fn block(&self, file: &dyn ByteSource, block: u64) -> Result<Arc<Vec<Frame>>, SourceError> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, frames)) = lock().iter().find(|(key, _)| *key == block) {
            return Ok(Arc::clone(frames));
        }
        let corrupt = |offset: u64| SourceError::Corrupt {
            offset,
            why: format!(
                "the lengths of frames {} and following do not add up in the seek table",
                block * self.stride
            ),
        };
        let point = |n: u64| {
            usize::try_from(n)
                .ok()
                .and_then(|n| self.points.get(n).copied())
        };
        let (Some(begin), Some(end)) = (point(block), point(block + 1)) else {
            return Err(corrupt(0));
        };
        let first = block * self.stride;
        let n = self.stride.min(self.frames.saturating_sub(first));
        let mut at = begin;
        let mut frames = Vec::new();
        for entry in self.entries(file, first, n)? {
            frames.push(Frame {
                at: at.packed,
                packed: entry.packed,
                plain_at: at.plain,
                plain: entry.plain,
                checksum: entry.checksum,
            });
            at = at.after(entry).ok_or_else(|| corrupt(begin.packed))?;
        }
        if at != end {
            return Err(corrupt(begin.packed));
        }
        let frames = Arc::new(frames);
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((block, Arc::clone(&frames)));
        Ok(frames)
    }

    /// The frame that holds byte `plain` of the content.
    ///
    /// # Errors
    /// Past the end, and those of [`Index::block`].
    pub fn find(&self, file: &dyn ByteSource, plain: u64) -> Result<Frame, SourceError> {
        let past = SourceError::PastEnd {
            offset: plain,
            len: self.plain_len(),
        };
        if plain >= self.plain_len() {
            return Err(past);
        }
        let after = self.points.partition_point(|point| point.plain <= plain);
        let Some(block) = after.checked_sub(1) else {
            return Err(past);
        };
        let frames = self.block(file, block as u64)?;
        let after = frames.partition_point(|frame| frame.plain_at <= plain);
        let frame = after.checked_sub(1).and_then(|at| frames.get(at));
        frame.copied().ok_or(past)
    }
}

fn read(file: &dyn ByteSource, at: u64, len: u64) -> Result<Vec<u8>, String> {
    let end = at.checked_add(len);
    if end.is_none_or(|end| end > file.len()) {
        return Err(format!("the file ends before {at:#x} + {len:#x}"));
    }
    let mut buf = vec![0; usize::try_from(len).map_err(|e| e.to_string())?];
    file.read_at(at, &mut buf).map_err(|e| e.to_string())?;
    Ok(buf)
}
