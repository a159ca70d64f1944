//! ESR_EL1 of aarch64.
//!
//! Facts: Arm Architecture Reference Manual for A-profile, DDI 0487, "ESR_EL1, Exception Syndrome Register";
//! arch/arm64/include/asm/{esr,brk-imm}.h, 5.10 to 7.x. Where the kernel prints it: arch/arm64/mm/fault.c
//! (`mem_abort_decode`), arch/arm64/kernel/traps.c (`die`, `__panic_unhandled`, `arm64_serror_panic`).

use super::Syndrome;

/// The syndrome in a line: `  ESR = 0x0000000096000004`, `Internal error: Oops - BUG: 00000000f2000800 [#1] SMP`,
/// `Unhandled 64-bit el1h sync exception on CPU0, ESR 0x0000000002000000 -- Unknown`,
/// `SError Interrupt on CPU1, code 0x00000000be000011 -- SError`.
pub(super) fn of_line(line: &str) -> Option<Syndrome> {
    let hex = |text: &'_ str| {
        text.split(' ')
            .next()
            .and_then(|word| word.strip_prefix("0x"))
            .map(str::to_owned)
    };
    let word = if let Some(rest) = line.strip_prefix("Internal error: ") {
        behind_die(rest)?.to_owned()
    } else if let Some(rest) = line.strip_prefix("ESR = ") {
        hex(rest)?
    } else {
        // These lines end with the kernel's name of the class.
        let (before, _) = line.split_once(" -- ")?;
        let marks = [", ESR ", ", code "];
        let (_, rest) = marks.iter().find_map(|mark| before.split_once(mark))?;
        hex(rest)?
    };
    decode(u64::from_str_radix(&word, 16).ok()?)
}

/// The number before `[#1]`. That of 32-bit ARM, whose line ends with its name, is another register.
fn behind_die(rest: &str) -> Option<&str> {
    let (before, behind) = rest.split_once(" [#")?;
    if behind.ends_with(" ARM") || behind.ends_with(" THUMB2") {
        return None;
    }
    let word = before.rsplit(' ').next()?;
    (word.len() >= 8).then_some(word)
}

/// The register in words; `None` for a class that the architecture does not have.
fn decode(value: u64) -> Option<Syndrome> {
    let of = |shift: u32, width: u32| value >> shift & ((1 << width) - 1);
    let class = of(26, 6);
    let (words, abort) = CLASSES
        .iter()
        .find(|(number, ..)| *number == class)
        .map(|(_, words, abort)| (*words, *abort))?;
    let bit = |number: u32| of(number, 1) == 1;
    let mut syndrome = Syndrome {
        value: format!("{value:#018x}"),
        class: words.to_owned(),
        fault: None,
        access: None,
        notes: Vec::new(),
    };
    match abort {
        Kind::Data => {
            syndrome.fault = status(of(0, 6));
            // Cache maintenance counts as a write there.
            syndrome.access =
                (!bit(CM)).then(|| if bit(WNR) { "write" } else { "read" }.to_owned());
            let notes = &mut syndrome.notes;
            if bit(CM) {
                notes.push("cache maintenance".to_owned());
            }
            if bit(S1PTW) {
                notes.push("while the second stage's tables were walked".to_owned());
            }
        }
        Kind::Instruction => {
            syndrome.fault = status(of(0, 6));
            syndrome.access = Some("execute".to_owned());
        }
        Kind::Break => syndrome.fault = breakpoint(of(0, 16)),
        Kind::Other => {}
    }
    // Only of a synchronous external abort has the bit a meaning.
    let external = of(0, 6) == EXTERNAL;
    if matches!(abort, Kind::Data | Kind::Instruction) && external && bit(FNV) {
        syndrome
            .notes
            .push("the address register is not valid".to_owned());
    }
    Some(syndrome)
}

/// Write, not read.
const WNR: u32 = 6;
/// Stage 2 fault on the walk of stage 1.
const S1PTW: u32 = 7;
/// Cache maintenance.
const CM: u32 = 8;
/// FAR not valid.
const FNV: u32 = 10;
/// The status code of a synchronous external abort, not on a walk of the page tables.
const EXTERNAL: u64 = 0x10;

/// What the rest of the register means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Instruction,
    Break,
    Other,
}

