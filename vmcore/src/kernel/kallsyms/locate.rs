//! Where the tables of kallsyms are.
//!
//! VMCOREINFO names them since 6.0. Before, the token table gives them away: the tokens of the ten
//! digits are always single characters and always in a row, `0\0` to `9\0`, and the other tables
//! lie around it in a fixed order: offsets, relative_base, num_syms, names, markers, token_table,
//! token_index, each aligned to 8 (scripts/kallsyms.c of 4.20 to 5.19). Every step is checked
//! against the others, so that a chance find in some string does not become a symbol table.

use crate::addr::{PAGE_BYTES, PAGE_SIZE, VirtAddr};
use crate::kernel::{KernelError, Memory, Vmcoreinfo};

/// The addresses of the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tables {
    /// `kallsyms_num_syms`.
    pub num_syms: VirtAddr,
    /// `kallsyms_names`.
    pub names: VirtAddr,
    /// `kallsyms_token_table`.
    pub token_table: VirtAddr,
    /// `kallsyms_token_index`.
    pub token_index: VirtAddr,
    /// `kallsyms_offsets`, where addresses are relative.
    pub offsets: Option<VirtAddr>,
    /// `kallsyms_addresses`, where they are absolute.
    pub addresses: Option<VirtAddr>,
    /// `kallsyms_relative_base`; absent since 7.0.
    pub relative_base: Option<VirtAddr>,
}

impl Tables {
    /// The names and places, in the notation of VMCOREINFO.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, VirtAddr)> {
        let some = [
            ("kallsyms_num_syms", Some(self.num_syms)),
            ("kallsyms_names", Some(self.names)),
            ("kallsyms_token_table", Some(self.token_table)),
            ("kallsyms_token_index", Some(self.token_index)),
            ("kallsyms_offsets", self.offsets),
            ("kallsyms_relative_base", self.relative_base),
        ];
        some.into_iter().filter_map(|(name, at)| Some((name, at?)))
    }

    /// As VMCOREINFO (or a note of ours in the same notation) tells. `None` when it does not.
    pub(in crate::kernel) fn from_vmcoreinfo(info: &Vmcoreinfo) -> Option<Self> {
        let symbol = |name: &str| info.symbol(&format!("kallsyms_{name}"));
        let tables = Self {
            num_syms: symbol("num_syms")?,
            names: symbol("names")?,
            token_table: symbol("token_table")?,
            token_index: symbol("token_index")?,
            offsets: symbol("offsets"),
            addresses: symbol("addresses"),
            relative_base: symbol("relative_base"),
        };
        (tables.offsets.is_some() || tables.addresses.is_some()).then_some(tables)
    }
}

/// The digits' tokens.
const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";
/// What the token table can be at most from its first token to the digits.
const BEFORE_DIGITS: u64 = 4096;
const CHUNK: usize = 16 * PAGE_BYTES;
/// Bytes that are searched where the length of the image is not known: more than any kernel has.
const MAX_IMAGE: u64 = 256 << 20;

fn not_found(why: &str) -> KernelError {
    KernelError::Unavailable {
        what: "The symbol table",
        why: format!("VMCOREINFO does not say where it is, and {why}"),
    }
}

/// Searches the kernel image.
pub(super) fn scan(memory: &Memory, info: &Vmcoreinfo) -> Result<Tables, KernelError> {
    let stext = info
        .symbol("_stext")
        .ok_or_else(|| not_found("it has no _stext to start a search from"))?;
    search(memory, stext, DIGITS, |digits| around(memory, digits))
        .ok_or_else(|| not_found("no token table is in the kernel image"))
}

/// The first place in the kernel image from `start` on that holds `needle` and that `accept` takes.
pub(in crate::kernel) fn search<T>(
    memory: &Memory,
    start: VirtAddr,
    needle: &[u8],
    accept: impl Fn(VirtAddr) -> Option<T>,
) -> Option<T> {
    let image = memory.layout().image;
    let end = match image.len {
        0 => start.0.saturating_add(MAX_IMAGE),
        len => image.start.saturating_add(len),
    };
    let mut buffer = vec![0u8; CHUNK + needle.len()];
    let mut at = start.0 & !(PAGE_SIZE - 1);
    let mut gaps = 0u32;
    while at < end {
        let len = CHUNK.min(usize::try_from(end - at).unwrap_or(CHUNK));
        let whole = (len + needle.len()).min(buffer.len());
        let window = buffer.get_mut(..whole).unwrap_or_default();
        // Freed init memory may be filtered out of the middle; two megabytes of nothing end it.
        if memory.read(VirtAddr(at), window).is_err() && !read_pages(memory, at, window) {
            gaps += 1;
            if gaps > 32 {
                break;
            }
            at += len as u64;
            continue;
        }
        gaps = 0;
        let mut from = 0;
        while let Some(found) = find(window.get(from..).unwrap_or_default(), needle) {
            let place = from + found;
            let taken = accept(VirtAddr(at.saturating_add(place as u64)));
            if taken.is_some() {
                return taken;
            }
            from = place + 1;
        }
        at += len as u64;
    }
    None
}

/// Reads what can be read, zeros for the rest; false when that is nothing.
fn read_pages(memory: &Memory, at: u64, window: &mut [u8]) -> bool {
    let mut any = false;
    for (i, page) in window.chunks_mut(PAGE_BYTES).enumerate() {
        let at = VirtAddr(at.saturating_add(i as u64 * PAGE_SIZE));
        match memory.read(at, page) {
            Ok(()) => any = true,
            Err(_) => page.fill(0),
        }
    }
    any
}

