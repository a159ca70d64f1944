//! The modules that were loaded, as a report lists them.
//!
//! Facts: include/linux/module.h, kernel/module/main.c, 5.10 to 7.2. Where they lie comes from
//! `vmcore::kernel`; here is the rest.

use crate::hex::Hex;
use serde::{Deserialize, Serialize};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{self as core, AreaKind, Kernel, KernelError};

/// MODULE_REF_BASE: what a module's counter holds while nobody uses it.
const REF_BASE: i32 = 1;
/// Modules that use one module.
const MAX_USERS: u64 = 1024;
/// Longest version string read.
const MAX_VERSION: usize = 128;
/// Letters of the taint bits, in the order of the bits (kernel/panic.c, `taint_flags`): bit 18 came
/// with 6.0, bit 19 with 6.15.
const TAINTS: [char; 20] = [
    'P', 'F', 'S', 'R', 'M', 'B', 'U', 'D', 'A', 'W', 'C', 'I', 'O', 'E', 'L', 'K', 'X', 'T', 'N',
    'J',
];

/// A loaded module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// Its `struct module`.
    pub address: Hex,
    /// `live`, `coming`, `going` or `unformed`.
    pub state: Option<String>,
    /// Where its code lies.
    pub text: Option<Hex>,
    /// Bytes of memory that it takes.
    pub size: u64,
    /// How often it is in use.
    pub used: Option<i32>,
    /// The modules that use it.
    pub users: Vec<String>,
    /// How it taints the kernel: `O` out of tree, `E` unsigned, `P` proprietary and so on.
    pub taints: String,
    /// MODULE_VERSION, where it has one.
    pub version: Option<String>,
    /// MODULE_SRCVERSION, where it has one.
    pub srcversion: Option<String>,
    /// Its build id in hex (5.14 and newer, with CONFIG_STACKTRACE_BUILD_ID).
    pub build_id: Option<String>,
}

/// Reads all modules, newest first.
///
/// # Errors
/// When the list of modules is not to be had.
pub fn read(kernel: &Kernel) -> Result<Vec<Module>, KernelError> {
    let modules = kernel.modules()?;
    Ok(modules.iter().map(|module| one(kernel, module)).collect())
}

fn one(kernel: &Kernel, module: &core::Module) -> Module {
    let at = module.address;
    let field = |path: &str| kernel.read_field(at, "module", path).ok();
    let string = |path: &str| -> Option<String> {
        let at = field(path).filter(|&at| at != 0)?;
        let bytes = kernel.read_cstr(VirtAddr(at), MAX_VERSION).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    Module {
        name: module.name.clone(),
        address: at.into(),
        state: field("state").and_then(|value| state(kernel, value)),
        text: module
            .areas
            .iter()
            .find(|area| area.kind == AreaKind::Text)
            .map(|area| area.base.into()),
        size: module
            .areas
            .iter()
            .fold(0, |sum: u64, area| sum.saturating_add(area.size)),
        used: field("refcnt.counter")
            .map(|count| (count as u32).cast_signed().saturating_sub(REF_BASE)),
        users: users(kernel, at).unwrap_or_default(),
        taints: field("taints").map(taint_letters).unwrap_or_default(),
        version: string("version"),
        srcversion: string("srcversion"),
        build_id: build_id(kernel, at),
    }
}

/// The letters of a taint mask. Bit 0 clear has a letter only for the kernel as a whole (`G`), so
/// none is given for it here.
#[must_use]
pub fn taint_letters(mask: u64) -> String {
    TAINTS
        .iter()
        .enumerate()
        .filter(|(bit, _)| mask >> bit & 1 == 1)
        .map(|(_, letter)| letter)
        .collect()
}

/// The enumerator without its prefix: MODULE_STATE_LIVE is `live`.
fn state(kernel: &Kernel, value: u64) -> Option<String> {
    let types = kernel.types().ok()?;
    let states = types.find_type("enum module_state")?;
    let value = i64::try_from(value).ok()?;
    let (name, _) = types.enumerators(states).find(|(_, is)| *is == value)?;
    Some(
        name.strip_prefix("MODULE_STATE_")
            .unwrap_or(name)
            .to_lowercase(),
    )
}

/// Who uses it: `source_list` holds a `module_use` for every module that does.
fn users(kernel: &Kernel, module: VirtAddr) -> Result<Vec<String>, KernelError> {
    let head = module.wrapping_add(kernel.member("module", "source_list")?.offset);
    let link = kernel.member("module_use", "source_list")?.offset;
    let source = kernel.member("module_use", "source")?;
    let name = kernel.member("module", "name")?.offset;
    kernel
        .list(head, link, MAX_USERS, "the users of a module")
        .map(|entry| {
            let user = VirtAddr(kernel.read_member(entry?, &source)?);
            let bytes = kernel
                .read_cstr(user.wrapping_add(name), 64)
                .map_err(|source| KernelError::Memory {
                    what: "a module's name".to_owned(),
                    source,
                })?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
        .collect()
}

fn build_id(kernel: &Kernel, module: VirtAddr) -> Option<String> {
    let member = kernel.member("module", "build_id").ok()?;
    let bytes: [u8; 20] = kernel.read_bytes(module.wrapping_add(member.offset)).ok()?;
    if bytes == [0; 20] {
        return None;
    }
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_named_by_their_bits() {
        assert_eq!(taint_letters(0), "");
        assert_eq!(taint_letters(1 << 12 | 1 << 13), "OE");
        assert_eq!(taint_letters(1 | 1 << 9 | 1 << 19), "PWJ");
    }
}
