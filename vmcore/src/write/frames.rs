//! The container of `elf-zst` and `elf-lz4`: frames, what travels beside them, and the seek table.
//!
//! At the end: the attachments (`pages.map`, trailer), the index (a checkpoint into the table
//! every [`STRIDE`] frames, so that opening a core of any size reads little), the table. Of all
//! that nothing is held in memory: the table's entries lie in a [`Spool`] until it is written.

use super::codec::Framer;
use super::{Attachment, Encoded, Finished, Output, Spool};
use crate::layout::frames::{
    CHECKPOINT_LEN, Codec, ENTRY_LEN, Entry, Footer, INDEX_HEAD_LEN, MAX_FRAMES, OURS,
    SKIPPABLE_LEN, STRIDE, TABLE, TAG_INDEX, TAG_MAP, TAG_TRAILER, skippable_header,
};
use std::io::{self, Read};

/// Content of a frame of headers.
const FRAME_PLAIN: usize = 256 << 10;
/// Bytes of the table or index sent to the output at a time.
const CHUNK: usize = 96 << 10;

/// Frames in order into an output.
pub(crate) struct FrameWriter {
    codec: Codec,
    at: u64,
    frames: u64,
    spool: Spool,
    framer: Framer,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl FrameWriter {
    /// A writer whose table grows in `spool`.
    ///
    /// # Errors
    /// When the codec's context cannot be allocated.
    pub(super) fn new(codec: Codec, level: Option<i32>, spool: Spool) -> io::Result<Self> {
        Ok(Self {
            codec,
            at: 0,
            frames: 0,
            spool,
            framer: Framer::new(codec, level)?,
            plain: Vec::new(),
            packed: Vec::new(),
        })
    }

    /// The codec.
    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Adds content that stands before the pages; frames are made as they fill.
    ///
    /// # Errors
    /// Those of the codec and of the output.
    pub(super) fn head(&mut self, mut bytes: &[u8], out: &mut dyn Output) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = FRAME_PLAIN.saturating_sub(self.plain.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.plain.extend_from_slice(now);
            bytes = later;
            if self.plain.len() >= FRAME_PLAIN {
                self.flush_head(out)?;
            }
        }
        Ok(())
    }

    /// Ends the headers: the first page begins a frame.
    ///
    /// # Errors
    /// Those of the codec and of the output.
    pub(super) fn flush_head(&mut self, out: &mut dyn Output) -> io::Result<()> {
        if self.plain.is_empty() {
            return Ok(());
        }
        self.packed.clear();
        let checksum = self.framer.frame(&self.plain, &mut self.packed)?;
        let plain = self.plain.len();
        self.plain.clear();
        let packed = std::mem::take(&mut self.packed);
        self.put(&packed, plain, checksum, out)?;
        self.packed = packed;
        Ok(())
    }

    /// Adds a batch that an encoder has made into a frame.
    ///
    /// # Errors
    /// Those of the output.
    pub(super) fn frame(&mut self, batch: &Encoded, out: &mut dyn Output) -> io::Result<()> {
        let checksum = batch
            .checksum
            .ok_or_else(|| io::Error::other("A batch came from another format's encoder"))?;
        self.put(&batch.bytes, batch.plain_len, checksum, out)
    }

    fn put(
        &mut self,
        packed: &[u8],
        plain: usize,
        checksum: u32,
        out: &mut dyn Output,
    ) -> io::Result<()> {
        out.write_at(self.at, packed)?;
        let long = |_| io::Error::other("A frame is longer than 4 GiB");
        self.log(Entry {
            packed: u32::try_from(packed.len()).map_err(long)?,
            plain: u32::try_from(plain).map_err(long)?,
            checksum: Some(checksum),
        })
    }

    fn log(&mut self, entry: Entry) -> io::Result<()> {
        self.at += u64::from(entry.packed);
        self.frames += 1;
        self.spool.append(&entry.encode())
    }

    fn log_skippable(&mut self, body: u64) -> io::Result<()> {
        let packed = u32::try_from(SKIPPABLE_LEN + body).map_err(io::Error::other)?;
        self.log(Entry {
            packed,
            plain: 0,
            checksum: Some(self.codec.empty_checksum()),
        })
    }

