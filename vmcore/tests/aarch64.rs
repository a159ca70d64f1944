//! Cores of aarch64 of every page size and depth of tables: memory, registers, the kinds of pages.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use synth::arm::{Arm, IMAGE_PA, RAM, RAM_BYTES, SHAPES};
use vmcore::addr::{Pfn, VirtAddr};
use vmcore::arch::Registers;
use vmcore::dump::open;
use vmcore::kernel::Kernel;
use vmcore::mm::{self, Kind, Rules};

/// An address of the modules' and vmalloc's part.
const INTO: u64 = 0x1_0000_0000;

fn kernel(core: &[u8]) -> Kernel {
    vmcore::arch::read_all();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    std::fs::write(&path, core).unwrap();
    Kernel::new(open(&path).unwrap()).unwrap()
}

#[test]
fn memory_is_found_by_every_way() {
    for shape in SHAPES {
        let mut arm = Arm::new(shape);
        let page = 1_u64 << shape.page_shift;
        let image = arm.image();
        arm.put(IMAGE_PA + 0x1340, b"image");
        arm.put(RAM + 0x51_0000, b"linear");
        // Two pages that lie apart, and a block.
        let vmalloc = image + INTO;
        arm.map(vmalloc, RAM + 0x60_0000, 1);
        arm.map(vmalloc + page, RAM + 0x50_0000, 1);
        arm.put(RAM + 0x60_0000 + page - 2, b"ac");
        arm.put(RAM + 0x50_0000, b"ross");
        let block = 1_u64 << (2 * shape.page_shift - 3);
        let far = (vmalloc | (block - 1)) + 1;
        let wide = block <= RAM_BYTES / 2;
        if wide {
            arm.map(far, RAM + 0x200_0000 / block * block, 2);
        }
        for note in [true, false] {
            let kernel = kernel(&arm.core(note, image, 0));
            assert_eq!(kernel.arch().name, "aarch64");
            assert_eq!(kernel.page_size(), page);
            let read = |va: u64, len: usize| {
                let mut bytes = vec![0; len];
                kernel.read(VirtAddr(va), &mut bytes).map(|()| bytes)
            };
            assert_eq!(read(image + 0x1340, 5).unwrap(), b"image", "{shape:?}");
            let linear = arm.linear(RAM + 0x51_0000);
            assert_eq!(read(linear, 6).unwrap(), b"linear", "{shape:?}");
            // With a tag in the top byte it is the same pointer.
            let tagged = linear & !(0xff << 56) | 0xf5 << 56;
            assert_eq!(read(tagged, 6).unwrap(), b"linear", "{shape:?}");
            assert_eq!(read(vmalloc + page - 2, 6).unwrap(), b"across", "{shape:?}");
            assert!(read(vmalloc + 2 * page, 1).is_err());
            if wide {
                let at = kernel.translate(VirtAddr(far + 0x1234)).unwrap();
                assert_eq!(at.0, RAM + 0x200_0000 / block * block + 0x1234, "{shape:?}");
            }
            assert_eq!(kernel.layout().pac_mask, 0x7f_0000_0000_0000);
        }
    }
}

#[test]
fn a_cpus_registers_are_read() {
    let arm = Arm::new(SHAPES[1]);
    let kernel = kernel(&arm.core(true, 0xffff_8000_8001_2344, 0xffff_8000_8800_3f00));
    let Some(Registers::Aarch64(registers)) = kernel.prstatus(0) else {
        panic!("{:?}", kernel.prstatus(0))
    };
    assert_eq!((registers.fp(), registers.lr()), (29, 30));
    assert_eq!(registers.pc, 0xffff_8000_8001_2344);
    assert_eq!(registers.sp, 0xffff_8000_8800_3f00);
    // EL1, interrupts taken.
    assert!(!registers.user_mode() && registers.takes_interrupts());
    assert_eq!(
        Registers::Aarch64(registers).named()[33],
        ("pstate", 0x8000_0005)
    );
    assert_eq!(kernel.prstatus(1), None);
}

#[test]
fn pages_are_told_in_page_frames_whatever_their_size() {
    for shape in SHAPES {
        let mut arm = Arm::new(shape);
        let frames = 1_u64 << (shape.page_shift - 12);
        arm.free(64, 3);
        arm.anon(80);
        arm.anon(81);
        let kernel = kernel(&arm.core(true, 0, 0));
        let rules = Rules::of(&kernel);
        let mut free = Vec::new();
        let mut anon = Vec::new();
        let summary = mm::walk(&kernel, &rules, &mut |run| {
            match run.kind {
                Kind::Free => free.push(run.pages),
                Kind::Anon => anon.push(run.pages),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
        let first = RAM >> 12;
        let range = |start: u64, pages: u64| {
            let start = first + start * frames;
            vmcore::addr::PfnRange::new(Pfn(start), Pfn(start + pages * frames))
        };
        assert_eq!(free, [range(64, 8)], "{shape:?}");
        assert_eq!(anon, [range(80, 2)], "{shape:?}");
        assert_eq!(summary.counts.of(Kind::Free), 8 * frames);
        assert_eq!(summary.counts.total(), RAM_BYTES >> 12);
        assert_eq!(summary.unmapped, 0, "{shape:?}");
        // One frame inside a page of the kernel is of the page's kind.
        let inside = Pfn(first + 81 * frames + frames - 1);
        let one = vmcore::addr::PfnRange::new(inside, Pfn(inside.0 + 1));
        let mut kinds = Vec::new();
        mm::walk_ranges(&kernel, &rules, &[one], &mut |run| {
            kinds.push((run.pages, run.kind));
            Ok(())
        })
        .unwrap();
        assert_eq!(kinds, [(one, Kind::Anon)], "{shape:?}");
    }
}

/// A kernel without symbols of data, as Debian's 6.1 for arm64.
#[test]
fn the_images_mapping_is_found_without_its_symbols() {
    const HALF: u64 = 27 << 20;
    for shape in SHAPES {
        let mut arm = Arm::new(shape);
        let page = 1_u64 << shape.page_shift;
        let image = arm.image();
        // Between its text and its tables, which it holds, is memory that only the start needed.
        let tables = IMAGE_PA + 2 * HALF;
        arm.map(image + HALF, IMAGE_PA + HALF, 1);
        // A module behind it, as its pages came.
        arm.map(image + 2 * HALF + 2 * page, RAM + 0x60_0000, 1);
        let kernel = kernel(&arm.core(true, image, 0));
        assert!(kernel.symbol("_end").is_err());
        let found = kernel.image().unwrap();
        assert_eq!(found.vaddr.0, image, "{shape:?}");
        assert_eq!(found.paddr.0, IMAGE_PA, "{shape:?}");
        assert_eq!(found.size, tables + page - IMAGE_PA, "{shape:?}");
    }
}
