//! Modules: where they lie, what symbols they have, what types.
//!
//! Facts: include/linux/module.h, kernel/module/{main,kallsyms}.c, kernel/bpf/btf.c: `mem[]` since
//! 6.4, `core_layout` and `init_layout` before (and `module_core` before 4.5, not read here). All
//! members by name from BTF. A module's symbols are read when an address in it is first asked for.

use super::{Kernel, KernelError, Memory, Resolved, Types};
use crate::addr::VirtAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError};

/// No machine has more.
const MAX_MODULES: u64 = 4096;
/// Symbols of one module; amdgpu has some 30,000.
const MAX_SYMBOLS: u64 = 500_000;
/// Symbols of all modules together; a machine with every driver loaded has a tenth.
const MAX_ALL_SYMBOLS: u64 = 4_000_000;
/// Bytes of BTF of all modules together that are searched for a name; a distribution kernel's take tens of MiB.
const MAX_ALL_TYPES: u64 = 256 << 20;
/// MODULE_NAME_LEN.
const MAX_NAME: usize = 64;
/// Elf64_Sym.
const SYM_BYTES: usize = 24;

/// What a module's memory area holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AreaKind {
    /// Code (before 6.4: code, read-only data and data in one).
    Text,
    /// Data.
    Data,
    /// Read-only data, what is read-only after init among it.
    RoData,
    /// What was freed after initialisation.
    Init,
}

/// One memory area of a module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// What it holds.
    pub kind: AreaKind,
    /// Where it begins.
    pub base: VirtAddr,
    /// Its length in bytes.
    pub size: u64,
}

impl Area {
    /// Whether `va` lies in it.
    #[must_use]
    pub fn contains(&self, va: VirtAddr) -> bool {
        va.offset_from(self.base)
            .is_some_and(|offset| offset < self.size)
    }
}

/// A module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// Its `struct module`.
    pub address: VirtAddr,
    /// Its name.
    pub name: String,
    /// Where it lies. Areas of length 0 are left out.
    pub areas: Vec<Area>,
    /// Its per-CPU variables: what `__percpu` pointers to them begin at, and how many bytes they take.
    pub per_cpu: Option<(VirtAddr, u64)>,
    pub(super) symtab: VirtAddr,
    pub(super) num_symtab: u64,
    pub(super) strtab: VirtAddr,
}

impl Module {
    /// Whether `va` lies in one of its areas.
    #[must_use]
    pub fn contains(&self, va: VirtAddr) -> bool {
        self.areas.iter().any(|area| area.contains(va))
    }

    /// Whether `pointer` is one to a per-CPU variable of its.
    #[must_use]
    pub fn holds_per_cpu(&self, pointer: VirtAddr) -> bool {
        self.per_cpu.is_some_and(|(base, size)| {
            let offset = pointer.offset_from(base);
            offset.is_some_and(|offset| offset < size)
        })
    }
}

/// Where the BTF of a module lies.
struct ModuleBlob {
    module: String,
    at: VirtAddr,
    len: u64,
}

impl Kernel {
    /// The modules, newest first as the kernel lists them. From then on symbols of modules are found
    /// too.
    ///
    /// # Errors
    /// When the list or the layout of `struct module` is not to be had.
    pub fn modules(&self) -> Result<&[Module], KernelError> {
        let modules = self
            .modules
            .get_or_init(|| {
                let modules = Arc::new(read_modules(self)?);
                if let Ok(symbols) = self.symbols() {
                    symbols.add_modules(ModuleSymbols::new(self.memory(), &modules));
                }
                Ok(modules)
            })
            .as_ref();
        modules
            .map(|modules| modules.as_slice())
            .map_err(|why| KernelError::unavailable("The list of modules", why))
    }

    /// The module that `va` lies in.
    #[must_use]
    pub fn module_of(&self, va: VirtAddr) -> Option<&Module> {
        self.modules()
            .ok()?
            .iter()
            .find(|module| module.contains(va))
    }

