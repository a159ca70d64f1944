//! The bytes of a blob of type information: held as a whole, or read a piece at a time.
//!
//! A kernel's own is 4 to 6 MiB, half of what the analysis in the capture kernel may take, and a report
//! looks at a tenth of it. So its pieces are read when something in them is asked for and stay until
//! the end: what was handed out stays where it is. Each piece reaches past its end into the next by
//! the longest name that the kernel allows (KSYM_NAME_LEN, include/linux/kallsyms.h: 512 since 6.1),
//! so that no name and no word is cut; of a longer name only the beginning is seen.

use crate::addr::{PhysAddr, VirtAddr};
use crate::dump::MemoryDump;
use crate::kernel::MemError;
use crate::order::Order;
use std::sync::{Arc, OnceLock};

/// Bytes of a piece.
const PIECE: usize = 4096;
/// Bytes of the next piece that it has, too.
const BEYOND: usize = 512;
/// Bytes that a pass from the beginning to the end holds at a time.
pub(super) const WINDOW: usize = 64 << 10;

/// The blob.
pub(super) struct Blob {
    /// The order of the bytes in a word.
    pub(super) order: Order,
    len: usize,
    source: Source,
}

enum Source {
    Held(Vec<u8>),
    Pieces {
        dump: Arc<dyn MemoryDump>,
        va: VirtAddr,
        pa: PhysAddr,
        /// Empty where it could not be read.
        pieces: Box<[OnceLock<Box<[u8]>>]>,
    },
}

impl Blob {
    /// A blob that was read elsewhere.
    pub(super) fn held(data: Vec<u8>, order: Order) -> Self {
        Self {
            order,
            len: data.len(),
            source: Source::Held(data),
        }
    }

    /// The `len` bytes at `va`, which lie in one piece from `pa` on. Nothing is read now.
    pub(super) fn of_image(
        dump: Arc<dyn MemoryDump>,
        va: VirtAddr,
        pa: PhysAddr,
        len: usize,
        order: Order,
    ) -> Self {
        let pieces = (0..len.div_ceil(PIECE)).map(|_| OnceLock::new()).collect();
        Self {
            order,
            len,
            source: Source::Pieces {
                dump,
                va,
                pa,
                pieces,
            },
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes from `at` to `end`, or to where they are known to: [`BEYOND`] bytes at least.
    pub(super) fn from(&self, at: usize, end: usize) -> &[u8] {
        let end = end.min(self.len);
        match &self.source {
            Source::Held(data) => data.get(at..end).unwrap_or_default(),
            Source::Pieces {
                dump, pa, pieces, ..
            } => {
                let Some(slot) = pieces.get(at / PIECE).filter(|_| at < end) else {
                    return &[];
                };
                let start = at / PIECE * PIECE;
                let piece = slot.get_or_init(|| {
                    let mut piece = vec![0; (PIECE + BEYOND).min(self.len - start)];
                    let pa = PhysAddr(pa.0.wrapping_add(start as u64));
                    match dump.read_phys(pa, &mut piece) {
                        Ok(()) => piece.into_boxed_slice(),
                        Err(_) => Box::default(),
                    }
                });
                let rest = piece.get(at - start..).unwrap_or_default();
                rest.get(..end - at).unwrap_or(rest)
            }
        }
    }

    /// The word at `at`.
    pub(super) fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.from(at, at.checked_add(4)?).first_chunk::<4>()?;
        Some(self.order.u32(*bytes))
    }

    /// For a pass from the beginning to the end, which leaves nothing behind.
    pub(super) fn pass(&self) -> Pass<'_> {
        Pass {
            blob: self,
            start: 0,
            window: Vec::new(),
            error: None,
        }
    }
}

/// A window that moves on.
pub(super) struct Pass<'a> {
    blob: &'a Blob,
    start: usize,
    window: Vec<u8>,
    /// Why something could not be read.
    pub(super) error: Option<MemError>,
}

impl Pass<'_> {
    /// The bytes from `at` to `end`, or as far as the window goes: `least` bytes if there are so many.
    /// None where they cannot be read.
    pub(super) fn from(&mut self, at: usize, end: usize, least: usize) -> Option<&[u8]> {
        let end = end.min(self.blob.len);
        if let Source::Held(data) = &self.blob.source {
            return data.get(at..end);
        }
        let wanted = end.min(at.checked_add(least)?);
        if at < self.start || wanted > self.start + self.window.len() {
            self.fill(at)?;
        }
        let from = at.checked_sub(self.start)?;
        let to = (end - self.start.min(end)).min(self.window.len());
        self.window.get(from..to)
    }

    /// The word at `at`.
    pub(super) fn word(&mut self, at: usize) -> Option<u32> {
        let order = self.blob.order;
        let bytes = self.from(at, at.checked_add(4)?, 4)?.first_chunk::<4>()?;
        Some(order.u32(*bytes))
    }

    fn fill(&mut self, at: usize) -> Option<()> {
        let Source::Pieces { dump, va, pa, .. } = &self.blob.source else {
            return None;
        };
        let len = WINDOW.min(self.blob.len.checked_sub(at)?);
        self.window.clear();
        self.window.resize(len, 0);
        self.start = at;
        let pa = PhysAddr(pa.0.wrapping_add(at as u64));
        match dump.read_phys(pa, &mut self.window) {
            Ok(()) => Some(()),
            Err(source) => {
                self.window.clear();
                let va = VirtAddr(va.0.wrapping_add(at as u64));
                self.error = Some(MemError::Read { va, pa, source });
                None
            }
        }
    }
}

/// The longest name that is seen whole.
pub(super) const NAME: usize = BEYOND;
