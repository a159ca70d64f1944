//! Replays the fuzzers' inputs for the crashed kernel's tables, shortened and flipped too, and the
//! seeds they started from, which `synth` makes afresh (with AFTERPANIC_WRITE_SEEDS set they are
//! written into the corpus).

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../fuzz/kernel_entries.rs"]
mod entries;

use std::fs;
use std::path::Path;
use synth::btf::Btf;
use synth::kallsyms::{Encoding, TEXT, put};
use synth::machine::{Machine, Spec};
use synth::printk::Ring;
use synth::ram::Ram;

/// The corpus and the seeds, which are written into it first if that is asked for.
fn replay(target: &str, seeds: Vec<(&str, Vec<u8>)>, entry: fn(&[u8])) {
    if std::env::var_os("AFTERPANIC_WRITE_SEEDS").is_some() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let dir = corpus.join(target);
        fs::create_dir_all(&dir).unwrap();
        for (name, data) in &seeds {
            fs::write(dir.join(name), data).unwrap();
        }
    }
    let seeds = seeds.into_iter().map(|(_, data)| data).collect();
    synth::corpus::replay(target, seeds, 24, entry);
}

/// RAM in the form that `entries::kernel` reads.
fn flat(ram: &Ram) -> Vec<u8> {
    let mut out = (ram.text.len() as u16).to_le_bytes().to_vec();
    out.extend_from_slice(ram.text.as_bytes());
    for (pfn, page) in ram.pages() {
        if page.iter().any(|&byte| byte != 0) {
            out.extend_from_slice(&(pfn as u32).to_le_bytes());
            out.extend_from_slice(page);
        }
    }
    out
}

#[test]
fn btf() {
    let mut btf = Btf::new();
    let int = btf.int("int", 4, true);
    let list = btf.add("", 3, 0, false, 0, &[int, int, 2]);
    btf.compound("task", 4, 16, &[("flag", int, 3, 2), ("", list, 64, 0)]);
    let wide = btf.string("WIDE");
    btf.add("wide", 19, 1, false, 8, &[wide, 5, 1]);
    replay("btf", vec![("small", btf.build(None))], entries::btf);
}

#[test]
fn kernel() {
    let mut log = Ram::new(4, 0);
    let mut ring = Ring::new(&mut log, 3, 9, true);
    for n in 0..12 {
        ring.print(&mut log, format!("message {n}").as_bytes());
    }
    let mut symbols = Ram::new(4, 0);
    symbols.line(&format!("SYMBOL(_stext)={TEXT:x}"));
    let names: Vec<(u64, char, String)> = [(TEXT, "_text"), (TEXT, "_stext")]
        .into_iter()
        .chain((0..300).map(|n| (TEXT + 0x100 + n * 16, "sys_task")))
        .chain([(TEXT + 0x1_0000, "_end")])
        .map(|(at, name)| (at, 'T', name.to_owned()))
        .collect();
    put(&mut symbols, &names, Encoding::PlaceRelative, true);
    let mut machine = Machine::new(2, true);
    machine.process(Spec::default());
    replay("printk", vec![("log", flat(&log))], entries::printk);
    let text = log.text.clone().into_bytes();
    replay("vmcoreinfo", vec![("log", text)], entries::vmcoreinfo);
    let seeds = vec![
        ("log", flat(&log)),
        ("symbols", flat(&symbols)),
        ("machine", flat(&machine.ram)),
    ];
    replay("kernel", seeds, entries::kernel);
}
