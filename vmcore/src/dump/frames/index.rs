//! Which frame holds a byte of content.
//!
//! The seek table stays on disk. So do checkpoints into it, one every [`STRIDE`] frames (256 MiB of
//! content), where the file has our own index frame; in a file that has none they are summed up from
//! the table and held. From a checkpoint on, a stretch of the table is read and summed, and must end
//! where the next checkpoint says: only so is a checkpoint believed, and [`Index::unindexed`] does
//! without those that are wrong. Without a table (the file was cut off) the frames are walked once
//! and remembered.

use super::super::source::{ByteSource, SourceError, read_up_to};
use super::attached::Attached;
use super::checkpoint::{Point, checkpoint};
use crate::layout::frames::{
    CHECKPOINT_LEN, Codec, ENTRY_LEN, Entry, FOOTER_LEN, Footer, INDEX_HEAD_LEN, SKIPPABLE_LEN,
    STRIDE, TABLE, index_head, measure,
};
use crate::layout::{FormatError, le32};
use std::sync::{Arc, Mutex, PoisonError};

/// Decoded stretches of the table that are kept.
const KEPT: usize = 16;
/// The longest stride an index may have: what one look-up reads.
const MAX_STRIDE: u32 = 64 << 10;
/// Skippable frames looked at before the table.
const MAX_ATTACHMENTS: u64 = 8;
/// What is said of an index frame that is not believed.
const WRONG: &str = "the index of the seek table is wrong and was not used";

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

/// Where the entries are.
#[derive(Debug)]
enum Store {
    /// In the file, from this offset, of this length each.
    Table { at: u64, entry_len: u64 },
    /// Found by walking: bytes in the file and of content.
    Walked(Vec<(u32, u32)>),
}

/// Where the checkpoints are, one a stride and the end.
#[derive(Debug)]
enum Points {
    /// In the index frame, from this offset.
    InFile(u64),
    Held(Vec<Point>),
}

/// The way from content to frames.
#[derive(Debug)]
pub(super) struct Index {
    store: Store,
    frames: u64,
    stride: u64,
    points: Points,
    /// The last checkpoint: where the frames end.
    end: Point,
    kept: Mutex<Vec<Arc<Vec<Frame>>>>,
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
    pub(super) fn open(file: &dyn ByteSource, codec: Codec) -> Result<Self, FormatError> {
        let table = Self::from_table(file, codec, true);
        table.or_else(|why| Self::walk(file, codec, &why))
    }

    /// The same without the index frame, which has turned out to be wrong.
    ///
    /// # Errors
    /// When there is no content at all.
    pub(super) fn unindexed(file: &dyn ByteSource, codec: Codec) -> Result<Self, FormatError> {
        let table = Self::from_table(file, codec, false);
        let mut index = table.or_else(|why| Self::walk(file, codec, &why))?;
        index.warnings.insert(0, WRONG.into());
        Ok(index)
    }

    /// Whether checkpoints are taken from the file, which [`Index::unindexed`] does without.
    pub(super) fn is_indexed(&self) -> bool {
        matches!(self.points, Points::InFile(_))
    }

    fn from_table(file: &dyn ByteSource, codec: Codec, indexed: bool) -> Result<Self, FormatError> {
        let missing = || FormatError::damaged("the file does not end with a seek table");
        let footer_at = file.len().checked_sub(FOOTER_LEN).ok_or_else(missing)?;
        let footer =
            Footer::parse(codec, &read(file, footer_at, FOOTER_LEN)?).ok_or_else(missing)?;
        let at = file.len().checked_sub(footer.table_len());
        let at =
            at.ok_or_else(|| FormatError::damaged("the seek table is longer than the file"))?;
        let head = read(file, at, SKIPPABLE_LEN)?;
        let size = le32(&head, 4).map(u64::from);
        if le32(&head, 0) != Some(TABLE) || size != Some(footer.table_len() - SKIPPABLE_LEN) {
            return Err(FormatError::damaged(format!(
                "the seek table does not begin at {at:#x}, where it should"
            )));
        }
        let store = Store::Table {
            at: at + SKIPPABLE_LEN,
            entry_len: footer.entry_len(),
        };
        let mut index = Self {
            store,
            frames: u64::from(footer.frames),
            stride: u64::from(STRIDE),
            points: Points::Held(Vec::new()),
            end: Point::default(),
            kept: Mutex::default(),
            attachments: Vec::new(),
            checksums: footer.checksums,
            cut_off: None,
            warnings: Vec::new(),
        };
        let taken = match indexed {
            true => index.take_checkpoints(file, at),
            false => Err(None),
        };
        if let Err(why) = taken {
            index.warnings.extend(why.map(|why| why.to_string()));
            index.sum_up(file, at)?;
        }
        index.find_attachments(file, at);
        Ok(index)
    }

