//! The content of compressed frames (`elf-zst`, `elf-lz4`, any seekable zstd file), byte by byte.
//!
//! Facts: see [`crate::layout::frames`]. A read finds its frame through the [`index`], unpacks it
//! (the codec compares the content checksum) and keeps it in a small cache that all threads share.
//! A frame that does not unpack is an error for its own bytes and no others.

mod attached;
mod buffer;
mod cache;
mod checkpoint;
mod codec;
mod index;

use self::buffer::FrameBuffer;
use self::cache::Cache;
use self::index::{Frame, Index};
use super::Attachment;
use super::source::{ByteSource, Facts, SourceError, SourceSlice};
use super::verify::Damage;
pub use crate::layout::frames::Codec;
use crate::layout::frames::{SKIPPABLE, TAG_MAP, TAG_TRAILER};
use crate::layout::{FormatError, le32};
use std::io;
use std::sync::{Arc, OnceLock};

/// Content of one frame that is taken into memory. Ours hold 256 KiB.
const MAX_PLAIN: u64 = 16 << 20;

/// The unpacked content of a file of frames.
pub struct FramedSource {
    file: Arc<dyn ByteSource>,
    codec: Codec,
    index: Index,
    /// What takes the place of `index` once a checkpoint in the file has turned out to be wrong.
    unindexed: OnceLock<Option<Index>>,
    cache: Cache,
}

impl FramedSource {
    /// Reads the seek table, or walks the frames where there is none.
    ///
    /// # Errors
    /// Why no content can be had.
    pub fn open(file: Arc<dyn ByteSource>, codec: Codec) -> Result<Self, FormatError> {
        let index = Index::open(&*file, codec)?;
        Ok(Self {
            file,
            codec,
            index,
            unindexed: OnceLock::new(),
            cache: Cache::default(),
        })
    }

    fn index(&self) -> &Index {
        let unindexed = self.unindexed.get().and_then(Option::as_ref);
        unindexed.unwrap_or(&self.index)
    }

    /// Asks the index, and again without its checkpoints where they do not agree with the table.
    fn ask<T>(
        &self,
        question: impl Fn(&Index, &dyn ByteSource) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let index = self.index();
        let wrong = match question(index, &*self.file) {
            Err(wrong @ SourceError::Corrupt { .. }) if index.is_indexed() => wrong,
            answer => return answer,
        };
        let without = self.unindexed.get_or_init(|| {
            let without = Index::unindexed(&*self.file, self.codec);
            for why in without.iter().flat_map(|without| &without.warnings) {
                log::warn!("{why}");
            }
            without.ok()
        });
        match without {
            Some(without) => question(without, &*self.file),
            None => Err(wrong),
        }
    }

    fn content(&self, frame: Frame) -> Result<Arc<FrameBuffer>, SourceError> {
        if let Some(content) = self.cache.get(frame.at) {
            return Ok(content);
        }
        self.cache.make_way(u64::from(frame.plain));
        let content = Arc::new(self.unpack(frame)?.0);
        self.cache.put(frame.at, &content);
        Ok(content)
    }

    /// The content of a frame, and the checksum at its end.
    fn unpack(&self, frame: Frame) -> Result<(FrameBuffer, Option<u32>), SourceError> {
        let corrupt = |why: String| SourceError::Corrupt {
            offset: frame.at,
            why,
        };
        let (packed, plain) = (u64::from(frame.packed), u64::from(frame.plain));
        if plain > MAX_PLAIN || packed > plain + plain / 128 + 1024 {
            return Err(corrupt(format!(
                "a frame of {packed:#x} bytes with {plain:#x} of content is larger than this \
                 reader takes; unpack the file with {} -d first",
                self.codec.name()
            )));
        }
        let size = |n: u64| usize::try_from(n).unwrap_or(0);
        let (content, tail) = codec::unpack(
            self.codec,
            size(packed),
            size(plain),
            |buf| self.file.read_at(frame.at, buf),
            corrupt,
        )?;
        Ok((content, tail.map(u32::from_le_bytes)))
    }
}

