//! The code that runs between the crashed kernel and the capture kernel when kexec_load(2) was used: it checks the
//! SHA-256 of every segment and jumps, or says on the serial line which segment was overwritten and resets or halts.
//!
//! Freestanding, built by build.rs; the loader patches the statics below by name. One file an architecture has what
//! enters, jumps, prints a byte and resets. It takes nothing from the crashed kernel but the processor's state.

#![no_std]
#![no_main]
#![allow(unsafe_code)]

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod machine;
mod sha256;

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
#[used]
static mut PURGATORY_ENTRY: u64 = UNSET;
/// What the kernel is given: x86-64: its boot parameters; aarch64: the device tree.
#[unsafe(no_mangle)]
#[used]
static mut PURGATORY_ARGUMENT: u64 = UNSET;
#[unsafe(no_mangle)]
static mut PURGATORY_COUNT: u64 = UNSET;
/// The serial line, 0 for none. x86-64: an I/O port; aarch64: the address of a PL011.
#[unsafe(no_mangle)]
static mut PURGATORY_SERIAL: u64 = UNSET;
/// How to reset the machine after a mismatch; 0: halt. x86-64: 1; aarch64: PSCI by HVC (1) or SMC (2).
#[unsafe(no_mangle)]
static mut PURGATORY_RESET: u64 = UNSET;
/// Page tables for the time of the check, 0 for none. Only aarch64 has them.
#[unsafe(no_mangle)]
#[used]
static mut PURGATORY_TABLES: u64 = UNSET;
#[unsafe(no_mangle)]
static mut PURGATORY_REGIONS: [Region; 16] = [NO_REGION; 16];

fn say(line: u64, text: &[u8]) {
    if line == 0 {
        return;
    }
    for &byte in text {
        machine::put(line, byte);
    }
}

fn say_hex(line: u64, value: u64) {
    say(line, b"0x");
    let mut shift = 64;
    while shift > 0 {
        shift -= 4;
        let digit = (value >> shift & 15) as u8;
        say(line, &[if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }]);
    }
}

/// Returns only when every segment is what was loaded.
#[unsafe(no_mangle)]
extern "C" fn purgatory_check() {
    // SAFETY: the statics are written by the loader before this runs and by nobody after.
    let (count, line, reset) = unsafe {
        (
            read_volatile(addr_of!(PURGATORY_COUNT)),
            read_volatile(addr_of!(PURGATORY_SERIAL)),
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
        // SAFETY: the loader put this many bytes of a segment at this physical address, and
        // memory is seen at its physical address; nothing writes to it now.
        let bytes = unsafe {
            core::slice::from_raw_parts(region.address as *const u8, region.length as usize)
        };
        if sha256::digest(bytes) != region.digest {
            bad = true;
            say(line, b"\r\nafterpanic: purgatory: the ");
            for &c in &region.name {
                if c == 0 {
                    break;
                }
                say(line, &[c]);
            }
            say(line, b" at ");
            say_hex(line, region.address);
            say(line, b" was overwritten after it was loaded (SHA-256 differs); no dump is possible\r\n");
        }
        n += 1;
    }
    if !bad {
        return;
    }
    if reset != 0 {
        say(line, b"afterpanic: purgatory: resetting\r\n");
        machine::reset(reset);
    }
    say(line, b"afterpanic: purgatory: halting\r\n");
    machine::halt()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    machine::halt()
}

// What the compiler may call; there is no C library. Written so that they do not call themselves.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { machine::copy(to, from, n) }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { machine::fill(to, value as u8, n) }
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