    /// Puts an attachment into a skippable frame: tag, body, CRC-32 of the body.
    ///
    /// # Errors
    /// Those of `body` and of the output; a body shorter than `len`; one of 4 GiB.
    pub(super) fn attach(
        &mut self,
        what: Attachment,
        len: u64,
        body: &mut dyn Read,
        out: &mut dyn Output,
    ) -> io::Result<()> {
        let tag = match what {
            Attachment::PagesMap => TAG_MAP,
            Attachment::Trailer => TAG_TRAILER,
        };
        let whole = len.saturating_add(12);
        let header = skippable_header(OURS, whole).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "An attachment is longer than 4 GiB",
            )
        })?;
        let mut at = self.at;
        let mut send = |bytes: &[u8]| {
            out.write_at(at, bytes)?;
            at += bytes.len() as u64;
            io::Result::Ok(())
        };
        send(&[header.as_slice(), &tag].concat())?;
        let mut crc = crc32fast::Hasher::new();
        let mut buf = vec![0; 64 << 10];
        let mut left = len;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
            let part = buf.get_mut(..want).unwrap_or_default();
            body.read_exact(part)?;
            crc.update(part);
            send(part)?;
            left -= want as u64;
        }
        send(&crc.finalize().to_le_bytes())?;
        self.log_skippable(whole)
    }

    /// Writes index and seek table.
    ///
    /// # Errors
    /// Those of the spool and of the output.
    pub(super) fn finish(&mut self, out: &mut dyn Output) -> io::Result<Finished> {
        if self.frames >= MAX_FRAMES {
            // No table can hold them: readers walk the frames.
            return Ok(Finished {
                len: self.at,
                table: None,
            });
        }
        self.index(out)?;
        let table_at = self.at;
        out.table_begins(table_at);
        let footer = Footer {
            frames: u32::try_from(self.frames).map_err(io::Error::other)?,
            checksums: true,
        };
        let body = footer.table_len() - SKIPPABLE_LEN;
        let header = skippable_header(TABLE, body)
            .ok_or_else(|| io::Error::other("The seek table is longer than 4 GiB"))?;
        let mut at = table_at;
        let mut send = |bytes: &[u8]| {
            out.write_at(at, bytes)?;
            at += bytes.len() as u64;
            io::Result::Ok(())
        };
        send(&header)?;
        self.spool.replay(ENTRY_LEN, &mut send)?;
        send(&footer.encode(self.codec))?;
        Ok(Finished {
            len: at,
            table: Some((table_at, at - table_at)),
        })
    }

    /// Writes the index frame: the checkpoints of all frames before it, and where they end.
    fn index(&mut self, out: &mut dyn Output) -> io::Result<()> {
        let checkpoints = self.frames.div_ceil(u64::from(STRIDE)) + 1;
        let body = INDEX_HEAD_LEN + checkpoints * CHECKPOINT_LEN as u64;
        let header = skippable_header(OURS, body)
            .ok_or_else(|| io::Error::other("The index is longer than 4 GiB"))?;
        let mut buf = header.to_vec();
        buf.extend_from_slice(&TAG_INDEX);
        buf.extend_from_slice(&u64::from(STRIDE).to_le_bytes());
        buf.extend_from_slice(&self.frames.to_le_bytes());
        let mut at = self.at;
        let (mut packed, mut plain, mut number) = (0_u64, 0_u64, 0_u64);
        self.spool.replay(ENTRY_LEN, &mut |part| {
            for entry in part.chunks_exact(ENTRY_LEN).filter_map(Entry::parse) {
                if number % u64::from(STRIDE) == 0 {
                    buf.extend_from_slice(&packed.to_le_bytes());
                    buf.extend_from_slice(&plain.to_le_bytes());
                }
                packed += u64::from(entry.packed);
                plain += u64::from(entry.plain);
                number += 1;
            }
            if buf.len() >= CHUNK {
                out.write_at(at, &buf)?;
                at += buf.len() as u64;
                buf.clear();
            }
            Ok(())
        })?;
        buf.extend_from_slice(&packed.to_le_bytes());
        buf.extend_from_slice(&plain.to_le_bytes());
        out.write_at(at, &buf)?;
        self.log_skippable(body)
    }
}
