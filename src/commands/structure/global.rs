//! A global by its name alone: its type is looked up, and what stands there is printed.

use super::no_member;
use crate::commands::debugger::debug_file;
use analysis::values::{self, Place, Radix, Row, Values, data};
use anyhow::bail;
use debuginfo::{CType, GlobalType, Globals, Source};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, Member, TypeKind, Types};

/// Elements of an array that are shown, one a line.
const ELEMENTS: u64 = 64;
/// Longest text taken from an array of characters.
const TEXT: usize = 4096;

/// A global whose type is known.
pub(super) struct Global {
    pub(super) ty: CType,
    pub(super) source: Source,
    /// Whether the length of the array is the room up to the next symbol.
    pub(super) is_room: bool,
    /// The types that its numbers are of.
    pub(super) types: Arc<Types>,
    /// Its symbols: several variables may have one name.
    pub(super) symbols: Vec<VirtAddr>,
}

/// How an answer came to its type, in a word for programs.
pub(super) fn word(source: Source) -> &'static str {
    match source {
        Source::Dwarf => "debug-info",
        Source::Btf => "btf",
        Source::Table => "table",
        Source::Code => "code",
    }
}

/// The same for people.
pub(super) fn phrase(global: &Global) -> &'static str {
    match global.source {
        _ if global.is_room => "its length is not known: all up to the next symbol",
        Source::Dwarf => "type from the debug information given",
        Source::Btf => "type from BTF",
        Source::Table => "type from the table of known kernels",
        Source::Code => "type inferred from calls in the code",
    }
}

/// Looks the type of a symbol up. `None` when no symbol has that name.
pub(super) fn find(
    kernel: &Kernel,
    name: &str,
    symbols: Option<&Path>,
) -> anyhow::Result<Option<Global>> {
    // From then on the symbols of modules are found, too.
    let modules = kernel.modules().unwrap_or_default();
    let Ok(first) = kernel.symbol(name) else {
        return Ok(None);
    };
    let mut of = modules.iter();
    let module = of.find(|module| module.contains(first) || module.holds_per_cpu(first));
    let module = module.map(|module| module.name.clone());
    let bare = name.rsplit(':').next().unwrap_or(name);
    let file = debug_file(symbols.filter(|_| module.is_none()))?;
    let globals = match &module {
        Some(module) => Globals::of_module(kernel, module)?,
        None => Globals::of_kernel(kernel, file.as_ref())?,
    };
    let Some(GlobalType { ty, source }) = globals.at(bare, first.0) else {
        bail!(
            "the type of {name} is not known. Give it: afterpanic struct CORE TYPE {name}, or the \
             debug vmlinux with --symbols"
        );
    };
    let known = ty.clone();
    let (ty, is_room) = with_length(ty, globals.names().room(first.0), globals.types());
    // Others of that name, as far as they have the same type.
    let mut places = vec![first];
    if module.is_none() {
        kernel.symbols()?.for_each(|symbol| {
            let is_other = symbol.name == bare && !places.contains(&symbol.address);
            if is_other
                && globals
                    .at(bare, symbol.address.0)
                    .is_some_and(|of| of.ty == known)
            {
                places.push(symbol.address);
            }
        })?;
    }
    Ok(Some(Global {
        ty,
        source,
        is_room,
        types: Arc::clone(globals.types()),
        symbols: places,
    }))
}

/// An array of unknown length with what has room up to the next symbol, and whether it was one.
fn with_length(ty: CType, room: Option<u64>, types: &Types) -> (CType, bool) {
    let CType::Array(element, None) = ty else {
        return (ty, false);
    };
    let each = element.size(types).filter(|each| *each > 0);
    let fits = room.zip(each).map(|(room, each)| room / each);
    (CType::Array(element, fits), fits.is_some())
}

/// The lines of an object that need not be of a type that BTF has.
pub(super) fn rows(
    kernel: &Kernel,
    types: &Types,
    ty: &CType,
    at: VirtAddr,
    radix: Radix,
) -> Values {
    let mut all = Values {
        rows: Vec::new(),
        read: 0,
        unreadable: 0,
        why: None,
    };
    match ty.unqualified() {
        CType::Array(element, count) if !is_char(types, element) => {
            let each = element.size(types).unwrap_or(0);
            let count = count.unwrap_or(0);
            for n in 0..count.min(ELEMENTS) {
                let offset = n.saturating_mul(each);
                let found = rows(kernel, types, element, at.wrapping_add(offset), radix);
                add(&mut all, found, offset, &format!("[{n}]"));
            }
            if count > ELEMENTS {
                let declaration = format!("… {count} in all");
                all.rows.push(row(0, 0, declaration, None));
            }
        }
        CType::Btf(id) => {
            let place = Place {
                type_id: *id,
                address: Some(at),
                member: None,
            };
            return values::rows(kernel, types, place, radix);
        }
        other => {
            let size = other.size(types).unwrap_or(0);
            let value = scalar(kernel, types, other, at);
            match &value {
                Ok(_) => all.read += 1,
                Err(why) => {
                    all.unreadable += 1;
                    all.why = Some(why.clone());
                }
            }
            let value = value.unwrap_or_else(|_| "<unreadable>".to_owned());
            all.rows
                .push(row(0, size, other.declare(types, ""), Some(value)));
        }
    }
    all
}

