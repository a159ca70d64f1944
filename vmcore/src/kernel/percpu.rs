//! Per-CPU variables and the masks of CPUs.
//!
//! Facts: include/linux/percpu-defs.h, mm/percpu.c, kernel/cpu.c. The address of a per-CPU variable
//! is symbol + `__per_cpu_offset[cpu]` modulo 2^64, with the symbol's kallsyms value as it is:
//! that holds for the zero-based symbols up to 6.14 and for the ordinary ones since.

use super::{Kernel, KernelError};
use crate::addr::VirtAddr;

/// A set of CPU numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CpuMask {
    words: Vec<u64>,
}

impl CpuMask {
    /// From the words of a `struct cpumask`.
    #[must_use]
    pub(crate) fn from_words(words: Vec<u64>) -> Self {
        Self { words }
    }

    fn add(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// Whether CPU `cpu` is in it.
    #[must_use]
    pub fn contains(&self, cpu: u32) -> bool {
        self.words
            .get(cpu as usize / 64)
            .is_some_and(|word| word >> (cpu % 64) & 1 == 1)
    }

    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let bits = u32::try_from(self.words.len().saturating_mul(64)).unwrap_or(u32::MAX);
        (0..bits).filter(|&cpu| self.contains(cpu))
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&w| w == 0)
    }
}

/// What is read once: the masks and the offsets of the possible CPUs.
pub(super) struct PerCpu {
    possible: CpuMask,
    /// Those that the panic stopped among them.
    online: CpuMask,
    offsets: Vec<u64>,
}

/// NR_CPUS of the largest kernels built.
const MAX_CPUS: u64 = 8192;

impl PerCpu {
    fn read(kernel: &Kernel) -> Result<Self, KernelError> {
        let bytes = mask_bytes(kernel)?.clamp(8, MAX_CPUS / 8);
        let mask = |name: &str| -> Result<CpuMask, KernelError> {
            let at = kernel.symbol(name)?;
            let words = (0..bytes / 8)
                .map(|i| kernel.read_u64(at.wrapping_add(i * 8)))
                .collect::<Result<_, _>>()
                .map_err(KernelError::reading(name))?;
            Ok(CpuMask::from_words(words))
        };
        let possible = mask("__cpu_possible_mask")?;
        let mut online = mask("__cpu_online_mask")?;
        if let Ok(active) = mask("__cpu_active_mask") {
            online.add(&active);
        }
        let table = kernel.symbol("__per_cpu_offset")?;
        let last = possible.iter().last().map_or(0, |cpu| cpu + 1);
        let offsets = (0..u64::from(last))
            .map(|cpu| kernel.read_u64(table.wrapping_add(cpu * 8)))
            .collect::<Result<_, _>>()
            .map_err(KernelError::reading("__per_cpu_offset"))?;
        Ok(Self {
            possible,
            online,
            offsets,
        })
    }
}

/// Bytes of a `struct cpumask`: NR_CPUS bits by BTF, or as many as `nr_cpu_ids` says are in use. The
/// variable is missing in kernels with CONFIG_FORCE_NR_CPUS (6.1 and newer).
fn mask_bytes(kernel: &Kernel) -> Result<u64, KernelError> {
    let typed = kernel
        .types()
        .and_then(|types| types.size_of("cpumask"))
        .ok();
    if let Some(bytes) = typed {
        return Ok(bytes);
    }
    let ids = kernel
        .read_u32(kernel.symbol("nr_cpu_ids")?)
        .map_err(KernelError::reading("nr_cpu_ids"))?;
    match u64::from(ids) {
        ids @ 1..=MAX_CPUS => Ok(ids.div_ceil(64) * 8),
        ids => Err(KernelError::Corrupt {
            what: "The number of CPUs",
            why: format!("nr_cpu_ids is {ids}"),
        }),
    }
}

impl Kernel {
    fn percpu(&self) -> Result<&PerCpu, KernelError> {
        self.percpu
            .get_or_init(|| PerCpu::read(self))
            .as_ref()
            .map_err(|why| KernelError::unavailable("The per-CPU table", why))
    }

    /// The CPUs that were online when the kernel died. Where no capture kernel is armed, and on arm64 always, each CPU
    /// that the panic stops takes itself out of the mask of those online (`set_cpu_online(cpu, false)` in
    /// arch/{x86,arm64,powerpc,riscv}/kernel, 5.10 to 7.2), but not out of those that are active. A CPU that is taken
    /// offline by hand leaves the active ones first (kernel/sched/core.c, `sched_cpu_deactivate`).
    ///
    /// # Errors
    /// When the masks or `__per_cpu_offset` cannot be found or read.
    pub fn online_cpus(&self) -> Result<&CpuMask, KernelError> {
        Ok(&self.percpu()?.online)
    }