impl ByteSource for FramedSource {
    fn len(&self) -> u64 {
        self.index().plain_len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let frame = self.ask(|index, file| index.find(file, at))?;
            let content = self.content(frame)?;
            let inside = usize::try_from(at.saturating_sub(frame.plain_at)).unwrap_or(usize::MAX);
            let here = content.get(inside..).unwrap_or_default();
            let n = here.len().min(rest.len());
            let past = SourceError::PastEnd {
                offset: at,
                len: self.len(),
            };
            let (to, later) = rest.split_at_mut_checked(n).ok_or(past)?;
            match here.get(..n) {
                Some(from) if n > 0 => to.copy_from_slice(from),
                _ => {
                    return Err(SourceError::Corrupt {
                        offset: frame.at,
                        why: "the frame is shorter than the seek table says".into(),
                    });
                }
            }
            rest = later;
            at = at.saturating_add(n as u64);
        }
        Ok(())
    }

    fn attachment(&self, what: Attachment) -> Option<SourceSlice> {
        let tag = match what {
            Attachment::PagesMap => TAG_MAP,
            Attachment::Trailer => TAG_TRAILER,
        };
        let piece = self
            .index()
            .attachments
            .iter()
            .find(|piece| piece.tag == tag)?;
        Some(SourceSlice::new(
            Arc::clone(&self.file),
            piece.at,
            piece.len,
        ))
    }

    fn facts(&self) -> Facts {
        Facts {
            compression: Some(self.codec.name()),
            checksums: self.index().checksums,
            cut_off: self.index().cut_off.clone(),
            warnings: self.index().warnings.clone(),
        }
    }

    fn check(
        &self,
        progress: &mut dyn FnMut(u64),
        found: &mut dyn FnMut(Damage),
    ) -> io::Result<bool> {
        // Every checkpoint is looked at first, so that what is wrong with them is known here.
        for block in 0..self.index.blocks() {
            if let Err(SourceError::Io { source, .. }) =
                self.ask(|index, file| index.block(file, block))
            {
                return Err(source);
            }
        }
        let index = self.index();
        for why in index.warnings.iter().chain(&index.cut_off) {
            found(Damage::Structure {
                offset: None,
                why: why.clone(),
            });
        }
        for block in 0..index.blocks() {
            let frames = match index.block(&*self.file, block) {
                Ok(frames) => frames,
                Err(SourceError::Io { source, .. }) => return Err(source),
                Err(other) => {
                    found(Damage::Structure {
                        offset: None,
                        why: other.to_string(),
                    });
                    continue;
                }
            };
            for frame in frames.iter() {
                if let Some(why) = self.check_frame(*frame)? {
                    found(Damage::Unit {
                        offset: frame.at,
                        why,
                    });
                }
                progress(u64::from(frame.packed));
            }
        }
        for piece in &index.attachments {
            if let Err(error) = piece.check(&*self.file) {
                found(Damage::Unit {
                    offset: piece.at,
                    why: error.to_string(),
                });
            }
        }
        Ok(true)
    }
}

impl FramedSource {
    /// What is wrong with a frame, if anything is.
    fn check_frame(&self, frame: Frame) -> io::Result<Option<String>> {
        if frame.plain == 0 {
            let mut head = [0; 4];
            let skippable = self.file.read_at(frame.at, &mut head).is_ok()
                && le32(&head, 0)
                    .is_some_and(|magic| magic & !0xf == SKIPPABLE || magic == self.codec.magic());
            return Ok((!skippable).then(|| "there is no frame here".to_owned()));
        }
        match self.unpack(frame) {
            Ok((_, tail)) => {
                let differs = frame.checksum.is_some() && frame.checksum != tail;
                Ok(differs.then(|| "the seek table has another checksum".to_owned()))
            }
            Err(SourceError::Io { source, .. }) => Err(source),
            Err(SourceError::Corrupt { why, .. }) => Ok(Some(why)),
            Err(other) => Ok(Some(other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
