//! What a load on aarch64 must know about the running machine besides [`Facts`]: the device tree, the serial line,
//! and how firmware resets it.
//!
//! Facts: /sys/firmware/fdt (drivers/of/fdt.c), /sys/class/tty/*/iomem_base (drivers/tty/serial/serial_core.c), the
//! PSCI binding (Documentation/devicetree/bindings/arm/psci.yaml) and table FACP of ACPI 6, field ARM Boot
//! Architecture Flags (PSCI compliant, and called by HVC), Linux 5.10 to 7.2.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::fdt::Tree;
use crate::files::Files;
use crate::kexec_load::elfcorehdr::KernelImage;
use crate::kexec_load::machine::{Facts, kcore_segments};
use crate::root;
use crate::words::words;
use goblin::elf::program_header::ProgramHeader;
use vmcore::kernel::Vmcoreinfo;

/// How purgatory/aarch64.rs resets the machine: by PSCI, called in this way.
const BY_HVC: u64 = 1;
const BY_SMC: u64 = 2;
/// Bytes for the kernel's place and for its random numbers (RNG_SEED_SIZE of drivers/of/kexec.c is 128).
const SEEDS: usize = 8 + 128;
/// More than a device tree has.
const LARGEST: u64 = 16 << 20;

/// The facts.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    pub(super) facts: Facts,
    pub(super) tree: Option<Tree>,
    /// The address of the PL011 that is the capture kernel's console.
    pub(super) uart: Option<u64>,
    /// How the machine is reset; 0: nobody knows.
    pub(super) reset: u64,
    /// Random bytes; empty: there are none.
    pub(super) seeds: Vec<u8>,
}

/// The direct map: PAGE_OFFSET is in the upper half, the start of memory is a multiple of 2 MiB, with KASLR as well
/// (arch/arm64/mm/init.c).
fn is_direct_map(base: u64) -> bool {
    base.is_multiple_of(2 << 20) && base >> 63 == 1
}

impl Machine {
    /// Reads it under `root`, for the load of these files.
    pub(super) fn read(root: &Path, files: &Files) -> Self {
        let tree = root::bytes(root, "/sys/firmware/fdt", LARGEST).ok();
        let tree = tree.as_deref().and_then(Tree::parse);
        let cmdline = files.cmdline.to_string_lossy();
        let facts = Facts::read(root, &is_direct_map);
        Self {
            uart: serial_line(root, &cmdline, tree.as_ref()),
            reset: reset(root, tree.as_ref()),
            seeds: seeds(root).unwrap_or_default(),
            tree,
            facts: Facts {
                kernel: kernel_image(root),
                ..facts
            },
        }
    }
}

/// The kernel's own place: the segment of /proc/kcore whose addresses differ by what VMCOREINFO says. `Kernel code` of
/// /proc/iomem begins behind `_text` on some kernels, and /proc/kallsyms of others has neither `_text` nor `_end`.
fn kernel_image(root: &Path) -> Option<KernelImage> {
    let live = vmcore::dump::open(&root::under(root, "/proc/kcore")).ok()?;
    let note = Vmcoreinfo::parse(live.info().vmcoreinfo.as_deref()?);
    let offset = note.number("kimage_voffset")?.cast_unsigned();
    let segments = kcore_segments(root)?;
    let is_it = |h: &&ProgramHeader| h.p_vaddr.wrapping_sub(h.p_paddr) == offset;
    segments.iter().find(is_it).map(|h| KernelImage {
        virt: h.p_vaddr,
        phys: h.p_paddr,
        size: h.p_memsz,
    })
}

/// The PL011 that a command line names as console, or where it names none the firmware: by table SPCR of ACPI, or
/// `stdout-path` of the device tree. The kernel takes the same (drivers/acpi/spcr.c, drivers/of/base.c).
fn serial_line(root: &Path, cmdline: &str, tree: Option<&Tree>) -> Option<u64> {
    let names_one = |word: &String| word.starts_with("console=");
    match words(cmdline).iter().any(names_one) {
        true => pl011(root, cmdline),
        false => by_spcr(root).or_else(|| by_stdout(tree?)),
    }
}

/// By SPCR: the type at byte 36 (3: PL011, 0xd and 0xe: the part of it that SBSA asks for), the address that begins at
/// byte 40 with its space (0: memory).
fn by_spcr(root: &Path) -> Option<u64> {
    let table = root::bytes(root, "/sys/firmware/acpi/tables/SPCR", root::TEXT).ok()?;
    let is_pl011 = matches!(table.get(36)?, 3 | 0xd | 0xe);
    let in_memory = *table.get(40)? == 0;
    let base = u64::from_le_bytes(*table.get(44..)?.first_chunk()?);
    (is_pl011 && in_memory && base != 0).then_some(base)
}