/// Puts the lines of an element below the others, behind its number.
fn add(all: &mut Values, found: Values, offset: u64, number: &str) {
    let is_structure = found.rows.len() != 1;
    if is_structure {
        all.rows.push(row(offset, 0, number.to_owned(), None));
    }
    for mut row in found.rows {
        row.offset = row.offset.saturating_add(offset);
        match is_structure {
            true => row.depth += 1,
            false => row.declaration = format!("{number} {}", row.declaration),
        }
        all.rows.push(row);
    }
    all.read = all.read.saturating_add(found.read);
    all.unreadable = all.unreadable.saturating_add(found.unreadable);
    all.why = all.why.take().or(found.why);
}

fn row(offset: u64, size: u64, declaration: String, value: Option<String>) -> Row {
    Row {
        offset,
        bits: None,
        size,
        depth: 0,
        declaration,
        value,
    }
}

/// A pointer, or text.
fn scalar(kernel: &Kernel, types: &Types, ty: &CType, at: VirtAddr) -> Result<String, String> {
    let why = |why| vmcore::kernel::chain(&why);
    if let CType::Array(_, count) = ty {
        let longest = usize::try_from(count.unwrap_or(0))
            .unwrap_or(TEXT)
            .min(TEXT);
        let text = kernel.read_cstr(at, longest).map_err(why)?;
        return Ok(format!("{:?}", String::from_utf8_lossy(&text)));
    }
    let value = kernel.read_u64(at).map_err(why)?;
    if value == 0 {
        return Ok("NULL".to_owned());
    }
    let text = match ty {
        CType::Pointer(target) if is_char(types, target) => kernel.read_cstr(VirtAddr(value), TEXT),
        _ => Ok(Vec::new()),
    };
    if let Some(text) = text.ok().filter(|text| !text.is_empty()) {
        return Ok(format!("{value:#x} {:?}", String::from_utf8_lossy(&text)));
    }
    Ok(match kernel.resolve(VirtAddr(value)) {
        Some(found) if found.offset == 0 => format!("{value:#x} <{}>", found.name),
        Some(found) => format!("{value:#x} <{}+{:#x}>", found.name, found.offset),
        None => format!("{value:#x}"),
    })
}

fn is_char(types: &Types, ty: &CType) -> bool {
    let CType::Btf(id) = ty.unqualified() else {
        return false;
    };
    types.strip(*id).is_some_and(|id| types.name(id) == "char")
}

/// The object as one typed value.
pub(super) fn value(kernel: &Kernel, types: &Types, ty: &CType, at: VirtAddr) -> Value {
    match ty.unqualified() {
        CType::Btf(id) => data::data(
            kernel,
            types,
            Place {
                type_id: *id,
                address: Some(at),
                member: None,
            },
        ),
        CType::Array(element, count) if !is_char(types, element) => {
            let each = element.size(types).unwrap_or(0);
            let all = (0..count.unwrap_or(0).min(1 << 16)).map(|n| {
                value(
                    kernel,
                    types,
                    element,
                    at.wrapping_add(n.saturating_mul(each)),
                )
            });
            all.collect()
        }
        CType::Array(_, count) => {
            let longest = usize::try_from(count.unwrap_or(0))
                .unwrap_or(TEXT)
                .min(TEXT);
            let text = kernel.read_cstr(at, longest);
            text.map_or(Value::Null, |text| String::from_utf8_lossy(&text).into())
        }
        CType::Pointer(_) => {
            let pointer = kernel.read_u64(at);
            pointer.map_or(Value::Null, |pointer| format!("{pointer:#x}").into())
        }
        _ => Value::Null,
    }
}

/// The place to which a path leads from a global.
pub(super) fn follow(
    kernel: &Kernel,
    types: &Types,
    ty: &CType,
    at: VirtAddr,
    path: &str,
) -> anyhow::Result<Place> {
    let place = |type_id, address| Place {
        type_id,
        address: Some(address),
        member: None::<Member>,
    };
    let said = || ty.declare(types, "");
    match (ty.unqualified(), path.strip_prefix("->")) {
        (CType::Btf(id), _) => {
            values::follow(kernel, types, place(*id, at), path).map_err(|why| no_member(types, why))
        }
        (CType::Pointer(target), Some(path)) => match target.unqualified() {
            CType::Btf(id) if types.kind(*id) != Some(TypeKind::FuncProto) => {
                let to = kernel.read_ptr(at)?;
                values::follow(kernel, types, place(*id, to), path)
                    .map_err(|why| no_member(types, why))
            }
            _ => bail!("{} points to no structure", said()),
        },
        (CType::Pointer(_), None) => bail!(
            "it is a pointer ({}). Write -> instead of . before {path}",
            said()
        ),
        _ => bail!("{} has no members", said()),
    }
}