    /// Takes the checkpoints of the index frame, the last before the table.
    ///
    /// # Errors
    /// `None` when there is no such frame, what is wrong with it when there is.
    fn take_checkpoints(
        &mut self,
        file: &dyn ByteSource,
        table: u64,
    ) -> Result<(), Option<FormatError>> {
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
        let wrong = || Some(FormatError::damaged(WRONG));
        let points = frames.div_ceil(u64::from(stride.max(1))) + 1;
        let body = points
            .checked_mul(CHECKPOINT_LEN as u64)
            .ok_or_else(wrong)?;
        if stride == 0 || stride > MAX_STRIDE || frames != last || head_len + body != packed {
            return Err(wrong());
        }
        let body = at + head_len;
        let first = checkpoint(file, body, 0).map_err(|e| Some(e.into()))?;
        let end = checkpoint(file, body, points - 1).map_err(|e| Some(e.into()))?;
        if first != Point::default() || end.packed != at {
            return Err(wrong());
        }
        self.frames = frames;
        self.stride = u64::from(stride);
        self.points = Points::InFile(body);
        self.end = end;
        // The others are compared with the table when they are needed; the end says how much
        // content there is.
        if self.block(file, self.blocks().saturating_sub(1)).is_err() {
            self.frames = last + 1;
            self.stride = u64::from(STRIDE);
            return Err(wrong());
        }
        Ok(())
    }

    /// Sums the whole table up to checkpoints.
    fn sum_up(&mut self, file: &dyn ByteSource, table: u64) -> Result<(), FormatError> {
        let overflow = || FormatError::damaged("the seek table's lengths overflow");
        let mut at = Point::default();
        let mut points = Vec::new();
        let mut first = 0;
        while first < self.frames {
            points.push(at);
            let n = self.stride.min(self.frames - first);
            for entry in self.entries(file, first, n)? {
                at = at.after(entry).ok_or_else(overflow)?;
            }
            first += n;
        }
        if at.packed != table {
            return Err(FormatError::damaged(format!(
                "the seek table speaks of {:#x} bytes of frames and there are {table:#x}",
                at.packed
            )));
        }
        points.push(at);
        self.points = Points::Held(points);
        self.end = at;
        Ok(())
    }