/// Horspool's search: text and tables hold few digits with NULs between, so most steps are long.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let last = needle.len().checked_sub(1)?;
    let mut skip = [needle.len(); 256];
    for (i, &byte) in needle.iter().enumerate().take(last) {
        if let Some(slot) = skip.get_mut(usize::from(byte)) {
            *slot = last - i;
        }
    }
    let mut at = 0;
    while let Some(window) = haystack.get(at..at + needle.len()) {
        if window == needle {
            return Some(at);
        }
        let end = window.last().copied().unwrap_or(0);
        at += skip.get(usize::from(end)).copied().unwrap_or(1);
    }
    None
}

/// The tables around the digits' tokens, if that is what they are.
fn around(memory: &Memory, digits: VirtAddr) -> Option<Tables> {
    let (token_table, token_index) = tokens(memory, digits)?;
    let (markers, second_mark, marks) = markers(memory, token_table)?;
    let num_syms = num_syms(memory, markers, second_mark, marks)?;
    let count = u64::from(memory.read_u32(num_syms).ok()?);
    let relative_base = VirtAddr(num_syms.0.checked_sub(8)?);
    let offsets = VirtAddr(relative_base.0.checked_sub(count.checked_mul(4)?)? & !7);
    Some(Tables {
        num_syms,
        names: num_syms.checked_add(8)?,
        token_table,
        token_index,
        offsets: Some(offsets),
        addresses: None,
        relative_base: Some(relative_base),
    })
}

/// The table of 256 strings and the index behind it: the index must agree with the strings.
fn tokens(memory: &Memory, digits: VirtAddr) -> Option<(VirtAddr, VirtAddr)> {
    // '0' is token 0x30: 48 strings come before it. Tables are aligned to 8 and begin after a NUL
    // of padding or of the table before, so the candidates are few.
    let mut before = vec![0u8; usize::try_from(BEFORE_DIGITS).ok()?];
    let low = VirtAddr(digits.0.checked_sub(BEFORE_DIGITS)?);
    memory.read(low, &mut before).ok()?;
    let mut nuls = 0;
    let mut start = before.len();
    for (i, &byte) in before.iter().enumerate().rev() {
        if byte == 0 {
            nuls += 1;
            // The NUL that ends the 48th string before is number 48 from here; one more would be
            // padding or somebody else's.
            if nuls == 49 {
                break;
            }
        }
        start = i;
    }
    // Padding before the table looks like empty strings: the true start is aligned and its index
    // entry for '0' is the distance to the digits.
    let mut candidate = (low.0 + start as u64) & !7;
    let after = strings_end(memory, digits, 256 - 0x30)?;
    let index = VirtAddr(after.0.checked_add(7)? & !7);
    while candidate < digits.0 {
        let distance = u16::try_from(digits.0 - candidate).ok()?;
        if memory.read_u16(index.checked_add(2 * 0x30)?).ok()? == distance
            && memory.read_u16(index).ok()? == 0
        {
            return Some((VirtAddr(candidate), index));
        }
        candidate += 8;
    }
    None
}

/// The address after `count` strings.
fn strings_end(memory: &Memory, from: VirtAddr, count: usize) -> Option<VirtAddr> {
    let mut at = from;
    for _ in 0..count {
        let token = memory.read_cstr(at, 512).ok()?;
        at = at.checked_add(token.len() as u64 + 1)?;
    }
    Some(at)
}

/// The markers end where the token table begins: going down, values fall until the 0 of the first.
/// Answers their address, the second of them and how many there are.
fn markers(memory: &Memory, token_table: VirtAddr) -> Option<(VirtAddr, u32, u64)> {
    let mut at = token_table.0.checked_sub(4)?;
    let mut above = u32::MAX;
    let mut second = 0;
    let mut marks = 0u64;
    let mut padded = true;
    loop {
        let value = memory.read_u32(VirtAddr(at)).ok()?;
        if value == 0 && padded && marks == 0 {
            padded = false;
            at = at.checked_sub(4)?;
            continue;
        }
        if value >= above {
            return None;
        }
        marks += 1;
        if value == 0 {
            return (marks > 1).then_some((VirtAddr(at), second, marks));
        }
        second = value;
        above = value;
        at = at.checked_sub(4)?;
        if marks > 1 << 20 {
            return None;
        }
    }
}

/// `kallsyms_num_syms`: the word below the names whose value fits the number of marks, and from
/// which the 256th name begins where the second mark says.
fn num_syms(memory: &Memory, markers: VirtAddr, second: u32, marks: u64) -> Option<VirtAddr> {
    // The names are all but a few hundred bytes longer than the last mark; `second` bytes hold 256
    // of them, so their start cannot be farther than twice the average.
    let farthest = u64::from(second).checked_mul(marks)?.checked_mul(2)?;
    let mut at = markers.0 & !7;
    let bottom = at.checked_sub(farthest)?;
    while at > bottom {
        at = at.checked_sub(8)?;
        let Ok(word) = memory.read_u64(VirtAddr(at)) else {
            return None;
        };
        if word >> 32 == 0
            && word.div_ceil(256) == marks
            && name_256(memory, VirtAddr(at).checked_add(8)?) == Some(u64::from(second))
        {
            return Some(VirtAddr(at));
        }
    }
    None
}

/// Where the 256th name begins, from the first, with one-byte lengths.
fn name_256(memory: &Memory, names: VirtAddr) -> Option<u64> {
    let mut distance = 0u64;
    for _ in 0..256 {
        let len = memory.read_u8(names.checked_add(distance)?).ok()?;
        if len == 0 {
            return None;
        }
        distance += u64::from(len) + 1;
    }
    Some(distance)
}
