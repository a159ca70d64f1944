//! Return addresses that tracers replaced, and where they keep the real ones.
//!
//! Facts: kernel/trace/{rethook,fgraph}.c, kernel/kprobes.c, arch/x86/kernel/{rethook,unwind_orc}.c.
//! Rethooks (5.18 on) and kretprobes (5.11 to 5.17) keep a list at the task, newest first, with the
//! stack slot of each replaced address. The function graph tracer keeps records with `ret` and `retp`
//! in `task.ret_stack`: an array up to 6.10, packed among other words since; the word that equals the
//! slot is looked for in either.

use super::tables::Tables;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;
use vmcore::kernel::Kernel;

/// The trampolines' symbols, and which records belong to each.
const NAMES: [(&str, Records); 4] = [
    ("arch_rethook_trampoline", Records::List),
    ("__kretprobe_trampoline", Records::List),
    ("kretprobe_trampoline", Records::List),
    ("return_to_handler", Records::Stack),
];
/// More records than one task can have, against a list that runs in a circle.
const MAX_RECORDS: usize = 512;
/// SHADOW_STACK_SIZE (6.11 on), and more than the array before it.
const STACK_BYTES: u64 = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Records {
    List,
    Stack,
}

/// Members of the list's records and of the stack's.
#[derive(Clone, Copy, Debug)]
struct Members {
    /// In the task.
    head: u64,
    /// In the record: its place in the list.
    link: u64,
    /// The real return address.
    ret: u64,
    /// Where it belongs.
    slot: u64,
}

/// What is known of trampolines in one kernel.
pub(super) struct Trampolines {
    at: Vec<(u64, Records)>,
    list: Option<Members>,
    stack: Option<Members>,
}

impl Trampolines {
    /// Finds the trampolines and the records' layouts.
    #[must_use]
    pub(super) fn find(kernel: &Kernel) -> Self {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        let found = kernel
            .symbols()
            .map(|symbols| symbols.lookup_many(&names))
            .unwrap_or_default();
        let at = found
            .into_iter()
            .zip(NAMES)
            .filter_map(|(addr, (_, records))| Some((addr?.0, records)))
            .collect();
        let of = |ty: &str, member: &str| kernel.offset_of(ty, member).ok();
        let rethook = || {
            Some(Members {
                head: of("task_struct", "rethooks")?,
                link: of("rethook_node", "llist")?,
                ret: of("rethook_node", "ret_addr")?,
                slot: of("rethook_node", "frame")?,
            })
        };
        let kretprobe = || {
            Some(Members {
                head: of("task_struct", "kretprobe_instances")?,
                link: of("kretprobe_instance", "llist")?,
                ret: of("kretprobe_instance", "ret_addr")?,
                slot: of("kretprobe_instance", "fp")?,
            })
        };
        let graph = || {
            Some(Members {
                head: of("task_struct", "ret_stack")?,
                link: 0,
                ret: of("ftrace_ret_stack", "ret")?,
                slot: of("ftrace_ret_stack", "retp")?,
            })
        };
        Self {
            at,
            list: rethook().or_else(kretprobe),
            stack: graph(),
        }
    }

    /// For a return address that is a trampoline: the real one, `None` inside if no record tells.
    #[must_use]
    pub(super) fn hidden(
        &self,
        pages: &Pages<'_>,
        tables: &Tables,
        task: Option<VirtAddr>,
        pc: u64,
        slot: VirtAddr,
    ) -> Option<Option<u64>> {
        let (_, records) = self.at.iter().find(|(at, _)| *at == pc)?;
        let real = task.and_then(|task| match records {
            Records::List => self.in_list(pages, task, pc, slot),
            Records::Stack => self.in_stack(pages, task, pc, slot),
        });
        Some(real.filter(|&real| tables.is_text(real)))
    }

    fn in_list(&self, pages: &Pages<'_>, task: VirtAddr, pc: u64, slot: VirtAddr) -> Option<u64> {
        let members = self.list?;
        let mut node = pages.word_at(task, members.head)?;
        for _ in 0..MAX_RECORDS {
            if node == 0 {
                return None;
            }
            let record = VirtAddr(node.wrapping_sub(members.link));
            let ret = pages.word_at(record, members.ret)?;
            // Several probes of one function share the slot; all but the last hide a trampoline.
            if pages.word_at(record, members.slot)? == slot.0 && ret != pc {
                return Some(ret);
            }
            node = pages.word(VirtAddr(node))?;
        }
        None
    }

    fn in_stack(&self, pages: &Pages<'_>, task: VirtAddr, pc: u64, slot: VirtAddr) -> Option<u64> {
        let members = self.stack?;
        let stack = VirtAddr(pages.word_at(task, members.head)?);
        (0..STACK_BYTES / 8).find_map(|i| {
            let word = stack.checked_add(i * 8)?;
            if pages.word(word)? != slot.0 {
                return None;
            }
            let record = word.checked_sub(members.slot)?;
            pages.word_at(record, members.ret).filter(|&ret| ret != pc)
        })
    }
}

#[cfg(test)]
mod tests;
