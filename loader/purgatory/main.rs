//! The code that runs between the crashed kernel and the capture kernel when kexec_load(2) was used:
//! it checks the SHA-256 of every segment and jumps, or says on the serial port which segment was
//! overwritten and resets or halts.
//!
//! Freestanding, built by build.rs; the loader patches the statics below by name. It is entered in
//! long mode with an identity map that may be written and executed, interrupts off and no usable
//! descriptor tables (arch/x86/kernel/relocate_kernel_64.S, Linux 5.10 to 7.2). It takes nothing from
//! the crashed kernel but the processor's state.

#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod sha256;

use core::arch::{asm, global_asm};
use core::ptr::{addr_of, read_volatile};

/// One segment to check. The layout is known to loader/src/kexec_load/purgatory.rs.
#[repr(C)]
#[derive(Clone, Copy)]
struct Region {
    address: u64,
    length: u64,
    digest: [u8; 32],
    name: [u8; 16],
}

const UNSET: u64 = 0xfeed_f00d_feed_f00d;
const NO_REGION: Region = Region { address: UNSET, length: UNSET, digest: [0xa5; 32], name: [0xa5; 16] };

// Not zero, so that they are in .data and in the file.
#[unsafe(no_mangle)]
static mut PURGATORY_ENTRY: u64 = UNSET;
#[unsafe(no_mangle)]
static mut PURGATORY_BOOT_PARAMS: u64 = UNSET;
#[unsafe(no_mangle)]
static mut PURGATORY_COUNT: u64 = UNSET;
/// The I/O port of the serial line, 0 for none.
#[unsafe(no_mangle)]
static mut PURGATORY_SERIAL: u64 = UNSET;
/// 1: reset the machine after a mismatch; 0: halt.
#[unsafe(no_mangle)]
static mut PURGATORY_RESET: u64 = UNSET;
#[unsafe(no_mangle)]
static mut PURGATORY_REGIONS: [Region; 16] = [NO_REGION; 16];

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
    movq PURGATORY_BOOT_PARAMS(%rip), %rsi
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

fn say(port: u16, text: &[u8]) {
    if port == 0 {
        return;
    }
    for &byte in text {
        // A line that is not there reads 0xff and never blocks; a stuck one is not waited for.
        for _ in 0..100_000 {
            if input(port + 5) & 0x20 != 0 {
                break;
            }
        }
        out(port, byte);
    }
}

fn say_hex(port: u16, value: u64) {
    say(port, b"0x");
    let mut shift = 64;
    while shift > 0 {
        shift -= 4;
        let digit = (value >> shift & 15) as u8;
        say(port, &[if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }]);
    }
}

/// Returns only when every segment is what was loaded.
#[unsafe(no_mangle)]
extern "C" fn purgatory_check() {
    // SAFETY: the statics are written by the loader before this runs and by nobody after.
    let (count, port, reset) = unsafe {
        (
            read_volatile(addr_of!(PURGATORY_COUNT)),
            read_volatile(addr_of!(PURGATORY_SERIAL)) as u16,
            read_volatile(addr_of!(PURGATORY_RESET)),
        )
    };
    let mut bad = count > 16;
    let mut n = 0;
    while n < count && n < 16 {
        // SAFETY: n is below the array's length.
        let region = unsafe {
            read_volatile(addr_of!(PURGATORY_REGIONS).cast::<Region>().add(n as usize))
        };
        // SAFETY: the loader put this many bytes of a segment at this physical address, and all
        // memory is mapped at its physical address; nothing writes to it now.
        let bytes = unsafe {
            core::slice::from_raw_parts(region.address as *const u8, region.length as usize)
        };
        if sha256::digest(bytes) != region.digest {
            bad = true;
            say(port, b"\r\nafterpanic: purgatory: the ");
            for &c in &region.name {
                if c == 0 {
                    break;
                }
                say(port, &[c]);
            }
            say(port, b" at ");
            say_hex(port, region.address);
            say(port, b" was overwritten after it was loaded (SHA-256 differs); no dump is possible\r\n");
        }
        n += 1;
    }
    if !bad {
        return;
    }
    if reset == 1 {
        say(port, b"afterpanic: purgatory: resetting\r\n");
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
    say(port, b"afterpanic: purgatory: halting\r\n");
    loop {
        // SAFETY: stops this processor until the operator resets it.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        // SAFETY: as above.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

// What the compiler may call; there is no C library. Written so that they do not call themselves.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack)) }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") value as u8, options(nostack)) }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    let mut i = 0;
    while i < n {
        // SAFETY: i is below n, the caller's promise covers n bytes of both.
        let (x, y) = unsafe { (read_volatile(a.add(i)), read_volatile(b.add(i))) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
        i += 1;
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(a, b, n) }
}
