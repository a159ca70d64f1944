//! The ELF header read back.

use super::*;
use goblin::elf::Elf;

#[test]
fn a_reader_sees_what_was_meant() {
    let contents = Contents {
        machine: EM_AARCH64,
        cpu_notes: vec![
            Place {
                address: 0x1000,
                size: 368,
            },
            Place {
                address: 0x2000,
                size: 368,
            },
        ],
        vmcoreinfo: Some(Place {
            address: 0x3000,
            size: 0x1024,
        }),
        kernel: Some(KernelImage {
            virt: 0xffff_ffff_8100_0000,
            phys: 0x100_0000,
            size: 0x200_0000,
        }),
        ram: vec![Range {
            start: 0x10_0000,
            end: 0x4000_0000,
        }],
        page_offset: 0xffff_8880_0000_0000,
    };
    let bytes = build(&contents).unwrap();
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(
        (
            elf.header.e_type,
            elf.header.e_machine,
            elf.header.e_version
        ),
        (4, 183, 1)
    );
    assert_eq!((elf.header.e_ehsize, elf.header.e_phentsize), (64, 56));
    let kinds: Vec<u32> = elf.program_headers.iter().map(|p| p.p_type).collect();
    assert_eq!(kinds, [4, 4, 4, 1, 1]);
    let last = &elf.program_headers[4];
    assert_eq!((last.p_offset, last.p_paddr), (0x10_0000, 0x10_0000));
    assert_eq!(last.p_vaddr, 0xffff_8880_0010_0000);
    assert_eq!(
        (last.p_filesz, last.p_memsz, last.p_align),
        (0x3ff0_0000, 0x3ff0_0000, 0)
    );
    assert_eq!(elf.program_headers[3].p_flags, 7);
}

#[test]
fn ram_is_without_the_holes() {
    let ram = ram(
        &[
            Range {
                start: 0x1000,
                end: 0x9_f000,
            },
            Range {
                start: 0xf_0000,
                end: 0x1000_0000,
            },
        ],
        &[
            Range {
                start: 0,
                end: 0x10_0000,
            },
            Range {
                start: 0x400_0000,
                end: 0x800_0000,
            },
        ],
    );
    assert_eq!(
        ram,
        [
            Range {
                start: 0x10_0000,
                end: 0x400_0000
            },
            Range {
                start: 0x800_0000,
                end: 0x1000_0000
            }
        ]
    );
}

#[test]
fn too_many_ranges_do_not_wrap() {
    let range = Range { start: 0, end: 1 };
    let contents = Contents {
        ram: vec![range; 65_535],
        ..Contents::default()
    };
    assert!(build(&contents).is_none());
}
