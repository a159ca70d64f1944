//! Translation and reads over hand-made page tables.

use super::super::{Kernel, MemError, toy};
use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::paging::WalkError;
use synth::ram::Ram;

const VMALLOC: u64 = 0xffff_c900_0040_0000;

fn phys(kernel: &Kernel, va: u64) -> Option<u64> {
    kernel.translate(VirtAddr(va)).ok().map(|pa| pa.0)
}

#[test]
fn the_image_is_found_by_a_phys_base_of_either_sign() {
    for base in [0x1200_0000, -0x0140_0000] {
        let mut ram = Ram::new(4, base);
        ram.put_image(0xffff_ffff_8300_2000, b"hello");
        let kernel = toy::kernel(&ram);
        assert_eq!(
            phys(&kernel, 0xffff_ffff_8300_2001),
            Some(0x0300_2001u64.wrapping_add_signed(base))
        );
        assert_eq!(
            kernel
                .read_cstr(VirtAddr(0xffff_ffff_8300_2000), 64)
                .unwrap(),
            b"hello"
        );
    }
}

#[test]
fn pages_of_all_sizes_are_walked_at_both_depths() {
    for (levels, top) in [(4, VMALLOC), (5, 0xffa0_0000_0040_0000)] {
        for encryption in [0, 1 << 47] {
            let mut ram = Ram::new(levels, 0x1000_0000);
            ram.encryption = encryption;
            if encryption != 0 {
                ram.line(&format!("NUMBER(sme_mask)={encryption}"));
            }
            ram.map(top + 0x1000, 0x5_4321_0000, 12);
            ram.map(top + 0x20_0000, 0x3_0020_0000, 21);
            ram.map((top + 0x4000_0000) & !0x3fff_ffff, 0x8000_0000, 30);
            let kernel = toy::kernel(&ram);
            for _ in 0..2 {
                // The second time from the cache.
                assert_eq!(phys(&kernel, top + 0x1fff), Some(0x5_4321_0fff));
                assert_eq!(phys(&kernel, top + 0x21_2345), Some(0x3_0021_2345));
                let giant = (top + 0x4000_0000) & !0x3fff_ffff;
                assert_eq!(phys(&kernel, giant + 0x1234_5678), Some(0x9234_5678));
                assert_eq!(phys(&kernel, top + 0x2000), None);
            }
        }
    }
}

#[test]
fn not_mapped_and_not_dumped_are_told_apart() {
    let mut ram = Ram::new(4, 0x1000_0000);
    let slot = ram.map(VMALLOC, 0x5_0000_0000, 12);
    let why = |ram: &Ram, va| toy::kernel(ram).translate(VirtAddr(va)).unwrap_err();
    let MemError::Translate { source, .. } = why(&ram, VMALLOC + 0x1000) else {
        panic!()
    };
    assert!(matches!(source, WalkError::NotMapped { level: 1, .. }));
    ram.drop_page(slot);
    let MemError::Translate { source, .. } = why(&ram, VMALLOC) else {
        panic!()
    };
    assert!(matches!(source, WalkError::Table { level: 1, .. }));
    let MemError::Translate { source, .. } = why(&ram, 0x8000_0000_0000_0000) else {
        panic!()
    };
    assert!(matches!(source, WalkError::NonCanonical { .. }));
}

#[test]
fn reads_cross_pages_that_lie_apart() {
    let mut ram = Ram::new(4, 0x1000_0000);
    ram.map(VMALLOC, 0x2_0000_3000, 12);
    ram.map(VMALLOC + 0x1000, 0x1_0000_7000, 12);
    ram.put(0x2_0000_3ffc, &[1, 2, 3, 4]);
    ram.put(0x1_0000_7000, &[5, 6, 7, 8]);
    let kernel = toy::kernel(&ram);
    assert_eq!(
        kernel.read_u64(VirtAddr(VMALLOC + 0xffc)).unwrap(),
        0x0807_0605_0403_0201
    );
    let error = kernel.read_u64(VirtAddr(VMALLOC + 0x1ffc)).unwrap_err();
    assert!(matches!(error, MemError::Translate { va, .. } if va.0 == VMALLOC + 0x2000));
}

#[test]
fn a_direct_map_base_is_used_only_while_the_page_tables_agree() {
    let base = 0xffff_8880_0000_0000;
    let mut ram = Ram::new(4, 0x1000_0000);
    let root = ram.image_pa(0xffff_ffff_8300_0000);
    ram.map(base + root, root, 12);
    ram.put(0x7000, b"low");
    let kernel = toy::kernel_at(&ram, Some(base));
    assert_eq!(phys(&kernel, base + 0x7000), Some(0x7000));
    // Past the end of RAM nothing is direct.
    assert_eq!(phys(&kernel, base + (1 << 40)), None);
    let wrong = toy::kernel_at(&ram, Some(base + 0x4000_0000));
    assert_eq!(wrong.direct(), None);
    // Without the tables of the direct map (a filtered dump) the base has to be believed.
    let mut filtered = Ram::new(4, 0x1000_0000);
    let slot = filtered.map(base + root, root, 12);
    filtered.drop_page(slot);
    assert!(toy::kernel_at(&filtered, Some(base)).direct().is_some());
}

#[test]
fn user_memory_is_read_through_its_own_tables() {
    let mut ram = Ram::new(4, 0x1000_0000);
    ram.map(0x40_0000, 0x2_0000_3000, 12);
    ram.put(0x2_0000_3010, b"sleep\x00100\0");
    let root = PhysAddr(ram.image_pa(0xffff_ffff_8300_0000));
    let kernel = toy::kernel(&ram);
    let mut text = [0; 9];
    kernel
        .read_user(root, VirtAddr(0x40_0010), &mut text)
        .unwrap();
    assert_eq!(&text, b"sleep\x00100");
    assert!(
        kernel
            .read_user(root, VirtAddr(0x40_0ff8), &mut text)
            .is_err()
    );
}

#[test]
fn without_page_tables_the_image_and_the_direct_map_are_left() {
    let mut ram = Ram::new(4, 0x100_0000);
    ram.put_image(0xffff_ffff_8100_0000, b"image");
    ram.put(0x5000, b"direct");
    ram.replace("SYMBOL(swapper_pg_dir)", "");
    let kernel = toy::kernel_at(&ram, Some(0xffff_8880_0000_0000));
    let read = |va: u64, len: usize| {
        let mut buf = vec![0; len];
        kernel.read(VirtAddr(va), &mut buf).map(|()| buf)
    };
    assert_eq!(read(0xffff_ffff_8100_0000, 5).unwrap(), b"image");
    assert_eq!(read(0xffff_8880_0000_5000, 6).unwrap(), b"direct");
    let why = read(VMALLOC, 1).unwrap_err();
    let MemError::Translate { source, .. } = why else {
        panic!("{why}")
    };
    assert!(matches!(source, WalkError::NoTables { .. }), "{source}");
}
