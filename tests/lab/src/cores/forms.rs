//! The same memory in other files: QEMU's kdump form, and ours at level 31.

use super::judge::{Check, ends, free, reason, tasks_of};
use analysis::reason::Class;
use anyhow::{Result, anyhow};
use dump::{Level, Request, convert};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use vmcore::addr::{PAGE_SIZE, Pfn, PhysAddr};
use vmcore::dump::open;
use vmcore::kernel::Kernel;
use vmcore::write::OutputFormat;

/// What is left of a core at level 31, as files of three forms; the plain ELF file is kept as `filtered`.
pub(super) fn filtered(
    core: &Path,
    kept: &Path,
    class: Option<Class>,
    dir: &Path,
) -> Result<Vec<Check>> {
    let whole = Kernel::new(open(core)?)?;
    let forms = [
        ("level 31, ELF", OutputFormat::Elf, kept.to_owned()),
        (
            "level 31, ELF packed by zstd",
            OutputFormat::ElfZst,
            dir.join("31.elf.zst"),
        ),
        (
            "level 31, kdump",
            OutputFormat::KdumpZstd,
            dir.join("31.kdump"),
        ),
    ];
    let mut checks = Vec::new();
    for (what, format, out) in forms {
        let _ = fs::remove_file(&out);
        let done = convert(
            &Request {
                dump: open(core)?,
                out: &out,
                format,
                level: Some(Level::STANDARD),
                codec_level: None,
                threads: 2,
            },
            &mut |_, _| {},
        )?;
        let said = match (done.doubts.first(), done.stats.missing) {
            (Some(doubt), _) => Err(doubt.clone()),
            (None, 0) => same(&whole, &out, class)
                .map(|tasks| format!("{tasks} in {} pages", done.stats.pages)),
            (None, missing) => Err(format!("{missing} pages could not be read")),
        };
        checks.push((what, said));
        if out != kept {
            fs::remove_file(&out)?;
        }
    }
    Ok(checks)
}

/// QEMU's own kdump file, which is flattened, against its ELF file.
pub(super) fn kdump(core: &Path, kdump: &Path, class: Option<Class>) -> Result<Check> {
    let whole = Kernel::new(open(core)?)?;
    let other = Kernel::new(open(kdump)?)?;
    let said = same(&whole, kdump, class)
        .and_then(|tasks| Ok((tasks, free(&other).map_err(|why| why.to_string())??)));
    Ok((
        "QEMU's kdump file",
        said.map(|(tasks, free)| format!("{tasks}; {free}")),
    ))
}

/// QEMU's ELF file of an s390x guest as a stand-alone dump (s390-tools, include/dump/s390_dump.h): what zipl's dump
/// program would have written, which needs a DASD and so does not run in QEMU. Store-status puts the registers into each
/// CPU's prefix page, as notes of the ELF file have them.
pub(super) fn stand_alone(core: &Path, out: &Path, class: Option<Class>) -> Result<Check> {
    /// NT_S390_PREFIX; NT_PRSTATUS.
    const KINDS: [u32; 2] = [0x305, 1];
    let dump = open(core)?;
    let end = dump.ram_end().0 * PAGE_SIZE;
    let notes = |kind: u32| {
        dump.info()
            .notes
            .iter()
            .filter(move |note| note.n_type == kind)
    };
    let [prefixes, registers] = KINDS.map(|kind| notes(kind).collect::<Vec<_>>());
    let mut header = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = header.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, &0xa819_0173_618f_23fd_u64.to_be_bytes());
    put(0xc, &4096_u32.to_be_bytes());
    put(0x28, &end.to_be_bytes());
    put(0x48, &2_u32.to_be_bytes());
    put(0x5d, &u16::try_from(prefixes.len())?.to_be_bytes());
    for (n, prefix) in prefixes.iter().enumerate() {
        put(0x800 + 4 * n, prefix.desc.get(..4).unwrap_or_default());
    }
    let mut file = File::create(out)?;
    file.write_all(&header)?;
    let mut block = vec![0; 1 << 20];
    let mut from = Pfn(0);
    while let Some(run) = dump.next_present(from) {
        let mut at = run.start.0 * PAGE_SIZE;
        let behind = run.end.0 * PAGE_SIZE;
        while at < behind {
            let left = usize::try_from(behind - at)?.min(block.len());
            let part = block.get_mut(..left).unwrap_or_default();
            dump.read_phys(PhysAddr(at), part)?;
            file.seek(SeekFrom::Start(4096 + at))?;
            file.write_all(part)?;
            at += left as u64;
        }
        from = run.end;
    }
    for (prefix, note) in prefixes.iter().zip(&registers) {
        let at = prefix
            .desc
            .first_chunk()
            .map_or(0, |at| u32::from_be_bytes(*at));
        // The PSW, then the general registers; stored the other way around.
        let stored = note.desc.get(112..256).unwrap_or_default();
        let (psw, general) = stored.split_at_checked(16).unwrap_or_default();
        file.seek(SeekFrom::Start(4096 + u64::from(at) + 0x1280))?;
        file.write_all(&[general, psw].concat())?;
    }
    file.seek(SeekFrom::Start(4096 + end))?;
    file.write_all(b"DUMP_END\0\0\0\0\0\0\0\0")?;
    drop(file);
    let whole = Kernel::new(dump)?;
    let said = same(&whole, out, class);
    fs::remove_file(out)?;
    Ok(("stand-alone dump", said))
}

/// Whether a file tells the same reason and the same stacks as the whole core.
fn same(whole: &Kernel, file: &Path, class: Option<Class>) -> Result<String, String> {
    let all = || {
        let other = Kernel::new(open(file)?)?;
        let (ours, theirs) = (tasks_of(&other)?, tasks_of(whole)?);
        ends(&ours).map_err(|why| anyhow!(why))?;
        reason(&other, class).map_err(|why| anyhow!(why))?;
        anyhow::Ok((ours == theirs, ours.len()))
    };
    match all() {
        Ok((true, tasks)) => Ok(format!("the same {tasks} stacks")),
        Ok((false, _)) => Err("the stacks differ".into()),
        Err(error) => Err(format!("{error:#}")),
    }
}
