//! Cores of s390x, which are big-endian: memory, registers, the kinds of pages, files of other formats.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use synth::board::{IMAGE, RAM_BYTES};
use synth::kdump::{Kdump, big_endian};
use synth::mainframe::{Mainframe, SHAPES};
use synth::power::Power;
use vmcore::addr::{Pfn, PhysAddr, VirtAddr};
use vmcore::dump::{MemoryDump, open};
use vmcore::kernel::Kernel;
use vmcore::mm::{self, Kind, Rules};
use vmcore::order::Order;

fn dump(core: &[u8]) -> Arc<dyn MemoryDump> {
    vmcore::arch::read_all();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    std::fs::write(&path, core).unwrap();
    open(&path).unwrap()
}

fn kernel(core: &[u8]) -> Kernel {
    Kernel::new(dump(core)).unwrap()
}

#[test]
fn memory_is_found_by_every_way() {
    for shape in SHAPES {
        let mut machine = Mainframe::new(shape);
        machine.board.put(IMAGE + 0x340, b"image");
        machine.board.put(0x51_0000, b"identity");
        // Two pages that lie apart, and a segment of 1 MiB.
        let vmalloc = 0x200_0000_0000;
        machine.map(vmalloc, 0x60_0000, 1);
        machine.map(vmalloc + 4096, 0x50_0000, 1);
        machine.board.put(0x60_0ffe, b"ac");
        machine.board.put(0x50_0000, b"ross");
        machine.map(vmalloc + 0x10_0000, 0x100_0000, 2);
        for note in [true, false] {
            let kernel = kernel(&machine.core(note, [0, 0], 0));
            assert_eq!(kernel.arch().name, "s390x");
            assert_eq!(kernel.order(), Order::Big);
            let read = |va: u64, len: usize| {
                let mut bytes = vec![0; len];
                kernel.read(VirtAddr(va), &mut bytes).map(|()| bytes)
            };
            let image = read(machine.image(IMAGE + 0x340), 5).unwrap();
            assert_eq!(image, b"image", "{shape:?}");
            let identity = read(machine.identity(0x51_0000), 8).unwrap();
            assert_eq!(identity, b"identity", "{shape:?}");
            assert_eq!(read(vmalloc + 4094, 6).unwrap(), b"across", "{shape:?}");
            assert!(read(vmalloc + 0x2000, 1).is_err());
            let at = kernel.translate(VirtAddr(vmalloc + 0x12_3456)).unwrap();
            assert_eq!(at.0, 0x102_3456, "{shape:?}");
            // Words are put together by the dump's order.
            let word = kernel
                .read_u64(VirtAddr(machine.image(IMAGE + 0x340)))
                .unwrap();
            assert_eq!(word, u64::from_be_bytes(*b"image\0\0\0"));
        }
    }
}

#[test]
fn a_cpus_registers_are_read() {
    let machine = Mainframe::new(SHAPES[1]);
    let psw = [0x0704_c001_8000_0000, machine.image(IMAGE) + 0x1234];
    let kernel = kernel(&machine.core(true, psw, 0x7000));
    let all = kernel.prstatus(0).unwrap();
    assert_eq!((all.pc().0, all.sp().0), (psw[1], 0x7000));
    let named = all.named();
    assert_eq!(named.len(), 18);
    assert_eq!((named[0], named[16]), (("psw_mask", psw[0]), ("r14", 14)));
    assert!(!all.user_mode());
    assert_eq!(all.takes_interrupts(), Some(true));
}

#[test]
fn pages_are_told_by_kind() {
    for shape in SHAPES {
        let mut machine = Mainframe::new(shape);
        machine.board.free(64, 3);
        let anon_vma = machine.identity(0x1000);
        machine.board.anon(80, anon_vma);
        let kernel = kernel(&machine.core(true, [0, 0], 0));
        let mut found = Vec::new();
        let summary = mm::walk(&kernel, &Rules::of(&kernel), &mut |run| {
            if matches!(run.kind, Kind::Free | Kind::Anon) {
                found.push((run.pages.start, run.pages.len(), run.kind));
            }
            Ok(())
        })
        .unwrap();
        let expected = [(Pfn(64), 8, Kind::Free), (Pfn(80), 1, Kind::Anon)];
        assert_eq!(found, expected, "{shape:?}");
        assert_eq!(summary.counts.total(), RAM_BYTES >> 12);
        assert_eq!(summary.unmapped, 0, "{shape:?}");
    }
}

#[test]
fn a_kdump_file_is_read_in_its_own_order() {
    let pages = synth::elf::pages(3, 2);
    let file = Kdump::new(0x40)
        .ram(0, 0x40)
        .page(5, &pages[..4096])
        .page(9, &pages[4096..])
        .note("CORE", 1, &[7; 336])
        .note("VMCOREINFO", 0, b"OSRELEASE=6.12.1-toy\n")
        .build();
    let dump = dump(&big_endian(file));
    let info = dump.info();
    assert_eq!(info.machine, 22);
    let text = info.vmcoreinfo.as_deref();
    assert_eq!(text, Some(b"OSRELEASE=6.12.1-toy\n".as_slice()));
    assert_eq!(info.notes[0].desc, [7; 336]);
    assert_eq!(info.warnings, Vec::<String>::new());
    for (pfn, page) in [(5, &pages[..4096]), (9, &pages[4096..])] {
        let mut bytes = vec![0; 4096];
        dump.read_phys(PhysAddr(pfn * 4096), &mut bytes).unwrap();
        assert!(bytes == page, "{pfn}");
    }
}

#[test]
fn registers_of_a_dump_in_the_wrong_order_are_put_back() {
    // QEMU 7.2 writes the notes of ppc64le as if the machine were big-endian.
    let mut power = Power::new(synth::power::SHAPES[0], true);
    power.board.big = true;
    let mut desc = vec![0; 504];
    desc[32..36].copy_from_slice(&4242_u32.to_be_bytes());
    for n in 0..44_u64 {
        let at = 112 + n as usize * 8;
        desc[at..at + 8].copy_from_slice(&(0xc000_0000_0000_0000 + n).to_be_bytes());
    }
    let kernel = kernel(&power.board.core(21, true, &desc));
    assert_eq!(kernel.order(), Order::Little);
    let all = kernel.prstatus(0).unwrap();
    assert_eq!(
        (all.pc().0, all.sp().0),
        (0xc000_0000_0000_0020, 0xc000_0000_0000_0001)
    );
    assert_eq!(kernel.prstatus_pid(0), Some(4242));
}
