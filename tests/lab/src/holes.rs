//! A real core with pages knocked out or overwritten: the report says what it could not read and
//! still gives the rest.
//!
//! What is damaged is found in the whole core first, by the names of kallsyms; what has to survive
//! each damage is said here, one by one. The core itself is not changed.

use analysis::report::{self, Options, Report, Section};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use vmcore::addr::{PAGE_SIZE, Pfn, PfnRange, PhysAddr, VirtAddr};
use vmcore::dump::{Absence, DumpInfo, MemoryDump, ReadError};
use vmcore::kernel::{Kernel, KernelError, Supplement, SymbolFile};

/// A core without some pages, or with noise in them.
struct Damaged {
    inner: Arc<dyn MemoryDump>,
    pages: BTreeSet<u64>,
    /// Noise instead of a hole.
    noise: bool,
    info: DumpInfo,
}

impl MemoryDump for Damaged {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let mut at = addr;
        let mut rest = buf;
        while !rest.is_empty() {
            let left = usize::try_from(PAGE_SIZE - at.page_offset()).unwrap_or(1);
            let n = left.min(rest.len());
            let (now, later) = rest.split_at_mut(n);
            match (self.pages.contains(&at.pfn().0), self.noise) {
                (true, false) => {
                    return Err(ReadError::Absent {
                        pfn: at.pfn(),
                        why: Absence::NotInDump,
                    });
                }
                (true, true) => noise(at.0, now),
                (false, _) => self.inner.read_phys(at, now)?,
            }
            at = PhysAddr(at.0.wrapping_add(n as u64));
            rest = later;
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        self.inner.next_present(from)
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }
}

/// The same noise at the same address every time (splitmix64).
fn noise(at: u64, bytes: &mut [u8]) {
    for (byte, at) in bytes.iter_mut().zip(at..) {
        let mut x = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        *byte = (x >> 56).to_le_bytes()[0];
    }
}

/// One damage.
struct Case {
    name: &'static str,
    /// What is damaged: from one symbol to another.
    range: (&'static str, &'static str),
    /// Words one of which a warning has to have.
    warns: &'static [&'static str],
    /// Whether the class and the function at fault are still known: the log lives on.
    reason: bool,
    /// Whether the tasks are still counted.
    tasks: bool,
}

const CASES: [Case; 6] = [
    Case {
        name: "BTF",
        range: ("__start_BTF", "__stop_BTF"),
        warns: &["BTF", "type"],
        reason: true,
        tasks: false,
    },
    Case {
        name: "names of kallsyms",
        range: ("kallsyms_names", "kallsyms_token_table"),
        warns: &["symbol", "kallsyms"],
        reason: true,
        tasks: false,
    },
    Case {
        name: "tokens of kallsyms",
        range: ("kallsyms_token_table", "kallsyms_token_index"),
        warns: &["symbol", "kallsyms"],
        reason: true,
        tasks: false,
    },
    Case {
        name: "ORC addresses",
        range: ("__start_orc_unwind_ip", "__stop_orc_unwind_ip"),
        warns: &[],
        reason: true,
        tasks: true,
    },
    Case {
        name: "ORC entries",
        range: ("__start_orc_unwind", "__stop_orc_unwind"),
        warns: &[],
        reason: true,
        tasks: true,
    },
    Case {
        name: "modules' list",
        range: ("modules", "modules"),
        warns: &[],
        reason: true,
        tasks: true,
    },
];

const SECTIONS: [Section; 12] = Section::ALL;

/// Damages a core in every way and looks at the reports. With a vmlinux also at one that its symbols
/// make whole again.
///
/// # Errors
/// A report lacks what it should still have, or does not say what it could not read.
pub fn check(core: &Path, vmlinux: Option<&Path>) -> Result<()> {
    let image = vmcore::dump::open(core)?;
    let whole = Kernel::new(Arc::clone(&image))?;
    let sound = build(&whole);
    ensure!(
        sound.reason.culprit.is_some(),
        "the whole core names no culprit"
    );
    for case in &CASES {
        let (start, end) = bounds(&whole, case.range)
            .with_context(|| format!("the {} are not known by name", case.name))?;
        for noise in [false, true] {
            let pages = pages(&whole, start, end)?;
            let damaged = Damaged {
                inner: Arc::clone(&image),
                pages,
                noise,
                info: image.info().clone(),
            };
            let kernel = Kernel::new(Arc::new(damaged))?;
            let report = build(&kernel);
            judge(case, noise, &sound, &report)?;
        }
    }
    if let Some(vmlinux) = vmlinux {
        symbols(&whole, &image, &sound, vmlinux)?;
    }
    ring(&whole, &image, &sound)?;
    machine(&image)
}

fn build(kernel: &Kernel) -> Report {
    let options = Options {
        log_tail: 20,
        sections: &SECTIONS,
    };
    report::build(kernel, options)
}

