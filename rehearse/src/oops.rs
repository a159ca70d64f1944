//! A kernel module that oopses, made for the running kernel without a compiler or its headers.
//!
//! What differs between kernels is the size of struct module and where its name, init and exit lie.
//! Every module of the kernel tells: they are the section `.gnu.linkonce.this_module` and its two
//! relocations. `vermagic` is copied, too. Without `__versions` a kernel with CONFIG_MODVERSIONS
//! loads it by force (CONFIG_MODULE_FORCE_LOAD, set by Debian) and taints itself; one that takes
//! signed modules only refuses it, which is said. Facts: kernel/module/main.c, 5.10 to 7.2.

use initramfs::modules::{self, Index};

/// The function that reads through a NULL pointer.
pub const DIES_IN: &str = "afterpanic_oops";
const NAME: &[u8] = b"afterpanic_oops\0";
const THIS: &str = ".gnu.linkonce.this_module";

/// Modules tried until one looks as expected.
const TRIES: usize = 40;

/// Why no module can be made for this kernel.
#[derive(Debug, thiserror::Error)]
#[error("No module can be made for Linux {release}: {why}")]
pub struct OopsError {
    release: String,
    why: &'static str,
}

/// What a module of a kernel has to look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The size of struct module.
    pub size: u64,
    /// Where its name lies.
    pub name: u64,
    /// Where the pointer to init lies.
    pub init: u64,
    /// Where the pointer to exit lies.
    pub exit: u64,
    /// What the kernel wants to read in a module.
    pub vermagic: String,
}

impl Layout {
    /// Read out of a module of that kernel.
    ///
    /// # Errors
    /// None of its modules looks like one.
    pub fn of(index: &Index) -> Result<Self, OopsError> {
        let there = index.names().filter_map(|name| {
            let module = index.module(name)?;
            index.path(module).is_file().then_some((name, module))
        });
        let found = there.take(TRIES).find_map(|(name, module)| {
            let bytes = modules::read(index, module).ok()?;
            sample(&bytes, name)
        });
        found.ok_or_else(|| OopsError {
            release: index.release().to_owned(),
            why: "none of its modules has both init and exit",
        })
    }
}

fn sample(module: &[u8], name: &str) -> Option<Layout> {
    let this = section(module, THIS)?;
    let name = [name.as_bytes(), b"\0"].concat();
    let name = this.windows(name.len()).position(|w| w == name)?;
    // Elf64_Rela: offset, info, addend; in the order of the offsets: init before exit.
    let mut at: Vec<u64> = section(module, &format!(".rela{THIS}"))?
        .chunks_exact(24)
        .filter_map(|rela| number(rela, 0, 8))
        .collect();
    at.sort_unstable();
    let [init, exit] = at.as_slice() else {
        return None;
    };
    let vermagic = section(module, ".modinfo")?
        .split(|b| *b == 0)
        .find_map(|line| std::str::from_utf8(line).ok()?.strip_prefix("vermagic="))?;
    Some(Layout {
        size: this.len() as u64,
        name: name as u64,
        init: *init,
        exit: *exit,
        vermagic: vermagic.to_owned(),
    })
}

fn section<'a>(elf: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let (table, count) = (number(elf, 40, 8)?, number(elf, 60, 2)?);
    let header = |n: u64| slice(elf, table.checked_add(n.checked_mul(64)?)?, 64);
    let content = |header: &[u8]| slice(elf, number(header, 24, 8)?, number(header, 32, 8)?);
    let names = content(header(number(elf, 62, 2)?)?)?;
    (0..count).find_map(|n| {
        let header = header(n)?;
        let name = names.get(usize::try_from(number(header, 0, 4)?).ok()?..)?;
        let same = name.split(|b| *b == 0).next() == Some(wanted.as_bytes());
        same.then(|| content(header)).flatten()
    })
}

fn slice(bytes: &[u8], at: u64, size: u64) -> Option<&[u8]> {
    let at = usize::try_from(at).ok()?;
    bytes.get(at..at.checked_add(usize::try_from(size).ok()?)?)
}

