//! From a type's name and a path of members to a place.

use super::Place;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Member, Types};

/// Integers as C programmers write them and as gcc names them.
const SPELT: [(&str, &str); 9] = [
    ("unsigned", "unsigned int"),
    ("short", "short int"),
    ("unsigned short", "short unsigned int"),
    ("long", "long int"),
    ("unsigned long", "long unsigned int"),
    ("long long", "long long int"),
    ("unsigned long long", "long long unsigned int"),
    ("long unsigned int", "unsigned long"),
    ("bool", "_Bool"),
];

/// A type's name without `struct`, `union` or `enum` before it.
#[must_use]
pub fn bare(name: &str) -> &str {
    let words = ["struct ", "union ", "enum "];
    let bare = words.iter().find_map(|word| name.strip_prefix(word));
    bare.unwrap_or(name).trim()
}

/// A type by name (`task_struct`, `struct task_struct`, `pid_t`, `module:type`), at an address or nowhere.
///
/// # Errors
/// When the kernel has no such type.
pub fn find(types: &Types, name: &str, address: Option<VirtAddr>) -> Result<Place, KernelError> {
    let name = bare(name);
    let (_, bare) = name.split_once(':').unwrap_or(("", name));
    let alias = || {
        let known = SPELT.iter().find(|(short, _)| *short == bare);
        known.and_then(|(_, long)| types.find_type(long))
    };
    let found = types.find_type(bare).or_else(alias);
    let type_id = found.ok_or_else(|| KernelError::NoType {
        name: bare.to_string(),
    })?;
    Ok(Place {
        type_id,
        address,
        member: None,
    })
}

/// Follows `a.b->c`: members by dots, pointers by arrows. A leading `->` follows the place itself.
///
/// # Errors
/// When a member is not there, a pointer is not one, or its target cannot be read.
pub fn follow(
    kernel: &Kernel,
    types: &Types,
    from: Place,
    path: &str,
) -> Result<Place, KernelError> {
    let mut place = from;
    for (i, part) in path.split("->").enumerate() {
        if i > 0 {
            place = through(kernel, types, place, path)?;
        }
        if part.is_empty() {
            continue;
        }
        let member = types
            .member_of(place.type_id, part)
            .ok_or_else(|| missing(types, place.type_id, part, path))?;
        place = Place {
            type_id: member.type_id,
            address: place.address.map(|at| at.wrapping_add(member.offset)),
            member: Some(Member {
                offset: 0,
                ..member
            }),
        };
    }
    Ok(place)
}

/// Why `part`, a path of dots, leads nowhere: a member that is not there, or a pointer on the way.
fn missing(types: &Types, from: u32, part: &str, path: &str) -> KernelError {
    let mut id = from;
    let mut before = "it";
    for step in part.split('.') {
        if types.pointee(id).is_some() {
            let ty = types.declare(id, "");
            return KernelError::Path {
                path: path.to_owned(),
                why: format!("{before} is a pointer ({ty}). Write -> instead of . before {step}"),
            };
        }
        match types.member_of(id, step) {
            Some(member) => id = member.type_id,
            None => {
                return KernelError::NoMember {
                    ty: types.declare(id, ""),
                    member: step.to_owned(),
                };
            }
        }
        before = step;
    }
    // Each step alone is there: the distance of all together is not a number.
    KernelError::NoMember {
        ty: types.declare(from, ""),
        member: part.to_owned(),
    }
}

/// What the pointer at `place` points to.
fn through(kernel: &Kernel, types: &Types, place: Place, path: &str) -> Result<Place, KernelError> {
    let wrong = |why: String| KernelError::Path {
        path: path.to_owned(),
        why,
    };
    let declared = types.declare(place.type_id, "");
    let target = types
        .pointee(place.type_id)
        .ok_or_else(|| wrong(format!("{declared} is no pointer. Write . instead of ->")))?;
    let at = place
        .address
        .ok_or_else(|| wrong("-> needs an address".to_owned()))?;
    let to = kernel.read_u64(at).map_err(|source| KernelError::Memory {
        what: format!("{declared} at {at}"),
        source,
    })?;
    Ok(Place {
        type_id: target,
        address: Some(VirtAddr(to)),
        member: None,
    })
}
