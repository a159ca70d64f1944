//! Files that claim far more than they hold, opened under a hard limit on data, and every format at
//! 16 TiB of address space, opened within a hard limit of time.
//!
//! Each test makes its file, then opens and uses it in a child process: the limit (RLIMIT_DATA, set
//! by the shell) covers a whole process.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use synth::elf::{Elf, pages};
use vmcore::addr::{PAGE_BYTES, PAGE_SIZE, Pfn, PhysAddr};
use vmcore::dump::map::{MapReader, MapWriter};
use vmcore::dump::{MemoryDump, open};
use vmcore::kernel::Kernel;
use vmcore::mm::{Kind, KindRun};

const LIMIT_KIB: u64 = 64 << 10;
const FILE: &str = "AFTERPANIC_BOMB";
/// The most content of a frame.
const FRAME: usize = 16 << 20;

/// Runs `test` again under the limit, on `file`.
fn limited(test: &str, file: &Path) {
    let script = format!("ulimit -d {LIMIT_KIB} && exec \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--test-threads=1", "--nocapture"])
        .env(FILE, file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn in_child() -> Option<PathBuf> {
    std::env::var_os(FILE).map(PathBuf::from)
}

fn store(dir: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("bomb");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The limit is in force: without it this would succeed.
fn is_limited() {
    let mut too_much: Vec<u8> = Vec::new();
    assert!(too_much.try_reserve_exact(65 << 20).is_err());
}

/// Opens the file and asks for its first and last pages. What it says if it does not open.
fn look(path: &Path) -> Result<(), String> {
    is_limited();
    let dump = open(path).map_err(|error| error.to_string())?;
    assert!(dump.info().warnings.len() < 1000);
    let mut page = vec![0; PAGE_BYTES];
    let mut from = Pfn(0);
    for _ in 0..1000 {
        let Some(run) = dump.next_present(from) else {
            break;
        };
        let _ = dump.read_phys(run.start.phys().unwrap(), &mut page);
        from = run.end;
    }
    if let Ok(kernel) = Kernel::new(dump) {
        let _ = kernel.symbols().map(|symbols| symbols.lookup("nothing"));
        let _ = kernel.types().map(|types| types.find_type("nothing"));
    }
    Ok(())
}

/// `head`, then `unit` again and again, `times` times, in zstd frames without a table.
fn zstd_frames(head: &[u8], unit: &[u8], times: usize) -> Vec<u8> {
    let frame = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
    let whole = FRAME / unit.len();
    let mut file = frame(head);
    file.extend(frame(&unit.repeat(whole)).repeat(times / whole));
    if !times.is_multiple_of(whole) {
        file.extend(frame(&unit.repeat(times % whole)));
    }
    file
}

/// The same in LZ4 frames.
fn lz4_frames(head: &[u8], unit: &[u8], times: usize) -> Vec<u8> {
    let frame = |bytes: &[u8]| {
        let info = lz4_flex::frame::FrameInfo::new().content_size(Some(bytes.len() as u64));
        let mut lz4 = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        lz4.write_all(bytes).unwrap();
        lz4.finish().unwrap()
    };
    let whole = FRAME / unit.len();
    let mut file = frame(head);
    file.extend(frame(&unit.repeat(whole)).repeat(times / whole));
    file
}

/// An ELF header with `count` program headers behind it, their number in the section header between.
fn elf_head(count: u32) -> Vec<u8> {
    let core = Elf::new().extended_count().sections_first().build();
    let mut head = core[..128].to_vec();
    head[64 + 44..64 + 48].copy_from_slice(&count.to_le_bytes());
    head
}

/// A program header: type, offset, physical address, bytes in the file.
fn phdr(p_type: u32, offset: u64, paddr: u64, filesz: u64) -> Vec<u8> {
    let mut out = p_type.to_le_bytes().to_vec();
    out.extend_from_slice(&7_u32.to_le_bytes());
    for word in [offset, 0, paddr, filesz, filesz, 0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out
}

#[test]
fn a_plain_core_of_many_segments() {
    if let Some(file) = in_child() {
        return look(&file).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let count = 1 << 18;
    let mut file = elf_head(count);
    for n in 0..u64::from(count) {
        file.extend(phdr(1, 0x1000, n * 2 * PAGE_SIZE, PAGE_SIZE));
    }
    limited("a_plain_core_of_many_segments", &store(&dir, &file));
}

#[test]
fn program_headers_without_end_in_zstd() {
    if let Some(file) = in_child() {
        let why = look(&file).unwrap_err();
        return assert!(why.contains("16777216 program headers"), "{why}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = zstd_frames(&elf_head(1 << 24), &phdr(1, 0, 0x1000, PAGE_SIZE), 1 << 24);
    assert!(file.len() < 300_000, "{}", file.len());
    limited("program_headers_without_end_in_zstd", &store(&dir, &file));
}

#[test]
fn program_headers_without_end_in_lz4() {
    if let Some(file) = in_child() {
        return assert!(look(&file).is_err());
    }
    let dir = tempfile::tempdir().unwrap();
    let file = lz4_frames(&elf_head(1 << 24), &phdr(1, 0, 0x1000, PAGE_SIZE), 1 << 24);
    limited("program_headers_without_end_in_lz4", &store(&dir, &file));
}

#[test]
fn notes_without_end() {
    if let Some(file) = in_child() {
        return look(&file).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    // A gigabyte of notes without name and content, pointed at by 200 headers.
    let mut head = elf_head(200);
    for _ in 0..200 {
        head.extend(phdr(4, 0x10000, 0, 30 << 20));
    }
    head.resize(0x10000, 0);
    let note = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    let file = zstd_frames(&head, &note, 80 << 20);
    limited("notes_without_end", &store(&dir, &file));
}

#[test]
fn a_kdump_file_of_bitmaps_without_end() {
    if let Some(file) = in_child() {
        look(&file).unwrap();
        let dump = open(&file).unwrap();
        let last = dump.next_present(Pfn((1 << 32) - 99)).unwrap();
        let at = last.start.phys().unwrap();
        return assert!(dump.read_phys(at, &mut [0; 8]).is_err());
    }
    let dir = tempfile::tempdir().unwrap();
    // Bitmaps of half a gigabyte each, with every 15 of 16 bits set, and nothing behind.
    let mut head = kdump_head(1 << 32, 1 << 18);
    head[4096 + 48..4096 + 56].copy_from_slice(&0x2000_u64.to_le_bytes());
    head[4096 + 56..4096 + 64].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    let file = zstd_frames(&head, &[0xff, 0x7f], 1 << 29);
    limited("a_kdump_file_of_bitmaps_without_end", &store(&dir, &file));
}

#[test]
fn pages_of_a_kdump_file_that_unpack_without_end() {
    if let Some(file) = in_child() {
        look(&file).unwrap();
        let dump = open(&file).unwrap();
        for pfn in 1..3 {
            let read = dump.read_phys(PhysAddr(pfn * PAGE_SIZE), &mut [0; 8]);
            assert!(read.is_err(), "{pfn}");
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let much = vec![0; 100 << 20];
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(9));
    zlib.write_all(&much[..3 << 20]).unwrap();
    let zlib = zlib.finish().unwrap();
    let zstd = zstd::bulk::compress(&much[..30 << 20], 19).unwrap();
    assert!(zlib.len() <= 4096 && zstd.len() <= 4096);
    let file = synth::kdump::Kdump::new(100)
        .ram(0, 100)
        .page(1, &pages(1, 1))
        .raw_data(1, 1, &zlib)
        .page(2, &pages(2, 1))
        .raw_data(2, 32, &zstd)
        .build();
    limited(
        "pages_of_a_kdump_file_that_unpack_without_end",
        &store(&dir, &file),
    );
}

/// Records of one byte each, every second byte left out.
fn flattened(records: u64) -> Vec<u8> {
    let mut file = b"makedumpfile\0\0\0\0".to_vec();
    file.extend_from_slice(&1_i64.to_be_bytes());
    file.extend_from_slice(&1_i64.to_be_bytes());
    file.resize(4096, 0);
    for n in 0..records {
        file.extend_from_slice(&(n * 2).to_be_bytes());
        file.extend_from_slice(&1_u64.to_be_bytes());
        file.push(0);
    }
    file.extend_from_slice(&[0xff; 16]);
    file
}

#[test]
fn a_flattened_stream_of_tiny_records() {
    if let Some(file) = in_child() {
        return assert!(look(&file).is_err());
    }
    let dir = tempfile::tempdir().unwrap();
    let file = flattened(1 << 18);
    limited("a_flattened_stream_of_tiny_records", &store(&dir, &file));
}

#[test]
fn tiny_records_without_end_in_zstd() {
    if let Some(file) = in_child() {
        return assert!(look(&file).is_err());
    }
    let dir = tempfile::tempdir().unwrap();
    let mut file = Vec::new();
    for part in flattened(1 << 22).chunks(FRAME) {
        file.extend(zstd::bulk::compress(part, 1).unwrap());
    }
    limited("tiny_records_without_end_in_zstd", &store(&dir, &file));
}

#[test]
fn a_page_map_without_its_end() {
    if let Some(file) = in_child() {
        let map = MapReader::open(Box::new(std::fs::File::open(file).unwrap())).unwrap();
        let last = map.kind_of(Pfn(1 << 40)).unwrap();
        assert_eq!(last, vmcore::dump::map::Lookup::Lost);
        let mut runs = 0_u64;
        map.for_each(&mut |_| {
            runs += 1;
            Ok(())
        })
        .unwrap();
        return assert_eq!(runs, map.runs());
    }
    let dir = tempfile::tempdir().unwrap();
    let mut map = MapWriter::new(Vec::new()).unwrap();
    for n in 0..4 << 20 {
        let kind = [Kind::Free, Kind::Slab][n % 2];
        let start = Pfn(n as u64);
        let pages = vmcore::addr::PfnRange::new(start, Pfn(start.0 + 1));
        map.push(KindRun { pages, kind }).unwrap();
    }
    let (mut file, _) = map.finish().unwrap();
    file.truncate(file.len() - 17);
    limited("a_page_map_without_its_end", &store(&dir, &file));
}

/// A core of 512 MiB of kernel image, all of it `unit` again and again behind `head`, whose
/// VMCOREINFO says `symbols`.
fn image(symbols: &[(&str, u64)], head: &[u8], unit: &[u8]) -> Vec<u8> {
    const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
    let mut text = "OSRELEASE=6.12.0\nPAGESIZE=4096\nNUMBER(phys_base)=0\n".to_owned();
    text.push_str("SYMBOL(swapper_pg_dir)=ffffffff81000000\nSYMBOL(_stext)=ffffffff81000000\n");
    for (name, at) in symbols {
        text.push_str(&format!("SYMBOL({name})={:x}\n", KERNEL_MAP + at));
    }
    let mut core = Elf::new()
        .load(KERNEL_MAP, 0, head)
        .note("VMCOREINFO", 0, text.as_bytes())
        .build();
    let size = 512_u64 << 20;
    // Sizes of the one PT_LOAD, which is the second header.
    for at in [64 + 56 + 32, 64 + 56 + 40] {
        core[at..at + 8].copy_from_slice(&size.to_le_bytes());
    }
    zstd_frames(&core, unit, usize::try_from(size).unwrap() / unit.len())
}

#[test]
fn types_without_end() {
    if let Some(file) = in_child() {
        is_limited();
        let kernel = Kernel::new(open(&file).unwrap()).unwrap();
        let why = kernel.types().err().unwrap().to_string();
        return assert!(why.contains("types"), "{why}");
    }
    let dir = tempfile::tempdir().unwrap();
    let len = 63_u32 << 20;
    let mut head = vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    for word in [0, len / 12 * 12, len / 12 * 12, 16] {
        head.extend_from_slice(&word.to_le_bytes());
    }
    // A typedef named by the string at 1, of type 0.
    let unit = [1, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0];
    let symbols = [
        ("__start_BTF", 0),
        ("__stop_BTF", u64::from(len / 12 * 12) + 24 + 16),
    ];
    let file = image(&symbols, &head, &unit);
    limited("types_without_end", &store(&dir, &file));
}

#[test]
fn symbols_without_end() {
    if let Some(file) = in_child() {
        return look(&file).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    // Four million names of one token each, all the same.
    let mut head = 4_000_000_u32.to_le_bytes().to_vec();
    head.resize(4096, 0);
    let symbols = [
        ("kallsyms_num_syms", 0),
        ("kallsyms_names", 0x1000),
        ("kallsyms_token_table", 0x100),
        ("kallsyms_token_index", 0x800),
        ("kallsyms_offsets", 0x200_0000),
        ("kallsyms_relative_base", 0x10),
    ];
    let file = image(&symbols, &head, &[1, 0]);
    limited("symbols_without_end", &store(&dir, &file));
}

/// Header and sub header of a kdump file of `max` pages whose bitmaps have `blocks` blocks in all.
fn kdump_head(max: u64, blocks: u32) -> Vec<u8> {
    let mut head = synth::kdump::Kdump::new(8).build()[..2 * 4096].to_vec();
    head[436..440].copy_from_slice(&blocks.to_le_bytes());
    head[440..444].copy_from_slice(&u32::try_from(max).unwrap_or(u32::MAX).to_le_bytes());
    head[4096 + 96..4096 + 104].copy_from_slice(&max.to_le_bytes());
    head
}

/// A sparse kdump file of `max` pages, of which it holds those in `held`, with raw data.
fn sparse_kdump(path: &Path, max: u64, held: &[u64]) {
    let map = max.div_ceil(8).next_multiple_of(4096);
    let blocks = u32::try_from(2 * map / 4096).unwrap();
    let file = std::fs::File::create(path).unwrap();
    file.write_all_at(&kdump_head(max, blocks), 0).unwrap();
    file.set_len(0x2000 + 2 * map).unwrap();
    for pfn in held {
        for map_at in [0x2000, 0x2000 + map] {
            let bit = [1_u8 << (pfn % 8)];
            file.write_all_at(&bit, map_at + pfn / 8).unwrap();
        }
    }
    let descs_at = 0x2000 + 2 * map;
    let data_at = descs_at + 24 * held.len() as u64;
    for n in 0..held.len() as u64 {
        let mut desc = (data_at + n * PAGE_SIZE).to_le_bytes().to_vec();
        desc.extend_from_slice(&4096_u64.to_le_bytes());
        desc.extend_from_slice(&[0; 8]);
        file.write_all_at(&desc, descs_at + 24 * n).unwrap();
        let page = pages(n as u8 + 1, 1);
        file.write_all_at(&page, data_at + n * PAGE_SIZE).unwrap();
    }
}

/// Opens the file in less than `limit`, the best of three times.
fn quick(path: &Path, limit: Duration) -> std::sync::Arc<dyn MemoryDump> {
    let mut best = Duration::MAX;
    let mut dump = None;
    for _ in 0..3 {
        let begun = Instant::now();
        dump = Some(open(path).unwrap());
        best = best.min(begun.elapsed());
    }
    assert!(best < limit, "{} took {best:?}", path.display());
    dump.unwrap()
}

#[test]
fn sixteen_tib_open_at_once_in_every_format() {
    const PAGES: u64 = 1 << 32;
    // An optimised build takes a few; this one may share its CPU.
    let limit = Duration::from_millis(50);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let read = |dump: &dyn MemoryDump, pfn: u64| {
        let mut page = vec![0; PAGE_BYTES];
        let read = dump.read_phys(Pfn(pfn).phys().unwrap(), &mut page);
        read.map(|()| page)
    };

    let kdump = at("kdump");
    sparse_kdump(&kdump, PAGES, &[0]);
    let dump = quick(&kdump, limit);
    assert_eq!(read(&*dump, 0).unwrap(), pages(1, 1));
    assert_eq!(
        dump.info().completeness,
        vmcore::dump::Completeness::Complete
    );
    sparse_kdump(&kdump, 0x7fff_fff8, &[0, 77]);
    quick(&kdump, limit);
    let whole = std::fs::metadata(&kdump).unwrap().len();
    let file = std::fs::File::options().write(true).open(&kdump).unwrap();
    file.set_len(whole - 1).unwrap();
    let cut = quick(&kdump, limit);
    assert!(matches!(
        cut.info().completeness,
        vmcore::dump::Completeness::Incomplete(_)
    ));
    sparse_kdump(&kdump, PAGES, &[]);
    let none = quick(&kdump, limit);
    assert!(none.next_present(Pfn(PAGES - 1)).is_none());

    // The same inside a flattened stream of one record.
    sparse_kdump(&kdump, PAGES, &[PAGES - 1]);
    let flat = at("flat");
    let len = std::fs::metadata(&kdump).unwrap().len();
    let file = std::fs::File::create(&flat).unwrap();
    let mut head = flattened(0)[..4096].to_vec();
    head.extend_from_slice(&0_u64.to_be_bytes());
    head.extend_from_slice(&len.to_be_bytes());
    file.write_all_at(&head, 0).unwrap();
    let source = std::fs::File::open(&kdump).unwrap();
    // Headers, the last bytes of both bitmaps, and what follows.
    let map = PAGES / 8;
    for (from, n) in [
        (0, 0x2000),
        (0x2000 + map - 8, 8),
        (0x2000 + 2 * map - 8, 8 + 24 + 4096),
    ] {
        let mut part = vec![0; n];
        source.read_exact_at(&mut part, from).unwrap();
        file.write_all_at(&part, 4096 + 16 + from).unwrap();
    }
    file.write_all_at(&[0xff; 16], 4096 + 16 + len).unwrap();
    quick(&flat, limit);

    let elf = Elf::new()
        .load(0, 0, &pages(1, 2))
        .short_load(2 * PAGE_SIZE, &[], (PAGES - 4) * PAGE_SIZE)
        .load(0, (PAGES - 2) * PAGE_SIZE, &pages(2, 2))
        .build();
    for (name, bytes) in [
        ("elf", elf.clone()),
        ("elf.zst", zstd::bulk::compress(&elf, 3).unwrap()),
        ("elf.lz4", lz4_frames(&elf, &[0], 0)),
    ] {
        std::fs::write(at(name), bytes).unwrap();
        let dump = quick(&at(name), limit);
        assert_eq!(read(&*dump, PAGES - 1).unwrap(), pages(2, 2)[4096..]);
    }
}
