//! ELF cores: plain, or in compressed frames.

use super::codec::{Framer, Raw};
use super::frames::FrameWriter;
use super::header::{Count, ElfHeader};
use super::{Attachment, CoreMeta, Encoded, Encoder, Finished, Output, Runs, Spool, Writer};
use crate::addr::PAGE_SIZE;
use crate::layout::frames::Codec;
use std::io::{self, Read};

/// Writes `elf`, `elf-zst` and `elf-lz4`.
pub(super) struct ElfWriter {
    meta: CoreMeta,
    level: Option<i32>,
    /// `None` for a plain core.
    frames: Option<FrameWriter>,
    at: u64,
    announced: u64,
    appended: u64,
}

impl ElfWriter {
    pub(super) fn new(
        meta: CoreMeta,
        codec: Option<Codec>,
        level: Option<i32>,
        spool: Spool,
    ) -> io::Result<Self> {
        let frames = match codec {
            Some(codec) => Some(FrameWriter::new(codec, level, spool)?),
            None => None,
        };
        Ok(Self {
            meta,
            level,
            frames,
            at: 0,
            announced: 0,
            appended: 0,
        })
    }
}

impl Writer for ElfWriter {
    fn encoder(&self) -> io::Result<Box<dyn Encoder>> {
        Ok(match &self.frames {
            Some(frames) => Box::new(Framer::new(frames.codec(), self.level)?),
            None => Box::new(Raw),
        })
    }

    fn begin(&mut self, kept: &dyn Runs, _ram: &dyn Runs, out: &mut dyn Output) -> io::Result<()> {
        let count = Count::of(kept, self.meta.kernel_image)?;
        let header = ElfHeader::new(&self.meta, count)?;
        self.announced = count.pages * PAGE_SIZE;
        match &mut self.frames {
            Some(frames) => {
                header.stream(kept, &mut |bytes| frames.head(bytes, out))?;
                frames.flush_head(out)
            }
            None => {
                let mut buf = Vec::new();
                header.stream(kept, &mut |bytes| {
                    buf.extend_from_slice(bytes);
                    if buf.len() >= 256 << 10 {
                        out.write_at(self.at, &buf)?;
                        self.at += buf.len() as u64;
                        buf.clear();
                    }
                    Ok(())
                })?;
                out.write_at(self.at, &buf)?;
                self.at += buf.len() as u64;
                Ok(())
            }
        }
    }

    fn append(&mut self, batch: &Encoded, out: &mut dyn Output) -> io::Result<()> {
        self.appended += batch.plain_len as u64;
        if let Some(frames) = &mut self.frames {
            return frames.frame(batch, out);
        }
        out.write_at(self.at, &batch.bytes)?;
        self.at += batch.bytes.len() as u64;
        Ok(())
    }

    fn attach(
        &mut self,
        what: Attachment,
        len: u64,
        body: &mut dyn Read,
        out: &mut dyn Output,
    ) -> io::Result<bool> {
        match &mut self.frames {
            Some(frames) => frames.attach(what, len, body, out).map(|()| true),
            None => Ok(false),
        }
    }

    fn finish(&mut self, out: &mut dyn Output) -> io::Result<Finished> {
        if self.appended != self.announced {
            return Err(io::Error::other(format!(
                "{} bytes of pages were announced and {} written",
                self.announced, self.appended
            )));
        }
        match &mut self.frames {
            Some(frames) => frames.finish(out),
            None => Ok(Finished {
                len: self.at,
                table: None,
            }),
        }
    }
}
