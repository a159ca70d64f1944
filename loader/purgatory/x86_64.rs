//! x86-64. It is entered in long mode with an identity map that may be written and executed, interrupts off and no
//! usable descriptor tables (arch/x86/kernel/relocate_kernel_64.S, Linux 5.10 to 7.2).

use core::arch::{asm, global_asm};

// The kernel leaves CR4 with PAE (and LA57) only; compiled Rust uses SSE registers, so FXSR is
// switched on for the time of the check. The descriptor table is the one that boot.rst asks for.
global_asm!(
    r#"
    .section .text.start, "ax"
    .globl purgatory_start
purgatory_start:
    cli
    cld
    leaq purgatory_stack_top(%rip), %rsp
    leaq purgatory_gdt(%rip), %rax
    movq %rax, purgatory_gdtr+2(%rip)
    lgdt purgatory_gdtr(%rip)
    pushq $0x10
    leaq 1f(%rip), %rax
    pushq %rax
    lretq
1:  movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movq %cr0, %r14
    movq %cr4, %r15
    movq %r14, %rax
    andq $~0xc, %rax
    orq $2, %rax
    movq %rax, %cr0
    movq %r15, %rax
    orq $0x600, %rax
    movq %rax, %cr4
    call purgatory_check
    movq %r15, %cr4
    movq %r14, %cr0
    movq PURGATORY_ARGUMENT(%rip), %rsi
    movq PURGATORY_ENTRY(%rip), %rax
    xorl %ebx, %ebx
    xorl %ebp, %ebp
    xorl %edi, %edi
    jmpq *%rax

    .section .data.gdt, "aw"
    .balign 16
purgatory_gdt:
    .quad 0, 0, 0x00af9a000000ffff, 0x00cf92000000ffff
purgatory_gdtr:
    .word 31
    .quad 0

    .section .data.stack, "aw"
    .balign 16
    .fill 8192, 1, 0x5a
purgatory_stack_top:
"#,
    options(att_syntax)
);

fn out(port: u16, value: u8) {
    // SAFETY: writing to an I/O port touches no memory; this program owns the machine.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) }
}

fn input(port: u16) -> u8 {
    let value: u8;
    // SAFETY: as above.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) }
    value
}

/// Sends a byte to the serial port at this I/O port.
pub(crate) fn put(line: u64, byte: u8) {
    let port = line as u16;
    // A line that is not there reads 0xff and never blocks; a stuck one is not waited for.
    for _ in 0..100_000 {
        if input(port + 5) & 0x20 != 0 {
            break;
        }
    }
    out(port, byte);
}

/// Resets the machine in three ways. Returns when none did.
pub(crate) fn reset(_how: u64) {
    out(0xcf9, 2);
    out(0xcf9, 6);
    for _ in 0..1_000_000 {
        out(0x80, 0);
    }
    out(0x64, 0xfe);
    for _ in 0..1_000_000 {
        out(0x80, 0);
    }
    let none = [0_u16; 5];
    // SAFETY: an empty interrupt table and then an interrupt: the processor resets itself.
    unsafe { asm!("lidt [{}]", "int3", in(reg) none.as_ptr(), options(nostack)) }
}

/// Stops this processor until the operator resets it.
pub(crate) fn halt() -> ! {
    loop {
        // SAFETY: touches no memory; this program owns the machine.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

/// # Safety
/// As memcpy(3).
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack)) }
}

/// # Safety
/// As memset(3).
pub(crate) unsafe fn fill(to: *mut u8, value: u8, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") value, options(nostack)) }
}
