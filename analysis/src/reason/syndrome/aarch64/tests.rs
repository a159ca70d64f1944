//! Syndromes, as kernels print them and the architecture's manual reads them.

use super::*;

fn words(line: &str) -> String {
    let read = of_line(line).unwrap();
    let parts = [Some(read.class), read.fault, read.access];
    let parts = parts.into_iter().flatten().chain(read.notes);
    parts.collect::<Vec<_>>().join("; ")
}

#[test]
fn aborts_say_the_stage_the_level_and_the_access() {
    let cases = [
        (
            "ESR = 0x0000000096000004",
            "data abort in the kernel; translation fault, level 0; read",
        ),
        (
            "ESR = 0x96000045",
            "data abort in the kernel; translation fault, level 1; write",
        ),
        (
            "ESR = 0x000000009600004f",
            "data abort in the kernel; permission fault, level 3; write",
        ),
        (
            "ESR = 0x0000000096000021",
            "data abort in the kernel; alignment fault; read",
        ),
        (
            "ESR = 0x000000009600002b",
            "data abort in the kernel; translation fault, level -1; read",
        ),
        (
            "ESR = 0x0000000086000006",
            "instruction abort in the kernel; translation fault, level 2; execute",
        ),
        (
            "ESR = 0x0000000092000011",
            "data abort in user mode; tag check fault; read",
        ),
        (
            "ESR = 0x0000000096000144",
            "data abort in the kernel; translation fault, level 0; cache maintenance",
        ),
        (
            "Internal error: synchronous external abort: 0000000096000410 [#1] SMP",
            "data abort in the kernel; synchronous external abort; read; the address register is not valid",
        ),
        (
            "Internal error: synchronous external abort: 0000000096000010 [#1] SMP",
            "data abort in the kernel; synchronous external abort; read",
        ),
        // The bit of an invalid address has no meaning with another code.
        (
            "ESR = 0x0000000096000404",
            "data abort in the kernel; translation fault, level 0; read",
        ),
    ];
    for (line, wanted) in cases {
        assert_eq!(words(line), wanted, "{line}");
    }
}

#[test]
fn other_exceptions_have_a_class_and_breakpoints_a_meaning() {
    let cases = [
        (
            "Internal error: Oops - BUG: 00000000f2000800 [#1] PREEMPT SMP",
            "breakpoint instruction; number 0x800: BUG() or WARN()",
        ),
        (
            "Internal error: Oops - BUG: f2000800 [#1] SMP",
            "breakpoint instruction; number 0x800: BUG() or WARN()",
        ),
        (
            "Internal error: UBSAN: array index out of bounds: 00000000f2005512 [#1] SMP",
            "breakpoint instruction; number 0x5512: UBSAN",
        ),
        (
            "Internal error: Oops - CFI: 00000000f2008228 [#1] SMP",
            "breakpoint instruction; number 0x8228: CFI",
        ),
        (
            "Internal error: Oops - FPAC: 0000000072000000 [#1] SMP",
            "pointer authentication failed",
        ),
        (
            "Internal error: Oops - Undefined instruction: 0000000002000000 [#2] SMP",
            "unknown or undefined instruction",
        ),
        (
            "SError Interrupt on CPU1, code 0x00000000be000011 -- SError",
            "SError interrupt",
        ),
        (
            "Bad mode in Error handler detected on CPU0, code 0xbf000002 -- SError",
            "SError interrupt",
        ),
        (
            "Unhandled 64-bit el1h sync exception on CPU0, ESR 0x000000008a000000 -- PC Alignment",
            "program counter not aligned",
        ),
        (
            "Internal error: SP/PC alignment exception: 000000009a000000 [#1] SMP",
            "stack pointer not aligned",
        ),
    ];
    for (line, wanted) in cases {
        assert_eq!(words(line), wanted, "{line}");
    }
}

#[test]
fn other_numbers_are_no_syndromes() {
    for line in [
        "Internal error: Oops: 5 [#1] SMP ARM",
        "Internal error: Oops - BUG: 00000000 [#1] PREEMPT SMP ARM",
        "Internal error: Oops: 17 [#1] PREEMPT THUMB2",
        "ESR = unknown",
        "acme: failed, code 0x96000004",
        "acme: ESR = 0x96000004 of the device",
        // No class has this number.
        "ESR = 0x000000000c000000",
    ] {
        assert_eq!(of_line(line), None, "{line}");
    }
}

#[test]
fn no_class_is_listed_twice() {
    let mut numbers: Vec<u64> = CLASSES.iter().map(|(number, ..)| *number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), CLASSES.len());
}