/// By the device tree: the path behind `stdout-path`, or the alias of one. A line behind a bus is not followed.
fn by_stdout(tree: &Tree) -> Option<u64> {
    let text = |value: &[u8]| {
        let path = value.split(|byte| matches!(byte, 0 | b':')).next();
        path.map(|path| String::from_utf8_lossy(path).into_owned())
    };
    let mut path = text(tree.root.child("chosen")?.property("stdout-path")?)?;
    if !path.starts_with('/') {
        path = text(tree.root.child("aliases")?.property(&path)?)?;
    }
    let node = tree.root.child(path.strip_prefix('/')?)?;
    let mut compatible = node.property("compatible")?.split(|byte| *byte == 0);
    compatible.find(|name| *name == b"arm,pl011")?;
    let reg = node.property("reg")?;
    let base = match tree.cells() {
        (1, _) => u64::from(u32::from_be_bytes(*reg.first_chunk()?)),
        (2, _) => u64::from_be_bytes(*reg.first_chunk()?),
        _ => return None,
    };
    (base != 0).then_some(base)
}

/// The first PL011 among the consoles of a command line.
fn pl011(root: &Path, cmdline: &str) -> Option<u64> {
    words(cmdline).iter().find_map(|word| {
        let name = word.strip_prefix("console=")?.split(',').next()?;
        let number = name.strip_prefix("ttyAMA")?;
        number
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(())?;
        let base = root::number(root, format!("/sys/class/tty/{name}/iomem_base"))?;
        (base != 0).then_some(base)
    })
}

fn reset(root: &Path, tree: Option<&Tree>) -> u64 {
    let psci = tree.and_then(|tree| tree.root.child("psci"));
    let method = psci.and_then(|psci| psci.property("method"));
    match method {
        Some(b"hvc\0") => BY_HVC,
        Some(b"smc\0") => BY_SMC,
        Some(_) => 0,
        None => by_acpi(root).unwrap_or(0),
    }
}

/// By the flags at byte 129 of FACP: bit 0 says that there is PSCI, bit 1 that it is called by HVC.
fn by_acpi(root: &Path) -> Option<u64> {
    let table = root::bytes(root, "/sys/firmware/acpi/tables/FACP", root::TEXT).ok()?;
    let flags = *table.get(129)?;
    match flags & 3 {
        3 => Some(BY_HVC),
        1 => Some(BY_SMC),
        _ => None,
    }
}