fn number(bytes: &[u8], at: u64, size: u64) -> Option<u64> {
    let bytes = slice(bytes, at, size)?;
    Some(bytes.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
}

/// The module: an ELF relocatable object whose init calls [`DIES_IN`].
#[must_use]
pub fn module(layout: &Layout) -> Vec<u8> {
    // init_module: endbr64; call +7 (to DIES_IN); xor eax,eax; ret; padding
    // DIES_IN: endbr64; xor eax,eax; mov rax,[rax+0x18]; ret
    const INIT: &[u8] = &[
        0xf3, 0x0f, 0x1e, 0xfa, 0xe8, 0x07, 0, 0, 0, 0x31, 0xc0, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc,
    ];
    const DIES: &[u8] = &[
        0xf3, 0x0f, 0x1e, 0xfa, 0x31, 0xc0, 0x48, 0x8b, 0x40, 0x18, 0xc3,
    ];
    let text = [INIT, DIES].concat();
    let mut info = Vec::new();
    for line in [
        "license=GPL",
        "name=afterpanic_oops",
        "depends=",
        "retpoline=Y",
    ] {
        info.extend_from_slice(line.as_bytes());
        info.push(0);
    }
    info.extend_from_slice(format!("vermagic={}\0", layout.vermagic).as_bytes());
    let mut this = vec![0u8; usize::try_from(layout.size).unwrap_or_default()];
    let at = usize::try_from(layout.name).unwrap_or_default();
    if let Some(place) = this.get_mut(at..at.saturating_add(NAME.len())) {
        place.copy_from_slice(NAME);
    }
    // R_X86_64_64 against symbol 1, init_module. There is no exit: nobody comes back to unload it.
    let rela = words(&[layout.init, 1 << 32 | 1, 0]);
    let strings = b"\0init_module\0afterpanic_oops\0".to_vec();
    // Elf64_Sym: name, info (global function), other, section 1, value, size.
    let symbol = |name: u32, value: u64, size: usize| {
        let mut s = name.to_le_bytes().to_vec();
        s.extend_from_slice(&[0x12, 0, 1, 0]);
        s.extend(words(&[value, size as u64]));
        s
    };
    let symbols = [
        vec![0; 24],
        symbol(1, 0, INIT.len()),
        symbol(13, INIT.len() as u64, DIES.len()),
    ]
    .concat();
    assemble(&[
        Section::new(".text", PROGBITS, 0x6, text),
        Section::new(".modinfo", PROGBITS, 0x2, info),
        Section::new(THIS, PROGBITS, 0x3, this),
        Section {
            link: 5,
            info: 3,
            entry: 24,
            ..Section::new(".rela.gnu.linkonce.this_module", RELA, 0x40, rela)
        },
        Section {
            link: 6,
            info: 1,
            entry: 24,
            ..Section::new(".symtab", SYMTAB, 0, symbols)
        },
        Section::new(".strtab", STRTAB, 0, strings),
    ])
}

const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const RELA: u32 = 4;

struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    bytes: Vec<u8>,
    link: u32,
    info: u32,
    entry: u64,
}

impl Section {
    fn new(name: &'static str, kind: u32, flags: u64, bytes: Vec<u8>) -> Self {
        Section {
            name,
            kind,
            flags,
            bytes,
            link: 0,
            info: 0,
            entry: 0,
        }
    }
}

fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// ELF64, little endian, ET_REL, x86-64: header, sections (each at a multiple of 64), their table.
fn assemble(sections: &[Section]) -> Vec<u8> {
    let mut out = vec![0u8; 64];
    let mut table = vec![0u8; 64];
    let mut names = vec![0u8];
    let mut put = |out: &mut Vec<u8>, s: &Section, names: &mut Vec<u8>| {
        let name = u32::try_from(names.len()).unwrap_or_default();
        names.extend_from_slice(s.name.as_bytes());
        names.push(0);
        let bytes = if s.bytes.is_empty() {
            &*names
        } else {
            &s.bytes
        };
        out.resize(out.len().next_multiple_of(64), 0);
        table.extend(name.to_le_bytes());
        table.extend(s.kind.to_le_bytes());
        table.extend(words(&[s.flags, 0, out.len() as u64, bytes.len() as u64]));
        table.extend(s.link.to_le_bytes());
        table.extend(s.info.to_le_bytes());
        table.extend(words(&[64, s.entry]));
        out.extend_from_slice(bytes);
    };
    for section in sections {
        put(&mut out, section, &mut names);
    }
    // Its own name is the last that goes into it.
    put(
        &mut out,
        &Section::new(".shstrtab", STRTAB, 0, Vec::new()),
        &mut names,
    );
    out.resize(out.len().next_multiple_of(64), 0);
    let count = u16::try_from(sections.len().saturating_add(2)).unwrap_or_default();
    let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\x3e\0\x01\0\0\0".to_vec();
    header.extend(words(&[0, 0, out.len() as u64]));
    for half in [0, 0, 64, 0, 0, 64, count, count.saturating_sub(1)] {
        header.extend(u16::to_le_bytes(half));
    }
    if let Some(place) = out.get_mut(..header.len()) {
        place.copy_from_slice(&header);
    }
    out.extend(table);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_reads_as_what_it_was_made_for() {
        let layout = Layout {
            size: 1280,
            name: 24,
            init: 312,
            exit: 1224,
            vermagic: "6.12.1 SMP preempt mod_unload ".into(),
        };
        let module = module(&layout);
        let this = section(&module, THIS).unwrap();
        assert_eq!((this.len(), &this[24..40]), (1280, NAME));
        let rela = section(&module, ".rela.gnu.linkonce.this_module").unwrap();
        assert_eq!(number(rela, 0, 8), Some(312));
        // It has no exit, so it is no sample itself.
        assert_eq!(sample(&module, "afterpanic_oops"), None);
        let info = section(&module, ".modinfo").unwrap();
        assert!(info.ends_with(b"vermagic=6.12.1 SMP preempt mod_unload \0"));
        let names = section(&module, ".shstrtab").unwrap();
        assert!(names.ends_with(b".shstrtab\0"));
        // The call goes to the function behind it.
        let text = section(&module, ".text").unwrap();
        assert_eq!(9 + number(text, 5, 4).unwrap(), 16);
    }

    #[test]
    fn nothing_is_read_out_of_what_is_no_module() {
        for bytes in [&b""[..], b"\x7fELF", &[0xff; 200]] {
            assert_eq!(sample(bytes, "x"), None);
        }
    }
}
