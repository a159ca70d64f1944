use crate::addr::{Pfn, PhysAddr};
use crate::arch::s390x::regs;
use crate::dump::source::BytesSource;
use crate::dump::{Completeness, Format, MemoryDump, OpenError, open_source};
use std::path::Path;
use std::sync::Arc;

const MEMORY: u64 = 4 << 20;
const MIB: usize = 1 << 20;
/// The prefix page of the second CPU, inside the third mebibyte.
const PREFIX: u64 = 0x20_4000;

fn header(last: u8) -> Vec<u8> {
    let mut header = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xa8, 0x19, 0x01, 0x73, 0x61, 0x8f, 0x23, last]);
    put(0xc, &4096_u32.to_be_bytes());
    put(0x28, &MEMORY.to_be_bytes());
    put(0x48, &2_u32.to_be_bytes());
    put(0x5d, &2_u16.to_be_bytes());
    // The first CPU's prefix page is not in the dump.
    put(0x800, &u32::MAX.to_be_bytes());
    put(0x804, &u32::try_from(PREFIX).unwrap().to_be_bytes());
    header
}

/// Zeros but for the third mebibyte, which holds 7 but for the registers.
fn memory() -> Vec<u8> {
    let mut memory = vec![0; 4 * MIB];
    memory[2 * MIB..3 * MIB].fill(7);
    let stored = usize::try_from(PREFIX).unwrap() + 0x1280;
    for n in 0..18_u64 {
        let at = stored + usize::try_from(n).unwrap() * 8;
        memory[at..at + 8].copy_from_slice(&(0x100 + n).to_be_bytes());
    }
    memory
}

fn marker() -> Vec<u8> {
    [&b"DUMP_END"[..], &[0; 8]].concat()
}

fn plain() -> Vec<u8> {
    [header(0xfd), memory(), marker()].concat()
}

fn segment(start: u64, len: u64, stop: u64) -> Vec<u8> {
    let mut page = [start, len, stop].map(u64::to_be_bytes).concat();
    page.resize(4096, 0);
    page
}

/// The third mebibyte is all that is not zero.
fn extended() -> Vec<u8> {
    let third = memory()[2 * MIB..3 * MIB].to_vec();
    let place = segment(2 << 20, 1 << 20, u64::MAX);
    [header(0xfe), place, third, marker()].concat()
}

fn open(bytes: Vec<u8>) -> Result<Arc<dyn MemoryDump>, OpenError> {
    open_source(Path::new("dump"), Arc::new(BytesSource(bytes)))
}

fn refused(bytes: Vec<u8>) -> String {
    open(bytes).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn both_forms_hold_the_memory_and_the_registers() {
    for bytes in [plain(), extended()] {
        let dump = open(bytes).unwrap();
        let mut read = vec![1; 4 * MIB];
        dump.read_phys(PhysAddr(0), &mut read).unwrap();
        assert!(read == memory());
        let all = dump.next_present(Pfn(0)).unwrap();
        assert_eq!((all.start, all.end), (Pfn(0), Pfn(1024)));
        let info = dump.info();
        assert_eq!(info.format, Format::StandAlone);
        assert_eq!(info.completeness, Completeness::Unknown);
        let [note] = info.notes.as_slice() else {
            panic!("{} notes", info.notes.len());
        };
        let (_, registers) = regs::from_prstatus(&note.desc).unwrap();
        // The PSW is stored behind the sixteen registers.
        assert_eq!(registers.get(0), Some(0x110));
        assert_eq!(registers.get(2), Some(0x100));
        assert_eq!(registers.get(regs::LINK), Some(0x10e));
    }
}

#[test]
fn one_that_was_cut_off_is_read_as_far_as_it_goes() {
    let mut cut = plain();
    cut.truncate(4096 + 5 * MIB / 2);
    let dump = open(cut).unwrap();
    let mut page = [0; 4096];
    dump.read_phys(PhysAddr(2 << 20), &mut page).unwrap();
    assert!(page.iter().all(|byte| *byte == 7));
    assert!(dump.read_phys(PhysAddr(3 << 20), &mut page).is_err());
    let why = &dump.info().completeness;
    assert!(matches!(why, Completeness::Incomplete(why) if why.contains("end marker")));
}

#[test]
fn what_is_not_read_says_so() {
    let with = |at: usize, value: u8| {
        let mut bytes = plain();
        bytes[at] = value;
        refused(bytes)
    };
    assert!(with(0x4b, 1).contains("31-bit"));
    assert!(with(0x5c, 1).contains("zgetdump"));
    assert!(with(0x28, 0xff).contains("contradicts itself"));
    assert!(with(0xe, 0).contains("contradicts itself"));
    assert!(with(0x2b, 2).contains("more memory"));
    let segment_says = |at: usize, value: u8| {
        let mut bytes = extended();
        bytes[4096 + at] = value;
        refused(bytes)
    };
    assert!(segment_says(0x1b, 1).contains("compressed; zgetdump"));
    assert!(segment_says(0x0, 1).contains("of no memory"));
    let empty = [header(0xfe), segment(0, 0, 0)].concat();
    assert!(refused(empty).contains("no segment"));
    let mut little = plain();
    little[..8].reverse();
    assert!(!refused(little).contains("zgetdump"));
}
