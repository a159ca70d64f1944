//! What the registers of a report point to.

use crate::reason::{Location, Reason};
use crate::unwind::{FrameKind, Trace};
use crate::what::{self, What};
use serde::{Deserialize, Serialize};
use vmcore::addr::VirtAddr;
use vmcore::kernel::Kernel;

/// Registers looked at that were printed.
const MAX_REGISTERS: usize = 32;

/// A register.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Register {
    /// Its name, in lower case.
    pub name: String,
    /// Its value in hex, as the kernel printed it, or as the fault saved it.
    pub value: String,
    /// What it points to, in words; absent for a number that is no address of the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points_to: Option<String>,
}

/// The registers that the kernel printed; where these are not read, those that the fault saved on the stack.
pub(super) fn read(
    kernel: &Kernel,
    trace: Option<&Trace>,
    reason: &Reason,
) -> Option<Vec<Register>> {
    let printed = reason.oops.registers.iter().map(|(name, value)| {
        let number = u64::from_str_radix(value.trim_start_matches("0x"), 16).ok();
        (name.clone(), value.clone(), number)
    });
    let mut all: Vec<_> = printed.take(MAX_REGISTERS).collect();
    if all.is_empty() {
        let place = reason.oops.location.as_ref();
        all.extend(place.and_then(|at| saved(trace?, at)).into_iter().flatten());
    }
    // What is below the kernel's half of the address space points to nothing of it.
    let kernel_half = kernel.layout().kernel_half();
    let rows = all.into_iter().map(|(name, value, number)| {
        let address = number.filter(|number| *number >= kernel_half);
        Register {
            name,
            value,
            points_to: address.and_then(|at| words(&what::read(kernel, VirtAddr(at)))),
        }
    });
    let rows: Vec<_> = rows.collect();
    (!rows.is_empty()).then_some(rows)
}

/// Those of the frame that was interrupted at a place: names, values in hex and as numbers.
fn saved(trace: &Trace, place: &Location) -> Option<Vec<(String, String, Option<u64>)>> {
    let frame = trace.frames.iter().find(|frame| {
        let symbol = frame.symbol.as_ref();
        frame.kind == FrameKind::Interrupted
            && symbol.is_some_and(|at| at.name == place.function && at.offset == place.offset)
    })?;
    let saved = frame.registers.as_ref().filter(|saved| saved.full)?;
    let named = saved.registers.named().into_iter();
    let rows = named.map(|(name, value)| (name.to_owned(), format!("{value:#x}"), Some(value)));
    Some(rows.collect())
}

/// The nearest thing that is known of an address.
fn words(at: &What) -> Option<String> {
    let plus = |name: &str, offset: u64| match offset {
        0 => name.to_owned(),
        offset => format!("{name}+{offset:#x}"),
    };
    if let Some(task) = &at.task {
        let part = plus(task.part, task.offset);
        return Some(format!("{part} of {} ({})", task.comm, task.pid));
    }
    if let Some(symbol) = &at.symbol {
        let module = symbol.module.as_ref();
        let module = module.map_or(String::new(), |name| format!(" [{name}]"));
        return Some(format!("{}{module}", plus(&symbol.name, symbol.offset)));
    }
    if let Some(variable) = &at.per_cpu {
        let name = plus(&variable.name, variable.offset);
        return Some(format!("per-CPU {name} of CPU {}", variable.cpu));
    }
    if let Some(object) = &at.slab {
        let offset = plus("object", object.offset);
        return Some(format!("{offset} of slab cache {}", object.cache));
    }
    if let Some(page) = &at.page {
        return Some(format!("a page of kind {}", page.kind));
    }
    at.unmapped.as_ref().map(|_| "not mapped".to_owned())
}
