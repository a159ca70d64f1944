//! Tests of the layout: the rules of booting.rst and of the kernel hold for every region, and what was meant is
//! what the new kernel finds.

use super::super::elfcorehdr::Place;
use super::super::machine::Facts;
use super::*;
use crate::fdt::Tree;
use crate::iomem::Iomem;
use crate::kimage::KernelImage;
use sha2::{Digest, Sha256};
use std::ffi::CString;
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

fn files(image: usize, text_offset: u64) -> Files {
    let mut kernel = vec![0x11; 256 << 10];
    kernel[8..16].copy_from_slice(&text_offset.to_le_bytes());
    kernel[16..24].copy_from_slice(&(30 * MIB + 0x1234).to_le_bytes());
    kernel[24..32].copy_from_slice(&0b1010_u64.to_le_bytes());
    kernel[56..60].copy_from_slice(b"ARM\x64");
    Files {
        kernel_path: PathBuf::from("/boot/vmlinuz"),
        header: KernelImage::from(Arm64Image::parse(&kernel).unwrap()),
        kernel,
        inside: false,
        image: vec![0x22; image],
        cmdline: CString::new("console=ttyAMA0").unwrap(),
    }
}

fn machine(region: Range) -> Machine {
    let text = format!(
        "09000000-09000fff : pl011@9000000\n40000000-bfffffff : System RAM\n  40210000-41ffffff : Kernel code\n  43000000-43ffffff : reserved\n100000000-13fffffff : System RAM\n  {:x}-{:x} : Crash kernel\n",
        region.start,
        region.end - 1
    );
    let mut tree = Tree::default();
    for name in ["#address-cells", "#size-cells"] {
        tree.root.set(name, 2_u32.to_be_bytes());
    }
    Machine {
        facts: Facts {
            iomem: Iomem::parse(&text),
            cpu_notes: vec![Place {
                address: 0x4500_5000,
                size: 416,
            }],
            vmcoreinfo: Some(Place {
                address: 0x4500_6000,
                size: 0x1024,
            }),
            page_offset: 0xfffe_ffff_c000_0000,
            ..Facts::default()
        },
        tree: Some(tree),
        uart: Some(0x900_0000),
        reset: 1,
        seeds: vec![5; 136],
    }
}

fn piece<'a>(layout: &'a Layout, name: &str) -> &'a Piece {
    layout.pieces.iter().find(|p| p.name == name).unwrap()
}

#[test]
fn the_kernels_rules_hold_in_every_region_or_it_is_refused() {
    let (mut fitted, mut refused) = (0, 0);
    for start in [0x5000_0000, 0x4420_0000, 0x1_2000_0000, 0x5001_3000] {
        for size in (24 * MIB..70 * MIB).step_by(2_655_000) {
            let region = Range {
                start,
                end: (start + size) / 4096 * 4096,
            };
            for image in [1, 65536, 65537, 900_001] {
                for offset in [0, 0x8_0000] {
                    let machine = machine(region);
                    let files = files(image, offset);
                    let Ok(layout) = crash(&machine, region, &files, &Purgatory::default()) else {
                        refused += 1;
                        continue;
                    };
                    fitted += 1;
                    assert!(layout.pieces.len() <= 16);
                    let mut places: Vec<Range> = layout.pieces.iter().map(|p| p.range).collect();
                    places.sort_unstable();
                    for p in &layout.pieces {
                        assert!(region.contains(p.range), "{}", p.name);
                        assert!(p.range.start % PAGE == 0 && p.range.end % PAGE == 0);
                        assert!(p.data.len() as u64 <= p.range.len(), "{}", p.name);
                    }
                    assert!(places.windows(2).all(|w| w[0].end <= w[1].start), "overlap");
                    let used: u64 = places.iter().map(|r| r.len()).sum();
                    assert!(region.len() - used >= HOLE, "no hole for control pages");
                    let kernel = piece(&layout, "kernel").range;
                    assert_eq!(kernel.start % (2 * MIB), offset);
                    assert!(kernel.len() >= 30 * MIB + 0x1234);
                }
            }
        }
    }
    assert!(
        fitted > 300 && refused > 30,
        "{fitted} fitted, {refused} were refused"
    );
}