fn judge(case: &Case, noise: bool, sound: &Report, report: &Report) -> Result<()> {
    let how = if noise { "overwritten" } else { "missing" };
    let name = format!("{} {how}", case.name);
    ensure!(
        report.log_lines == sound.log_lines,
        "{name}: {} of {} lines of the log",
        report.log_lines,
        sound.log_lines
    );
    if case.reason {
        ensure!(
            report.reason.class == sound.reason.class
                && report.reason.culprit == sound.reason.culprit,
            "{name}: {:?} in {:?}",
            report.reason.class,
            report.reason.culprit
        );
    }
    if case.tasks {
        ensure!(report.tasks == sound.tasks, "{name}: {:?}", report.tasks);
    }
    let warnings = report.warnings.join(" | ");
    ensure!(
        case.warns.is_empty() || case.warns.iter().any(|word| warnings.contains(word)),
        "{name}: nothing says so: {warnings}"
    );
    Ok(())
}

/// Where a damage lies. A table that is one variable is its page.
fn bounds(kernel: &Kernel, (start, end): (&str, &str)) -> Result<(VirtAddr, VirtAddr)> {
    let (start, end) = (kernel.symbol(start)?, kernel.symbol(end)?);
    Ok((start, end.max(start.wrapping_add(8))))
}

/// The whole pages in between, so that no neighbour is hit; the page itself where there is none.
fn pages(kernel: &Kernel, start: VirtAddr, end: VirtAddr) -> Result<BTreeSet<u64>> {
    let inner = start.0.next_multiple_of(PAGE_SIZE);
    let mut found = BTreeSet::new();
    let mut at = if inner + PAGE_SIZE <= end.0 {
        inner
    } else {
        start.0
    };
    while at < end.0 {
        found.insert(kernel.translate(VirtAddr(at))?.pfn().0);
        at = (at & !(PAGE_SIZE - 1)) + PAGE_SIZE;
        if at + PAGE_SIZE > end.0 {
            break;
        }
    }
    Ok(found)
}

/// Without the names of kallsyms the symbols of a vmlinux give the whole report back.
fn symbols(
    whole: &Kernel,
    image: &Arc<dyn MemoryDump>,
    sound: &Report,
    vmlinux: &Path,
) -> Result<()> {
    let (start, end) = bounds(whole, ("kallsyms_names", "kallsyms_token_table"))?;
    let damaged = Damaged {
        inner: Arc::clone(image),
        pages: pages(whole, start, end)?,
        noise: false,
        info: image.info().clone(),
    };
    let file = SymbolFile::open(vmlinux)?;
    file.check(whole.vmcoreinfo())?;
    let supplement = Supplement {
        file: Some(Arc::new(file)),
        ..Supplement::default()
    };
    let report = build(&Kernel::with(Arc::new(damaged), supplement)?);
    ensure!(
        report.tasks == sound.tasks
            && report.reason == sound.reason
            && report.modules == sound.modules
            && report.mounts == sound.mounts,
        "with the symbols of {}: {}",
        vmlinux.display(),
        report.warnings.join(" | ")
    );
    Ok(())
}

/// A list of tasks that leads back into its middle: said, and the rest is found from the other end. The
/// few of the ring itself may be counted twice.
fn ring(whole: &Kernel, image: &Arc<dyn MemoryDump>, sound: &Report) -> Result<()> {
    let total: u64 = sound.tasks.iter().flatten().map(|(_, n)| n).sum();
    let tasks = whole.offset_of("task_struct", "tasks")?;
    let head = whole.symbol("init_task")?.wrapping_add(tasks);
    let next = |at: VirtAddr| whole.read_u64(at).map(VirtAddr);
    let second = next(next(head)?)?;
    let third = next(second)?;
    // The third's link leads to the second for ever.
    let patched = Patched {
        inner: Arc::clone(image),
        at: whole.translate(third)?,
        value: second.0,
    };
    let report = build(&Kernel::new(Arc::new(patched))?);
    let counted: u64 = report.tasks.iter().flatten().map(|(_, n)| n).sum();
    let said = report.warnings.join(" | ");
    ensure!(
        said.contains("circle") && counted.abs_diff(total) <= 4,
        "a list of tasks in a ring: {counted} of {total} tasks, {said}"
    );
    ensure!(
        report.reason.culprit == sound.reason.culprit,
        "the ring hides the reason"
    );
    Ok(())
}

/// A core with one word changed.
struct Patched {
    inner: Arc<dyn MemoryDump>,
    at: PhysAddr,
    value: u64,
}

impl MemoryDump for Patched {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.inner.read_phys(addr, buf)?;
        for (byte, own) in self.value.to_le_bytes().iter().zip(self.at.0..) {
            let place = own
                .checked_sub(addr.0)
                .and_then(|n| usize::try_from(n).ok());
            if let Some(slot) = place.and_then(|n| buf.get_mut(n)) {
                *slot = *byte;
            }
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        self.inner.next_present(from)
    }

    fn info(&self) -> &DumpInfo {
        self.inner.info()
    }
}

/// A core of another architecture is refused by name.
fn machine(image: &Arc<dyn MemoryDump>) -> Result<()> {
    let mut info = image.info().clone();
    info.machine = 258;
    let other = Damaged {
        inner: Arc::clone(image),
        pages: BTreeSet::new(),
        noise: false,
        info,
    };
    let refused = Kernel::new(Arc::new(other));
    ensure!(
        matches!(refused, Err(KernelError::Machine { machine: 258 })),
        "a core of LoongArch is not refused"
    );
    Ok(())
}
