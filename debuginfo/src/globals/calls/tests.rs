//! Calls in made-up code.

use super::{Calls, Names, function};
use synth::btf::Btf;
use vmcore::kernel::Types;

const TEXT: u64 = 0xffff_ffff_8100_0000;
const DATA: u64 = 0xffff_ffff_8200_0000;

/// A call from `from` to `to`.
fn call(from: u64, to: u64) -> Vec<u8> {
    let far = to.wrapping_sub(from.wrapping_add(5)) as u32;
    [&[0xe8], &far.to_le_bytes()[..]].concat()
}

/// What is passed in code at `TEXT`.
fn passed(code: &[u8]) -> Vec<(u64, u64, usize)> {
    let mut all = Vec::new();
    function(TEXT, code, |target, address, argument| {
        all.push((target, address, argument));
    });
    all
}

#[test]
fn constants_reach_a_call() {
    // mov $DATA,%rdi; mov %rdi,%rsi; call TEXT+0x100
    let mut code = vec![0x48, 0xc7, 0xc7, 0, 0, 0, 0x82, 0x48, 0x89, 0xfe];
    code.extend(call(TEXT + 10, TEXT + 0x100));
    let (first, second) = ((TEXT + 0x100, DATA, 0), (TEXT + 0x100, DATA, 1));
    assert_eq!(passed(&code), [first, second]);
    // After the call they are gone; rbx would not be.
    code.extend(call(TEXT + 15, TEXT + 0x100));
    assert_eq!(passed(&code).len(), 2);
    let mut kept = vec![0x48, 0xc7, 0xc3, 0, 0, 0, 0x82];
    kept.extend(call(TEXT + 7, TEXT + 0x200));
    kept.extend([0x48, 0x89, 0xdf]);
    kept.extend(call(TEXT + 15, TEXT + 0x100));
    assert_eq!(passed(&kept), [first]);
}

#[test]
fn what_changes_a_register_ends_the_constant() {
    let load = [0x48, 0xc7, 0xc7, 0, 0, 0, 0x82];
    for change in [
        &[0x48, 0x83, 0xc7, 8][..], // add $8,%rdi
        &[0x31, 0xff],              // xor %edi,%edi
        &[0x89, 0xf7],              // mov %esi,%edi
        &[0x5f],                    // pop %rdi
        &[0xf3, 0x48, 0xab],        // rep stos
        &[0x48, 0x8b, 0x3f],        // mov (%rdi),%rdi
    ] {
        let mut code = [&load[..], change].concat();
        code.extend(call(TEXT + code.len() as u64, TEXT + 0x100));
        assert_eq!(passed(&code), [], "{change:x?}");
    }
    // cmp and test change nothing.
    let mut code = [&load[..], &[0x48, 0x39, 0xf7]].concat();
    code.extend(call(TEXT + 10, TEXT + 0x100));
    assert_eq!(passed(&code).len(), 1);
}

#[test]
fn nothing_is_known_where_jumps_meet() {
    // mov $DATA,%rdi; je 1f; mov $DATA,%rdi; 1: call
    let load = [0x48, 0xc7, 0xc7, 0, 0, 0, 0x82];
    let mut code = [&load[..], &[0x74, 7], &load[..]].concat();
    code.extend(call(TEXT + 16, TEXT + 0x100));
    assert_eq!(passed(&code), []);
    // A jump out of the function is a call.
    let mut tail = load.to_vec();
    let jump = call(TEXT + 7, TEXT + 0x100);
    tail.push(0xe9);
    tail.extend(&jump[1..]);
    assert_eq!(passed(&tail), [(TEXT + 0x100, DATA, 0)]);
}

fn types() -> Types {
    let mut btf = Btf::new();
    let long = btf.int("long unsigned int", 8, false);
    let lock = btf.compound("lock", 4, 8, &[("a", long, 0, 0)]);
    let whole = btf.compound("whole", 4, 64, &[("lock", lock, 0, 0)]);
    let thin = btf.compound("thin", 4, 16, &[("a", long, 0, 0), ("b", long, 64, 0)]);
    btf.compound("around_thin", 4, 16, &[("thin", thin, 0, 0)]);
    for (name, ty) in [
        ("take_lock", lock),
        ("take_whole", whole),
        ("take_thin", thin),
    ] {
        let pointer = btf.add("", 2, 0, false, ty, &[]);
        let prototype = btf.add("", 13, 1, false, 0, &[0, pointer]);
        btf.add(name, 12, 1, false, prototype, &[]);
    }
    Types::parse(btf.build(None), None).unwrap()
}

#[test]
fn the_largest_type_that_fills_the_room_is_believed() {
    let (lock, whole, thin) = (TEXT + 0x100, TEXT + 0x200, TEXT + 0x280);
    let mut code = vec![0x48, 0xc7, 0xc7, 0, 0, 0, 0x82];
    code.extend(call(TEXT + 7, lock));
    code.extend([0x48, 0xc7, 0xc7, 0, 0, 0, 0x82]);
    code.extend(call(TEXT + 19, whole));
    // Only a lock is passed here.
    code.extend([0x48, 0xc7, 0xc7, 64, 0, 0, 0x82]);
    code.extend(call(TEXT + 31, lock));
    code.extend([0x48, 0xc7, 0xc7, 128, 0, 0, 0x82]);
    code.extend(call(TEXT + 43, thin));
    let names = Names::new(
        [
            (thin, "take_thin"),
            (TEXT, "caller"),
            (lock, "take_lock"),
            (whole, "take_whole"),
            (DATA, "object"),
            (DATA + 64, "other"),
        ]
        .map(|(at, name)| (at, 'T', name.to_owned())),
    );
    let types = types();
    let mut read = |at: u64, bytes: &mut [u8]| {
        if at == TEXT {
            bytes[..code.len()].copy_from_slice(&code);
        }
        at == TEXT
    };
    let calls = Calls::scan(&names, &[(TEXT, TEXT + 0x300)], &types, &mut read);
    let of = |at, room| Some(calls.of(at, room, &types)?.declare(&types, ""));
    assert_eq!(of(DATA, 64).as_deref(), Some("struct whole"));
    assert_eq!(of(DATA, 8).as_deref(), Some("struct lock"));
    assert_eq!(of(DATA + 64, 8).as_deref(), Some("struct lock"));
    assert_eq!(
        of(DATA + 64, 64),
        None,
        "it may be the first member of another"
    );
    assert_eq!(
        of(DATA + 128, 16),
        None,
        "it may be the one that is no larger"
    );
    assert_eq!(of(DATA + 192, 64), None);
}
