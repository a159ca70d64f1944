//! The zero page of the x86 boot protocol, with what hangs on it: command line, EFI memory map and
//! setup_data, in one segment.
//!
//! Facts: arch/x86/include/uapi/asm/{bootparam,setup_data}.h, Documentation/arch/x86/zero-page.rst,
//! arch/x86/kernel/kexec-bzimage64.c, Linux 5.10 to 7.2. The page starts as zeros (the sentinel at
//! 0x1ef must be) and only named fields are taken from the running kernel's.

use crate::iomem::Range;
use crate::kimage::bzimage::HEADER_START;

/// e820 memory types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MemoryType {
    Ram = 1,
    Reserved = 2,
    Acpi = 3,
    Nvs = 4,
    Unusable = 5,
    Pmem = 7,
    Pram = 12,
}

/// EFI, as the running kernel knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Efi {
    /// `efi_info` of the running kernel's boot_params, 32 bytes.
    pub(crate) info: [u8; 32],
    /// The runtime regions as EFI memory descriptors, back to back.
    pub(crate) runtime_map: Vec<u8>,
    /// Physical addresses in /sys/firmware/efi: fw_vendor, config_table, and SMBIOS.
    pub(crate) fw_vendor: u64,
    pub(crate) tables: u64,
    pub(crate) smbios: u64,
}

/// What the page says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params<'a> {
    /// The image's setup header.
    pub(crate) header: &'a [u8],
    /// The command line, without NUL.
    pub(crate) cmdline: &'a [u8],
    /// Where the initramfs is loaded.
    pub(crate) initrd: Option<Range>,
    /// The new kernel's memory.
    pub(crate) e820: Vec<(Range, MemoryType)>,
    /// screen_info of the running kernel, 64 bytes or none.
    pub(crate) screen: &'a [u8],
    /// Where ACPI begins; 0: the kernel searches for it.
    pub(crate) acpi_rsdp: u64,
    /// Secure Boot as the boot loader told it.
    pub(crate) secure_boot: u8,
    /// EFI runtime services are handed on.
    pub(crate) efi: Option<Efi>,
}

const E820_AT: usize = 0x2d0;
const E820_MOST: usize = 128;
const E820_ENTRY: usize = 20;
const CMDLINE_AT: usize = 4096;
const SETUP_E820_EXT: u32 = 1;
const SETUP_EFI: u32 = 4;

struct Writer {
    bytes: Vec<u8>,
    base: u64,
    last_link: usize,
}

impl Writer {
    fn put(&mut self, at: usize, value: &[u8]) -> Option<()> {
        self.bytes
            .get_mut(at..at.checked_add(value.len())?)?
            .copy_from_slice(value);
        Some(())
    }

    fn low_high(&mut self, low: usize, high: usize, value: u64) -> Option<()> {
        let bytes = value.to_le_bytes();
        self.put(low, bytes.get(..4)?)?;
        self.put(high, bytes.get(4..)?)
    }

    /// Appends, 16-byte aligned; the physical address.
    fn append(&mut self, bytes: &[u8]) -> Option<u64> {
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        let address = self.base.checked_add(self.bytes.len() as u64)?;
        self.bytes.extend_from_slice(bytes);
        Some(address)
    }

    /// Appends a setup_data node and links it.
    fn setup_data(&mut self, kind: u32, data: &[u8]) -> Option<()> {
        let mut node = vec![0; 8];
        node.extend_from_slice(&kind.to_le_bytes());
        node.extend_from_slice(&u32::try_from(data.len()).ok()?.to_le_bytes());
        node.extend_from_slice(data);
        let address = self.append(&node)?;
        self.put(self.last_link, &address.to_le_bytes())?;
        self.last_link = usize::try_from(address.checked_sub(self.base)?).ok()?;
        Some(())
    }
}

fn e820(entries: &[(Range, MemoryType)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * E820_ENTRY);
    for (range, kind) in entries {
        out.extend_from_slice(&range.start.to_le_bytes());
        out.extend_from_slice(&range.len().to_le_bytes());
        out.extend_from_slice(&(*kind as u32).to_le_bytes());
    }
    out
}

/// The segment's bytes when it lies at `base`; the zero page comes first. `None` when a part does not
/// fit where the protocol wants it.
pub(crate) fn build(base: u64, params: &Params<'_>) -> Option<Vec<u8>> {
    let mut w = Writer {
        bytes: vec![0; CMDLINE_AT],
        base,
        last_link: 0x250,
    };
    w.put(0, params.screen.get(..64).unwrap_or_default())?;
    w.put(0x070, &params.acpi_rsdp.to_le_bytes())?;
    w.put(0x1ec, &[params.secure_boot])?;
    w.put(HEADER_START, params.header)?;
    w.put(0x210, &[0xd0])?; // type_of_loader: kexec
    w.put(0x211, &[0])?; // loadflags: as the kernel's own loader leaves them
    w.put(0x250, &0_u64.to_le_bytes())?;
    let cmdline = w.append(params.cmdline)?;
    w.bytes.push(0);
    w.low_high(0x228, 0x0c8, cmdline)?;
    let (at, len) = params.initrd.map_or((0, 0), |r| (r.start, r.len()));
    w.low_high(0x218, 0x0c0, at)?;
    w.low_high(0x21c, 0x0c4, len)?;

    let (first, rest) = params.e820.split_at(params.e820.len().min(E820_MOST));
    w.put(0x1e8, &[u8::try_from(first.len()).ok()?])?;
    w.put(E820_AT, &e820(first))?;
    if !rest.is_empty() {
        w.setup_data(SETUP_E820_EXT, &e820(rest))?;
    }
    if let Some(efi) = &params.efi {
        let map = w.append(&efi.runtime_map)?;
        w.put(0x1c0, &efi.info)?;
        let len = u32::try_from(efi.runtime_map.len()).ok()?;
        w.low_high(0x1d0, 0x1dc, map)?;
        w.put(0x1d4, &len.to_le_bytes())?;
        let mut data = [0; 96];
        for (at, value) in [(0, efi.fw_vendor), (16, efi.tables), (24, efi.smbios)] {
            data.get_mut(at..at + 8)?
                .copy_from_slice(&value.to_le_bytes());
        }
        w.setup_data(SETUP_EFI, &data)?;
    }
    Some(w.bytes)
}

#[cfg(test)]
mod tests;
