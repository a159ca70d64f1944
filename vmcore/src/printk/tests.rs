//! Both rings on toy kernels, with the oddities that real ones show.

use super::{Record, records, write_dmesg};
use crate::kernel::toy;
use synth::printk::{COMMITTED, REUSABLE, Ring, legacy, legacy_record};
use synth::ram::Ram;

fn texts(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| String::from_utf8_lossy(&record.text).into_owned())
        .collect()
}

#[test]
fn records_come_in_order_with_all_they_say() {
    let mut ram = Ram::new(4, 0);
    let mut ring = Ring::new(&mut ram, 4, 12, true);
    ring.print(&mut ram, b"first");
    ring.print(&mut ram, b"second\nline");
    let log = records(&toy::kernel(&ram)).unwrap();
    assert_eq!(log.warnings, Vec::<String>::new());
    assert_eq!(
        log.records[1],
        Record {
            seq: 1,
            ts_nsec: 1_000_001_000,
            level: 6,
            facility: 3,
            caller: Some(77),
            text: b"second\nline".to_vec(),
            stored: true,
        }
    );
    let mut out = Vec::new();
    assert_eq!(write_dmesg(&toy::kernel(&ram), &mut out).unwrap(), 2);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "[    1.000000] [     T77] first\n\
         [    1.000001] [     T77] second\n                          line\n"
    );
}

#[test]
fn a_full_ring_keeps_the_newest_records() {
    let mut ram = Ram::new(4, 0x100_0000);
    let mut ring = Ring::new(&mut ram, 3, 9, false);
    // Wraps many times, and the id passes 2^32.
    for n in 0..100 {
        ring.print(&mut ram, format!("message number {n}").as_bytes());
    }
    let log = records(&toy::kernel(&ram)).unwrap();
    let expected: Vec<String> = (92..100).map(|n| format!("message number {n}")).collect();
    assert_eq!(texts(&log.records), expected);
    assert_eq!(log.records[0].caller, None);
}

#[test]
fn a_block_may_end_exactly_at_the_end_of_the_ring() {
    for perfect_fit in [false, true] {
        let mut ram = Ram::new(4, 0);
        let mut ring = Ring::new(&mut ram, 4, 9, false);
        ring.perfect_fit = perfect_fit;
        while ring.room() > 64 {
            ring.print(&mut ram, &[b'x'; 16]);
        }
        let room = ring.room() as usize;
        let text = vec![b'y'; room - 8];
        let at = ring.print(&mut ram, &text);
        // Newer kernels leave it in place, older ones move it to the front.
        assert_eq!(at == 8, !perfect_fit);
        ring.print(&mut ram, b"after");
        let log = records(&toy::kernel(&ram)).unwrap();
        let last: Vec<&Record> = log.records.iter().rev().take(2).collect();
        assert_eq!(last[1].text, text, "perfect fit: {perfect_fit}");
        assert_eq!(last[0].text, b"after");
    }
}

#[test]
fn odd_records_are_taken_as_they_are() {
    let mut ram = Ram::new(4, 0);
    let mut ring = Ring::new(&mut ram, 4, 12, false);
    ring.print_as(&mut ram, b"partial", COMMITTED, 7);
    ring.print_as(&mut ram, b"gone", REUSABLE, 4);
    ring.print_as(&mut ram, b"being written", 0, 13);
    ring.dataless(&mut ram, 3);
    ring.dataless(&mut ram, 1);
    // The length claims more than the block has: it is cut to the block, 8 bytes here.
    ring.print_as(&mut ram, b"12345678", 2, 500);
    let log = records(&toy::kernel(&ram)).unwrap();
    assert_eq!(texts(&log.records), ["partial", "", "12345678"]);
    assert!(!log.records[1].stored);
    assert_eq!(log.warnings.len(), 1);
    assert!(log.warnings[0].contains("record 4"), "{:?}", log.warnings);
    let mut out = Vec::new();
    // As makedumpfile does, the empty line is not written.
    assert_eq!(write_dmesg(&toy::kernel(&ram), &mut out).unwrap(), 2);
}

#[test]
fn ends_that_cannot_be_true_are_bounded() {
    let mut ram = Ram::new(4, 0);
    let mut ring = Ring::new(&mut ram, 3, 9, false);
    ring.print(&mut ram, b"only");
    ring.set_ends(&mut ram, 0xffff_fffe, 0xffff_ffff);
    let log = records(&toy::kernel(&ram)).unwrap();
    assert_eq!(texts(&log.records), ["only"]);
}

#[test]
fn a_missing_page_of_descriptors_costs_its_records_and_one_warning() {
    const BASE: u64 = 0xffff_ffff_8100_0000;
    let mut ram = Ram::new(4, 0);
    // 1024 descriptors of 32 bytes from BASE + 64 KiB on; the first record is in slot 1022.
    let mut ring = Ring::large(&mut ram, BASE, 10, 16);
    for n in 0..1000 {
        ring.print(&mut ram, format!("message {n}").as_bytes());
    }
    // Slots 128 to 255.
    let page = ram.image_pa(BASE + 0x1_0000 + 0x1000);
    ram.drop_page(page);
    let log = records(&toy::kernel(&ram)).unwrap();
    let left = (0..1000).filter(|n| !(130..258).contains(n));
    let expected: Vec<String> = left.map(|n| format!("message {n}")).collect();
    assert_eq!(texts(&log.records), expected);
    assert_eq!(log.warnings.len(), 1, "{:?}", log.warnings);
    // More descriptors than any kernel makes.
    ram.put_image(BASE + 0x40 + 8 + 4, &27_u32.to_le_bytes());
    let refused = records(&toy::kernel(&ram)).unwrap_err();
    let why = crate::kernel::chain(&refused);
    assert!(why.contains("count_bits is 27"), "{why}");
}

#[test]
fn the_older_ring_wraps_where_a_length_is_zero() {
    let newest = legacy_record(3_000, b"newest", b"SUBSYSTEM=x");
    let oldest = legacy_record(1_000, b"oldest", b"");
    let middle = legacy_record(2_000, b"middle\xff", b"");
    let mut buffer = newest.clone();
    buffer.resize(128, 0xee);
    let first = buffer.len() as u32;
    buffer.extend_from_slice(&oldest);
    buffer.extend_from_slice(&middle);
    buffer.resize(256, 0);
    let mut ram = Ram::new(4, 0);
    legacy(&mut ram, &buffer, first, newest.len() as u32);
    let kernel = toy::kernel(&ram);
    let log = records(&kernel).unwrap();
    assert_eq!(texts(&log.records), ["oldest", "middle\u{fffd}", "newest"]);
    assert_eq!(log.records[0].level, 4);
    assert_eq!(log.records[0].facility, 1);
    let mut out = Vec::new();
    write_dmesg(&kernel, &mut out).unwrap();
    assert!(out.starts_with(b"[    0.000001] oldest\n[    0.000002] middle\\xffffffff\n"));
}

#[test]
fn records_of_the_older_ring_that_run_in_a_circle_end() {
    let record = legacy_record(1_000, b"again", b"");
    let buffer: Vec<u8> = record
        .iter()
        .copied()
        .cycle()
        .take(record.len() * 4)
        .collect();
    let mut ram = Ram::new(4, 0);
    // The end is never met: it lies between two records.
    legacy(&mut ram, &buffer, 0, 2);
    let log = records(&toy::kernel(&ram)).unwrap();
    assert_eq!(log.records.len(), 4);
    assert_eq!(log.warnings.len(), 1);
}
