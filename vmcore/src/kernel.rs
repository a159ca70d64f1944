//! The crashed kernel as something that can be asked: memory by address, symbols and structure
//! members by name.
//!
//! Everything is taken from the dump itself: VMCOREINFO says where the page tables and kallsyms
//! are, kallsyms says where BTF is, BTF knows the structures. The tables are read when first asked
//! for. Names are the only way to a structure here; there are no built-in offsets.

mod btf;
mod error;
mod find_note;
mod image;
mod kallsyms;
mod layout;
mod list;
mod memory;
mod modules;
mod percpu;
mod prstatus;
pub mod recorded;
pub mod sanity;
#[cfg(test)]
pub(crate) mod toy;
mod vmcoreinfo;

pub use btf::{Field, Member, Record as TypeRecord, Strings as TypeStrings, TypeKind, Types};
pub use error::{KernelError, MemError, chain};
pub use kallsyms::{Resolved, Symbol, SymbolFile, SymbolFileError, Symbols};
pub use list::{List, Tree};
pub use memory::{Direct, Memory};
pub use modules::{Area, AreaKind, Module};
pub use percpu::CpuMask;
pub use vmcoreinfo::Vmcoreinfo;

use crate::addr::VirtAddr;
use crate::arch::{self, Arch};
use crate::dump::MemoryDump;
use crate::layout::elf::EM_NONE;
use crate::order::Order;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

/// A crashed kernel.
pub struct Kernel {
    arch: &'static Arch,
    memory: Arc<Memory>,
    vmcoreinfo: Arc<Vmcoreinfo>,
    symbols: OnceLock<Result<Symbols, KernelError>>,
    types: OnceLock<Result<Arc<Types>, KernelError>>,
    modules: OnceLock<Result<Arc<Vec<Module>>, KernelError>>,
    module_types: Mutex<BTreeMap<String, Arc<Types>>>,
    percpu: OnceLock<Result<percpu::PerCpu, KernelError>>,
    supplement: Supplement,
}

/// What is known of a kernel from outside its dump, for where the dump says nothing. The caller checks
/// that it belongs to this very kernel.
#[derive(Clone, Debug, Default)]
pub struct Supplement {
    /// The symbols of a file.
    pub file: Option<Arc<SymbolFile>>,
    /// Addresses that arming recorded, see [`recorded`]; lines of another build are not used.
    pub recorded: String,
}

impl std::ops::Deref for Kernel {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.memory
    }
}

impl Kernel {
    /// Finds the kernel in a dump by its VMCOREINFO: the note, or where there is none (QEMU's dumps of a
    /// guest without a vmcoreinfo device) the text in the kernel's own memory, which takes one look at
    /// every page.
    ///
    /// # Errors
    /// When there is none, when it lacks the keys that address translation needs, or when the
    /// machine or page size is not one that is known.
    pub fn new(dump: Arc<dyn MemoryDump>) -> Result<Self, KernelError> {
        Self::with(dump, Supplement::default())
    }

