//! makedumpfile's flattened stream: pieces of a file, each with its place.
//!
//! Facts: makedumpfile -F and QEMU's dump-guest-memory. A header of 4096 bytes, then records of
//! offset and length (big-endian) and data; places may come again, the later data wins (headers are
//! rewritten at the end); a record of −1, −1 ends it. A file is read where it lies; a pipe is put
//! in order by [`assemble`].

use super::source::{ByteSource, Facts, SourceError};
use crate::layout::kdump::{FLAT_HEADER_LEN, FLAT_RECORD_LEN, is_flattened};
use crate::layout::{FormatError, be64};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Records that are read of a stream inside a compressed file, where they cost nothing. makedumpfile
/// writes some megabytes in each.
const RECORDS_MAX_COMPRESSED: u64 = 1 << 19;
/// Bytes that may be left unwritten besides as many as the stream is long.
const GAPS: u64 = 1 << 20;

/// The file that a flattened stream describes.
pub struct FlattenedSource {
    file: Arc<dyn ByteSource>,
    /// Start, length and place in the stream; ascending, disjoint.
    pieces: Vec<(u64, u64, u64)>,
    len: u64,
    cut_off: Option<String>,
}

/// One record's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Record {
    Data { offset: u64, len: u64 },
    End,
}

impl Record {
    fn parse(buf: &[u8]) -> Option<Self> {
        let (offset, len) = (be64(buf, 0)?, be64(buf, 8)?);
        if (offset, len) == (-1, -1) {
            return Some(Self::End);
        }
        let offset = u64::try_from(offset).ok()?;
        let len = u64::try_from(len).ok()?;
        offset.checked_add(len)?;
        Some(Self::Data { offset, len })
    }
}

impl FlattenedSource {
    /// Walks the records; reads none of the data.
    ///
    /// # Errors
    /// The file cannot be read, or is a stream of another version.
    pub fn open(file: Arc<dyn ByteSource>) -> Result<Self, FormatError> {
        let mut head = [0; 32];
        file.read_at(0, &mut head)?;
        if !is_flattened(&head)? {
            return Err(FormatError::unsupported(
                "it does not begin like a flattened stream",
            ));
        }
        let mut pieces = Pieces::default();
        let mut at = FLAT_HEADER_LEN;
        let mut cut_off = None;
        let mut left = match file.facts().compression {
            Some(_) => RECORDS_MAX_COMPRESSED,
            None => u64::MAX,
        };
        loop {
            left -= 1;
            if left == 0 {
                return Err(FormatError::unsupported(format!(
                    "the flattened stream has more than {RECORDS_MAX_COMPRESSED} records; unpack \
                     the file first"
                )));
            }
            let mut record = [0; FLAT_RECORD_LEN];
            let read = file.read_at(at, &mut record);
            let data_at = at.saturating_add(FLAT_RECORD_LEN as u64);
            match (read.is_ok(), Record::parse(&record)) {
                (true, Some(Record::End)) => break,
                (true, Some(Record::Data { offset, len })) => {
                    let here = len.min(file.len().saturating_sub(data_at));
                    pieces.put(offset, here, data_at);
                    if here < len {
                        cut_off = Some(format!(
                            "the flattened stream is cut off at {:#x}",
                            file.len()
                        ));
                        break;
                    }
                    at = data_at.saturating_add(len);
                }
                (ok, _) => {
                    let what = if ok { "damaged" } else { "cut off" };
                    cut_off = Some(format!("the flattened stream is {what} at {at:#x}"));
                    break;
                }
            }
        }
        let mut pieces = pieces.list();
        // Writers leave little unwritten. What lies further away than the stream is long is no
        // file that anybody wrote, and readers would believe its length.
        let mut unwritten = file.len().saturating_add(GAPS);
        let mut end = 0;
        let sane = pieces.iter().position(|(start, len, _)| {
            let gap = start.saturating_sub(end);
            end = start.saturating_add(*len);
            let far = gap > unwritten;
            unwritten = unwritten.saturating_sub(gap);
            far
        });
        if let Some(sane) = sane {
            pieces.truncate(sane);
            cut_off = Some("the flattened stream has records far past all others".into());
        }
        let len = pieces
            .last()
            .map_or(0, |(start, len, _)| start.saturating_add(*len));
        Ok(Self {
            file,
            pieces,
            len,
            cut_off,
        })
    }
}

