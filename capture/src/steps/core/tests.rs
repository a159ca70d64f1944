//! The levels that are tried, and what is read without classification.

use super::*;
use plan::FirstKernel;
use synth::elf::Elf;
use synth::memmap::{Series, Toy};
use vmcore::addr::PhysAddr;

#[test]
fn a_core_that_does_not_fit_is_tried_at_standard_and_no_smaller() {
    let bits = Level::Bits(1);
    assert_eq!(levels(bits, true), [bits, Level::STANDARD]);
    assert_eq!(levels(Level::ALL, true), [Level::ALL, Level::STANDARD]);
    assert_eq!(levels(Level::STANDARD, true), [Level::STANDARD]);
    assert_eq!(levels(Level::ALL, false), [Level::ALL]);
}

#[test]
fn poisoned_and_offline_pages_are_not_read_without_classification_either() {
    const POISONED: u64 = 9000;
    const OFFLINE: u64 = 9100;
    let mut toy = Toy::new(Series::V6_12, 1);
    toy.poison(POISONED);
    toy.offline(OFFLINE);
    let (start, end) = toy.ram[0];
    let mut data = vec![0_u8; usize::try_from((end - start) * 4096).unwrap()];
    for (pfn, page) in toy.memory.range(start..end) {
        let at = usize::try_from((pfn - start) * 4096).unwrap();
        data[at..at + 4096].copy_from_slice(&page[..]);
    }
    let info = toy.vmcoreinfo();
    let elf = Elf::new()
        .note("VMCOREINFO", 0, info.as_bytes())
        .load(toy.direct_map(), start * 4096, &data)
        .build();
    let dir = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(FirstKernel::default());
    plan.source = dir.path().join("vmcore").to_string_lossy().into_owned();
    fs::write(&plan.source, elf).unwrap();
    let request = Request {
        plan: &plan,
        dir: dir.path(),
        base: dir.path(),
        crash: &CrashFacts::default(),
        level: Level::ALL,
        unfiltered: true,
        budget: Budget::here(&plan.dump),
    };
    let prepared = prepare(&request, policy_of(&plan, Level::ALL)).unwrap();
    assert!(prepared.map.is_none() && prepared.unclassified.is_none());
    let read = |pfn: u64| {
        prepared
            .dump
            .read_phys(PhysAddr(pfn * 4096), &mut [0; 4096])
    };
    assert!(read(POISONED - 1).is_ok() && read(POISONED + 1).is_ok());
    assert!(read(POISONED).is_err() && read(OFFLINE).is_err());
}
