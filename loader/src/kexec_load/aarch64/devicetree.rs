//! The device tree of the kernel that is loaded: the running kernel's, with another /chosen.
//!
//! Facts: Documentation/arch/arm64/booting.rst, Documentation/devicetree/bindings/chosen.yaml (dt-schema),
//! drivers/of/fdt.c, drivers/of/kexec.c and arch/arm64/kernel/machine_kexec_file.c, Linux 5.10 to 7.2. What EFI
//! and ACPI hand over (`linux,uefi-*`) stays as it is. Of `linux,usable-memory-range` kernels before 5.19 read
//! the first range only, later ones two (MAX_USABLE_RANGES).

use crate::fdt::Tree;
use crate::iomem::Range;

/// What the kernel is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen<'a> {
    /// The command line, without NUL.
    pub(super) cmdline: &'a [u8],
    /// Where the initramfs is loaded.
    pub(super) initrd: Option<Range>,
    /// Where the ELF header of the crashed kernel's memory is; only in a capture kernel.
    pub(super) elfcorehdr: Option<Range>,
    /// The memory that it may use, the main part first; empty: all.
    pub(super) usable: &'a [Range],
    /// Random bytes: the first eight choose the kernel's place, the rest is for its random numbers.
    pub(super) seeds: &'a [u8],
}

/// What belongs to the running kernel alone.
const STALE: [&str; 7] = [
    "kaslr-seed",
    "rng-seed",
    "linux,elfcorehdr",
    "linux,usable-memory-range",
    "linux,ima-kexec-buffer",
    "linux,kho-fdt",
    "linux,kho-scratch",
];

/// The bytes of the tree. `None`: an address does not fit into the tree's cells.
pub(super) fn build(running: &Tree, told: &Chosen<'_>) -> Option<Vec<u8>> {
    let mut tree = running.clone();
    forget_initrd(&mut tree);
    let elfcorehdr = match told.elfcorehdr {
        Some(range) => Some(tree.range(range.start, range.len())?),
        None => None,
    };
    let mut usable = Vec::new();
    for range in told.usable {
        usable.extend(tree.range(range.start, range.len())?);
    }
    for range in told.initrd.iter().chain(&told.elfcorehdr) {
        tree.reserved.push((range.start, range.len()));
    }
    let chosen = tree.root.child_or_new("chosen")?;
    for name in STALE {
        chosen.remove(name);
    }
    let mut cmdline = told.cmdline.to_vec();
    cmdline.push(0);
    chosen.set("bootargs", cmdline);
    if let Some(initrd) = told.initrd {
        chosen.set("linux,initrd-start", initrd.start.to_be_bytes());
        chosen.set("linux,initrd-end", initrd.end.to_be_bytes());
    }
    if let Some(value) = elfcorehdr {
        chosen.set("linux,elfcorehdr", value);
    }
    if !usable.is_empty() {
        chosen.set("linux,usable-memory-range", usable);
    }
    if let Some((place, numbers)) = told.seeds.split_at_checked(8) {
        chosen.set("kaslr-seed", place);
        chosen.set("rng-seed", numbers);
    }
    chosen.set("linux,booted-from-kexec", []);
    tree.write()
}

