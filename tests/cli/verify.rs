//! `verify`: sound, damaged and unreadable are told apart, wherever a file is cut.

use crate::harness::Machine;
use synth::elf::Elf;
use synth::ram::Ram;

/// A core with a small kernel in it and 200 pages of other content.
fn core() -> Vec<u8> {
    const TEXT: u64 = 0xffff_ffff_8100_0000;
    let mut ram = Ram::new(4, 0);
    for at in (TEXT..TEXT + 0x4000).step_by(4096) {
        ram.map(at, ram.image_pa(at), 12);
        ram.put_image(at, b"text");
    }
    ram.put_image(
        TEXT + 0x100,
        b"Linux version 6.12.1-toy (nobody@nowhere) #1\n\0",
    );
    for (name, at) in [
        ("linux_banner", 0x100),
        ("_stext", 0),
        ("_text", 0),
        ("_end", 0x4000),
    ] {
        ram.line(&format!("SYMBOL({name})={:x}", TEXT + at));
    }
    let elf = Elf::new().note("VMCOREINFO", 0, ram.text.as_bytes());
    let elf = ram
        .pages()
        .fold(elf, |elf, (pfn, page)| elf.load(0, pfn * 4096, page));
    elf.load(0, 0x9_0000_0000, &synth::elf::pages(9, 200))
        .build()
}

/// The places where a file of `len` bytes is cut: more of them at both ends.
fn cuts(len: usize) -> Vec<usize> {
    let even = (0..24).map(|n| len * n / 24);
    let ends = (0..12).flat_map(|n| [1 << n, len.saturating_sub(1 << n)]);
    let mut cuts: Vec<usize> = even.chain(ends).filter(|at| *at < len).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

#[test]
fn cut_files_are_damaged_or_unreadable_and_whole_ones_sound() {
    let machine = Machine::empty();
    let plain = machine.path("/plain");
    std::fs::write(&plain, core()).unwrap();
    for format in ["elf-zst", "elf-lz4", "kdump-zstd", "kdump-zlib"] {
        let whole = machine.path(&format!("/{format}"));
        let (from, to) = (plain.to_str().unwrap(), whole.to_str().unwrap());
        machine
            .run(&["convert", "-q", from, to, "--format", format])
            .exits(0);
        let answer = machine.run(&["verify", to, "--json"]).exits(0).json();
        assert_eq!(answer["verdict"], "sound", "{format}: {answer}");
        assert_eq!(answer["pages_lost"], 0);
        let bytes = std::fs::read(&whole).unwrap();
        let part = machine.path("/part");
        let mut damaged = 0;
        for at in cuts(bytes.len()) {
            std::fs::write(&part, &bytes[..at]).unwrap();
            let run = machine.run(&["verify", part.to_str().unwrap(), "--json"]);
            match run.code() {
                5 => {
                    let answer = run.json();
                    assert_eq!(answer["verdict"], "damaged", "{format} cut at {at}");
                    damaged += 1;
                }
                1 => assert!(!run.stderr().is_empty(), "{format} cut at {at}"),
                code => panic!("{format} cut at {at} of {}: exit {code}", bytes.len()),
            }
        }
        assert!(damaged > 15, "{format}: only {damaged} parts could be read");
    }
}

#[test]
fn a_flipped_bit_in_a_frame_is_found_and_its_pages_named() {
    let machine = Machine::empty();
    let (plain, zst) = (machine.path("/plain"), machine.path("/core.elf.zst"));
    std::fs::write(&plain, core()).unwrap();
    let (from, to) = (plain.to_str().unwrap(), zst.to_str().unwrap());
    machine.run(&["convert", "-q", from, to]).exits(0);
    let mut bytes = std::fs::read(&zst).unwrap();
    let at = bytes.len() * 2 / 3;
    bytes[at] ^= 4;
    std::fs::write(&zst, bytes).unwrap();
    let answer = machine.run(&["verify", to, "--json"]).exits(5).json();
    assert_eq!(answer["verdict"], "damaged");
    assert!(answer["pages_lost"].as_u64().unwrap() > 0, "{answer}");
    assert!(answer["pages_good"].as_u64().unwrap() > 0, "{answer}");
    assert!(answer["damage"].to_string().contains("page"), "{answer}");
}

#[test]
fn what_is_no_dump_is_unreadable() {
    let machine = Machine::empty();
    machine.file("/text", "not a dump at all");
    let text = machine.path("/text");
    machine.run(&["verify", text.to_str().unwrap()]).exits(1);
}
