//! What each fuzz target runs: shared by the targets and by the tests that replay the corpus.
//!
//! No input may panic, hang, or take memory that its own size does not justify.

use std::path::Path;
use std::sync::Arc;
use vmcore::addr::{PAGE_BYTES, Pfn, PhysAddr};
use vmcore::dump::flattened::{FlattenedSource, assemble};
use vmcore::dump::frames::Codec;
use vmcore::dump::frames::FramedSource;
use vmcore::dump::map::MapReader;
use vmcore::dump::source::{ByteSource, BytesSource};
use vmcore::dump::{Attachment, MemoryDump, open_source};

/// Runs and pages looked at: enough to reach every reader, few enough to be quick.
const RUNS: usize = 20;
const PAGES: u64 = 3;

fn bytes(data: &[u8]) -> Arc<dyn ByteSource> {
    Arc::new(BytesSource(data.to_vec()))
}

/// Looks at everything that a dump answers.
fn look(dump: &dyn MemoryDump) {
    let mut buf = vec![0; PAGE_BYTES];
    let next: [&dyn Fn(Pfn) -> Option<vmcore::addr::PfnRange>; 3] = [
        &|from| dump.next_present(from),
        &|from| dump.next_ram(from),
        &|from| dump.next_claimed(from),
    ];
    for next in next {
        let mut from = Pfn(0);
        for _ in 0..RUNS {
            let Some(run) = next(from) else { break };
            assert!(run.start >= from && run.end > run.start, "runs ascend");
            for pfn in (run.start.0..run.end.0).take(PAGES as usize) {
                let Some(addr) = Pfn(pfn).phys() else { break };
                let _ = dump.read_phys(addr, &mut buf);
                let _ = dump.read_phys(PhysAddr(addr.0 | 0xfff), &mut [0; 2]);
                let _ = dump.absence(Pfn(pfn));
            }
            let _ = dump.absence(run.end);
            from = run.end;
        }
    }
    for addr in [0, 0xfff, u64::MAX - 1, u64::MAX] {
        let _ = dump.read_phys(PhysAddr(addr), &mut [0; 3]);
    }
    for what in [Attachment::PagesMap, Attachment::Trailer] {
        if let Some(mut body) = dump.attachment(what) {
            let _ = std::io::copy(&mut body, &mut std::io::sink());
        }
    }
    let _ = dump.check(&mut |_| (), &mut |_| ());
    assert!(dump.info().warnings.len() < 10_000);
}

fn whole(data: &[u8]) {
    if let Ok(dump) = open_source(Path::new("fuzz"), bytes(data)) {
        look(&*dump);
    }
}

/// ELF headers, program headers and notes; whatever else [`open_source`] knows.
pub(crate) fn elf(data: &[u8]) {
    vmcore::dump::read_all();
    whole(data);
}

/// kdump headers, bitmaps and page descriptors.
pub(crate) fn kdump(data: &[u8]) {
    whole(data);
}

/// A flattened stream, in place and from a pipe; both give the same.
pub(crate) fn flattened(data: &[u8]) {
    whole(data);
    let mut piped = Vec::new();
    let end = assemble(&mut &*data, &mut |offset, part| {
        let at = usize::try_from(offset).map_err(std::io::Error::other)?;
        let end = at.checked_add(part.len()).filter(|end| *end <= 1 << 20);
        let end = end.ok_or_else(|| std::io::Error::other("too far for this test"))?;
        piped.resize(piped.len().max(end), 0);
        if let Some(to) = piped.get_mut(at..end) {
            to.copy_from_slice(part);
        }
        Ok(())
    });
    let Ok(source) = FlattenedSource::open(bytes(data)) else {
        return;
    };
    if end.is_ok() && source.len() == piped.len() as u64 {
        let mut placed = vec![1; piped.len()];
        if source.read_at(0, &mut placed).is_ok() {
            assert!(placed == piped, "a file in place and a pipe differ");
        }
    }
}

fn frames(codec: Codec, data: &[u8]) {
    let Ok(source) = FramedSource::open(bytes(data), codec) else {
        return;
    };
    let len = source.len();
    let mut buf = vec![0; 5000];
    for at in [
        0,
        1,
        len / 3,
        len / 2,
        len.saturating_sub(5000),
        len,
        u64::MAX,
    ] {
        let _ = source.read_at(at, &mut buf);
    }
    for what in [Attachment::PagesMap, Attachment::Trailer] {
        if let Some(mut body) = source.attachment(what) {
            let _ = std::io::copy(&mut body, &mut std::io::sink());
        }
    }
    let _ = source.check(&mut |_| (), &mut |_| ());
}

/// A seekable zstd file: frames, our index, the table.
pub(crate) fn seek_table(data: &[u8]) {
    frames(Codec::Zstd, data);
    whole(data);
}

/// The same with LZ4 frames.
pub(crate) fn lz4_index(data: &[u8]) {
    frames(Codec::Lz4, data);
    whole(data);
}

/// A `pages.map`.
pub(crate) fn pages_map(data: &[u8]) {
    let Ok(map) = MapReader::open(Box::new(data.to_vec())) else {
        return;
    };
    let mut last = Pfn(0);
    let mut left = 10_000;
    let _ = map.for_each(&mut |run| {
        assert!(run.pages.start >= last, "runs out of order");
        last = run.pages.end;
        left -= 1;
        match left {
            0 => Err(std::io::Error::other("enough")),
            _ => Ok(()),
        }
    });
    for pfn in [0, 1, 4096, last.0, u64::MAX] {
        let _ = map.kind_of(Pfn(pfn));
    }
}
