//! Arrays whose length the kernel's own types say, in an enumerator: the table may have another kernel's, and
//! crash reads as many elements as the enum has.
//!
//! Facts: mm/vmstat.c, mm/page_alloc.c, include/linux/mmzone.h, include/linux/nodemask.h, 5.10 to 7.2.

use crate::CType;
use vmcore::kernel::Types;

/// Variable, enum, enumerator.
const COUNTED: [(&str, &str, &str); 5] = [
    ("vm_zone_stat", "zone_stat_item", "NR_VM_ZONE_STAT_ITEMS"),
    ("vm_node_stat", "node_stat_item", "NR_VM_NODE_STAT_ITEMS"),
    ("vm_numa_stat", "numa_stat_item", "NR_VM_NUMA_STAT_ITEMS"),
    ("vm_numa_event", "numa_stat_item", "NR_VM_NUMA_EVENT_ITEMS"),
    ("node_states", "node_states", "NR_NODE_STATES"),
];

/// The type with that length, if the variable is one of these and has the room.
pub(super) fn counted(name: &str, ty: CType, room: Option<u64>, types: &Types) -> CType {
    let known = COUNTED.iter().find(|known| known.0 == name);
    let count = known.and_then(|(_, of, last)| types.enumerator(of, last));
    let count = count.and_then(|count| u64::try_from(count).ok());
    match (ty, count) {
        (CType::Array(element, was), Some(count)) if count > 0 => {
            let size = element.size(types).and_then(|size| size.checked_mul(count));
            let fits = size.is_some_and(|size| room.is_none_or(|room| size <= room));
            CType::Array(element, if fits { Some(count) } else { was })
        }
        (ty, _) => ty,
    }
}

#[cfg(test)]
mod tests {
    use super::counted;
    use crate::CType;
    use synth::btf::Btf;
    use vmcore::kernel::Types;

    #[test]
    fn the_kernels_own_enumerator_counts() {
        let mut btf = Btf::new();
        btf.int("long", 8, true);
        let last = btf.string("NR_VM_NODE_STAT_ITEMS");
        btf.add("node_stat_item", 6, 1, false, 4, &[last, 67]);
        let types = Types::parse(btf.build(None), None).unwrap();
        let length = |name, room| {
            let ty = CType::parse("long [47]", &types).unwrap();
            counted(name, ty, room, &types).declare(&types, "")
        };
        assert_eq!(length("vm_node_stat", Some(576)), "long[67]");
        assert_eq!(length("vm_node_stat", None), "long[67]");
        // Too large for the room, no such enum, another variable.
        assert_eq!(length("vm_node_stat", Some(512)), "long[47]");
        assert_eq!(length("vm_zone_stat", Some(576)), "long[47]");
        assert_eq!(length("other", Some(576)), "long[47]");
    }
}