/// Takes the running kernel's initramfs away, with the memory that was reserved for it: the exact size, or
/// rounded up to pages.
fn forget_initrd(tree: &mut Tree) {
    let Some(chosen) = tree.root.child_or_new("chosen") else {
        return;
    };
    let (start, end) = (
        chosen.number("linux,initrd-start"),
        chosen.number("linux,initrd-end"),
    );
    chosen.remove("linux,initrd-start");
    chosen.remove("linux,initrd-end");
    if let Some((start, end)) = start.zip(end) {
        let size = end.saturating_sub(start);
        let its = |entry: &(u64, u64)| {
            let rounded = entry.1.checked_sub(size);
            entry.0 == start && rounded.is_some_and(|more| more < 65536)
        };
        tree.reserved.retain(|entry| !its(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Tree {
        let mut tree = Tree::default();
        for name in ["#address-cells", "#size-cells"] {
            tree.root.set(name, 2_u32.to_be_bytes());
        }
        tree.reserved = vec![(0x4800_0000, 0x60_0000), (0x5000_0000, 0x1000)];
        let chosen = tree.root.child_or_new("chosen").unwrap();
        chosen.set("bootargs", *b"quiet root=/dev/vda1\0");
        chosen.set("linux,initrd-start", 0x4800_0000_u32.to_be_bytes());
        chosen.set("linux,initrd-end", 0x485f_f123_u32.to_be_bytes());
        chosen.set("linux,uefi-system-table", 0x7c00_0000_u64.to_be_bytes());
        chosen.set("stdout-path", *b"/pl011@9000000\0");
        chosen.set("kaslr-seed", [0; 8]);
        chosen.set("linux,elfcorehdr", [1; 16]);
        tree.root.child_or_new("psci").unwrap();
        tree
    }

    fn range(start: u64, end: u64) -> Range {
        Range { start, end }
    }

    #[test]
    fn a_capture_kernel_is_told_all_of_it() {
        let usable = [
            range(0x6000_0000, 0x7000_0000),
            range(0x4200_0000, 0x4a00_0000),
        ];
        let told = Chosen {
            cmdline: b"console=ttyAMA0",
            initrd: Some(range(0x6fe0_0000, 0x6ff0_0001)),
            elfcorehdr: Some(range(0x6fff_0000, 0x7000_0000)),
            usable: &usable,
            seeds: &[7; 40],
        };
        let tree = Tree::parse(&build(&running(), &told).unwrap()).unwrap();
        let chosen = tree.root.child("chosen").unwrap();
        let is = |name: &str, want: &[u8]| assert_eq!(chosen.property(name), Some(want), "{name}");
        is("bootargs", b"console=ttyAMA0\0");
        is("linux,initrd-start", &0x6fe0_0000_u64.to_be_bytes());
        is("linux,initrd-end", &0x6ff0_0001_u64.to_be_bytes());
        let words: Vec<u8> = [0_u32, 0x6fff_0000, 0, 0x1_0000]
            .into_iter()
            .flat_map(u32::to_be_bytes)
            .collect();
        is("linux,elfcorehdr", &words);
        let words: Vec<u8> = [
            0_u32,
            0x6000_0000,
            0,
            0x1000_0000,
            0,
            0x4200_0000,
            0,
            0x800_0000,
        ]
        .into_iter()
        .flat_map(u32::to_be_bytes)
        .collect();
        is("linux,usable-memory-range", &words);
        is("kaslr-seed", &[7; 8]);
        is("rng-seed", &[7; 32]);
        is("linux,booted-from-kexec", b"");
        // Handed on.
        is("linux,uefi-system-table", &0x7c00_0000_u64.to_be_bytes());
        is("stdout-path", b"/pl011@9000000\0");
        assert!(tree.root.child("psci").is_some());
        assert_eq!(
            tree.reserved,
            [
                (0x5000_0000, 0x1000),
                (0x6fe0_0000, 0x10_0001),
                (0x6fff_0000, 0x1_0000)
            ]
        );
    }

    #[test]
    fn a_kernel_without_initramfs_has_none_of_the_old_one() {
        let told = Chosen {
            cmdline: b"ro",
            ..Chosen::default()
        };
        let tree = Tree::parse(&build(&running(), &told).unwrap()).unwrap();
        let chosen = tree.root.child("chosen").unwrap();
        for gone in STALE
            .iter()
            .chain(&["linux,initrd-start", "linux,initrd-end"])
        {
            assert_eq!(chosen.property(gone), None, "{gone}");
        }
        assert_eq!(tree.reserved, [(0x5000_0000, 0x1000)]);
    }

    #[test]
    fn an_address_beyond_the_cells_is_refused() {
        let mut tree = running();
        tree.root.set("#address-cells", 1_u32.to_be_bytes());
        let told = |at: u64| Chosen {
            elfcorehdr: Some(range(at, at + 4096)),
            ..Chosen::default()
        };
        assert!(build(&tree, &told(1 << 31)).is_some());
        assert_eq!(build(&tree, &told(1 << 32)), None);
    }
}
