//! The panic notifiers and kmsg dumpers that were registered, and whether they ran.
//!
//! Facts: kernel/panic.c, kernel/notifier.c, kernel/printk/printk.c (`kmsg_dump`), 5.10 to 7.x. In the
//! order in which panic() does it: the jump to the capture kernel unless `crash_kexec_post_notifiers`,
//! the notifiers by descending priority, the dumpers in list order, the jump if
//! `crash_kexec_post_notifiers`. Nothing is attributed to a notifier because of what the log says.

mod evidence;
pub mod text;

pub use text::write_panic_log;

use crate::hex::Hex;
use crate::reason::Reason;
use crate::unwind::{Unwinder, panic_cpu};
use evidence::{Facts, Stage};
use serde::{Deserialize, Serialize};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, chain};

/// More callbacks than any kernel registers, against a list that runs in a circle.
const MAX_HOOKS: usize = 256;

/// What was registered for a panic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notifiers {
    /// `crash_kexec_post_notifiers`: whether the notifiers come before the jump to the capture kernel.
    pub post_notifiers: Option<bool>,
    /// How far panic() came, and how that is known.
    pub evidence: String,
    /// `panic_notifier_list`, in the order of calling.
    pub notifiers: Vec<Hook>,
    /// `dump_list`: the kmsg dumpers, in the order of calling, after the notifiers.
    pub dumpers: Vec<Hook>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// A callback.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// The function; its address in hex when no symbol covers it.
    pub function: String,
    /// Its address.
    pub address: Hex,
    /// The module it is in.
    pub module: Option<String>,
    /// The notifier's priority, highest called first. Dumpers have none.
    pub priority: Option<i32>,
    /// Whether it ran.
    pub outcome: Outcome,
    /// How that is known.
    pub evidence: String,
}

/// Whether a callback ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was called. The evidence says if it had not returned.
    Ran,
    /// It was registered and not called.
    NotReached,
    /// The dump does not tell.
    Unknown,
}

/// Reads the lists and says what ran. `ended`: the log holds panic()'s last line.
#[must_use]
pub fn read(kernel: &Kernel, unwinder: &Unwinder<'_>, reason: &Reason, ended: bool) -> Notifiers {
    let names = [
        "crash_kexec_post_notifiers",
        "panic_notifier_list",
        "dump_list",
    ];
    let found = kernel.symbols().map(|symbols| symbols.lookup_many(&names));
    let at = |i: usize| {
        found
            .as_ref()
            .ok()
            .and_then(|found| found.get(i).copied().flatten())
    };
    let post_notifiers = at(0)
        .and_then(|flag| kernel.read_u8(flag).ok())
        .map(|flag| flag != 0);
    let mut warnings = Vec::new();
    let mut gather = |what: &str, list: Result<Vec<Hook>, KernelError>| {
        list.unwrap_or_else(|error| {
            warnings.push(format!("{what}: {}", chain(&error)));
            Vec::new()
        })
    };
    let mut notifiers = gather("the panic notifiers", notifier_list(kernel, at(1)));
    let mut dumpers = gather("the kmsg dumpers", dumper_list(kernel, at(2)));
    let cpu = panic_cpu(kernel);
    let facts = Facts {
        post_notifiers,
        jumped: kernel.vmcoreinfo().crashtime().is_some(),
        panicked: cpu.is_some() || reason.message.is_some(),
        ended,
        calls: cpu
            .map(|cpu| evidence::panic_calls(&unwinder.cpu(cpu)))
            .unwrap_or_default(),
    };
    let (stages, evidence) = facts.stages();
    mark(&mut notifiers, &stages, Stage::of_notifier);
    mark(&mut dumpers, &stages, Stage::of_dumper);
    Notifiers {
        post_notifiers,
        evidence,
        notifiers,
        dumpers,
        warnings,
    }
}

/// Marks each hook by every panic that is known of (a notifier may panic in turn): it ran if one of
/// them reached it, and was not reached if none did.
fn mark(
    hooks: &mut [Hook],
    stages: &[Stage],
    outcome: fn(&Stage, usize, Option<usize>) -> (Outcome, &'static str),
) {
    let addresses: Vec<u64> = hooks.iter().map(|hook| hook.address.0).collect();
    for (i, hook) in hooks.iter_mut().enumerate() {
        let verdicts: Vec<_> = stages
            .iter()
            .map(|stage| {
                let inside = stage
                    .inside()
                    .and_then(|at| addresses.iter().position(|&hook| hook == at));
                outcome(stage, i, inside)
            })
            .collect();
        let best = [Outcome::Ran, Outcome::Unknown, Outcome::NotReached]
            .into_iter()
            .find_map(|wanted| verdicts.iter().find(|(outcome, _)| *outcome == wanted));
        if let Some((outcome, evidence)) = best {
            hook.outcome = *outcome;
            hook.evidence = (*evidence).to_string();
        }
    }
}

fn hook(kernel: &Kernel, address: u64, priority: Option<i32>) -> Hook {
    let symbol = kernel.resolve(VirtAddr(address));
    Hook {
        function: symbol
            .as_ref()
            .filter(|symbol| symbol.offset == 0)
            .map_or_else(|| format!("{address:#x}"), |symbol| symbol.name.clone()),
        address: Hex(address),
        module: symbol.and_then(|symbol| symbol.module),
        priority,
        outcome: Outcome::Unknown,
        evidence: String::new(),
    }
}

fn missing(name: &str) -> KernelError {
    KernelError::NoSymbol { name: name.into() }
}

/// The chain, which is a plain list that ends in NULL.
fn notifier_list(kernel: &Kernel, list: Option<VirtAddr>) -> Result<Vec<Hook>, KernelError> {
    let list = list.ok_or_else(|| missing("panic_notifier_list"))?;
    let head = kernel.offset_of("atomic_notifier_head", "head")?;
    let member = |name: &str| kernel.member("notifier_block", name);
    let (call, next, priority) = (
        member("notifier_call")?,
        member("next")?,
        member("priority")?,
    );
    let reading = |source| KernelError::Memory {
        what: "panic_notifier_list".into(),
        source,
    };
    let mut out = Vec::new();
    let mut block = kernel.read_ptr(list.wrapping_add(head)).map_err(reading)?;
    while block.0 != 0 {
        if out.len() >= MAX_HOOKS {
            return Err(KernelError::Corrupt {
                what: "panic_notifier_list",
                why: format!("it has more than {MAX_HOOKS} entries"),
            });
        }
        let level = u32::try_from(kernel.read_member(block, &priority)? & 0xffff_ffff).ok();
        let function = kernel.read_member(block, &call)?;
        out.push(hook(kernel, function, level.map(u32::cast_signed)));
        block = VirtAddr(kernel.read_member(block, &next)?);
    }
    Ok(out)
}

fn dumper_list(kernel: &Kernel, list: Option<VirtAddr>) -> Result<Vec<Hook>, KernelError> {
    let list = list.ok_or_else(|| missing("dump_list"))?;
    let link = kernel.offset_of("kmsg_dumper", "list")?;
    let dump = kernel.member("kmsg_dumper", "dump")?;
    let limit = u64::try_from(MAX_HOOKS).unwrap_or(u64::MAX);
    kernel
        .list(list, link, limit, "the list of kmsg dumpers")
        .map(|dumper| {
            let function = kernel.read_member(dumper?, &dump)?;
            Ok(hook(kernel, function, None))
        })
        .collect()
}
