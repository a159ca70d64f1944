//! The parts that are known by name: the image, per-CPU areas, the log, modules.

use super::Collector;
use crate::unwind::cpu_stacks;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{AreaKind, Kernel, KernelError};

fn reading(what: &'static str) -> impl FnOnce(vmcore::kernel::MemError) -> KernelError {
    move |source| KernelError::Memory {
        what: what.to_owned(),
        source,
    }
}

/// The kernel image, without what was given back after booting.
pub(super) mod dump {
    use super::*;

    /// Pieces that stay: text, read-only data, data with the unwind tables behind it up to the init
    /// sections, BSS and early page tables (arch/x86/kernel/vmlinux.lds.S, 5.10 to 7.2). The gaps
    /// between them are freed by `mark_rodata_ro`, the init sections by `free_initmem`. Of each the start,
    /// what stands for it, the end, and one before it: on arm64 the init sections lie before the data, and
    /// kallsyms of 6.1 has neither `_text` nor `_end` (arch/arm64/kernel/vmlinux.lds.S).
    const PIECES: [[&str; 4]; 4] = [
        ["_text", "_stext", "_etext", "_etext"],
        [
            "__start_rodata",
            "__start_rodata",
            "__end_rodata",
            "__end_rodata",
        ],
        ["_sdata", "_sdata", "__init_begin", "_edata"],
        ["__bss_start", "__bss_start", "_end", "__bss_stop"],
    ];

    fn pieces(kernel: &Kernel) -> Result<Vec<(VirtAddr, VirtAddr)>, KernelError> {
        let found = kernel.symbols()?.lookup_many(PIECES.as_flattened());
        Ok(found.as_chunks().0.iter().filter_map(piece).collect())
    }

    /// A piece, from the addresses of its four symbols.
    fn piece(
        [start, instead, end, nearer]: &[Option<VirtAddr>; 4],
    ) -> Option<(VirtAddr, VirtAddr)> {
        let start = start.or(*instead)?;
        let end = end.filter(|end| *end > start).or(*nearer)?;
        (start < end).then_some((start, end))
    }

    #[cfg(test)]
    #[test]
    fn a_piece_ends_behind_its_start() {
        let at = |n: u64| (n != 0).then_some(VirtAddr(n));
        let of = |four: [u64; 4]| piece(&four.map(at)).map(|(start, end)| (start.0, end.0));
        assert_eq!(of([1, 2, 9, 8]), Some((1, 9)));
        // The init sections of arm64 lie before the data.
        assert_eq!(of([5, 5, 3, 7]), Some((5, 7)));
        assert_eq!(of([0, 2, 0, 8]), Some((2, 8)));
        for none in [[0, 0, 9, 9], [5, 5, 3, 0], [5, 5, 0, 4], [5, 5, 5, 5]] {
            assert_eq!(of(none), None);
        }
    }

    /// Physical addresses of the pieces. What lies between them is the allocator's by now.
    pub(in super::super) fn physical(kernel: &Kernel) -> Result<Vec<(u64, u64)>, KernelError> {
        pieces(kernel)?
            .into_iter()
            .map(|(start, end)| {
                let pa = kernel
                    .translate(start)
                    .map_err(reading("the kernel image"))?;
                let len = end.offset_from(start).unwrap_or(0);
                Ok((pa.0, pa.0.saturating_add(len)))
            })
            .collect()
    }

    pub(in super::super) fn collect(collector: &mut Collector<'_>) -> Result<(), KernelError> {
        let pieces = pieces(collector.kernel)?;
        if pieces.len() < PIECES.len() {
            collector.warn("parts of the kernel image are not known by name".to_owned());
        }
        for (start, end) in pieces {
            collector.take(start, end.offset_from(start).unwrap_or(0));
        }
        Ok(())
    }
}

/// What belongs to CPUs: their areas, their stacks, the registers they saved.
pub(super) mod cpus {
    use super::*;

    /// More than the static per-CPU area of any kernel.
    const MAX_AREA: u64 = 8 << 20;

    pub(in super::super) fn collect(collector: &mut Collector<'_>) -> Result<(), KernelError> {
        let kernel = collector.kernel;
        let found = kernel
            .symbols()?
            .lookup_many(&["__per_cpu_start", "__per_cpu_end"]);
        let [Some(start), Some(end)] = found.as_slice() else {
            return Err(KernelError::NoSymbol {
                name: "__per_cpu_start".to_owned(),
            });
        };
        let len = end.offset_from(*start).unwrap_or(0);
        let len = first_chunk(kernel, len).unwrap_or(len).min(MAX_AREA);
        let cpus: Vec<u32> = kernel.possible_cpus()?.iter().collect();
        for &cpu in &cpus {
            collector.take(kernel.per_cpu(*start, cpu)?, len);
            // Reading the registers records where they lie.
            let _ = kernel.prstatus(cpu);
        }
        for &cpu in &cpus {
            for (_, start, end) in cpu_stacks(kernel, cpu) {
                collector.take(VirtAddr(start), end.saturating_sub(start));
            }
        }
        Ok(())
    }

    /// The length of the first chunk's part for one CPU: static, reserved and dynamic variables.
    /// What the unit has beyond that was given back (mm/percpu.c, `pcpu_embed_first_chunk`).
    fn first_chunk(kernel: &Kernel, static_len: u64) -> Option<u64> {
        let chunk = kernel
            .read_ptr(kernel.symbol("pcpu_first_chunk").ok()?)
            .ok()?;
        let base = kernel
            .read_u64(kernel.symbol("pcpu_base_addr").ok()?)
            .ok()?;
        let start = kernel.read_field(chunk, "pcpu_chunk", "base_addr").ok()?;
        let pages = kernel.read_field(chunk, "pcpu_chunk", "nr_pages").ok()?;
        let end = start.checked_add((pages & 0xffff_ffff).checked_mul(4096)?)?;
        end.checked_sub(base).filter(|&len| len >= static_len)
    }
}

/// The log.
pub(super) mod log {
    use super::*;

    pub(in super::super) fn collect(collector: &mut Collector<'_>) -> Result<(), KernelError> {
        // Reading it records it, descriptors and all; nothing of it is kept here.
        let mut sink = std::io::sink();
        vmcore::printk::write_dmesg(collector.kernel, &mut sink)
            .map(drop)
            .map_err(|error| KernelError::Unavailable {
                what: "The log",
                why: vmcore::kernel::chain(&error),
            })
    }
}

/// Modules: what they hold, their types.
pub(super) mod modules {
    use super::*;

    /// More than the BTF of any module.
    const MAX_BTF: u64 = 16 << 20;

    pub(in super::super) fn collect(collector: &mut Collector<'_>) -> Result<(), KernelError> {
        let kernel = collector.kernel;
        for module in kernel.modules()? {
            for area in &module.areas {
                if area.kind != AreaKind::Init {
                    collector.take(area.base, area.size);
                }
            }
        }
        // Before 5.11 modules have no BTF.
        let Ok(head) = kernel.symbol("btf_modules") else {
            return Ok(());
        };
        let link = kernel.member("btf_module", "list")?.offset;
        for entry in kernel.list(head, link, 4096, "the list of modules' BTF") {
            let btf = VirtAddr(kernel.read_field(entry?, "btf_module", "btf")?);
            let data = VirtAddr(kernel.read_field(btf, "btf", "data")?);
            let size = kernel.read_field(btf, "btf", "data_size")?;
            collector.take(data, size.min(MAX_BTF));
        }
        Ok(())
    }
}
