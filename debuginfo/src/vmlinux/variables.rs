//! Where functions and variables are that BTF names, and the globals whose types others know.

use super::Image;
use super::layout::Part;
use crate::ctype::CType;
use crate::dwarf::{Named, Place, Unit};
use crate::error::Error;
use crate::global_types::{GlobalTypes, Source};
use crate::needed;
use std::collections::{BTreeMap, HashMap, HashSet};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, TypeKind, Types};

/// Where something is that BTF names.
pub(super) fn place(image: &Image, named: Named<'_>) -> Option<Place> {
    let (table, layout) = (&image.table, &image.layout);
    let row = match named {
        Named::Function(name) => {
            let (row, _) = table.find(name)?;
            (layout.part(row.address)? == Part::Text).then_some(row)?
        }
        Named::PerCpu(name, offset) => {
            let (row, times) = table.find(name)?;
            let at = match (times, offset) {
                (2.., Some(offset)) => layout.per_cpu.start.checked_add(offset)?,
                _ => row.address,
            };
            return (layout.part(at)? != Part::Text).then(|| Place {
                address: layout.linked(at),
                size: layout.room(table, at),
                external: row.external() && times == 1,
            });
        }
    };
    Some(Place {
        address: layout.linked(row.address),
        size: image.size(row),
        external: row.external(),
    })
}

/// The globals that have an entry.
pub(super) struct Found {
    /// Their names.
    pub names: HashSet<String>,
    /// By address in the running kernel, the bytes that each takes.
    pub sizes: HashMap<u64, u64>,
    /// How many, by who knows the type.
    pub typed: BTreeMap<Source, usize>,
    /// How many have none.
    pub untyped: usize,
    /// Names of arrays of unknown length.
    pub unmeasured: HashSet<String>,
}

/// Writes the globals whose types are known. A name that several files have is left out: it is not known
/// which of them the type is of.
pub(super) fn write(
    unit: &mut Unit<'_>,
    image: &Image,
    types: &Types,
    globals: &dyn GlobalTypes,
) -> Result<Found, Error> {
    let (table, layout) = (&image.table, &image.layout);
    let mut found = Found {
        names: btf_variables(types),
        sizes: HashMap::new(),
        typed: BTreeMap::new(),
        untyped: 0,
        unmeasured: HashSet::new(),
    };
    found.names.retain(|name| table.find(name).is_some());
    found.typed.insert(Source::Btf, found.names.len());
    for row in table.rows() {
        let data = layout
            .part(row.address)
            .is_some_and(|part| !matches!(part, Part::Text | Part::InitText));
        let name = table.name(row);
        if !data || !layout.keeps(row) || found.names.contains(name) {
            continue;
        }
        let unique = table.find(name).is_some_and(|(_, times)| times == 1);
        let room = layout.room(table, row.address);
        let room = (room > 0).then_some(room);
        let global = globals.of(name, room).filter(|_| unique);
        let Some(global) = global else {
            found.untyped += 1;
            continue;
        };
        if global.ty == CType::Btf(0) {
            continue;
        }
        unit.variable(name, row.external(), layout.linked(row.address), &global.ty)?;
        if let Some(size) = global
            .ty
            .size(types)
            .filter(|_| !is_open(&global.ty, types))
        {
            found.sizes.insert(row.address, size);
        }
        if matches!(global.ty.unqualified(), CType::Array(_, None)) {
            found.unmeasured.insert(name.to_owned());
        }
        *found.typed.entry(global.source).or_default() += 1;
        found.names.insert(name.to_owned());
    }
    Ok(found)
}

/// Whether it ends in a flexible array: an object may be larger than its type.
fn is_open(ty: &CType, types: &Types) -> bool {
    let CType::Btf(id) = ty.unqualified() else {
        return false;
    };
    let last = types.fields(*id).last();
    last.is_some_and(|last| matches!(types.array(last.member.type_id), Some((_, 0))))
}

/// `write_expire` of block/mq-deadline.c, from whose debug information crash takes HZ: it is 5 seconds in
/// jiffies. HZ itself is in the clock source of jiffies (kernel/time/jiffies.c, 5.10 to 7.2): `mult >> shift`
/// nanoseconds are one.
pub(super) fn hz(unit: &mut Unit<'_>, image: &Image, kernel: &Kernel) -> Result<(), Error> {
    const NAME: &str = "write_expire";
    let field = |name: &str| {
        let at = VirtAddr(image.table.address("clocksource_jiffies")?);
        kernel.read_field(at, "clocksource", name).ok()
    };
    let jiffy = || field("mult")?.checked_shr(u32::try_from(field("shift")?).ok()?);
    let second = 1_000_000_000_u64;
    let hz = jiffy().and_then(|jiffy| second.checked_div(jiffy));
    let known = hz.filter(|hz| (24..=1200).contains(hz) && image.table.find(NAME).is_none());
    let int = kernel.types().ok().and_then(|types| types.find_type("int"));
    if let (Some(hz), Some(int)) = (known, int) {
        let ty = CType::Const(Box::new(CType::Btf(int)));
        unit.constant(NAME, hz.cast_signed() * 5, &ty)?;
    }
    Ok(())
}

fn btf_variables(types: &Types) -> HashSet<String> {
    let named = |id| {
        let record = types.record(id)?;
        (record.kind == TypeKind::Var).then(|| types.string(record.name).to_owned())
    };
    types.own_ids().filter_map(named).collect()
}

/// The names that this kernel has, that debuggers need, and whose types are not known.
pub(super) fn missing(image: &Image, found: &Found) -> Vec<&'static str> {
    let is_here = |name: &&str| image.table.find(name).is_some();
    let names = needed::names().filter(is_here);
    names.filter(|name| !found.names.contains(*name)).collect()
}

/// The arrays that debuggers need and whose length is not known.
pub(super) fn unmeasured(found: &Found) -> Vec<&'static str> {
    let is_open = |name: &&str| found.unmeasured.contains(*name);
    needed::names().filter(is_open).collect()
}
