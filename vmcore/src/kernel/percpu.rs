//! Per-CPU variables and the masks of CPUs.
//!
//! Facts: include/linux/percpu-defs.h, mm/percpu.c, kernel/cpu.c. The address of a per-CPU variable
//! is symbol + `__per_cpu_offset[cpu]` modulo 2^64, with the symbol's kallsyms value as it is:
//! that holds for the zero-based symbols up to 6.14 and for the ordinary ones since.

use super::{Kernel, KernelError, chain};
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
    online: CpuMask,
    offsets: Vec<u64>,
}

/// NR_CPUS of the largest kernels built.
const MAX_CPUS: u64 = 8192;

impl PerCpu {
    fn read(kernel: &Kernel) -> Result<Self, KernelError> {
        // The mask's size is NR_CPUS bits; BTF knows it. Without BTF the first word is certain.
        let bytes = kernel
            .types()
            .and_then(|types| types.size_of("cpumask"))
            .unwrap_or(8)
            .clamp(8, MAX_CPUS / 8);
        let mask = |name: &str| -> Result<CpuMask, KernelError> {
            let at = kernel.symbol(name)?;
            let words = (0..bytes / 8)
                .map(|i| kernel.read_u64(at.wrapping_add(i * 8)))
                .collect::<Result<_, _>>()
                .map_err(KernelError::reading(name))?;
            Ok(CpuMask::from_words(words))
        };
        let possible = mask("__cpu_possible_mask")?;
        let online = mask("__cpu_online_mask")?;
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

impl Kernel {
    fn percpu(&self) -> Result<&PerCpu, KernelError> {
        self.percpu
            .get_or_init(|| PerCpu::read(self).map_err(|error| chain(&error)))
            .as_ref()
            .map_err(|why| KernelError::Unavailable {
                what: "The per-CPU table",
                why: why.clone(),
            })
    }

    /// The CPUs that were online.
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
