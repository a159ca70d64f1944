//! Where code is, and the ORC table of each piece of it: the kernel's own and every module's.
//!
//! Facts: kernel/module/main.c, include/linux/module.h, arch/x86/kernel/unwind_orc.c
//! (`orc_find`), 5.10 to 7.x. A module's pieces are `core_layout` and `init_layout` up to 6.3 and
//! the array `mem` from 6.4 on; two of its elements hold code.

use super::orc::{Entry, Format, Row, Table};
use crate::unwind::memory::Pages;
use crate::unwind::stacks::Range;
use crate::unwind::text::kernel_text;
use std::cell::RefCell;
use std::collections::HashMap;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Member, chain};

/// Answers remembered; when full, all are forgotten.
const REMEMBERED: usize = 2048;

/// Code with one table.
#[derive(Clone, Debug)]
pub(super) struct Code {
    /// Its text.
    pub text: Vec<Range>,
    /// Its table.
    pub table: Option<Table>,
}

/// All code of a kernel.
pub(super) struct Tables {
    format: Format,
    kernel: Code,
    /// Where code is put that is made while the kernel runs.
    generated: Range,
    /// The modules' text, sorted by start, with the index of the module.
    ranges: Vec<(Range, usize)>,
    modules: Vec<Option<Table>>,
    memo: RefCell<HashMap<u64, Option<Entry>>>,
}

impl Tables {
    /// Puts tables together.
    #[must_use]
    pub(super) fn new(format: Format, kernel: Code, modules: Vec<Code>, generated: Range) -> Self {
        let mut ranges: Vec<_> = modules
            .iter()
            .enumerate()
            .flat_map(|(index, code)| code.text.iter().map(move |&range| (range, index)))
            .collect();
        ranges.sort_by_key(|(range, _)| range.start);
        Self {
            format,
            kernel,
            generated,
            ranges,
            modules: modules.into_iter().map(|code| code.table).collect(),
            memo: RefCell::default(),
        }
    }

    /// Finds them in a dump. What is missing goes to `warnings`.
    #[must_use]
    pub(super) fn find(kernel: &Kernel, warnings: &mut Vec<String>) -> Self {
        let (code, start) = kernel_code(kernel).unwrap_or_else(|error| {
            warnings.push(format!(
                "the kernel's ORC table: {}; its stacks are followed by frame pointers as far as there are any",
                chain(&error)
            ));
            let code = Code {
                text: kernel_text(kernel).unwrap_or_default(),
                table: None,
            };
            (code, None)
        });
        let format = format(kernel, start, warnings);
        let modules = modules(kernel, warnings).unwrap_or_else(|error| {
            warnings.push(format!("the modules' ORC tables: {}", chain(&error)));
            Vec::new()
        });
        let layout = kernel.layout();
        let generated = Range {
            start: layout.generated_start,
            end: layout.generated_end,
        };
        Self::new(format, code, modules, generated)
    }

    /// Whether `addr` is in the text of the kernel or of a module.
    #[must_use]
    pub(super) fn is_text(&self, addr: u64) -> bool {
        self.kernel.text.iter().any(|range| range.contains(addr)) || self.module(addr).is_some()
    }

    /// Whether `addr` may be code that the kernel made while it ran (BPF programs, ftrace and kprobe
    /// trampolines): it is where modules are, and in none of them.
    #[must_use]
    pub(super) fn may_be_generated(&self, addr: u64) -> bool {
        self.generated.contains(addr) && self.module(addr).is_none()
    }

    fn module(&self, addr: u64) -> Option<usize> {
        let after = self
            .ranges
            .partition_point(|(range, _)| range.start <= addr);
        let (range, index) = self.ranges.get(after.checked_sub(1)?)?;
        range.contains(addr).then_some(*index)
    }

    /// The entry for an address, `None` when no table has one.
    #[must_use]
    pub(super) fn entry(&self, pages: &Pages<'_>, addr: u64) -> Option<Entry> {
        if let Some(&known) = self.memo.borrow().get(&addr) {
            return known;
        }
        let found = self
            .table(addr)
            .and_then(|table| table.find(pages, addr))
            .and_then(|bytes| self.format.decode(bytes));
        let mut memo = self.memo.borrow_mut();
        if memo.len() >= REMEMBERED {
            memo.clear();
        }
        memo.insert(addr, found);
        found
    }

    fn table(&self, addr: u64) -> Option<Table> {
        if self.kernel.text.iter().any(|range| range.contains(addr)) {
            return self.kernel.table;
        }
        self.modules.get(self.module(addr)?).copied().flatten()
    }
}

