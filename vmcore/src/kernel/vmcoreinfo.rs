//! VMCOREINFO: the text by which a kernel describes itself to dump tools.
//!
//! Facts: kernel/vmcore_info.c (kernel/crash_core.c before 6.9), arch/x86/kernel/vmcore_info_64.c,
//! kernel/printk/printk.c. Lines are `KEY=VALUE\n`; SYMBOL and KERNELOFFSET are hex without 0x,
//! OFFSET, SIZE and LENGTH decimal, NUMBER a signed decimal or hex with 0x. A key that is absent
//! or does not parse answers `None`: what needs it is then switched off.

use crate::addr::VirtAddr;
use std::collections::BTreeMap;

/// The parsed note.
#[derive(Clone, Debug, Default)]
pub struct Vmcoreinfo {
    text: String,
    values: BTreeMap<String, String>,
}

impl Vmcoreinfo {
    /// Parses the note's descriptor. Nothing is refused: lines without `=` are passed over, bytes
    /// that are not UTF-8 become U+FFFD, text after a NUL is ignored.
    #[must_use]
    pub fn parse(desc: &[u8]) -> Self {
        let end = desc.iter().position(|&b| b == 0).unwrap_or(desc.len());
        let text = String::from_utf8_lossy(desc.get(..end).unwrap_or_default()).into_owned();
        let values = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.trim_end_matches('\r').to_owned()))
            .collect();
        Self { text, values }
    }

    /// The text as the note has it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value of a whole key, such as `OSRELEASE`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    fn call(&self, function: &str, name: &str) -> Option<&str> {
        self.value(&format!("{function}({name})"))
    }

    /// `SYMBOL(name)`.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<VirtAddr> {
        u64::from_str_radix(self.call("SYMBOL", name)?, 16)
            .ok()
            .map(VirtAddr)
    }

    /// Every `SYMBOL(name)`.
    pub fn symbols(&self) -> impl Iterator<Item = (&str, VirtAddr)> {
        self.values.keys().filter_map(|key| {
            let name = key.strip_prefix("SYMBOL(")?.strip_suffix(')')?;
            Some((name, self.symbol(name)?))
        })
    }

    /// Adds symbols that the note itself lacks; what it says stands. [`Self::text`] stays as it is.
    pub(crate) fn add_symbols(&mut self, symbols: impl IntoIterator<Item = (String, VirtAddr)>) {
        for (name, address) in symbols {
            self.values
                .entry(format!("SYMBOL({name})"))
                .or_insert_with(|| format!("{:x}", address.0));
        }
    }

    /// `OFFSET(struct.member)`, in bytes.
    #[must_use]
    pub fn offset(&self, member: &str) -> Option<u64> {
        self.call("OFFSET", member)?.parse().ok()
    }

    /// `SIZE(struct)`, in bytes.
    #[must_use]
    pub fn size(&self, name: &str) -> Option<u64> {
        self.call("SIZE", name)?.parse().ok()
    }

    /// `LENGTH(array)`, in elements.
    #[must_use]
    pub fn length(&self, name: &str) -> Option<u64> {
        self.call("LENGTH", name)?.parse().ok()
    }

    /// `NUMBER(name)`: a signed decimal, or hex with `0x` that is taken as 64 bits.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        let value = self.call("NUMBER", name)?;
        match value.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok().map(u64::cast_signed),
            None => value
                .parse::<i64>()
                .ok()
                .or_else(|| value.parse::<u64>().ok().map(u64::cast_signed)),
        }
    }

    /// `OSRELEASE`: what `uname -r` said.
    #[must_use]
    pub fn osrelease(&self) -> Option<&str> {
        self.value("OSRELEASE")
    }

    /// `BUILD-ID` in lower-case hex (5.9 and newer).
    #[must_use]
    pub fn build_id(&self) -> Option<&str> {
        self.value("BUILD-ID")
    }

    /// `CRASHTIME`, seconds since 1970. Absent while the kernel lives.
    #[must_use]
    pub fn crashtime(&self) -> Option<u64> {
        self.value("CRASHTIME")?.parse().ok()
    }

    /// `KERNELOFFSET`: by how much KASLR moved the image.
    #[must_use]
    pub fn kernel_offset(&self) -> Option<u64> {
        u64::from_str_radix(self.value("KERNELOFFSET")?, 16).ok()
    }

    /// `PAGESIZE`.
    #[must_use]
    pub fn page_size(&self) -> Option<u64> {
        self.value("PAGESIZE")?.parse().ok()
    }

    /// Major and minor number of the release: (6, 12) for `6.12.107+deb13-cloud-amd64`.
    #[must_use]
    pub fn release_numbers(&self) -> Option<(u32, u32)> {
        let mut parts = self.osrelease()?.split(['.', '-', '+']);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_their_own_notation() {
        let info = Vmcoreinfo::parse(
            b"OSRELEASE=6.12.107+deb13\nSYMBOL(prb)=ffffffff9a4622c0\nOFFSET(page.flags)=0\n\
              NUMBER(phys_base)=-746586112\nNUMBER(VMALLOC_START)=0xffffb0ae80000000\n\
              NUMBER(PG_x)=zz\nno equals sign\nKERNELOFFSET=33000000\nCRASHTIME=17\n\0junk=1\n",
        );
        assert_eq!(info.symbol("prb"), Some(VirtAddr(0xffff_ffff_9a46_22c0)));
        assert_eq!(info.offset("page.flags"), Some(0));
        assert_eq!(info.number("phys_base"), Some(-746_586_112));
        assert_eq!(
            info.number("VMALLOC_START").map(i64::cast_unsigned),
            Some(0xffff_b0ae_8000_0000)
        );
        assert_eq!(info.number("PG_x"), None);
        assert_eq!(info.kernel_offset(), Some(0x3300_0000));
        assert_eq!(info.crashtime(), Some(17));
        assert_eq!(info.release_numbers(), Some((6, 12)));
        assert_eq!(info.value("junk"), None);
    }
}