    /// The CPUs that have per-CPU areas.
    ///
    /// # Errors
    /// As [`Self::online_cpus`].
    pub fn possible_cpus(&self) -> Result<&CpuMask, KernelError> {
        Ok(&self.percpu()?.possible)
    }

    /// Whether a symbol's address is that of a per-CPU variable: one between `__per_cpu_start` and
    /// `__per_cpu_end`, which are offsets up to 6.14 and addresses in the image since, or one of a module's.
    #[must_use]
    pub fn is_per_cpu(&self, symbol: VirtAddr) -> bool {
        let bounds = ["__per_cpu_start", "__per_cpu_end"].map(|name| self.symbol(name));
        let in_image =
            matches!(bounds, [Ok(start), Ok(end)] if (start.0..end.0).contains(&symbol.0));
        let mut modules = self.modules().unwrap_or_default().iter();
        in_image || modules.any(|module| module.holds_per_cpu(symbol))
    }

    /// Where a per-CPU variable of one CPU lies. `symbol` is its kallsyms value, or a `__percpu`
    /// pointer.
    ///
    /// # Errors
    /// As [`Self::online_cpus`], and for a CPU that is not possible.
    pub fn per_cpu(&self, symbol: VirtAddr, cpu: u32) -> Result<VirtAddr, KernelError> {
        let percpu = self.percpu()?;
        percpu
            .offsets
            .get(cpu as usize)
            .filter(|_| percpu.possible.contains(cpu))
            .map(|&offset| symbol.wrapping_add(offset))
            .ok_or_else(|| KernelError::Corrupt {
                what: "A CPU number",
                why: format!("CPU {cpu} is not a possible CPU"),
            })
    }
}

#[cfg(test)]
mod tests {
    use crate::kernel::toy;
    use synth::ram::Ram;

    const MASKS: u64 = 0xffff_ffff_8110_0000;

    /// A kernel without BTF, 100 of whose 256 CPUs are possible.
    fn hundred() -> Ram {
        let mut ram = Ram::new(4, 0);
        for (name, at) in [
            ("__cpu_possible_mask", MASKS),
            ("__cpu_online_mask", MASKS + 0x100),
            ("__per_cpu_offset", MASKS + 0x1000),
        ] {
            ram.line(&format!("SYMBOL({name})={at:x}"));
        }
        for mask in [MASKS, MASKS + 0x100] {
            ram.put_image64(mask, u64::MAX);
            ram.put_image64(mask + 8, (1 << 36) - 1);
        }
        ram.put_image64(MASKS + 0x1000 + 99 * 8, 0x9900);
        ram
    }

    #[test]
    fn more_than_64_cpus_are_counted_without_btf() {
        let mut ram = hundred();
        ram.line(&format!("SYMBOL(nr_cpu_ids)={:x}", MASKS + 0x200));
        ram.put_image(MASKS + 0x200, &100_u32.to_le_bytes());
        let kernel = toy::kernel(&ram);
        assert_eq!(kernel.possible_cpus().unwrap().len(), 100);
        assert_eq!(kernel.online_cpus().unwrap().len(), 100);
        let last = kernel.per_cpu(crate::addr::VirtAddr(0x10), 99).unwrap();
        assert_eq!(last.0, 0x9910);
    }

    #[test]
    fn a_cpu_that_the_panic_stopped_was_online() {
        let mut ram = hundred();
        ram.line(&format!("SYMBOL(nr_cpu_ids)={:x}", MASKS + 0x200));
        ram.put_image(MASKS + 0x200, &100_u32.to_le_bytes());
        // All but CPUs 98 and 99 are online; of these the last is active.
        ram.put_image64(MASKS + 0x108, (1 << 34) - 1);
        assert_eq!(toy::kernel(&ram).online_cpus().unwrap().len(), 98);
        ram.line(&format!("SYMBOL(__cpu_active_mask)={:x}", MASKS + 0x300));
        ram.put_image64(MASKS + 0x300, u64::MAX);
        ram.put_image64(MASKS + 0x308, ((1 << 34) - 1) | 1 << 35);
        let kernel = toy::kernel(&ram);
        let online = kernel.online_cpus().unwrap();
        assert!(online.contains(97) && !online.contains(98) && online.contains(99));
        assert_eq!(online.len(), 99);
    }

    #[test]
    fn an_unknown_number_of_cpus_is_not_64() {
        assert!(toy::kernel(&hundred()).online_cpus().is_err());
        let mut ram = hundred();
        ram.line(&format!("SYMBOL(nr_cpu_ids)={:x}", MASKS + 0x200));
        ram.put_image(MASKS + 0x200, &u32::MAX.to_le_bytes());
        let why = toy::kernel(&ram).online_cpus().unwrap_err();
        assert!(why.to_string().contains("nr_cpu_ids is"), "{why}");
    }
}
