//! Tests of the layout: the kernel's own rules about segments hold for every region, and what was
//! meant is what the new kernel finds.

use super::super::elfcorehdr::Place;
use super::super::machine::Facts;
use super::*;
use crate::iomem::Iomem;
use crate::kimage::{BzImage, KernelImage};
use sha2::{Digest, Sha256};
use std::ffi::CString;
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

fn files(image: usize) -> Files {
    let mut kernel = vec![0x11; 5 * 512 + (1 << 18)];
    kernel[0x1f1..0x270].fill(0);
    kernel[0x1f1] = 4;
    kernel[0x1f4..0x1f8].copy_from_slice(&(1_u32 << 14).to_le_bytes());
    kernel[0x1fe..0x206].copy_from_slice(b"\x55\xaa\xeb\x6aHdrS");
    kernel[0x206..0x208].copy_from_slice(&[0x0f, 2]);
    kernel[0x211] = 1;
    kernel[0x232] = 0x20;
    kernel[0x234] = 1;
    kernel[0x236] = 0x7f;
    kernel[0x238..0x23a].copy_from_slice(&[0xff, 7]);
    kernel[0x25b] = 1;
    kernel[0x260..0x264].copy_from_slice(&(50_u32 << 20).to_le_bytes());
    Files {
        kernel_path: PathBuf::from("/boot/vmlinuz"),
        header: KernelImage::from(BzImage::parse(&kernel).unwrap()),
        kernel,
        inside: false,
        image: vec![0x22; image],
        cmdline: CString::new("console=ttyS0").unwrap(),
    }
}

fn machine(region: Range) -> Machine {
    let text = format!(
        "1000-9fbff : System RAM\n9fc00-9ffff : Reserved\nbffe0000-bfffffff : ACPI Tables\n100000-bffdffff : System RAM\n100000000-23fffffff : System RAM\n  {:x}-{:x} : Crash kernel\n",
        region.start,
        region.end - 1
    );
    let facts = Facts {
        iomem: Iomem::parse(&text),
        cpu_notes: vec![Place {
            address: 0x5000,
            size: 368,
        }],
        vmcoreinfo: Some(Place {
            address: 0x6000,
            size: 0x1024,
        }),
        page_offset: 0xffff_8880_0000_0000,
        elfcorehdr_size: Some(917_616),
        ..Facts::default()
    };
    Machine {
        facts,
        ..Machine::default()
    }
}

fn piece<'a>(layout: &'a Layout, name: &str) -> &'a Piece {
    layout.pieces.iter().find(|p| p.name == name).unwrap()
}

#[test]
fn the_kernels_rules_hold_in_every_region_or_it_is_refused() {
    let (mut fitted, mut refused) = (0, 0);
    for start in [16 * MIB, 0x2100_0000, 0x2_0000_0000, 0x12_3000, 1 << 20] {
        for size in (40 * MIB..100 * MIB).step_by(1_331_200) {
            let region = Range {
                start,
                end: (start + size) / 4096 * 4096,
            };
            for image in [1, 4096, 4097, 9_000_001] {
                let Ok(layout) = crash(
                    &machine(region),
                    region,
                    &files(image),
                    &Purgatory::default(),
                ) else {
                    refused += 1;
                    continue;
                };
                fitted += 1;
                assert!(layout.pieces.len() <= 16);
                let mut places: Vec<Range> = layout.pieces.iter().map(|p| p.range).collect();
                places.sort_unstable();
                for p in &layout.pieces {
                    assert!(
                        region.contains(p.range)
                            && p.range.start % 4096 == 0
                            && p.range.end % 4096 == 0
                    );
                    assert!(p.data.len() as u64 <= p.range.len(), "{}", p.name);
                }
                assert!(places.windows(2).all(|w| w[0].end <= w[1].start), "overlap");
                let used: u64 = places.iter().map(|r| r.len()).sum();
                assert!(
                    region.len() - used >= (9 + 16) * 4096,
                    "no holes for control pages"
                );
                assert!(region.start <= layout.entry && layout.entry < region.end);
                assert_eq!(piece(&layout, "kernel").range.start % (2 * MIB), 0);
            }
        }
    }
    assert!(
        fitted > 300 && refused > 100,
        "{fitted} fitted, {refused} were refused"
    );
}