#[test]
fn the_parts_point_at_each_other() {
    let region = Range {
        start: 0x5000_0000,
        end: 0x5800_0000,
    };
    let layout = crash(
        &machine(region),
        region,
        &files(5000, 0),
        &Purgatory::default(),
    )
    .unwrap();
    let tree = Tree::parse(&piece(&layout, "device tree").data).unwrap();
    let chosen = tree.root.child("chosen").unwrap();
    let image = piece(&layout, "capture image").range;
    assert_eq!(chosen.number("linux,initrd-start"), Some(image.start));
    assert_eq!(chosen.number("linux,initrd-end"), Some(image.start + 5000));
    let header = piece(&layout, "memory header");
    let want = tree.range(header.range.start, header.range.len()).unwrap();
    assert_eq!(chosen.property("linux,elfcorehdr"), Some(&want[..]));
    let want = tree.range(region.start, region.len()).unwrap();
    assert_eq!(
        chosen.property("linux,usable-memory-range"),
        Some(&want[..])
    );
    assert_eq!(chosen.property("bootargs"), Some(&b"console=ttyAMA0\0"[..]));

    let purgatory = piece(&layout, "purgatory");
    assert_eq!(layout.entry, purgatory.range.start);
    let holds = |bytes: &[u8]| purgatory.data.windows(bytes.len()).any(|w| w == bytes);
    for p in layout.pieces.iter().filter(|p| p.name != "purgatory") {
        assert!(holds(&Sha256::digest(&p.data)), "{} is checked", p.name);
    }
    for place in ["kernel", "device tree", "page tables"] {
        assert!(holds(&piece(&layout, place).range.start.to_le_bytes()));
    }

    // The ELF header is of this machine and has all memory but the reservation, the first MiB of RAM as well.
    let elf = goblin::elf::Elf::parse(&header.data).unwrap();
    assert_eq!(elf.header.e_machine, 183);
    let loads = elf.program_headers.iter().filter(|p| p.p_type == 1);
    let ram: Vec<_> = loads.map(|p| (p.p_paddr, p.p_memsz, p.p_vaddr)).collect();
    let va = |at: u64| 0xfffe_ffff_c000_0000_u64 + at;
    assert_eq!(
        ram,
        [
            (0x4000_0000, 0x1000_0000, va(0x4000_0000)),
            (0x5800_0000, 0x6800_0000, va(0x5800_0000)),
            (0x1_0000_0000, 0x4000_0000, 0xffff_0000_c000_0000),
        ]
    );
}

#[test]
fn what_is_missing_is_said() {
    let region = Range {
        start: 0x5000_0000,
        end: 0x5800_0000,
    };
    let said = |change: &dyn Fn(&mut Machine)| {
        let mut machine = machine(region);
        change(&mut machine);
        crash(&machine, region, &files(10, 0), &Purgatory::default())
            .unwrap_err()
            .to_string()
    };
    assert!(said(&|m| m.facts.vmcoreinfo = None).contains("vmcoreinfo"));
    assert!(said(&|m| m.facts.cpu_notes.clear()).contains("crash_notes"));
    assert!(said(&|m| m.tree = None).contains("/sys/firmware/fdt"));
    let small = Range {
        end: region.start + 31 * MIB,
        ..region
    };
    let error = crash(&machine(small), small, &files(10, 0), &Purgatory::default());
    assert!(error.unwrap_err().to_string().contains("are missing"));
}

#[test]
fn a_kernel_for_the_whole_machine_avoids_what_is_reserved() {
    let reserved = Range {
        start: 0x1_2000_0000,
        end: 0x1_3000_0000,
    };
    let mut without = files(0, 0);
    without.image.clear();
    let layout = boot(&machine(reserved), &without, &Purgatory { reset: false }).unwrap();
    let firmware = Range {
        start: 0x4300_0000,
        end: 0x4400_0000,
    };
    for p in &layout.pieces {
        assert_eq!(p.range.without(reserved), [p.range]);
        assert_eq!(p.range.without(firmware), [p.range]);
    }
    assert!(layout.pieces.iter().all(|p| p.name != "initramfs"));
    let tree = Tree::parse(&piece(&layout, "device tree").data).unwrap();
    let chosen = tree.root.child("chosen").unwrap();
    assert_eq!(chosen.property("linux,usable-memory-range"), None);
    assert_eq!(chosen.property("linux,elfcorehdr"), None);
}
