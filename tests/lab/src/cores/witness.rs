//! What the guest said of itself shortly before it died, on its disk: /proc/modules in the first 64 KiB, behind
//! them /proc/kpageflags.

use super::Core;
use super::judge::Check;
use super::machines::Fate;
use crate::compare::{self, Changes, KpageFlags, OnLists, Seen};
use crate::expected;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use vmcore::addr::{PAGE_SIZE, Pfn, PhysAddr};
use vmcore::dump::{MemoryDump, open};
use vmcore::kernel::Kernel;
use vmcore::mm::{self, Rules};

/// Bytes of the disk before the flags.
const MODULES: usize = 64 << 10;
/// What every guest has pages of.
const PRESENT: [Seen; 6] = [
    Seen::Free,
    Seen::Anon,
    Seen::Cache,
    Seen::Slab,
    Seen::PageTable,
    Seen::Reserved,
];

/// The checks of a guest that recorded itself.
///
/// # Errors
/// The disk or a core cannot be read.
pub(super) fn check(kernel: &Kernel, fate: Fate, core: &Core) -> Result<Vec<Check>> {
    if fate == Fate::RunsOn {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    File::open(&core.disk)?.read_to_end(&mut bytes)?;
    let (text, words) = bytes.split_at_checked(MODULES).context("It is too short")?;
    let text = String::from_utf8_lossy(text);
    let mut checks = vec![("modules against /proc/modules", modules(kernel, &text)?)];
    // Where memory runs out, or a module is loaded, much changes after that.
    if fate == Fate::Sysrq {
        let order = kernel.order();
        let words = words.as_chunks::<8>().0.iter();
        let flags = KpageFlags::of(words.map(|word| order.u64(*word)).collect());
        let flags = flags.of_frames(kernel.frames(1));
        checks.push(("pages against /proc/kpageflags", kinds(kernel, &flags)?));
        let bound = bound(kernel)?;
        checks.push(("what level 31 leaves out", left_out(core, &flags, bound)?));
    }
    Ok(checks)
}

/// Name, size, use, users, state and place of every module that was loaded then.
fn modules(kernel: &Kernel, text: &str) -> Result<Result<String, String>> {
    let ours = analysis::modules::read(kernel)?;
    let mut names = Vec::new();
    for line in text.trim_end_matches('\0').lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, size, used, users, state, at, ..] = words.as_slice() else {
            return Ok(Err(format!("the line \"{line}\"")));
        };
        let module = ours.iter().find(|module| module.name == *name);
        let said = module.map(|module| {
            let mut users = module.users.join(",");
            users.push_str(if users.is_empty() { "-" } else { "," });
            let text = module.text.map_or(0, |at| at.0);
            format!(
                "{} {} {users} {} {text:#018x}",
                module.size,
                module.used.unwrap_or(-1),
                module.state.as_deref().unwrap_or("?"),
            )
        });
        let theirs = format!("{size} {used} {users} {} {at}", state.to_lowercase());
        if said.as_ref() != Some(&theirs) {
            return Ok(Err(format!("{name}: we {said:?}, the kernel {theirs}")));
        }
        names.push(*name);
    }
    Ok(match names.is_empty() {
        true => Err("there are none".into()),
        false => Ok(names.join(", ")),
    })
}

/// Every page of RAM by our kind and by the kernel's word.
fn kinds(kernel: &Kernel, flags: &KpageFlags) -> Result<Result<String, String>> {
    let mut changes = Changes::default();
    let lists = OnLists::read(kernel)?;
    let mut seen: BTreeMap<Seen, u64> = BTreeMap::new();
    mm::walk(kernel, &Rules::of(kernel), &mut |run| {
        flags.judge(&run, &|pfn| lists.has(pfn), &mut changes);
        for pfn in run.pages.start.0..run.pages.end.0 {
            *seen.entry(flags.seen(pfn)).or_default() += 1;
        }
        Ok(())
    })?;
    if let Some(absent) = PRESENT.iter().find(|sort| !seen.contains_key(sort)) {
        return Ok(Err(format!("the guest had no pages of {absent:?}")));
    }
    let changed = compare::changed(&changes, bound(kernel)?);
    let all: u64 = seen.values().sum();
    Ok(match changed {
        Ok(changed) => Ok(format!(
            "{changed} of {all} page frames changed since, {} are on lists of CPUs",
            kernel.frames(lists.pages())
        )),
        Err(why) => Err(format!("{why:#}")),
    })
}

/// How many page frames may have changed since the guest recorded itself.
fn bound(kernel: &Kernel) -> Result<u64> {
    let release = kernel.vmcoreinfo().osrelease().unwrap_or_default();
    Ok(kernel.frames(expected::kinds(release)?.changed))
}

/// Each page that level 31 leaves out is one that the kernel said may go, or holds zeros alone; `bound` of them may have
/// changed since it said so.
fn left_out(core: &Core, flags: &KpageFlags, bound: u64) -> Result<Result<String, String>> {
    let (whole, filtered) = (open(&core.elf)?, open(&core.filtered)?);
    let (mut said, mut zero, mut unexplained) = (0_u64, 0_u64, Vec::new());
    let mut from = Pfn(0);
    while let Some(run) = whole.next_present(from) {
        for pfn in run.start.0..run.end.0 {
            let kept = filtered.next_present(Pfn(pfn));
            if kept.is_some_and(|kept| kept.start == Pfn(pfn)) {
                continue;
            }
            if flags.seen(pfn).may_go() {
                said += 1;
            } else if is_zero(&*whole, pfn)? {
                zero += 1;
            } else {
                unexplained.push(pfn);
            }
        }
        from = run.end;
    }
    let words = format!(
        "{said} page frames by the kernel's word, {zero} of zeros, {} otherwise",
        unexplained.len()
    );
    let few = u64::try_from(unexplained.len()).is_ok_and(|len| len <= bound);
    Ok(match said > 1000 && few {
        true => Ok(words),
        false => Err(format!("{words}, the first {:x?}", unexplained.first())),
    })
}

fn is_zero(dump: &dyn MemoryDump, pfn: u64) -> Result<bool> {
    let mut page = [0; PAGE_SIZE as usize];
    dump.read_phys(PhysAddr(pfn * PAGE_SIZE), &mut page)?;
    Ok(page.iter().all(|byte| *byte == 0))
}