    fn find_attachments(&mut self, file: &dyn ByteSource, table: u64) {
        let mut at = self.end.packed.min(table);
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

    /// Finds the frames one by one, `why` being why.
    fn walk(file: &dyn ByteSource, codec: Codec, why: &FormatError) -> Result<Self, FormatError> {
        let mut index = Self {
            store: Store::Walked(Vec::new()),
            frames: 0,
            stride: u64::from(STRIDE),
            points: Points::Held(Vec::new()),
            end: Point::default(),
            kept: Mutex::default(),
            attachments: Vec::new(),
            checksums: true,
            cut_off: None,
            warnings: vec![format!("{why}; the frames were found one by one")],
        };
        let mut peek = |at: u64, n: usize| {
            let mut buf = vec![0; n];
            file.read_at(at, &mut buf).ok().map(|()| buf)
        };
        let (mut found, mut points) = (Vec::new(), Vec::new());
        let mut at = Point::default();
        while at.packed < file.len() {
            let Some(frame) = measure(codec, at.packed, &mut peek) else {
                index.cut_off = Some(format!(
                    "the file is cut off or damaged at {:#x}: {} frame{} before it, with {:#x} \
                     bytes of content",
                    at.packed,
                    found.len(),
                    if found.len() == 1 { "" } else { "s" },
                    at.plain
                ));
                break;
            };
            let Some(plain) = frame.plain else {
                return Err(FormatError::unsupported(format!(
                    "the frame at {:#x} does not say how long its content is; \
                     unpack the file with {} -d first",
                    at.packed,
                    codec.name()
                )));
            };
            let (Ok(packed), Ok(plain)) = (u32::try_from(frame.packed), u32::try_from(plain))
            else {
                return Err(FormatError::unsupported(format!(
                    "the frame at {:#x} is longer than 4 GiB; unpack the file with {} -d first",
                    at.packed,
                    codec.name()
                )));
            };
            let few = (index.attachments.len() as u64) < MAX_ATTACHMENTS;
            if plain == 0 && few {
                index.attachments.extend(Attached::read(file, at.packed));
            }
            if (found.len() as u64).is_multiple_of(index.stride) {
                points.push(at);
            }
            found.push((packed, plain));
            let entry = Entry {
                packed,
                plain,
                checksum: None,
            };
            let overflow = || FormatError::damaged("the frames' lengths overflow");
            at = at.after(entry).ok_or_else(overflow)?;
        }
        if at.plain == 0 {
            return Err(FormatError::damaged(format!(
                "there is no whole frame in it: {} of {:#x} bytes were understood",
                at.packed,
                file.len()
            )));
        }
        points.push(at);
        index.points = Points::Held(points);
        index.end = at;
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
    pub(super) fn plain_len(&self) -> u64 {
        self.end.plain
    }

    /// Stretches of frames.
    pub(super) fn blocks(&self) -> u64 {
        self.frames.div_ceil(self.stride)
    }

    /// Checkpoint number `n`.
    fn point(&self, file: &dyn ByteSource, n: u64) -> Result<Point, SourceError> {
        if n == 0 || n >= self.blocks() {
            return Ok(if n == 0 { Point::default() } else { self.end });
        }
        match &self.points {
            Points::InFile(at) => checkpoint(file, *at, n),
            Points::Held(held) => {
                let held = usize::try_from(n).ok().and_then(|n| held.get(n));
                Ok(held.copied().unwrap_or(self.end))
            }
        }
    }

    /// The stretch between whose checkpoints byte `plain` of the content lies. Where the frames are
    /// equally long the first guess is right; else the rest is halved again and again.
    fn stretch(&self, file: &dyn ByteSource, plain: u64) -> Result<u64, SourceError> {
        let (mut low, mut high) = (0, self.blocks());
        let share = u128::from(plain) * u128::from(self.frames) / u128::from(self.end.plain.max(1));
        let mut guess = u64::try_from(share).unwrap_or(0) / self.stride;
        while low + 1 < high {
            let middle = guess.clamp(low, high - 1);
            if self.point(file, middle)?.plain > plain {
                high = middle;
            } else if self.point(file, middle + 1)?.plain <= plain {
                low = middle + 1;
            } else {
                return Ok(middle);
            }
            guess = low.midpoint(high);
        }
        Ok(low)
    }

    /// The frames of stretch number `block`.
    ///
    /// # Errors
    /// When the table does not agree with its checkpoints.
    pub(super) fn block(
        &self,
        file: &dyn ByteSource,
        block: u64,
    ) -> Result<Arc<Vec<Frame>>, SourceError> {
        let begin = self.point(file, block)?;
        let end = self.point(file, block.saturating_add(1))?;
        let corrupt = || SourceError::Corrupt {
            offset: begin.packed,
            why: format!(
                "the lengths of frames {} and following do not add up in the seek table",
                block * self.stride
            ),
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
            at = at.after(entry).ok_or_else(corrupt)?;
        }
        if at != end {
            return Err(corrupt());
        }
        Ok(Arc::new(frames))
    }

    /// The frame that holds byte `plain` of the content.
    ///
    /// # Errors
    /// Past the end, and those of [`Index::block`].
    pub(super) fn find(&self, file: &dyn ByteSource, plain: u64) -> Result<Frame, SourceError> {
        let past = SourceError::PastEnd {
            offset: plain,
            len: self.plain_len(),
        };
        if plain >= self.plain_len() {
            return Err(past);
        }
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = lock().iter().rev().find_map(|frames| holder(frames, plain)) {
            return Ok(frame);
        }
        let frames = self.block(file, self.stretch(file, plain)?)?;
        let frame = holder(&frames, plain).ok_or_else(|| SourceError::Corrupt {
            offset: self.end.packed,
            why: format!("the index of the seek table does not lead to byte {plain:#x}"),
        })?;
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(frames);
        Ok(frame)
    }
}

/// The frame among neighbours that holds byte `plain` of the content.
fn holder(frames: &[Frame], plain: u64) -> Option<Frame> {
    if plain < frames.first()?.plain_at {
        return None;
    }
    let after = match frames.last()? {
        last if last.plain_at <= plain => frames.len(),
        _ => frames.partition_point(|frame| frame.plain_at <= plain),
    };
    let frame = frames.get(after.checked_sub(1)?)?;
    (plain - frame.plain_at < u64::from(frame.plain)).then_some(*frame)
}

fn read(file: &dyn ByteSource, at: u64, len: u64) -> Result<Vec<u8>, FormatError> {
    let end = at.checked_add(len);
    if end.is_none_or(|end| end > file.len()) {
        return Err(FormatError::damaged(format!(
            "the file ends before {at:#x} + {len:#x}"
        )));
    }
    Ok(read_up_to(file, at, len)?)
}
