//! `verify`: sound, damaged and unreadable are told apart, wherever a file is cut.

use crate::harness::Machine;
use synth::elf::Elf;
use synth::ram::Ram;

const TEXT: u64 = 0xffff_ffff_8100_0000;

/// A small kernel: its memory, and its VMCOREINFO text.
fn kernel() -> Ram {
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
    ram
}

/// A core with a small kernel in it and 200 pages of other content.
fn core() -> Vec<u8> {
    let ram = kernel();
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

#[test]
fn another_machine_is_not_damage() {
    let machine = Machine::empty();
    let file = machine.path("/core");
    for e_machine in [183_u16, 243, 21] {
        let mut bytes = core();
        bytes[18..20].copy_from_slice(&e_machine.to_le_bytes());
        std::fs::write(&file, bytes).unwrap();
        let run = machine.run(&["verify", file.to_str().unwrap(), "--json"]);
        let answer = run.exits(4).json();
        assert_eq!(answer["verdict"], "sound", "{answer}");
        assert_eq!(answer["kernel"][0]["checked"], false, "{answer}");
    }
}

#[test]
fn the_text_of_vmcoreinfo_is_found_in_memory() {
    let machine = Machine::empty();
    let mut ram = kernel();
    ram.put(0x7_0000, ram.text.clone().as_bytes());
    let elf = ram
        .pages()
        .fold(Elf::new().note("QEMU", 0, &[0; 8]), |elf, (pfn, page)| {
            elf.load(0, pfn * 4096, page)
        });
    let file = machine.path("/core");
    std::fs::write(&file, elf.build()).unwrap();
    let file = file.to_str().unwrap();
    let answer = machine.run(&["verify", file, "--json"]).exits(0).json();
    assert_eq!(answer["verdict"], "sound", "{answer}");
    let read = machine.run(&["read", file, "linux_banner", "13", "--raw"]);
    assert_eq!(read.exits(0).stdout(), "Linux version");
}

#[test]
fn segments_alone_are_enough_to_read_by_address() {
    let machine = Machine::empty();
    let file = machine.path("/core");
    let elf = Elf::new()
        .load(
            0xffff_8880_0000_0000,
            0x5000,
            b"direct map".repeat(410).as_slice(),
        )
        .load(TEXT - 0x9000, 0x9000, b"kernel".repeat(700).as_slice());
    std::fs::write(&file, elf.build()).unwrap();
    let file = file.to_str().unwrap();
    for (at, text) in [
        ("ffff888000005000", "direct"),
        ("ffffffff81000000", "kernel"),
    ] {
        let read = machine.run(&["read", file, at, "6", "--raw"]);
        assert_eq!(read.exits(0).stdout(), text);
    }
    machine.run(&["read", file, "jiffies", "6"]).exits(1);
    machine
        .run(&["read", file, "ffffc90000000000", "6"])
        .exits(1);
}

#[test]
fn the_release_comes_from_the_header_of_a_kdump_file() {
    let machine = Machine::empty();
    let file = machine.path("/core");
    let page = synth::elf::pages(1, 1);
    let mut bytes = synth::kdump::Kdump::new(9).ram(0, 9).page(1, &page).build();
    bytes[12 + 2 * 65..][..6].copy_from_slice(b"4.18.0");
    std::fs::write(&file, bytes).unwrap();
    let run = machine.run(&["info", file.to_str().unwrap(), "--json"]);
    assert_eq!(run.json()["release"], "4.18.0");
}