fn seeds(root: &Path) -> Option<Vec<u8>> {
    let mut out = vec![0; SEEDS];
    let mut device = File::open(root::under(root, "/dev/urandom")).ok()?;
    device.read_exact(&mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iomem::Range;
    use crate::kexec_load::elfcorehdr::{Contents, EM_AARCH64, Place, build};
    use std::fs;

    fn put(root: &Path, path: &str, bytes: impl AsRef<[u8]>) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn the_serial_line_is_the_first_console_that_is_a_pl011() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        put(root, "sys/class/tty/ttyAMA0/iomem_base", "0x9000000\n");
        put(root, "sys/class/tty/ttyAMA1/iomem_base", "0x0\n");
        assert_eq!(
            pl011(root, "console=tty0 console=ttyAMA0,115200"),
            Some(0x900_0000)
        );
        assert_eq!(
            pl011(root, "console=ttyAMA1 console=ttyAMA0"),
            Some(0x900_0000)
        );
        assert_eq!(pl011(root, "console=ttyS0 quiet"), None);
        assert_eq!(pl011(root, "console=ttyAMA../../x"), None);
    }

    #[test]
    fn without_a_console_in_the_command_line_the_firmware_names_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let of = |cmdline: &str, tree: Option<&Tree>| serial_line(root, cmdline, tree);
        assert_eq!(of("quiet", None), None);

        let mut tree = Tree::default();
        tree.root.set("#address-cells", [0, 0, 0, 2]);
        let reg = [0x0900_0000_u64, 0x1000].map(u64::to_be_bytes).concat();
        let line = tree.root.child_or_new("pl011@9000000").unwrap();
        line.set("compatible", *b"arm,pl011\0arm,primecell\0");
        line.set("reg", reg);
        let aliases = tree.root.child_or_new("aliases").unwrap();
        aliases.set("serial0", *b"/pl011@9000000\0");
        for (path, want) in [
            (&b"/pl011@9000000\0"[..], Some(0x900_0000)),
            (b"serial0:115200n8\0", Some(0x900_0000)),
            (b"serial1\0", None),
            (b"/soc/uart@0\0", None),
        ] {
            let chosen = tree.root.child_or_new("chosen").unwrap();
            chosen.set("stdout-path", path);
            assert_eq!(of("quiet", Some(&tree)), want);
        }
        // A console on the command line wins, even one that purgatory cannot use.
        assert_eq!(of("console=ttyS0", Some(&tree)), None);

        // ACPI 5.0, Microsoft's SPCR: QEMU's board virt.
        let mut table = vec![0; 80];
        table[..4].copy_from_slice(b"SPCR");
        table[44..52].copy_from_slice(&0x0900_1000_u64.to_le_bytes());
        for (kind, space, want) in [
            (3, 0, Some(0x900_1000)),
            (0xe, 0, Some(0x900_1000)),
            // A 16550, and one at a port.
            (0, 0, None),
            (3, 1, None),
        ] {
            (table[36], table[40]) = (kind, space);
            put(root, "sys/firmware/acpi/tables/SPCR", &table);
            assert_eq!(of("quiet", None), want, "{kind} {space}");
        }
        put(root, "sys/firmware/acpi/tables/SPCR", &table[..47]);
        assert_eq!(of("quiet", None), None);
    }

    #[test]
    fn firmware_resets_the_machine_in_the_way_that_tree_or_acpi_say() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(reset(root, None), 0);
        let mut table = vec![0; 276];
        for (flags, want) in [(1, BY_SMC), (3, BY_HVC), (2, 0)] {
            table[129] = flags;
            put(root, "sys/firmware/acpi/tables/FACP", &table);
            assert_eq!(reset(root, None), want);
        }
        let mut tree = Tree::default();
        assert_eq!(reset(root, Some(&tree)), 0);
        for (method, want) in [(&b"hvc\0"[..], BY_HVC), (b"smc\0", BY_SMC), (b"x\0", 0)] {
            tree.root
                .child_or_new("psci")
                .unwrap()
                .set("method", method);
            assert_eq!(reset(root, Some(&tree)), want);
        }
    }

    /// /proc/kcore as 6.1 shows it: its headers, with VMCOREINFO in the note.
    fn kcore() -> Vec<u8> {
        let mut file = synth_header();
        let text =
            b"OSRELEASE=6.1.0\nNUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xffffbde609000000\n";
        let at = file.len() as u64;
        for number in [11, text.len() as u32, 0] {
            file.extend(number.to_le_bytes());
        }
        file.extend(b"VMCOREINFO\0\0");
        file.extend(text);
        let size = file.len() as u64 - at;
        // The note's program header is the first.
        file[64 + 8..64 + 16].copy_from_slice(&at.to_le_bytes());
        file[64 + 32..64 + 40].copy_from_slice(&size.to_le_bytes());
        file
    }

    fn synth_header() -> Vec<u8> {
        let contents = Contents {
            machine: EM_AARCH64,
            vmcoreinfo: Some(Place {
                address: 0,
                size: 0,
            }),
            kernel: Some(KernelImage {
                virt: 0xffff_bde6_4920_0000,
                phys: 0x4020_0000,
                size: 0x1aa_0000,
            }),
            ram: vec![Range {
                start: 0x4000_0000,
                end: 0x8000_0000,
            }],
            page_offset: 0xffff_19f1_4000_0000,
            ..Contents::default()
        };
        build(&contents).unwrap()
    }

    #[test]
    fn the_kernels_place_is_found_without_its_symbols() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(kernel_image(dir.path()), None);
        put(dir.path(), "proc/kcore", kcore());
        assert_eq!(
            kernel_image(dir.path()),
            Some(KernelImage {
                virt: 0xffff_bde6_4920_0000,
                phys: 0x4020_0000,
                size: 0x1aa_0000,
            })
        );
    }

    #[test]
    fn the_direct_map_is_known_by_its_base() {
        // 48 bits of address, memory from 1 GiB on; 39 bits, from 512 GiB on.
        assert!(is_direct_map(0xffff_0000_0000_0000 - 0x4000_0000));
        assert!(is_direct_map(0xffff_ff80_0000_0000 - 0x80_0000_0000));
        assert!(!is_direct_map(0x4000_0000));
        assert!(!is_direct_map(0xffff_8000_0001_0000));
    }
}