    /// The types of a module on top of the kernel's, read on first use (5.11 and newer).
    ///
    /// # Errors
    /// When there is no BTF of that module or it cannot be read.
    pub fn module_types(&self, name: &str) -> Result<Arc<Types>, KernelError> {
        if let Some(types) = self.known_module_types(name) {
            return Ok(types);
        }
        let blobs = self.module_blobs()?;
        let blob = blobs.iter().find(|blob| blob.module == name);
        let blob = blob.ok_or_else(|| KernelError::Unavailable {
            what: "The type information (BTF)",
            why: format!("module {name} has none"),
        })?;
        self.read_module_types(blob)
    }

    fn known_module_types(&self, name: &str) -> Option<Arc<Types>> {
        let known = self.module_types.lock();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        known.get(name).cloned()
    }

    fn read_module_types(&self, blob: &ModuleBlob) -> Result<Arc<Types>, KernelError> {
        let base = Some(Arc::clone(self.types()?));
        let types = Arc::new(Types::read(self, blob.at, blob.len, base)?);
        self.module_types
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(blob.module.clone(), Arc::clone(&types));
        Ok(types)
    }

    /// The BTF of every module that has some (`struct btf_module` and `struct btf` in
    /// kernel/bpf/btf.c).
    fn module_blobs(&self) -> Result<Vec<ModuleBlob>, KernelError> {
        let what = "the list of modules' BTF";
        let head = self.symbol("btf_modules")?;
        let link = self.member("btf_module", "list")?.offset;
        let module_name = self.member("module", "name")?.offset;
        let mut blobs = Vec::new();
        for entry in self.list(head, link, MAX_MODULES, what) {
            let entry = entry?;
            let module = VirtAddr(self.read_field(entry, "btf_module", "module")?);
            let name = self
                .read_cstr(module.wrapping_add(module_name), MAX_NAME)
                .map_err(KernelError::reading(what))?;
            let btf = VirtAddr(self.read_field(entry, "btf_module", "btf")?);
            blobs.push(ModuleBlob {
                module: String::from_utf8_lossy(&name).into_owned(),
                at: VirtAddr(self.read_field(btf, "btf", "data")?),
                len: self.read_field(btf, "btf", "data_size")?,
            });
        }
        Ok(blobs)
    }

    /// The types in which `name` is to be looked up: the kernel's if they have it, else those of the
    /// first module that has it, else the kernel's all the same. `module:name` asks that module.
    /// Modules whose types cannot be read are passed over.
    ///
    /// # Errors
    /// When the kernel has no BTF, or the module that was named has none.
    pub fn types_with(&self, name: &str) -> Result<Arc<Types>, KernelError> {
        if let Some((module, _)) = name.split_once(':') {
            return self.module_types(module);
        }
        let types = self.types()?;
        if types.find_type(name).is_none() {
            let mut left = MAX_ALL_TYPES;
            for blob in self.module_blobs().unwrap_or_default() {
                let Some(rest) = left.checked_sub(blob.len) else {
                    break;
                };
                left = rest;
                let known = self.known_module_types(&blob.module);
                let types = known.or_else(|| self.read_module_types(&blob).ok());
                if let Some(types) = types.filter(|types| types.find_type(name).is_some()) {
                    return Ok(types);
                }
            }
        }
        Ok(Arc::clone(types))
    }
}