    /// As [`Self::new`], with what is known from outside the dump.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(dump: Arc<dyn MemoryDump>, supplement: Supplement) -> Result<Self, KernelError> {
        let info = dump.info();
        let arch = arch::of(info.machine);
        // A kdump file of QEMU names no machine: the text in memory tells it.
        let unnamed = info.machine == EM_NONE && info.vmcoreinfo.is_none();
        if arch.is_none() && !unnamed {
            let machine = info.machine;
            return Err(KernelError::Machine { machine });
        }
        let noted = info.vmcoreinfo.as_deref().map(Vmcoreinfo::parse);
        let (arch, vmcoreinfo) = match (arch, noted) {
            (Some(arch), Some(text)) => (arch, text),
            (arch, _) => find_note::in_memory(arch, &*dump).ok_or(KernelError::NoVmcoreinfo)?,
        };
        Self::of(arch, dump, vmcoreinfo, supplement)
    }

    fn of(
        arch: &'static Arch,
        dump: Arc<dyn MemoryDump>,
        mut vmcoreinfo: Vmcoreinfo,
        mut supplement: Supplement,
    ) -> Result<Self, KernelError> {
        let info = dump.info();
        let noted = recorded::of_notes(&info.notes, &vmcoreinfo);
        if !noted.is_empty() || !recorded::is_for(&supplement.recorded, &vmcoreinfo) {
            supplement.recorded = noted;
        }
        let recorded = recorded::symbols(&supplement.recorded, &vmcoreinfo);
        vmcoreinfo.add_symbols(recorded);
        if let Some(file) = &supplement.file {
            let told = recorded::WANTED
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), file.lookup(name, &vmcoreinfo)?)));
            let told: Vec<_> = told.collect();
            vmcoreinfo.add_symbols(told);
        }
        let layout = layout::of(arch, &vmcoreinfo, &*dump)?;
        Ok(Self {
            arch,
            memory: Arc::new(Memory::new(dump, layout)),
            vmcoreinfo: Arc::new(vmcoreinfo),
            symbols: OnceLock::new(),
            types: OnceLock::new(),
            modules: OnceLock::new(),
            module_types: Mutex::default(),
            percpu: OnceLock::new(),
            supplement,
        })
    }

    /// The same kernel, seen through another dump of its memory.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn on(&self, dump: Arc<dyn MemoryDump>) -> Result<Self, KernelError> {
        let vmcoreinfo = self.vmcoreinfo.as_ref().clone();
        Self::of(self.arch, dump, vmcoreinfo, self.supplement.clone())
    }

    /// Its architecture.
    #[must_use]
    pub fn arch(&self) -> &'static Arch {
        self.arch
    }

    /// The dump.
    #[must_use]
    pub fn dump(&self) -> &Arc<dyn MemoryDump> {
        self.memory.dump()
    }

    /// The addresses recorded while it ran ([`recorded`]), out of the dump or from outside it.
    #[must_use]
    pub fn recorded(&self) -> &str {
        &self.supplement.recorded
    }

    /// What the kernel says of itself.
    #[must_use]
    pub fn vmcoreinfo(&self) -> &Vmcoreinfo {
        &self.vmcoreinfo
    }

    /// Its memory, to be shared with threads of their own.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Virtual minus physical address of the direct map, best source first: what the dump says, the
    /// kernel's variable `page_offset_base`.
    #[must_use]
    pub fn direct_map_base(&self) -> Option<u64> {
        if let Some(direct) = self.memory.direct() {
            return Some(direct.base);
        }
        let variable = self.symbols().ok()?.lookup("page_offset_base")?;
        self.memory.read_u64(variable).ok()
    }

    /// The symbol table, found on first use.
    ///
    /// # Errors
    /// When VMCOREINFO does not say where it is, or it cannot be read.
    pub fn symbols(&self) -> Result<&Symbols, KernelError> {
        self.symbols
            .get_or_init(|| {
                let own = Symbols::find(&self.memory, &self.vmcoreinfo);
                own.or_else(|error| {
                    let file = self.supplement.file.as_ref();
                    file.and_then(|file| Symbols::from_file(file, &self.vmcoreinfo))
                        .ok_or(error)
                })
            })
            .as_ref()
            .map_err(|why| KernelError::Unavailable {
                what: "The symbol table",
                why: match why {
                    // The same words are before it already.
                    KernelError::Unavailable { why, .. } => why.clone(),
                    other => chain(other),
                },
            })
    }

    /// The address of a name: from VMCOREINFO, then from kallsyms.
    ///
    /// # Errors
    /// When neither knows it.
    pub fn symbol(&self, name: &str) -> Result<VirtAddr, KernelError> {
        if let Some(addr) = self.vmcoreinfo.symbol(name) {
            return Ok(addr);
        }
        self.symbols()?
            .lookup(name)
            .ok_or_else(|| KernelError::NoSymbol {
                name: name.to_owned(),
            })
    }

    /// The type information of the kernel proper, read on first use.
    ///
    /// # Errors
    /// When there is none (CONFIG_DEBUG_INFO_BTF off) or it cannot be read.
    pub fn types(&self) -> Result<&Arc<Types>, KernelError> {
        self.types
            .get_or_init(|| Types::find(self).map(Arc::new))
            .as_ref()
            .map_err(|why| KernelError::unavailable("The type information (BTF)", why))
    }

    /// The symbol that an address belongs to, in the kernel or in a module.
    #[must_use]
    pub fn resolve(&self, va: VirtAddr) -> Option<Resolved> {
        let symbols = self.symbols().ok()?;
        if let Some(resolved) = symbols.resolve(va) {
            return Some(resolved);
        }
        self.modules().ok()?;
        symbols.resolve(va)
    }

    /// A member by type and dotted path, from BTF alone.
    ///
    /// # Errors
    /// When there is no BTF, no such type or no such member.
    pub fn member(&self, ty: &str, path: &str) -> Result<Member, KernelError> {
        self.types()?.member(ty, path)
    }

    /// Reads an integer, pointer, enum or bitfield member of the object at `base`. A signed one is
    /// not sign-extended.
    ///
    /// # Errors
    /// When it cannot be read, or is larger than 8 bytes.
    pub fn read_member(&self, base: VirtAddr, member: &Member) -> Result<u64, KernelError> {
        let at = base.wrapping_add(member.offset);
        let size = match member.bits {
            Some(bits) => u64::from((member.bit + bits).div_ceil(8)),
            None => member.size,
        };
        let mut bytes = [0u8; 8];
        let slice = usize::try_from(size)
            .ok()
            .and_then(|size| bytes.get_mut(..size))
            .ok_or_else(|| KernelError::Corrupt {
                what: "A member to be read as a number",
                why: format!("it has {size} bytes"),
            })?;
        self.memory
            .read(at, slice)
            .map_err(KernelError::reading("a member of a structure"))?;
        // BTF counts a bit-field's bits from the side that the order begins with.
        let (value, below) = match self.order() {
            Order::Little => (u64::from_le_bytes(bytes), member.bit),
            Order::Big => {
                let unused = 64_u64.saturating_sub(size.saturating_mul(8));
                let value = u64::from_be_bytes(bytes).checked_shr(unused as u32);
                let after = member.bits.map(|bits| (member.bit + bits) as u64);
                let below = size.saturating_mul(8).saturating_sub(after.unwrap_or(0));
                (value.unwrap_or(0), below as u32)
            }
        };
        Ok(match member.bits {
            Some(bits) if bits < 64 => value >> below & ((1 << bits) - 1),
            _ => value,
        })
    }

    /// Reads a member by name; see [`Self::read_member`].
    ///
    /// # Errors
    /// When it is not known or cannot be read.
    pub fn read_field(&self, base: VirtAddr, ty: &str, path: &str) -> Result<u64, KernelError> {
        let member = self.member(ty, path)?;
        self.read_member(base, &member)
    }

    /// The offset of a member in bytes: from VMCOREINFO, then from BTF. `member` may be a dotted path.
    ///
    /// # Errors
    /// When neither knows it.
    pub fn offset_of(&self, ty: &str, member: &str) -> Result<u64, KernelError> {
        if let Some(offset) = self.vmcoreinfo.offset(&format!("{ty}.{member}")) {
            return Ok(offset);
        }
        self.types()?.member(ty, member).map(|m| m.offset)
    }
}
