//! Where the memory map lies with the hash MMU: `vmemmap_list`, in arch/powerpc/mm/init_64.c, 2.6.35 to 7.2.

use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::{Facts, ImageMap, Region};

/// Most entries that are followed: a page of 16 MiB or 64 KiB of the memory map each.
const MAX: usize = 1 << 18;

/// The pages of the memory map, by what VMCOREINFO says of the list; none where it says nothing.
pub(super) fn regions(facts: &dyn Facts, image: ImageMap) -> Vec<Region> {
    let mut found = Vec::new();
    let _ = follow(facts, image, &mut found);
    found.sort_by_key(|region: &Region| region.start);
    found.dedup_by(|next, last| {
        // Neighbours that continue each other are one.
        let apart = next.start.checked_sub(last.start) == Some(last.len)
            && last.phys.checked_add(last.len) == Some(next.phys);
        if apart {
            last.len = last.len.saturating_add(next.len);
        }
        apart || next.start == last.start
    });
    found
}

fn follow(facts: &dyn Facts, image: ImageMap, found: &mut Vec<Region>) -> Option<()> {
    let word = |at: VirtAddr| {
        let mut bytes = [0; 8];
        facts
            .read(image.phys(at), &mut bytes)
            .then(|| u64::from_le_bytes(bytes))
    };
    let offset = |name: &str| facts.offset(name);
    let (next, phys, start) = (
        offset("vmemmap_backing.list")?,
        offset("vmemmap_backing.phys")?,
        offset("vmemmap_backing.virt_addr")?,
    );
    let len = 1_u64.checked_shl(page_shift(facts, image)?)?;
    let mut at = word(facts.symbol("vmemmap_list")?)?;
    while at != 0 && found.len() < MAX {
        let entry = VirtAddr(at);
        let member = |offset| entry.checked_add(offset).and_then(word);
        found.push(Region {
            start: member(start)?,
            len,
            phys: PhysAddr(member(phys)?),
        });
        at = member(next)?;
    }
    Some(())
}

/// log2 of the bytes of a page of the memory map: `mmu_psize_defs[mmu_vmemmap_psize].shift`.
fn page_shift(facts: &dyn Facts, image: ImageMap) -> Option<u32> {
    let int = |at: VirtAddr| {
        let mut bytes = [0; 4];
        facts
            .read(image.phys(at), &mut bytes)
            .then(|| u32::from_le_bytes(bytes))
    };
    let number = int(facts.symbol("mmu_vmemmap_psize")?)?;
    let size = facts.size("mmu_psize_def")?;
    let within = u64::from(number).checked_mul(size)?;
    let at = facts.symbol("mmu_psize_defs")?.checked_add(within)?;
    let shift = int(at.checked_add(facts.offset("mmu_psize_def.shift")?)?)?;
    (12..=34).contains(&shift).then_some(shift)
}
