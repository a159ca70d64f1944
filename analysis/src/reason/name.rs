//! Names of functions without what compilers and system call wrappers add.

/// A function's name without what the compiler added: `f.isra.0.cold` is `f`, `_Z1fi` is `f`, and the
/// wrappers of a system call are that call.
#[must_use]
pub fn normalise(function: &str) -> &str {
    let name = match function.find('.') {
        Some(0) | None => function,
        Some(dot) => function.get(..dot).unwrap_or(function),
    };
    if let Some(plain) = name.strip_prefix("_Z").and_then(mangled) {
        return plain;
    }
    match name.find("_sys_").filter(|_| name.starts_with("__")) {
        Some(at) if WRAPPERS.contains(&name.get(..at).unwrap_or_default()) => {
            name.get(at.saturating_add(1)..).unwrap_or(name)
        }
        _ => name,
    }
}

/// What stands before `_sys_` in the names of a system call's wrappers (include/linux/syscalls.h and
/// arch/*/include/asm/syscall_wrapper.h).
const WRAPPERS: &[&str] = &[
    "__x64",
    "__ia32",
    "__do",
    "__se",
    "__arm64",
    "__riscv",
    "__s390x",
    "__s390",
    "__powerpc",
    "__loongarch",
];

/// The name in `1fi` of C++: its length, then itself.
fn mangled(text: &str) -> Option<&str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let length: usize = text.get(..digits)?.parse().ok()?;
    text.get(digits..digits.checked_add(length)?)
}
