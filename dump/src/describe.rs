//! What a core says of itself: our own note, the header fields that come from the crashed kernel, and
//! the trailer that says what happened to the pages.

use crate::level::{Level, bits};
use crate::pipeline::Stats;
use vmcore::dump::{DumpInfo, MemoryDump, Note};
use vmcore::kernel::Kernel;
use vmcore::layout::own;
use vmcore::write::{CoreMeta, Utsname};

/// The owner of the note of VMCOREINFO.
const VMCOREINFO: &[u8] = b"VMCOREINFO";

/// Our own note and the header fields that come from the crashed kernel.
pub fn describe(meta: &mut CoreMeta, kernel: &Kernel, level: Level) {
    let version = env!("CARGO_PKG_VERSION");
    meta.own = own::text(0, version, kernel.recorded());
    set_level(meta, level);
    meta.machine = kernel.arch().machine;
    // What was found in memory is a note from now on.
    if meta.notes.iter().all(|note| note.name != VMCOREINFO) {
        meta.notes.push(Note {
            name: VMCOREINFO.to_vec(),
            n_type: 0,
            desc: kernel.vmcoreinfo().text().as_bytes().to_vec(),
        });
    }
    if let Some(uts) = utsname(kernel) {
        meta.utsname = uts;
    }
    if meta.direct_map_base.is_none() {
        meta.direct_map_base = kernel.direct_map_base();
    }
    if meta.kernel_image.is_none() {
        meta.kernel_image = kernel.image();
    }
}

/// The same for a core whose pages all go over: its level stays what it was, or unknown.
pub fn describe_copy(meta: &mut CoreMeta, kernel: &Kernel, source: &DumpInfo) {
    let level = level_of(source);
    describe(meta, kernel, level.unwrap_or(Level::ALL));
    if level.is_none() {
        own::unknown_level(&mut meta.own);
    }
}

/// The level that a dump says it holds.
#[must_use]
pub fn level_of(info: &DumpInfo) -> Option<Level> {
    if own::is_essential(&info.notes) {
        return Some(Level::Essential);
    }
    let bits = u8::try_from(info.dump_level?).ok()?;
    Some(Level::Bits(bits))
}

/// Puts the level into the header and into our own note, in place of another.
pub fn set_level(meta: &mut CoreMeta, level: Level) {
    let number = match level {
        Level::Bits(n) => n,
        Level::Essential => bits::ALL,
    };
    meta.dump_level = u32::from(number);
    own::set_level(&mut meta.own, meta.dump_level, level == Level::Essential);
}

/// The JSON that travels behind the pages: how many there are, how many were missing.
#[must_use]
pub fn trailer(stats: &Stats) -> Vec<u8> {
    let first: Vec<u64> = stats.missing_first.iter().map(|pfn| pfn.0).collect();
    own::trailer(stats.pages, stats.zero, stats.missing, &first)
}

/// The crashed kernel's own name, from init_uts_ns.
pub fn utsname(kernel: &Kernel) -> Option<Utsname> {
    // struct new_utsname: six fields of 65 bytes since Linux 1.3 (include/uapi/linux/utsname.h).
    const FIELD: usize = 65;
    let offset = kernel.offset_of("uts_namespace", "name").unwrap_or(0);
    let at = kernel.symbol("init_uts_ns").ok()?.checked_add(offset)?;
    let bytes: [u8; FIELD * 6] = kernel.read_bytes(at).ok()?;
    let mut fields = bytes.chunks_exact(FIELD).map(|field| {
        let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    });
    Some(Utsname {
        sysname: fields.next()?,
        nodename: fields.next()?,
        release: fields.next()?,
        version: fields.next()?,
        machine: fields.next()?,
        domainname: fields.next()?,
    })
}

/// What a dump says of itself, with what only the kernel inside can add.
#[must_use]
pub fn meta_of(dump: &dyn MemoryDump, kernel: Option<&Kernel>) -> CoreMeta {
    let mut meta = CoreMeta::of(dump.info());
    if let Some(kernel) = kernel {
        describe_copy(&mut meta, kernel, dump.info());
    }
    meta
}
