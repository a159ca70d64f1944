//! Cores of ppc64le with both MMUs and both page sizes: memory, registers, the kinds of pages.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use synth::board::{IMAGE, RAM_BYTES};
use synth::power::{LINEAR, Power, SHAPES};
use vmcore::addr::{Pfn, VirtAddr};
use vmcore::dump::open;
use vmcore::kernel::{Kernel, KernelError, sanity};
use vmcore::mm::{self, Kind, Rules};

fn opened(core: &[u8]) -> Result<Kernel, KernelError> {
    vmcore::arch::read_all();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    std::fs::write(&path, core).unwrap();
    Kernel::new(open(&path).unwrap())
}

fn kernel(core: &[u8]) -> Kernel {
    opened(core).unwrap()
}

#[test]
fn memory_is_found_by_every_way() {
    for shape in SHAPES {
        let mut power = Power::new(shape, true);
        let page = 1_u64 << shape.page_shift;
        power.board.put(IMAGE + 0x1340, b"image");
        // Two pages that lie apart, and what one entry of level 2 maps.
        power.map(shape.vmalloc, 0x60_0000, 1);
        power.map(shape.vmalloc + page, 0x50_0000, 1);
        power.board.put(0x60_0000 + page - 2, b"ac");
        power.board.put(0x50_0000, b"ross");
        let block = page << shape.bits[0];
        let far = shape.vmalloc + 4 * block;
        power.map(far, 0x100_0000 / block * block, 2);
        for note in [true, false] {
            let kernel = kernel(&power.core(note, 0, 0));
            assert_eq!(kernel.arch().name, "ppc64le");
            assert_eq!(kernel.page_size(), page);
            let read = |va: u64, len: usize| {
                let mut bytes = vec![0; len];
                kernel.read(VirtAddr(va), &mut bytes).map(|()| bytes)
            };
            assert_eq!(
                read(LINEAR + IMAGE + 0x1340, 5).unwrap(),
                b"image",
                "{shape:?}"
            );
            let across = read(shape.vmalloc + page - 2, 6).unwrap();
            assert_eq!(across, b"across", "{shape:?}");
            assert!(read(shape.vmalloc + 2 * page, 1).is_err());
            let at = kernel.translate(VirtAddr(far + 0x1_2345)).unwrap();
            assert_eq!(at.0, 0x100_0000 / block * block + 0x1_2345, "{shape:?}");
        }
    }
}

#[test]
fn the_mmu_is_told_by_its_tables_where_vmcoreinfo_does_not() {
    for shape in SHAPES {
        let mut power = Power::new(shape, false);
        power.map(shape.vmalloc, 0x60_0000, 1);
        let kernel = kernel(&power.core(true, 0, 0));
        let at = kernel.translate(VirtAddr(shape.vmalloc + 8)).unwrap();
        assert_eq!(at.0, 0x60_0008, "{shape:?}");
        assert_eq!(kernel.layout().image_in_tables, shape.radix);
    }
}

#[test]
fn the_hash_mmus_memory_map_is_found_by_its_list() {
    for shape in SHAPES.into_iter().filter(|shape| !shape.radix) {
        let mut power = Power::new(shape, true);
        let start = power.vmemmap(&[0x120_0000, 0x130_0000, 0x110_0000]);
        let kernel = kernel(&power.core(true, 0, 0));
        let phys = |va| kernel.translate(VirtAddr(va)).map(|at| at.0).ok();
        assert_eq!(phys(start + 0x123), Some(0x120_0123));
        assert_eq!(phys(start + 0x10_0000), Some(0x130_0000));
        assert_eq!(phys(start + 0x2f_ffff), Some(0x11f_ffff));
        assert_eq!(phys(start + 0x30_0000), None);
        assert_eq!(phys(start - 1), None);
        // The first two continue each other.
        let lengths: Vec<_> = kernel.layout().regions.iter().map(|r| r.len).collect();
        assert_eq!(lengths, [0x20_0000, 0x10_0000]);
        assert!(sanity::check(&kernel)[1].answer.agrees());
    }
}

#[test]
fn a_text_of_another_kernel_is_not_believed() {
    // The hash MMU's tables do not map the image: the kernel's name in memory decides.
    let mut power = Power::new(SHAPES[2], true);
    power.board.put(0x43_0000 + 4 + 2 * 65, b"6.12.2-toy");
    let why = opened(&power.core(false, 0, 0)).err().unwrap();
    assert!(matches!(why, KernelError::NoVmcoreinfo), "{why}");
}

#[test]
fn a_cpus_registers_are_read() {
    let power = Power::new(SHAPES[0], true);
    let kernel = kernel(&power.core(true, LINEAR + 0x1234, LINEAR + 0x8000));
    let all = kernel.prstatus(0).unwrap();
    assert_eq!((all.pc().0, all.sp().0), (LINEAR + 0x1234, LINEAR + 0x8000));
    let named = all.named();
    assert_eq!(named.len(), 44);
    assert_eq!((named[31], named[36]), (("r31", 31), ("lr", 36)));
    assert!(!all.user_mode());
    assert_eq!(all.takes_interrupts(), Some(true));
}

#[test]
fn pages_are_told_in_page_frames_whatever_their_size() {
    for shape in SHAPES {
        let mut power = Power::new(shape, true);
        let frames = 1_u64 << (shape.page_shift - 12);
        power.board.free(64, 3);
        power.board.anon(80, LINEAR + 0x1000);
        let kernel = kernel(&power.core(true, 0, 0));
        let mut found = Vec::new();
        let summary = mm::walk(&kernel, &Rules::of(&kernel), &mut |run| {
            if matches!(run.kind, Kind::Free | Kind::Anon) {
                found.push((run.pages.start, run.pages.len(), run.kind));
            }
            Ok(())
        })
        .unwrap();
        let expected = [
            (Pfn(64 * frames), 8 * frames, Kind::Free),
            (Pfn(80 * frames), frames, Kind::Anon),
        ];
        assert_eq!(found, expected, "{shape:?}");
        assert_eq!(summary.counts.total(), RAM_BYTES >> 12);
        assert_eq!(summary.unmapped, 0, "{shape:?}");
    }
}
