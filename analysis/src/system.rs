//! The machine and the kernel as a whole: names, CPUs, memory, command line.
//!
//! Sources: `init_uts_ns` (kernel/../init/version.c; named by vmcoreinfo in every kernel),
//! `__cpu_online_mask` and `__cpu_possible_mask` (kernel/cpu.c), `_totalram_pages` (mm/page_alloc.c
//! up to 6.6, mm/show_mem.c since; an atomic_long_t since 5.0), `saved_command_line` (init/main.c).

use serde::{Deserialize, Serialize};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{CpuMask, Kernel, KernelError, MemError, chain};

/// Bytes of each of the six strings of `struct new_utsname` (include/uapi/linux/utsname.h).
const UTS_LEN: usize = 65;

/// Offset of `uts_namespace.name` where neither vmcoreinfo (since 5.11) nor BTF tells it: the name
/// stood behind a `struct kref`.
const UTS_NAME_BEFORE_5_11: u64 = 4;

/// Longest command line read: twice COMMAND_LINE_SIZE of x86.
const CMDLINE_MAX: usize = 4096;

/// `struct new_utsname`.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Uts {
    /// "Linux".
    pub sysname: String,
    /// The machine's name.
    pub nodename: String,
    /// The kernel's release.
    pub release: String,
    /// The kernel's build.
    pub version: String,
    /// "x86_64".
    pub machine: String,
}

/// What the machine was.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct System {
    /// Names of the machine and its kernel.
    pub uts: Uts,
    /// The kernel's build id, in hex.
    pub build_id: Option<String>,
    /// CPUs online at the end.
    pub cpus_online: Option<u32>,
    /// CPUs that could have been.
    pub cpus_possible: Option<u32>,
    /// Memory that the kernel managed, in bytes.
    pub memory_bytes: Option<u64>,
    /// The kernel's command line.
    pub command_line: Option<String>,
}

impl System {
    /// Reads what can be read; what cannot is named in `warnings`.
    #[must_use]
    pub fn read(kernel: &Kernel, warnings: &mut Vec<String>) -> Self {
        let info = kernel.vmcoreinfo();
        let uts = soft(uts(kernel), "the machine's name", warnings).unwrap_or_else(|| Uts {
            release: info.osrelease().unwrap_or_default().to_string(),
            ..Uts::default()
        });
        let pages = total_pages(kernel);
        let count = |mask: &CpuMask| u32::try_from(mask.len()).ok();
        let online = soft(kernel.online_cpus(), "the CPUs online", warnings).and_then(count);
        let possible = soft(kernel.possible_cpus(), "the possible CPUs", warnings).and_then(count);
        let memory_bytes = soft(pages, "the size of memory", warnings)
            .and_then(|pages| pages.checked_mul(kernel.page_size()));
        Self {
            uts,
            build_id: info.build_id().map(str::to_string),
            cpus_online: online,
            cpus_possible: possible,
            memory_bytes,
            command_line: command_line(kernel),
        }
    }
}

/// The value, or a warning that names what is not known and why.
fn soft<T>(result: Result<T, KernelError>, what: &str, warnings: &mut Vec<String>) -> Option<T> {
    result
        .map_err(|why| warnings.push(format!("{what}: {}", chain(&why))))
        .ok()
}

/// Names what was being read.
fn reading(what: &'static str) -> impl FnOnce(MemError) -> KernelError {
    move |source| KernelError::Memory {
        what: what.to_string(),
        source,
    }
}

fn total_pages(kernel: &Kernel) -> Result<u64, KernelError> {
    let at = kernel.symbol("_totalram_pages")?;
    kernel.read_u64(at).map_err(reading("_totalram_pages"))
}

/// The names of the machine and its kernel.
///
/// # Errors
/// When `init_uts_ns` cannot be found or read.
pub fn uts(kernel: &Kernel) -> Result<Uts, KernelError> {
    let name = kernel
        .offset_of("uts_namespace", "name")
        .unwrap_or(UTS_NAME_BEFORE_5_11);
    let at = kernel.symbol("init_uts_ns")?.wrapping_add(name);
    let mut bytes = [0_u8; UTS_LEN * 5];
    kernel
        .read(at, &mut bytes)
        .map_err(reading("init_uts_ns"))?;
    let mut strings = bytes.chunks(UTS_LEN).map(|field| {
        let end = field
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(field.len());
        String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
    });
    let mut next = || strings.next().unwrap_or_default();
    Ok(Uts {
        sysname: next(),
        nodename: next(),
        release: next(),
        version: next(),
        machine: next(),
    })
}

fn command_line(kernel: &Kernel) -> Option<String> {
    let at = kernel.symbol("saved_command_line").ok()?;
    let text = VirtAddr(kernel.read_u64(at).ok()?);
    let bytes = kernel.read_cstr(text, CMDLINE_MAX).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_string())
}
