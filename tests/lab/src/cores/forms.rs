//! The same memory in other files: QEMU's kdump form, and ours at level 31.

use super::judge::{Check, ends, free, reason, tasks_of};
use analysis::reason::Class;
use anyhow::{Result, anyhow};
use dump::{Level, Request, convert};
use std::fs;
use std::path::Path;
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