/// The classes of exceptions.
const CLASSES: [(u64, &str, Kind); 38] = [
    (0x00, "unknown or undefined instruction", Kind::Other),
    (0x01, "trapped WFI or WFE", Kind::Other),
    (0x07, "trapped floating point or SIMD", Kind::Other),
    (0x0a, "trapped instruction", Kind::Other),
    (0x0c, "trapped instruction of AArch32", Kind::Other),
    (0x0d, "branch to no landing pad (BTI)", Kind::Other),
    (0x0e, "illegal execution state", Kind::Other),
    (0x11, "system call of AArch32", Kind::Other),
    (0x15, "system call", Kind::Other),
    (0x16, "hypervisor call", Kind::Other),
    (0x17, "secure monitor call", Kind::Other),
    (0x18, "trapped system register", Kind::Other),
    (0x19, "trapped SVE", Kind::Other),
    (0x1a, "trapped exception return", Kind::Other),
    (0x1c, "pointer authentication failed", Kind::Other),
    (0x1d, "trapped SME", Kind::Other),
    (0x20, "instruction abort in user mode", Kind::Instruction),
    (0x21, "instruction abort in the kernel", Kind::Instruction),
    (0x22, "program counter not aligned", Kind::Other),
    (0x24, "data abort in user mode", Kind::Data),
    (0x25, "data abort in the kernel", Kind::Data),
    (0x26, "stack pointer not aligned", Kind::Other),
    (0x27, "memory copy or set", Kind::Other),
    (0x28, "floating point exception of AArch32", Kind::Other),
    (0x2c, "floating point exception", Kind::Other),
    (0x2d, "guarded control stack", Kind::Other),
    (0x2f, "SError interrupt", Kind::Other),
    (0x30, "breakpoint in user mode", Kind::Other),
    (0x31, "breakpoint in the kernel", Kind::Other),
    (0x32, "single step in user mode", Kind::Other),
    (0x33, "single step in the kernel", Kind::Other),
    (0x34, "watchpoint in user mode", Kind::Other),
    (0x35, "watchpoint in the kernel", Kind::Other),
    (0x38, "breakpoint instruction of AArch32", Kind::Other),
    (0x3a, "vector catch of AArch32", Kind::Other),
    (0x3c, "breakpoint instruction", Kind::Break),
    (0x3d, "profiling", Kind::Other),
    (0x1e, "granule protection check", Kind::Other),
];

/// The status code of an abort.
fn status(code: u64) -> Option<String> {
    let level = code & 3;
    let at = |what: &str, level: &str| format!("{what}, level {level}");
    let levels = ["0", "1", "2", "3"];
    let level = levels.get(usize::try_from(level).ok()?)?;
    Some(match code {
        0x00..=0x03 => at("address size fault", level),
        0x04..=0x07 => at("translation fault", level),
        0x08..=0x0b => at("access flag fault", level),
        0x0c..=0x0f => at("permission fault", level),
        EXTERNAL => "synchronous external abort".to_owned(),
        0x11 => "tag check fault".to_owned(),
        0x13 => at("external abort on the page tables", "-1"),
        0x14..=0x17 => at("external abort on the page tables", level),
        0x18 => "parity or ECC error".to_owned(),
        0x1b => at("parity or ECC error on the page tables", "-1"),
        0x1c..=0x1f => at("parity or ECC error on the page tables", level),
        0x21 => "alignment fault".to_owned(),
        0x23 => at("granule protection fault on the page tables", "-1"),
        0x24..=0x27 => at("granule protection fault on the page tables", level),
        0x28 => "granule protection fault".to_owned(),
        0x29 => at("address size fault", "-1"),
        0x2b => at("translation fault", "-1"),
        0x30 => "TLB conflict".to_owned(),
        0x31 => "unsupported atomic update of the page tables".to_owned(),
        0x34 => "lockdown".to_owned(),
        0x35 => "unsupported exclusive or atomic access".to_owned(),
        _ => return None,
    })
}

/// What the number of a `brk` stands for (asm/brk-imm.h).
fn breakpoint(number: u64) -> Option<String> {
    let what = match number {
        0x004..=0x006 => "a probe",
        0x007 => "the trampoline of a probe",
        0x100 => "a trap on purpose",
        0x400..=0x402 => "the kernel's debugger",
        0x800 => "BUG() or WARN()",
        0x900..=0x9ff => "KASAN",
        0x5500..=0x55ff => "UBSAN",
        0x8000..=0x8fff => "CFI",
        _ => return Some(format!("number {number:#x}")),
    };
    Some(format!("number {number:#x}: {what}"))
}

#[cfg(test)]
mod tests;
