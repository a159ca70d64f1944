//! Pages that must not be read, on every series, and how little is read to know them.

use super::*;
use crate::mm::toy::{kernel, populated};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use synth::memmap::{FIRST_USABLE, Series};

/// A dump that counts the bytes read.
struct Counting {
    dump: Arc<dyn MemoryDump>,
    bytes: AtomicU64,
    pages: Mutex<Vec<u64>>,
}

impl MemoryDump for Counting {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.bytes.fetch_add(buf.len() as u64, Relaxed);
        self.pages.lock().unwrap().push(addr.pfn().0);
        self.dump.read_phys(addr, buf)
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        self.dump.next_present(from)
    }

    fn info(&self) -> &DumpInfo {
        self.dump.info()
    }
}

/// A dump one page of which fails, or is not in it.
struct Failing {
    dump: Arc<dyn MemoryDump>,
    page: Pfn,
    io: bool,
}

impl MemoryDump for Failing {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        match (addr.pfn() == self.page, self.io) {
            (false, _) => self.dump.read_phys(addr, buf),
            (true, true) => Err(ReadError::Io {
                pfn: self.page,
                offset: 0,
                source: std::io::ErrorKind::Other.into(),
            }),
            (true, false) => Err(ReadError::Absent {
                pfn: self.page,
                why: Absence::NotInDump,
            }),
        }
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        self.dump.next_present(from)
    }

    fn info(&self) -> &DumpInfo {
        self.dump.info()
    }
}

fn counted(series: Series) -> (Kernel, Arc<Counting>) {
    let kernel = kernel(&populated(series));
    let counting = Arc::new(Counting {
        dump: Arc::clone(kernel.dump()),
        bytes: AtomicU64::new(0),
        pages: Mutex::default(),
    });
    let kernel = kernel
        .on(Arc::clone(&counting) as Arc<dyn MemoryDump>)
        .unwrap();
    (guarded(kernel).unwrap(), counting)
}

#[test]
fn exactly_the_pages_that_must_not_be_read_are_refused() {
    for series in Series::ALL {
        let toy = populated(series);
        let guarded = guarded(kernel(&toy)).unwrap();
        let mut refused = 0;
        for pfn in FIRST_USABLE..FIRST_USABLE + 6000 {
            let truth = toy.truth.get(&pfn).copied().unwrap_or("kernel");
            let forbidden = ["hwpoison", "offline", "unaccepted"].contains(&truth);
            let read = guarded.dump().read_phys(PhysAddr(pfn * 4096), &mut [0; 8]);
            assert_eq!(read.is_err(), forbidden, "{series:?} {pfn:#x} {truth}");
            refused += u64::from(forbidden);
        }
        assert!(refused >= 2, "{series:?}");
    }
}

#[test]
fn a_poisoned_page_is_not_read_from_any_side() {
    let (kernel, counting) = counted(Series::V6_12);
    let dump = kernel.dump();
    let poisoned = FIRST_USABLE + 2091;
    let read = |addr: u64, len: usize| {
        let result = dump.read_phys(PhysAddr(addr), &mut vec![0; len]);
        result.err().map(|error| error.to_string())
    };
    let page = poisoned * 4096;
    assert_eq!(read(page + 4096, 4096), None);
    let refused = read(page, 8);
    assert!(
        refused.as_ref().unwrap().contains("could not be read"),
        "{refused:?}"
    );
    assert_eq!(read(page + 4095, 1), refused);
    assert_eq!(read(page + 4088, 16), refused);
    assert_eq!(dump.absence(Pfn(poisoned)), Absence::Missing);
    assert!(!counting.pages.lock().unwrap().contains(&poisoned));
}

#[test]
fn nothing_is_scanned() {
    let (kernel, counting) = counted(Series::V6_12);
    counting.bytes.store(0, Relaxed);
    let page = (FIRST_USABLE + 2084) * 4096;
    let mut buf = [0; 4096];
    kernel.dump().read_phys(PhysAddr(page), &mut buf).unwrap();
    let first = counting.bytes.load(Relaxed);
    assert!(first < 4096 + 2048, "{first} bytes for one page");
    kernel.dump().read_phys(PhysAddr(page), &mut buf).unwrap();
    assert_eq!(counting.bytes.load(Relaxed) - first, 4096);
}

#[test]
fn a_page_of_the_memory_map_that_is_poisoned_is_not_read_either() {
    // The page that holds the struct page of this one is poisoned itself.
    let victim = FIRST_USABLE + 2091 + 64 * 40;
    let mut toy = populated(Series::V6_12);
    let holder = kernel(&toy);
    let rules = Rules::of(&holder);
    let size = rules.decoder().size;
    let geometry = Geometry::of(&holder, size).unwrap();
    let map = geometry.within(holder.memory());
    let Section::Base(base) = map.section(victim >> map.section_shift()) else {
        panic!("no section")
    };
    let at = holder.translate(map.struct_page(base, victim)).unwrap();
    toy.poison(at.pfn().0);
    let guarded = guarded(kernel(&toy)).unwrap();
    let read = |pfn: u64| guarded.dump().read_phys(PhysAddr(pfn * 4096), &mut [0; 8]);
    assert!(read(at.pfn().0).is_err());
    // Nobody knows what the pages are that it describes.
    assert!(read(victim).is_err());
    assert_eq!(guarded.dump().absence(Pfn(victim)), Absence::Missing);
    // Those of the next page of the memory map are known.
    assert!(read(victim + 2 * 64).is_ok());
}

#[test]
fn a_page_whose_struct_page_fails_is_not_read_and_one_without_is() {
    let victim = FIRST_USABLE + 2091 + 64 * 40;
    let toy_kernel = || kernel(&populated(Series::V6_12));
    let kernel = toy_kernel();
    let rules = Rules::of(&kernel);
    let geometry = Geometry::of(&kernel, rules.decoder().size).unwrap();
    let map = geometry.within(kernel.memory());
    let Section::Base(base) = map.section(victim >> map.section_shift()) else {
        panic!("no section")
    };
    let holder = kernel
        .translate(map.struct_page(base, victim))
        .unwrap()
        .pfn();
    for io in [true, false] {
        let failing = Failing {
            dump: Arc::clone(kernel.dump()),
            page: holder,
            io,
        };
        let kernel = toy_kernel().on(Arc::new(failing)).unwrap();
        let dump = Arc::clone(guarded(kernel).unwrap().dump());
        let read = dump.read_phys(PhysAddr(victim * 4096), &mut [0; 8]);
        assert_eq!(read.is_err(), io);
    }
}

#[test]
fn a_kernel_without_a_memory_map_is_left_as_it_was() {
    let mut toy = populated(Series::V6_1);
    toy.without = vec!["SYMBOL(mem_section)"];
    let kernel = kernel(&toy);
    let before = Arc::as_ptr(kernel.dump()).cast::<u8>();
    let same = guarded(kernel).unwrap();
    assert_eq!(Arc::as_ptr(same.dump()).cast::<u8>(), before);
}