fn read_modules(kernel: &Kernel) -> Result<Vec<Module>, KernelError> {
    let what = "the list of modules";
    let head = kernel.symbol("modules")?;
    let types = kernel.types()?;
    let member = |path: &str| types.member("module", path);
    let link = member("list")?.offset;
    let name = member("name")?.offset;
    let symtab = member("core_kallsyms.symtab")?;
    let num_symtab = member("core_kallsyms.num_symtab")?;
    let strtab = member("core_kallsyms.strtab")?;
    let layout = area_layout(types)?;
    // Missing where the kernel knows one CPU only.
    let per_cpu = member("percpu").ok().zip(member("percpu_size").ok());
    kernel
        .list(head, link, MAX_MODULES, what)
        .map(|address| {
            let address = address?;
            let bytes = kernel
                .read_cstr(address.wrapping_add(name), MAX_NAME)
                .map_err(KernelError::reading("a module's name"))?;
            let mut areas = Vec::new();
            for (kind, base, size) in &layout {
                let size = kernel.read_member(address, size)?;
                if size > 0 {
                    areas.push(Area {
                        kind: *kind,
                        base: VirtAddr(kernel.read_member(address, base)?),
                        size,
                    });
                }
            }
            Ok(Module {
                address,
                name: String::from_utf8_lossy(&bytes).into_owned(),
                areas,
                per_cpu: match &per_cpu {
                    Some((base, size)) => {
                        let size = kernel.read_member(address, size)?;
                        let base = VirtAddr(kernel.read_member(address, base)?);
                        Some((base, size)).filter(|_| size > 0)
                    }
                    None => None,
                },
                symtab: VirtAddr(kernel.read_member(address, &symtab)?),
                num_symtab: kernel.read_member(address, &num_symtab)?,
                strtab: VirtAddr(kernel.read_member(address, &strtab)?),
            })
        })
        .collect()
}

type AreaMembers = Vec<(AreaKind, super::Member, super::Member)>;

/// Where base and size of each area stand.
fn area_layout(types: &Types) -> Result<AreaMembers, KernelError> {
    let pair = |kind, path: &str| -> Result<_, KernelError> {
        Ok((
            kind,
            types.member("module", &format!("{path}.base"))?,
            types.member("module", &format!("{path}.size"))?,
        ))
    };
    if types.member("module", "mem").is_err() {
        return Ok(vec![
            pair(AreaKind::Text, "core_layout")?,
            pair(AreaKind::Init, "init_layout")?,
        ]);
    }
    // enum mod_mem_type names the slots; their numbers are not taken for granted.
    let named = [
        ("MOD_TEXT", AreaKind::Text),
        ("MOD_DATA", AreaKind::Data),
        ("MOD_RODATA", AreaKind::RoData),
        ("MOD_RO_AFTER_INIT", AreaKind::RoData),
        ("MOD_INIT_TEXT", AreaKind::Init),
        ("MOD_INIT_DATA", AreaKind::Init),
        ("MOD_INIT_RODATA", AreaKind::Init),
    ];
    named
        .into_iter()
        .filter_map(|(name, kind)| Some((types.enumerator("mod_mem_type", name)?, kind)))
        .map(|(slot, kind)| pair(kind, &format!("mem[{slot}]")))
        .collect()
}

/// The symbols of all modules.
pub(super) struct ModuleSymbols {
    memory: Arc<Memory>,
    modules: Arc<Vec<Module>>,
    /// Per module: (address, offset of the name in its strings), ascending.
    tables: Vec<OnceLock<Vec<(u64, u32)>>>,
    /// Symbols that may yet be read.
    left: AtomicU64,
}

impl ModuleSymbols {
    pub(super) fn new(memory: &Arc<Memory>, modules: &Arc<Vec<Module>>) -> Self {
        Self {
            memory: Arc::clone(memory),
            modules: Arc::clone(modules),
            tables: modules.iter().map(|_| OnceLock::new()).collect(),
            left: AtomicU64::new(MAX_ALL_SYMBOLS),
        }
    }

    fn table(&self, index: usize) -> &[(u64, u32)] {
        let (Some(module), Some(cell)) = (self.modules.get(index), self.tables.get(index)) else {
            return &[];
        };
        cell.get_or_init(|| self.read_table(module))
    }

