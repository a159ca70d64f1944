//! The zero page field by field, and memory maps that do not fit.

use super::*;

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().unwrap())
}

fn u32_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(b[at..at + 4].try_into().unwrap()))
}

const BASE: u64 = 0x1_2345_6000;

#[test]
fn the_fields_are_where_zero_page_rst_has_them() {
    let header = vec![0xee; 0x26c - 0x1f1];
    let params = Params {
        header: &header,
        cmdline: b"console=ttyS0",
        initrd: Some(Range {
            start: 0x2_1000_0000,
            end: 0x2_1000_4321,
        }),
        e820: vec![
            (
                Range {
                    start: 0x1000,
                    end: 0x9f000,
                },
                MemoryType::Ram,
            ),
            (
                Range {
                    start: 0x7000_0000,
                    end: 0x7000_1000,
                },
                MemoryType::Nvs,
            ),
        ],
        screen: &[7; 64],
        acpi_rsdp: 0xf52a0,
        ..Params::default()
    };
    let b = build(BASE, &params).unwrap();
    assert_eq!((b[0], b[63], b[64]), (7, 7, 0));
    assert_eq!(u64_at(&b, 0x70), 0xf52a0);
    assert_eq!((b[0x1f0], b[0x1f1], b[0x26b], b[0x26c]), (0, 0xee, 0xee, 0));
    assert_eq!((b[0x210], b[0x211], b[0x1ef]), (0xd0, 0, 0));
    assert_eq!((u32_at(&b, 0x218), u32_at(&b, 0xc0)), (0x1000_0000, 2));
    assert_eq!((u32_at(&b, 0x21c), u32_at(&b, 0xc4)), (0x4321, 0));
    let cmdline = usize::try_from(u32_at(&b, 0x228) + (u32_at(&b, 0xc8) << 32) - BASE).unwrap();
    assert_eq!(&b[cmdline..cmdline + 14], b"console=ttyS0\0");
    assert_eq!(b[0x1e8], 2);
    assert_eq!(
        (u64_at(&b, 0x2e4), u64_at(&b, 0x2ec), u32_at(&b, 0x2f4)),
        (0x7000_0000, 0x1000, 4)
    );
    assert_eq!(u64_at(&b, 0x250), 0);
}

#[test]
fn what_does_not_fit_into_the_table_goes_into_setup_data_and_efi_follows() {
    let range = |n: u64| Range {
        start: n << 20,
        end: (n << 20) + 4096,
    };
    let params = Params {
        header: &[0; 123],
        e820: (0..130).map(|n| (range(n), MemoryType::Reserved)).collect(),
        efi: Some(Efi {
            info: [3; 32],
            runtime_map: vec![5; 96],
            fw_vendor: 1,
            tables: 2,
            smbios: 3,
        }),
        ..Params::default()
    };
    let b = build(BASE, &params).unwrap();
    assert_eq!(b[0x1e8], 128);
    let first = usize::try_from(u64_at(&b, 0x250) - BASE).unwrap();
    assert_eq!((u32_at(&b, first + 8), u32_at(&b, first + 12)), (1, 40));
    assert_eq!(u64_at(&b, first + 16), 128 << 20);
    let second = usize::try_from(u64_at(&b, first) - BASE).unwrap();
    assert_eq!(
        (
            u64_at(&b, second),
            u32_at(&b, second + 8),
            u32_at(&b, second + 12)
        ),
        (0, 4, 96)
    );
    assert_eq!(
        (
            u64_at(&b, second + 16),
            u64_at(&b, second + 32),
            u64_at(&b, second + 40)
        ),
        (1, 2, 3)
    );
    let map = usize::try_from(u32_at(&b, 0x1d0) + (u32_at(&b, 0x1dc) << 32) - BASE).unwrap();
    assert_eq!(
        (&b[map..map + 96], u32_at(&b, 0x1d4)),
        (vec![5; 96].as_slice(), 96)
    );
    assert_eq!(b[0x1c4], 3);
}

#[test]
fn a_header_that_would_reach_the_memory_map_is_refused() {
    assert!(
        build(
            BASE,
            &Params {
                header: &[0; 5000],
                ..Params::default()
            }
        )
        .is_none()
    );
}