impl ByteSource for FlattenedSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let past = SourceError::PastEnd {
            offset,
            len: self.len,
        };
        if offset
            .checked_add(buf.len() as u64)
            .is_none_or(|end| end > self.len)
        {
            return Err(past);
        }
        let mut next = self
            .pieces
            .partition_point(|(start, len, _)| start + len <= offset);
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let Some((start, len, place)) = self.pieces.get(next).copied() else {
                return Err(past);
            };
            // What no record wrote is 0, as in a file that was never written there.
            let gap = start.saturating_sub(at);
            let inside = at.saturating_sub(start);
            let here = if gap > 0 {
                gap
            } else {
                len.saturating_sub(inside)
            };
            let n = usize::try_from(here).unwrap_or(usize::MAX).min(rest.len());
            let Some((now, later)) = rest.split_at_mut_checked(n) else {
                return Err(past);
            };
            if gap > 0 {
                now.fill(0);
            } else {
                self.file.read_at(place.saturating_add(inside), now)?;
                if n as u64 == here {
                    next += 1;
                }
            }
            rest = later;
            at = at.saturating_add(n as u64);
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        Facts {
            cut_off: self.cut_off.clone(),
            ..self.file.facts()
        }
    }
}

/// Pieces by their place, the last put winning.
#[derive(Default)]
struct Pieces(BTreeMap<u64, (u64, u64)>);

impl Pieces {
    fn put(&mut self, start: u64, len: u64, place: u64) {
        let end = start.saturating_add(len);
        if len == 0 {
            return;
        }
        // What stands there gives way: cut what reaches in from before, drop or cut what begins inside.
        if let Some((&before, &(old, old_place))) = self.0.range(..start).next_back() {
            let old_end = before + old;
            if old_end > start {
                self.0.insert(before, (start - before, old_place));
                if old_end > end {
                    self.0
                        .insert(end, (old_end - end, old_place + (end - before)));
                }
            } else if old_end == start && old_place.checked_add(old) == Some(place) {
                self.clear(start, end);
                self.0.insert(before, (old + len, old_place));
                return;
            }
        }
        self.clear(start, end);
        self.0.insert(start, (len, place));
    }

    fn clear(&mut self, start: u64, end: u64) {
        while let Some((&at, &(len, place))) = self.0.range(start..end).next() {
            self.0.remove(&at);
            let old_end = at + len;
            if old_end > end {
                self.0.insert(end, (old_end - end, place + (end - at)));
            }
        }
    }

    fn list(self) -> Vec<(u64, u64, u64)> {
        let list = self.0.into_iter();
        list.map(|(start, (len, place))| (start, len, place))
            .collect()
    }
}

/// Puts a flattened stream in order: hands each piece of data with its place to `write`, and
/// answers how long the file is.
///
/// # Errors
/// Those of `input` and `write`; [`io::ErrorKind::InvalidData`] for what is no flattened stream,
/// [`io::ErrorKind::UnexpectedEof`] for one that is cut off.
pub fn assemble(
    input: &mut dyn Read,
    write: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut head = vec![0; usize::try_from(FLAT_HEADER_LEN).map_err(io::Error::other)?];
    input.read_exact(&mut head)?;
    if !is_flattened(&head).map_err(invalid)? {
        return Err(invalid(FormatError::unsupported(
            "The input does not begin like a flattened stream",
        )));
    }
    let mut buf = vec![0; 64 << 10];
    let mut end = 0;
    loop {
        let mut record = [0; FLAT_RECORD_LEN];
        input.read_exact(&mut record)?;
        let (mut at, mut left) = match Record::parse(&record) {
            Some(Record::End) => return Ok(end),
            Some(Record::Data { offset, len }) => (offset, len),
            None => {
                return Err(invalid(FormatError::damaged(
                    "A record of the flattened stream is damaged",
                )));
            }
        };
        end = end.max(at.saturating_add(left));
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
            let part = buf.get_mut(..n).unwrap_or_default();
            input.read_exact(part)?;
            write(at, part)?;
            at += n as u64;
            left -= n as u64;
        }
    }
}

fn invalid(why: FormatError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A dump out of a pipe into a file: a flattened stream is put in order, anything else is taken as
/// it is.
///
/// # Errors
/// Those of [`assemble`].
pub fn receive(mut input: impl Read, file: &File) -> io::Result<()> {
    let mut head = Vec::new();
    input
        .by_ref()
        .take(FLAT_HEADER_LEN)
        .read_to_end(&mut head)?;
    let flattened = is_flattened(&head).map_err(invalid)?;
    let mut input = head.as_slice().chain(input);
    if flattened {
        assemble(&mut input, &mut |at, part| file.write_all_at(part, at)).map(drop)
    } else {
        io::copy(&mut input, &mut &*file).map(drop)
    }
}

#[cfg(test)]
mod tests;