/// The kernel's code and where its table of addresses begins.
fn kernel_code(kernel: &Kernel) -> Result<(Code, Option<VirtAddr>), KernelError> {
    let names = [
        "__start_orc_unwind_ip",
        "__stop_orc_unwind_ip",
        "__start_orc_unwind",
        "__stop_orc_unwind",
    ];
    let mut found = Vec::new();
    for (name, value) in names.iter().zip(kernel.symbols()?.lookup_many(&names)) {
        found.push(value.ok_or_else(|| KernelError::NoSymbol {
            name: (*name).into(),
        })?);
    }
    let corrupt = || KernelError::Corrupt {
        what: "The kernel's ORC table",
        why: "its borders do not fit each other".into(),
    };
    let [ips, ips_end, entries, entries_end] =
        <[VirtAddr; 4]>::try_from(found).map_err(|_| corrupt())?;
    let count = ips_end.offset_from(ips).map(|bytes| bytes / 4);
    let same = entries_end.offset_from(entries).map(|bytes| bytes / 6);
    let table = count
        .filter(|_| count == same)
        .and_then(|count| Table::new(ips, entries, count))
        .ok_or_else(corrupt)?;
    let code = Code {
        text: kernel_text(kernel)?,
        table: Some(table),
    };
    Ok((code, Some(ips)))
}

/// The kernel's own table as a whole, and its format.
pub(super) fn all(
    kernel: &Kernel,
    warnings: &mut Vec<String>,
) -> Result<(Format, Vec<Row>), KernelError> {
    let (code, start) = kernel_code(kernel)?;
    let rows = match code.table {
        Some(table) => table.all(kernel)?,
        None => Vec::new(),
    };
    Ok((format(kernel, start, warnings), rows))
}

/// The format: by the hash that stands before the table of addresses, else by the release.
fn format(kernel: &Kernel, ips: Option<VirtAddr>, warnings: &mut Vec<String>) -> Format {
    let header = ips.and_then(|ips| ips.checked_sub(20));
    let hash = header.and_then(|at| kernel.read_bytes::<20>(at).ok());
    if let Some(format) = hash.and_then(|hash| Format::of_hash(&hash)) {
        return format;
    }
    let release = kernel.vmcoreinfo().osrelease().unwrap_or_default();
    match kernel.vmcoreinfo().release_numbers() {
        Some(numbers) => {
            let format = Format::of_release(numbers, release);
            let unknown = numbers >= (6, 4) && ips.is_some();
            if unknown {
                warnings.push(format!(
                    "the ORC table of {release} has no known header; it is read as {format:?}"
                ));
            }
            format
        }
        None => {
            warnings.push("the kernel does not say its release; its ORC is read as V3".into());
            Format::V3
        }
    }
}

/// Where a module tells its ORC table and its text.
struct Members {
    count: Member,
    ips: Member,
    entries: Member,
    /// Base and size of each piece.
    pieces: Vec<(Member, Member)>,
}

impl Members {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let types = kernel.types()?;
        let at = |path: &str| types.member("module", path);
        let mut pieces = Vec::new();
        if at("mem").is_ok() {
            for kind in ["MOD_TEXT", "MOD_INIT_TEXT"] {
                if let Some(slot) = types.enumerator("mod_mem_type", kind) {
                    pieces.push((
                        at(&format!("mem[{slot}].base"))?,
                        at(&format!("mem[{slot}].size"))?,
                    ));
                }
            }
        } else {
            for layout in ["core_layout", "init_layout"] {
                pieces.push((
                    at(&format!("{layout}.base"))?,
                    at(&format!("{layout}.text_size"))?,
                ));
            }
        }
        Ok(Self {
            count: at("arch.num_orcs")?,
            ips: at("arch.orc_unwind_ip")?,
            entries: at("arch.orc_unwind")?,
            pieces,
        })
    }

    fn read(&self, kernel: &Kernel, module: VirtAddr) -> Result<Code, KernelError> {
        let value = |member: &Member| kernel.read_member(module, member);
        let mut text = Vec::new();
        for (base, size) in &self.pieces {
            text.extend(Range::sized(value(base)?, value(size)?));
        }
        let table = Table::new(
            VirtAddr(value(&self.ips)?),
            VirtAddr(value(&self.entries)?),
            value(&self.count)?,
        );
        Ok(Code { text, table })
    }
}

fn modules(kernel: &Kernel, warnings: &mut Vec<String>) -> Result<Vec<Code>, KernelError> {
    let members = Members::of(kernel)?;
    let mut out = Vec::new();
    for module in kernel.modules()? {
        match members.read(kernel, module.address) {
            Ok(code) => out.push(code),
            Err(error) => {
                let why = chain(&error);
                warnings.push(format!("the code of module {}: {why}", module.name));
            }
        }
    }
    Ok(out)
}
