//! VMCOREINFO where the dump has no note of it: a guest that its hypervisor dumped, without QEMU's
//! `-device vmcoreinfo`. The kernel keeps the text at the start of a page of its own
//! (kernel/crash_core.c until 6.8, kernel/vmcore_info.c since; `vmcoreinfo_data`, 2.6.24 and newer).

use crate::addr::{PAGE_SIZE, Pfn};
use crate::dump::MemoryDump;

/// What the text begins with.
const START: &[u8] = b"OSRELEASE=";

/// Looks for the page in all of the dump, lowest address first.
pub(super) fn find(dump: &dyn MemoryDump) -> Option<Vec<u8>> {
    let mut from = Pfn(0);
    let mut start = [0; START.len()];
    while let Some(run) = dump.next_present(from) {
        for pfn in run.start.0..run.end.0 {
            let addr = Pfn(pfn).phys()?;
            let begins = dump.read_phys(addr, &mut start).is_ok() && start == *START;
            let text = begins.then(|| page(dump, Pfn(pfn))).flatten();
            if text.is_some() {
                return text;
            }
        }
        if run.end <= from {
            return None;
        }
        from = run.end;
    }
    None
}

/// The text of a page, if it holds what every kernel's does.
fn page(dump: &dyn MemoryDump, pfn: Pfn) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(PAGE_SIZE).ok()?];
    dump.read_phys(pfn.phys()?, &mut bytes).ok()?;
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    (holds(b"\nPAGESIZE=") && holds(b"\nSYMBOL(swapper_pg_dir)=")).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use crate::kernel::toy;
    use synth::ram::Ram;

    #[test]
    fn the_text_is_found_in_memory() {
        let mut ram = Ram::new(4, 0x200_0000);
        ram.line("PAGESIZE=4096");
        ram.put(0x10_0000, b"OSRELEASE=6.1.0 is not alone on this page");
        let text = ram.text.clone();
        ram.put(0x20_0000, text.as_bytes());
        let kernel = toy::without_note(&ram).unwrap();
        assert_eq!(
            kernel.vmcoreinfo().osrelease(),
            toy::kernel(&ram).vmcoreinfo().osrelease()
        );
    }

    #[test]
    fn a_dump_without_it_is_refused() {
        assert!(toy::without_note(&Ram::new(4, 0x200_0000)).is_err());
    }
}
