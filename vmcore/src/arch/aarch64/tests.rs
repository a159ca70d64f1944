use super::*;
use crate::arch::PageTables;
use crate::arch::paging::WalkError;
use std::collections::BTreeMap;

/// VMCOREINFO's keys of one kernel.
#[derive(Default)]
struct Keys {
    numbers: BTreeMap<&'static str, u64>,
    page: u64,
}

impl Facts for Keys {
    fn number(&self, name: &str) -> Option<i64> {
        self.numbers.get(name).map(|n| n.cast_signed())
    }
    fn symbol(&self, name: &str) -> Option<VirtAddr> {
        (name == "swapper_pg_dir").then_some(VirtAddr(ROOT_VA))
    }
    fn hex(&self, _: &str) -> Option<u64> {
        None
    }
    fn offset(&self, _: &str) -> Option<u64> {
        None
    }
    fn size(&self, _: &str) -> Option<u64> {
        None
    }
    fn release(&self) -> Option<&str> {
        None
    }
    fn page_size(&self) -> Option<u64> {
        Some(self.page)
    }
    fn image_segment(&self) -> Option<(VirtAddr, PhysAddr, u64)> {
        None
    }
    fn direct_segment(&self) -> Option<u64> {
        None
    }
    fn read(&self, _: PhysAddr, _: &mut [u8]) -> bool {
        false
    }
}

const ROOT_VA: u64 = 0xffff_8000_8123_0000;
const ROOT: u64 = 0x4123_0000;

fn keys(page: u64, va_bits: u64, actual: u64) -> Keys {
    let numbers = [
        ("kimage_voffset", ROOT_VA - ROOT),
        ("VA_BITS", va_bits),
        ("TCR_EL1_T1SZ", 64 - actual),
        ("PHYS_OFFSET", 0x4000_0000),
    ];
    Keys {
        numbers: numbers.into_iter().collect(),
        page,
    }
}

#[derive(Default)]
struct Tables(BTreeMap<(u64, u64), u64>);

impl PageTables for Tables {
    type Error = std::io::Error;
    fn entry(&self, table: PhysAddr, index: u64) -> Result<[u8; 8], Self::Error> {
        let entry = self.0.get(&(table.0, index)).copied();
        Ok(entry.unwrap_or(0).to_le_bytes())
    }
}

/// (page size, VA_BITS, the CPU's bits, levels, bits of the walk): the kernels that there are.
const KERNELS: [(u64, u64, u64, u32, u32); 9] = [
    (0x1000, 39, 39, 3, 39),
    (0x1000, 48, 48, 4, 48),
    (0x1000, 52, 48, 4, 48),
    (0x1000, 52, 52, 5, 52),
    (0x4000, 47, 47, 3, 47),
    (0x4000, 52, 47, 3, 47),
    (0x4000, 52, 52, 4, 52),
    (0x1_0000, 42, 42, 2, 42),
    (0x1_0000, 52, 48, 3, 52),
];

#[test]
fn every_kernels_tables_are_as_deep_as_they_are() {
    for (page, va_bits, actual, levels, walked) in KERNELS {
        let layout = layout(&keys(page, va_bits, actual)).unwrap();
        let paging = layout.paging.unwrap();
        assert_eq!(paging.root, PhysAddr(ROOT));
        assert_eq!(
            (paging.levels, paging.shift(paging.levels + 1)),
            (levels, walked),
            "{page:#x} {va_bits} {actual}"
        );
        // The first byte of the linear map is the first of RAM.
        let start = u64::MAX << va_bits;
        assert_eq!(start.wrapping_sub(layout.direct_base.unwrap()), 0x4000_0000);
    }
}

#[test]
fn pages_and_blocks_are_found_at_every_size() {
    for (page, va_bits, actual, ..) in KERNELS {
        let layout = layout(&keys(page, va_bits, actual)).unwrap();
        let paging = layout.paging.unwrap();
        let va = VirtAddr((u64::MAX << (actual - 1)) + 0x1234_5678);
        let mut tables = Tables::default();
        let mut table = ROOT;
        for level in (2..=paging.levels).rev() {
            let index = va.0 >> paging.shift(level) & (paging.entries(level) - 1);
            let next = 0x7000_0000 + (u64::from(level) << 20);
            tables.0.insert((table, index), next | 3);
            table = next;
        }
        let low = va.0 & (page - 1);
        let index = va.0 >> paging.shift(1) & (paging.entries(1) - 1);
        tables.0.insert((table, index), 0x0068_0000_5550_0703);
        let walked = paging.walk(&tables, va).unwrap();
        // The bits of a page's attributes are no part of its address, but where LPA2 has them (9:8).
        let high = if actual == 52 && page < 0x1_0000 {
            3 << 50
        } else {
            0
        };
        assert_eq!(
            walked.phys.0,
            high | 0x5550_0000 | low,
            "{page:#x} {actual}"
        );
        assert_eq!(walked.shift, page.trailing_zeros());
        // A block one level up, and none in the last.
        tables.0.insert((table, index), 0x5550_0701);
        let why = paging.walk(&tables, va).unwrap_err();
        assert!(
            matches!(why, WalkError::NotMapped { level: 1, .. }),
            "{why}"
        );
    }
}

#[test]
fn fifty_two_bits_of_address_are_put_together() {
    let block = |decode: fn(u64, u32, u64) -> Entry, entry: u64| match decode(entry, 2, 0) {
        Entry::Page(phys) => phys.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(block(decode, 0x0060_8765_4320_0f01), 0x8765_4320_0000);
    assert_eq!(
        block(decode_lpa2, 0x0061_8765_4320_0201),
        0x9_8765_4320_0000
    );
    assert_eq!(block(decode_64k, 0x0060_8765_4321_ef01), 0xe_8765_4321_0000);
}

#[test]
fn tags_and_authentication_codes_are_no_part_of_an_address() {
    let layout = layout(&keys(0x1000, 48, 48)).unwrap();
    let tagged = VirtAddr(0xf4ff_0000_1234_5678);
    assert_eq!(layout.untagged(tagged).0, 0xffff_0000_1234_5678);
    assert_eq!(
        layout.untagged(VirtAddr(0x0400_aaaa_0000_0000)).0,
        0x0400_aaaa_0000_0000
    );
    let mask = 0xff7f_0000_0000_0000;
    let signed = VirtAddr(0x2bc6_8000_8010_1234 | 1 << 55);
    assert_eq!(strip_pac(signed, mask).0, 0xffff_8000_8010_1234 | 1 << 55);
    assert_eq!(
        strip_pac(VirtAddr(0x5521_aaaa_0000_0010), mask).0,
        0xaaaa_0000_0010
    );
}

#[test]
fn without_the_keys_there_is_no_layout() {
    let mut none = keys(0x1000, 48, 48);
    none.numbers.remove("kimage_voffset");
    assert_eq!(
        layout(&none).unwrap_err(),
        MissingKey("NUMBER(kimage_voffset)")
    );
    let odd = keys(0x2000, 48, 48);
    assert_eq!(layout(&odd).unwrap_err(), MissingKey("PAGESIZE"));
}
