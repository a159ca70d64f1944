//! The purgatory that build.rs made, placed at an address and told what to check.
//!
//! It is the host's; loader/purgatory/main.rs says what it does. Here its ELF file becomes the bytes of a segment:
//! the loadable parts laid out, its relative relocations applied, its statics filled in by name.

use goblin::elf::Elf;
use goblin::elf::header::{EM_AARCH64, EM_X86_64};
use goblin::elf::program_header::PT_LOAD;

const IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/purgatory.elf"));
/// The relocation that adds the load address, of each machine.
const RELATIVE: [(u16, u32); 2] = [(EM_X86_64, 8), (EM_AARCH64, 1027)];
const REGION: usize = 64;
/// The most segments it can check.
pub(crate) const MOST_REGIONS: usize = 16;

/// What it checks: a segment's bytes after loading.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) address: u64,
    pub(crate) length: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) name: &'static str,
}

/// What it is told.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// Where it jumps.
    pub(crate) entry: u64,
    /// What it passes on: the address of boot parameters or device tree.
    pub(crate) argument: u64,
    /// The serial line it complains on, as the architecture's purgatory knows it; 0 for none.
    pub(crate) serial: u64,
    /// How it resets the machine after a mismatch, as the architecture's purgatory knows it; 0: it halts.
    pub(crate) reset: u64,
    /// The page tables it uses; 0: none.
    pub(crate) tables: u64,
    /// What it checks.
    pub(crate) regions: Vec<Region>,
}

/// Bytes that it takes in memory.
pub(crate) fn size() -> Option<u64> {
    let elf = Elf::parse(IMAGE).ok()?;
    let ends = elf.program_headers.iter().filter(|p| p.p_type == PT_LOAD);
    ends.map(|p| p.p_vaddr.saturating_add(p.p_memsz)).max()
}

fn put(bytes: &mut [u8], at: u64, value: &[u8]) -> Option<()> {
    let at = usize::try_from(at).ok()?;
    bytes
        .get_mut(at..at.checked_add(value.len())?)?
        .copy_from_slice(value);
    Some(())
}

/// Its bytes for this address; `None` only when build.rs made something unexpected.
pub(crate) fn place(address: u64, orders: &Orders) -> Option<Vec<u8>> {
    let elf = Elf::parse(IMAGE).ok()?;
    let mut out = vec![0; usize::try_from(size()?).ok()?];
    for header in elf.program_headers.iter().filter(|p| p.p_type == PT_LOAD) {
        put(&mut out, header.p_vaddr, IMAGE.get(header.file_range())?)?;
    }
    let (_, relative) = RELATIVE
        .into_iter()
        .find(|(machine, _)| *machine == elf.header.e_machine)?;
    for relocation in &elf.dynrelas {
        if relocation.r_type != relative {
            return None;
        }
        let addend = u64::try_from(relocation.r_addend?).ok()?;
        put(
            &mut out,
            relocation.r_offset,
            &address.checked_add(addend)?.to_le_bytes(),
        )?;
    }
    let symbol = |name: &str| {
        let found = elf
            .syms
            .iter()
            .find(|s| elf.strtab.get_at(s.st_name) == Some(name));
        found.map(|s| s.st_value)
    };
    let number =
        |out: &mut [u8], name: &str, value: u64| put(out, symbol(name)?, &value.to_le_bytes());
    number(&mut out, "PURGATORY_ENTRY", orders.entry)?;
    number(&mut out, "PURGATORY_ARGUMENT", orders.argument)?;
    number(&mut out, "PURGATORY_COUNT", orders.regions.len() as u64)?;
    number(&mut out, "PURGATORY_SERIAL", orders.serial)?;
    number(&mut out, "PURGATORY_RESET", orders.reset)?;
    number(&mut out, "PURGATORY_TABLES", orders.tables)?;
    let table = symbol("PURGATORY_REGIONS")?;
    for (n, region) in orders.regions.iter().enumerate().take(MOST_REGIONS) {
        let mut raw = [0; REGION];
        put(&mut raw, 0, &region.address.to_le_bytes())?;
        put(&mut raw, 8, &region.length.to_le_bytes())?;
        put(&mut raw, 16, &region.digest)?;
        put(
            &mut raw,
            48,
            region.name.as_bytes().get(..region.name.len().min(15))?,
        )?;
        put(&mut out, table + (n * REGION) as u64, &raw)?;
    }
    // It is entered at its first byte.
    (elf.entry == 0 && orders.regions.len() <= MOST_REGIONS).then_some(out)
}

#[cfg(test)]
#[path = "../../purgatory/sha256.rs"]
mod sha256;

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Digest;

    #[test]
    fn its_sha256_is_sha256() {
        for len in [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000, 4096] {
            let bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let want: [u8; 32] = sha2::Sha256::digest(&bytes).into();
            assert_eq!(sha256::digest(&bytes), want, "{len} bytes");
        }
    }

    #[test]
    fn it_is_placed_relocated_and_told() {
        let orders = Orders {
            entry: 0x1122_3344_5566_7788,
            argument: 0x8877_6655_4433_2211,
            serial: 0x3f8,
            reset: 1,
            tables: 0x1357_9bdf_0246_8ace,
            regions: vec![Region {
                address: 0x1234_5678_9abc,
                length: 7,
                digest: [9; 32],
                name: "kernel",
            }],
        };
        let at_zero = place(0, &orders).unwrap();
        let placed = place(0x4000_0000_0000, &orders).unwrap();
        assert_eq!(placed.len() as u64, size().unwrap());
        // Only relocated words differ, each by the address.
        let mut moved = 0;
        for (a, b) in at_zero.chunks_exact(8).zip(placed.chunks_exact(8)) {
            let (a, b) = (
                u64::from_le_bytes(a.try_into().unwrap()),
                u64::from_le_bytes(b.try_into().unwrap()),
            );
            if a != b {
                assert_eq!(b, a + 0x4000_0000_0000);
                moved += 1;
            }
        }
        assert!(moved > 0);
        let contains = |what: &[u8]| placed.windows(what.len()).any(|w| w == what);
        assert!(contains(&0x1122_3344_5566_7788_u64.to_le_bytes()));
        assert!(contains(&[9; 32]) && contains(b"kernel\0"));
        #[cfg(target_arch = "x86_64")]
        assert_eq!(placed[0], 0xfa, "begins with cli");
        assert!(placed.len() < 16 << 10);
    }

    #[test]
    fn seventeen_regions_are_refused() {
        let region = Region {
            address: 0,
            length: 0,
            digest: [0; 32],
            name: "",
        };
        let orders = Orders {
            entry: 0,
            argument: 0,
            serial: 0,
            reset: 0,
            tables: 0,
            regions: vec![region; 17],
        };
        assert!(place(0, &orders).is_none());
    }
}
