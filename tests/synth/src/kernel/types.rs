//! The types of the toy kernel, from a table. Member offsets are its own, as in [`crate::machine`].

mod table;

use crate::btf::Btf;
use std::collections::BTreeMap;
use table::{ENUMS, STRUCTS};

/// Where a member stands.
pub(super) fn offset(ty: &str, member: &str) -> u64 {
    let (_, _, members) = STRUCTS.iter().find(|s| s.0 == ty).unwrap();
    let (_, _, offset) = members.iter().find(|m| m.0 == member).unwrap();
    u64::from(*offset)
}

/// The kernel's blob, and that of the module `crasher` on top of it.
pub(super) fn blobs() -> (Vec<u8>, Vec<u8>) {
    // A pointer may be to a struct that comes later: the first pass learns the numbers, which do not
    // depend on what is pointed to.
    let numbers = pass(&BTreeMap::new()).1;
    let (kernel, numbers) = pass(&numbers);
    let mut module = Btf::on(&kernel);
    module.compound(
        "crasher_device",
        4,
        40,
        &[
            ("minor", numbers["int"], 0, 0),
            ("list", numbers["list_head"], 64, 0),
            ("name", numbers["char[16]"], 192, 0),
        ],
    );
    // BTF_KIND_VAR with the linkage of a static one.
    module.add("crasher_hits", 14, 0, false, numbers["ulong"], &[0]);
    (kernel.build(None), module.build(None))
}

type Numbers = BTreeMap<String, u32>;

fn pass(known: &Numbers) -> (Btf, Numbers) {
    let mut btf = Btf::new();
    let mut numbers = Numbers::new();
    for (short, name, size, signed) in [
        ("int", "int", 4, true),
        ("uint", "unsigned int", 4, false),
        ("long", "long", 8, true),
        ("ulong", "unsigned long", 8, false),
        ("u64", "unsigned long long", 8, false),
        ("ushort", "unsigned short", 2, false),
        ("char", "char", 1, true),
    ] {
        let number = btf.int(name, size, signed);
        numbers.insert(short.into(), number);
    }
    for (name, values) in ENUMS {
        let mut body = Vec::new();
        for (value, name) in (0..).zip(*values) {
            body.extend([btf.string(name), value]);
        }
        let number = btf.add(name, 6, values.len() as u32, false, 4, &body);
        numbers.insert((*name).into(), number);
    }
    for (name, size, members) in STRUCTS {
        let members: Vec<_> = members
            .iter()
            .map(|(name, ty, at)| (*name, resolve(&mut btf, &mut numbers, known, ty), at * 8, 0))
            .collect();
        let number = btf.compound(name, 4, *size, &members);
        numbers.insert((*name).into(), number);
    }
    (btf, numbers)
}

fn resolve(btf: &mut Btf, numbers: &mut Numbers, known: &Numbers, ty: &str) -> u32 {
    if let Some(number) = numbers.get(ty) {
        return *number;
    }
    let number =
        if let Some((element, count)) = ty.strip_suffix(']').and_then(|ty| ty.split_once('[')) {
            let element = resolve(btf, numbers, known, element);
            let (index, count) = (numbers["uint"], count.parse().unwrap());
            btf.add("", 3, 0, false, 0, &[element, index, count])
        } else {
            let target = known.get(&ty[1..]).copied().unwrap_or(0);
            btf.add("", 2, 0, false, target, &[])
        };
    numbers.insert(ty.into(), number);
    number
}
