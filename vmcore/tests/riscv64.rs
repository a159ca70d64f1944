//! Cores of riscv64 with tables of every depth: memory, registers, the kinds of pages.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use synth::board::RAM_BYTES;
use synth::riscv::{IMAGE_PA, IMAGE_VA, MODES, RAM, Riscv};
use vmcore::addr::{Pfn, VirtAddr};
use vmcore::dump::open;
use vmcore::kernel::Kernel;
use vmcore::mm::{self, Kind, Rules};

fn kernel(core: &[u8]) -> Kernel {
    vmcore::arch::read_all();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    std::fs::write(&path, core).unwrap();
    Kernel::new(open(&path).unwrap()).unwrap()
}

#[test]
fn memory_is_found_by_every_way() {
    for mode in MODES {
        let mut riscv = Riscv::new(mode);
        riscv.board.put(IMAGE_PA + 0x1340, b"image");
        riscv.board.put(RAM + 0x51_0000, b"linear");
        // Two pages that lie apart below the image, then 2 MiB and, by Svnapot, 64 KiB.
        let vmalloc = IMAGE_VA - 0x4000_0000;
        riscv.map(vmalloc, RAM + 0x60_0000, 1, 0);
        riscv.map(vmalloc + 4096, RAM + 0x50_0000, 1, 0);
        riscv.board.put(RAM + 0x60_0ffe, b"ac");
        riscv.board.put(RAM + 0x50_0000, b"ross");
        let large = vmalloc + 0x20_0000;
        riscv.map(large, RAM + 0x200_0000, 2, 0);
        let wide = vmalloc + 0x10_0000;
        for page in 0..16 {
            // Every entry alike: bits 3:0 of the page number are 8.
            riscv.map(wide + page * 4096, RAM + 0x70_8000, 1, 1 << 9);
        }
        for note in [true, false] {
            let kernel = kernel(&riscv.core(note, 0, 0));
            assert_eq!(kernel.arch().name, "riscv64");
            let read = |va: u64, len: usize| {
                let mut bytes = vec![0; len];
                kernel.read(VirtAddr(va), &mut bytes).map(|()| bytes)
            };
            assert_eq!(read(IMAGE_VA + 0x1340, 5).unwrap(), b"image", "{mode:?}");
            let linear = riscv.linear(RAM + 0x51_0000);
            assert_eq!(read(linear, 6).unwrap(), b"linear", "{mode:?}");
            assert!(kernel.direct().is_some());
            assert_eq!(read(vmalloc + 4094, 6).unwrap(), b"across", "{mode:?}");
            assert!(read(vmalloc + 0x2000, 1).is_err());
            let phys = |va| kernel.translate(VirtAddr(va)).unwrap().0;
            assert_eq!(phys(large + 0x1_2345), RAM + 0x201_2345, "{mode:?}");
            assert_eq!(phys(wide + 0x5678), RAM + 0x70_5678, "{mode:?}");
            assert_eq!(phys(wide + 0xf000), RAM + 0x70_f000, "{mode:?}");
        }
    }
}

#[test]
fn a_table_in_the_place_of_a_page_leads_nowhere() {
    let mut riscv = Riscv::new(MODES[0]);
    let vmalloc = IMAGE_VA - 0x4000_0000;
    // An entry of level 1 without rights is no page; a wide one of an unknown width is none either.
    riscv.map(vmalloc, RAM + 0x60_0000, 1, 0);
    riscv.map(vmalloc + 4096, RAM + 0x60_4000, 1, 1 << 9);
    let kernel = kernel(&riscv.core(true, 0, 0));
    assert!(kernel.translate(VirtAddr(vmalloc)).is_ok());
    assert!(kernel.translate(VirtAddr(vmalloc + 4096)).is_err());
}

#[test]
fn a_cpus_registers_are_read() {
    let riscv = Riscv::new(MODES[1]);
    let pc = IMAGE_VA + 0x1234;
    let kernel = kernel(&riscv.core(true, pc, 0xff20_0000_0010_3f00));
    let all = kernel.prstatus(0).unwrap();
    assert_eq!((all.pc().0, all.sp().0), (pc, 0xff20_0000_0010_3f00));
    let named = all.named();
    assert_eq!(named.len(), 32);
    assert_eq!(
        (named[1], named[8], named[31]),
        (("ra", 1), ("s0", 8), ("t6", 31))
    );
    // A note has no status: that it is the kernel is told by the address, interrupts by nothing.
    assert!(!all.user_mode());
    assert_eq!(all.takes_interrupts(), None);
    assert_eq!(kernel.prstatus(1), None);
}

#[test]
fn pages_are_told_by_kind() {
    for mode in MODES {
        let mut riscv = Riscv::new(mode);
        riscv.board.free(64, 3);
        let anon_vma = riscv.linear(RAM + 0x1000);
        riscv.board.anon(80, anon_vma);
        let kernel = kernel(&riscv.core(true, 0, 0));
        let mut found = Vec::new();
        let summary = mm::walk(&kernel, &Rules::of(&kernel), &mut |run| {
            if matches!(run.kind, Kind::Free | Kind::Anon) {
                found.push((run.pages.start, run.pages.len(), run.kind));
            }
            Ok(())
        })
        .unwrap();
        let first = RAM >> 12;
        let expected = [
            (Pfn(first + 64), 8, Kind::Free),
            (Pfn(first + 80), 1, Kind::Anon),
        ];
        assert_eq!(found, expected, "{mode:?}");
        assert_eq!(summary.counts.total(), RAM_BYTES >> 12);
        assert_eq!(summary.unmapped, 0);
    }
}
