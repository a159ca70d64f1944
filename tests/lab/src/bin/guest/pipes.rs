//! Free memory in single pages: every second page of a long stretch belongs to a pipe, the others
//! are free again.
//!
//! A fresh guest has a few hundred runs of pages that a dump keeps, a machine that has run for weeks
//! tens of thousands. Writing pages in turn into two sets of pipes and closing one set makes such
//! memory in seconds. Pages of processes and of the kernel in turn would not: the page allocator
//! groups those by mobility.
//!
//! Source of the facts: fs/pipe.c: a write of a page takes one page from the allocator, kept until
//! it is read; pipe(7) and `F_SETPIPE_SZ`: who has CAP_SYS_RESOURCE is not held to
//! fs.pipe-max-size, nor to fs.pipe-user-pages-soft.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, write};
use std::io;
use std::os::fd::OwnedFd;

const PAGE: usize = 4096;
/// Pages a pipe holds: few enough pipes for the usual limit on open files, and an array of buffers
/// in the kernel that is still easy to find memory for.
const PAGES: usize = 4096;

/// Pipes that hold pages.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    ends: Vec<(OwnedFd, OwnedFd)>,
    pages: usize,
}

impl Pipes {
    fn push(&mut self, page: &[u8; PAGE]) -> io::Result<()> {
        if self.pages.is_multiple_of(PAGES) {
            let (from, to) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
            let size = i32::try_from(PAGES * PAGE).map_err(io::Error::other)?;
            fcntl(&to, FcntlArg::F_SETPIPE_SZ(size))?;
            self.ends.push((from, to));
        }
        if let Some((_, to)) = self.ends.last()
            && write(to, page)? != PAGE
        {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.pages = self.pages.saturating_add(1);
        Ok(())
    }
}

/// A page as slabs have them: objects of pointers, a counter, a few flags and zeros. No page is like
/// another, so that one at a wrong place would show; compressed they come to about a quarter, as
/// kernel memory does.
fn objects(page: u64, bytes: &mut [u8; PAGE]) {
    let mut state = page.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for object in bytes.chunks_exact_mut(96) {
        let near = 0xffff_8880_0000_0000 | (page << 12);
        let words = [
            near | (random() & 0xfc0),
            near.wrapping_add(random() & 0xf_ffc0),
            0xffff_8880_0000_0000 | (random() & 0x1_ffff_ffc0),
            random() & 0xffff_ffff,
            1 << (random() & 31),
            0,
            0xffff_ffff_8100_0000 | (random() & 0x3f_fff0),
            page,
        ];
        for (at, word) in object.chunks_exact_mut(8).zip(words) {
            at.copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// So many pages kept, with as many free ones between them. They are free again when the answer is
/// dropped.
pub(crate) fn alternate(pages: u32) -> io::Result<Pipes> {
    let (mut kept, mut freed) = (Pipes::default(), Pipes::default());
    let mut page = [0u8; PAGE];
    for n in 0..pages {
        objects(u64::from(n), &mut page);
        kept.push(&page)?;
        freed.push(&page)?;
    }
    drop(freed);
    Ok(kept)
}
