//! From an image to one core file: what is kept, in which format, beside what.
//!
//! This is the whole of `convert`, of the panic kernel's core step and of the benchmark: they differ
//! only in where the image and the kinds of pages come from.

use crate::directory;
use crate::manifest::{TableFacts, hex};
use crate::pipeline::{self, FileOutput, Stats, Stopped};
use crate::policy::Policy;
use std::fs::File;
use std::io;
use std::path::Path;
use vmcore::addr::PfnRange;
use vmcore::image::map::MapReader;
use vmcore::image::{Attachment, MemoryImage};
use vmcore::write::{
    CoreMeta, Finished, Output, OutputFormat, PresentRuns, RamRuns, Runs, Spool, Writer, writer,
};

/// Which pages are written.
#[derive(Clone, Copy)]
pub enum Pages<'a> {
    /// All that the image holds.
    All,
    /// Those of the kinds that a policy keeps.
    Kept {
        /// The kinds.
        map: &'a MapReader,
        /// The policy.
        policy: Policy,
    },
    /// These.
    Runs(&'a [PfnRange]),
}

impl Pages<'_> {
    fn for_each(
        self,
        image: &dyn MemoryImage,
        f: &mut dyn FnMut(PfnRange) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::All => PresentRuns(image).for_each(f),
            Self::Kept { map, policy } => map.kept(|kind| policy.keeps(kind)).for_each(f),
            Self::Runs(runs) => runs.for_each(f),
        }
    }
}

struct Chosen<'a> {
    image: &'a dyn MemoryImage,
    pages: Pages<'a>,
}

impl Runs for Chosen<'_> {
    fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()> {
        self.pages.for_each(self.image, f)
    }
}

/// One core to be written.
pub struct Save<'a> {
    /// The source.
    pub image: &'a dyn MemoryImage,
    /// Which of its pages.
    pub pages: Pages<'a>,
    /// What stands around them.
    pub meta: CoreMeta,
    /// In which form.
    pub format: OutputFormat,
    /// The codec's level; `None`: the format's own.
    pub codec_level: Option<i32>,
    /// Where to.
    pub dir: &'a Path,
    /// The file's name; it must not exist.
    pub name: &'a str,
    /// A `pages.map` that travels inside the core.
    pub map: Option<&'a Path>,
    /// Worker threads.
    pub threads: usize,
    /// Output buffers, in bytes.
    pub buffer: usize,
    /// Whether written pages are dropped from the cache (the panic kernel), or kept (a running
    /// system).
    pub drop_behind: bool,
    /// Bytes to reserve on the target before the first page; 0: none.
    pub reserve: u64,
}

/// A core as it was written.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Its length and table.
    pub finished: Finished,
    /// The table with its hash.
    pub table: Option<TableFacts>,
    /// Pages.
    pub stats: Stats,
}

/// A core that was not written to its end. The file stands as far as it got.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The format cannot hold this many runs of pages; nothing was written.
    #[error("The format cannot hold this core")]
    Unsupported(#[source] io::Error),
    /// A step beside the pages failed.
    #[error("Cannot {doing}")]
    Io {
        /// Which.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The pages stopped midway.
    #[error("The core is cut off")]
    Stopped(#[from] Stopped),
}

fn io_error(doing: &'static str) -> impl FnOnce(io::Error) -> SaveError {
    move |source| SaveError::Io { doing, source }
}

impl Save<'_> {
    /// Writes the core. `trailer` makes the JSON that travels inside it, from what happened.
    ///
    /// # Errors
    /// [`SaveError`]; a page that cannot be read is none.
    pub fn run(
        self,
        trailer: &mut dyn FnMut(&Stats) -> Vec<u8>,
        progress: &mut dyn FnMut(&Stats, u64),
    ) -> Result<Saved, SaveError> {
        let chosen = Chosen {
            image: self.image,
            pages: self.pages,
        };
        let mut total = 0_u64;
        chosen
            .for_each(&mut |run| {
                total = total.saturating_add(run.len());
                Ok(())
            })
            .map_err(io_error("count the pages"))?;
        let spool = directory::unnamed_file(self.dir, ".table").map_err(io_error("make a file"))?;
        let mut writer = writer(self.format, self.meta, self.codec_level, Spool::file(spool))
            .map_err(io_error("prepare the codec"))?;
        let file =
            directory::create_file(self.dir, self.name).map_err(io_error("make the file"))?;
        let mut out = FileOutput::new(file, self.buffer);
        if !self.drop_behind {
            out = out.keep_cached();
        }
        if self.reserve > 0 {
            out.reserve(self.reserve)
                .map_err(io_error("reserve space on the target"))?;
        }
        if let Err(source) = writer.begin(&chosen, &RamRuns(self.image), &mut out) {
            if source.kind() != io::ErrorKind::Unsupported {
                return Err(io_error("write the headers")(source));
            }
            drop(out);
            let _ = std::fs::remove_file(self.dir.join(self.name));
            return Err(SaveError::Unsupported(source));
        }
        let pages = pipeline::run(
            self.image,
            &chosen,
            total,
            writer.as_mut(),
            &mut out,
            self.threads,
            &mut |stats| progress(stats, total),
        );
        let stats = match pages {
            Ok(stats) => stats,
            Err(stopped) => {
                // What is in the buffers still counts.
                let _ = out.flush();
                return Err(stopped.into());
            }
        };
        let finished = finish(writer.as_mut(), self.map, &trailer(&stats), &mut out)
            .map_err(io_error("write the end of the core"))?;
        let hash = out
            .finish(finished.len)
            .map_err(io_error("bring the core to the disk"))?;
        let table = finished
            .table
            .zip(hash)
            .map(|((from, to), hash)| TableFacts {
                offset: from,
                len: to.saturating_sub(from),
                sha256: hex(&hash),
            });
        Ok(Saved {
            finished,
            table,
            stats,
        })
    }
}

fn finish(
    writer: &mut dyn Writer,
    map: Option<&Path>,
    trailer: &[u8],
    out: &mut dyn Output,
) -> io::Result<Finished> {
    if let Some(path) = map {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        writer.attach(Attachment::PagesMap, len, &mut file, out)?;
    }
    let mut body = trailer;
    writer.attach(Attachment::Trailer, trailer.len() as u64, &mut body, out)?;
    writer.finish(out)
}