    fn read_table(&self, module: &Module) -> Vec<(u64, u32)> {
        let order = self.memory.order();
        let mut table = Vec::new();
        let wanted = module.num_symtab.min(MAX_SYMBOLS);
        let take = |left: u64| Some(left.saturating_sub(wanted));
        let left = self.left.fetch_update(Relaxed, Relaxed, take);
        for n in 0..wanted.min(left.unwrap_or(0)) {
            let at = module.symtab.wrapping_add(n * SYM_BYTES as u64);
            let Ok(entry) = self.memory.read_bytes::<SYM_BYTES>(at) else {
                break;
            };
            let [
                n0,
                n1,
                n2,
                n3,
                _,
                _,
                s0,
                s1,
                v0,
                v1,
                v2,
                v3,
                v4,
                v5,
                v6,
                v7,
                ..,
            ] = entry;
            let name = order.u32([n0, n1, n2, n3]);
            let section = order.u16([s0, s1]);
            let value = order.u64([v0, v1, v2, v3, v4, v5, v6, v7]);
            let va = VirtAddr(value);
            if section != 0 && (module.contains(va) || module.holds_per_cpu(va)) {
                table.push((value, name));
            }
        }
        // Stable: of several symbols at one address the first in the table is kept in front.
        table.sort_by_key(|&(value, _)| value);
        table
    }

    fn name(&self, module: &Module, offset: u32) -> Option<String> {
        let at = module.strtab.wrapping_add(u64::from(offset));
        let name = self.memory.read_cstr(at, 512).ok()?;
        // Empty names and the compiler's local labels name nothing.
        let local = name.first().is_none_or(|&c| c == b'$') || name.starts_with(b".L");
        (!local).then(|| String::from_utf8_lossy(&name).into_owned())
    }

    /// Calls `visit` with every symbol that has a name: its module, its name, its address.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&str, String, VirtAddr)) {
        for (index, module) in self.modules.iter().enumerate() {
            for &(value, offset) in self.table(index) {
                if let Some(name) = self.name(module, offset).filter(|name| !name.is_empty()) {
                    visit(&module.name, name, VirtAddr(value));
                }
            }
        }
    }

    pub(super) fn lookup(&self, name: &str) -> Option<VirtAddr> {
        let (module_name, name) = match name.split_once(':') {
            Some((module, name)) => (Some(module), name),
            None => (None, name),
        };
        for (index, module) in self.modules.iter().enumerate() {
            if module_name.is_some_and(|wanted| wanted != module.name) {
                continue;
            }
            for &(value, offset) in self.table(index) {
                let at = module.strtab.wrapping_add(u64::from(offset));
                let is = self.memory.read_cstr(at, name.len() + 1);
                if is.is_ok_and(|is| is == name.as_bytes()) {
                    return Some(VirtAddr(value));
                }
            }
        }
        None
    }

    pub(super) fn resolve(&self, va: VirtAddr) -> Option<Resolved> {
        let (index, module, area) = self.modules.iter().enumerate().find_map(|(i, module)| {
            let area = module.areas.iter().find(|area| area.contains(va))?;
            Some((i, module, area))
        })?;
        let table = self.table(index);
        let after = table.partition_point(|&(value, _)| value <= va.0);
        let area_end = area.base.0.saturating_add(area.size);
        let next = table
            .get(after)
            .map_or(area_end, |&(value, _)| value.min(area_end));
        // Down to the first name at the nearest address that has one.
        let mut best: Option<(u64, String)> = None;
        for &(value, offset) in table.get(..after)?.iter().rev() {
            if !area.contains(VirtAddr(value)) || best.as_ref().is_some_and(|(b, _)| *b != value) {
                break;
            }
            if let Some(name) = self.name(module, offset) {
                best = Some((value, name));
            }
        }
        let (start, name) = best?;
        Some(Resolved {
            name,
            offset: va.0.checked_sub(start)?,
            size: next.saturating_sub(start),
            module: Some(module.name.clone()),
        })
    }
}