#[test]
fn the_parts_point_at_each_other() {
    let region = Range {
        start: 0x3000_0000,
        end: 0x3c00_0000,
    };
    let layout = crash(
        &machine(region),
        region,
        &files(5000),
        &Purgatory::default(),
    )
    .unwrap();
    assert!(layout.update_elfcorehdr);
    let elf = piece(&layout, "memory header");
    assert!(elf.range.len() >= 917_616);
    let params = piece(&layout, "boot parameters");
    let text = format!("elfcorehdr={:#x} console=ttyS0\0", elf.range.start);
    assert!(
        params
            .data
            .windows(text.len())
            .any(|w| w == text.as_bytes())
    );
    let ramdisk = u32::from_le_bytes(params.data[0x218..0x21c].try_into().unwrap());
    assert_eq!(
        u64::from(ramdisk),
        piece(&layout, "capture image").range.start
    );
    let purgatory = piece(&layout, "purgatory");
    assert_eq!(layout.entry, purgatory.range.start);
    let kernel: [u8; 32] = Sha256::digest(&piece(&layout, "kernel").data).into();
    assert!(purgatory.data.windows(32).any(|w| w == kernel));
    let header: [u8; 32] = Sha256::digest(&elf.data).into();
    assert!(
        !purgatory.data.windows(32).any(|w| w == header),
        "the kernel rewrites it"
    );

    // The new kernel's RAM has no byte of the memory header.
    let count = usize::from(params.data[0x1e8]);
    let table = &params.data[0x2d0..0x2d0 + count * 20];
    let mut ram = 0;
    for entry in table.chunks_exact(20) {
        let at = u64::from_le_bytes(entry[..8].try_into().unwrap());
        let range = Range {
            start: at,
            end: at + u64::from_le_bytes(entry[8..16].try_into().unwrap()),
        };
        if entry[16] == 1 {
            ram += range.len();
            assert!(range.end <= elf.range.start || range.start >= elf.range.end);
        }
    }
    assert_eq!(ram, region.len() - elf.range.len() + 0x9_ec00);
}

#[test]
fn without_hotplug_the_memory_header_is_small_and_checked() {
    let region = Range {
        start: 0x3000_0000,
        end: 0x3c00_0000,
    };
    let mut machine = machine(region);
    machine.facts.elfcorehdr_size = None;
    let layout = crash(&machine, region, &files(5000), &Purgatory::default()).unwrap();
    let elf = piece(&layout, "memory header");
    let digest: [u8; 32] = Sha256::digest(&elf.data).into();
    assert!(!layout.update_elfcorehdr && elf.range.len() == 4096);
    assert!(
        piece(&layout, "purgatory")
            .data
            .windows(32)
            .any(|w| w == digest)
    );
}

#[test]
fn what_is_missing_is_said() {
    let region = Range {
        start: 0x3000_0000,
        end: 0x3c00_0000,
    };
    let said = |machine: Machine, region| {
        crash(&machine, region, &files(10), &Purgatory::default())
            .unwrap_err()
            .to_string()
    };
    let mut bare = machine(region);
    bare.facts.vmcoreinfo = None;
    assert!(said(bare, region).contains("vmcoreinfo"));
    let mut bare = machine(region);
    bare.facts.cpu_notes.clear();
    assert!(said(bare, region).contains("crash_notes"));
    let small = Range {
        start: 0x3000_0000,
        end: 0x3000_0000 + 51 * MIB,
    };
    assert!(said(machine(small), small).contains("are missing"));
    let mut old = files(10);
    let Format::BzImage(header) = &mut old.header.format else {
        panic!("a bzImage");
    };
    header.five_level = false;
    let five = Machine {
        five_level: true,
        ..machine(region)
    };
    assert!(
        crash(&five, region, &old, &Purgatory::default())
            .unwrap_err()
            .to_string()
            .contains("5-level")
    );
}

#[test]
fn a_kernel_for_the_whole_machine_avoids_the_reservation() {
    let reserved = Range {
        start: 0x1_8000_0000,
        end: 0x2_0000_0000,
    };
    let e820 = vec![(
        Range {
            start: 0,
            end: 0x2_4000_0000,
        },
        MemoryType::Ram,
    )];
    let mut without = files(0);
    without.image.clear();
    let layout = boot(&machine(reserved), e820, &without, &Purgatory::default()).unwrap();
    assert!(
        layout
            .pieces
            .iter()
            .all(|p| p.range.without(reserved) == [p.range])
    );
    assert!(layout.pieces.iter().all(|p| p.name != "initramfs"));
    assert!(boot(&machine(reserved), vec![], &without, &Purgatory::default()).is_err());
}

#[test]
fn the_serial_port() {
    assert_eq!(serial_port("console=tty0 console=ttyS1,115200n8"), 0x2f8);
    assert_eq!(serial_port("console=ttyS9 console=ttyAMA0"), 0);
}
