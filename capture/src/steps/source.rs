//! The crashed kernel, opened.

use dump::describe::utsname;
use plan::Plan;
use std::path::Path;
use std::sync::Arc;
use store::names;
use vmcore::dump::{self as formats, MemoryDump};
use vmcore::kernel::{Kernel, Supplement, chain, recorded};

/// Opens the plan's source as memory.
pub(super) fn dump(plan: &Plan) -> Result<Arc<dyn MemoryDump>, String> {
    formats::open(Path::new(&plan.source)).map_err(|error| {
        let hint = if plan.source == "/proc/vmcore" && !Path::new(&plan.source).exists() {
            " (this kernel was not started by a panic)"
        } else {
            ""
        };
        format!("{}{hint}", chain(&error))
    })
}

/// Opens the plan's source as a kernel. Poisoned, offline and unaccepted pages cannot be read: each is
/// looked up when it is read.
pub(super) fn kernel(plan: &Plan) -> Result<Kernel, String> {
    guard(unguarded(plan)?)
}

/// Opens it without the guard: for the core step, which classifies every page before it reads any.
pub(super) fn unguarded(plan: &Plan) -> Result<Kernel, String> {
    let first = &plan.kernel;
    let build_id = first
        .build_id
        .as_deref()
        .filter(|_| !first.addresses.is_empty());
    let supplement = Supplement {
        file: None,
        recorded: build_id
            .map(|id| recorded::to_lines(id, &first.addresses))
            .unwrap_or_default(),
    };
    Kernel::with(dump(plan)?, supplement).map_err(|error| chain(&error))
}

/// The same kernel, guarded. Each page is looked up when it is read.
pub(super) fn guard(kernel: Kernel) -> Result<Kernel, String> {
    vmcore::mm::guarded(kernel).map_err(|error| chain(&error))
}

/// Node name and time for the crash directory's name, from the crashed kernel where it has them.
pub(super) fn name_of(plan: &Plan, kernel: Option<&Kernel>) -> (String, String) {
    let crashed = || kernel.and_then(utsname).map(|uts| uts.nodename);
    let node = plan
        .dump
        .host_tag
        .clone()
        .or_else(crashed)
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| plan.kernel.nodename.clone());
    let time = kernel
        .and_then(|kernel| kernel.vmcoreinfo().crashtime())
        .unwrap_or_else(now);
    (names::reduce(node.as_bytes()), names::stamp(time))
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
