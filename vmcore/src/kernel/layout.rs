//! Where the crashed kernel's memory lies, by VMCOREINFO and the dump's segments: what each says, for
//! [`crate::arch`] to put together.

use super::{KernelError, Vmcoreinfo};
use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::{Arch, Facts, Layout};
use crate::dump::MemoryDump;

/// VMCOREINFO, if there is one, and the segments.
pub(super) struct Known<'a> {
    pub vmcoreinfo: Option<&'a Vmcoreinfo>,
    pub dump: &'a dyn MemoryDump,
}

impl Facts for Known<'_> {
    fn number(&self, name: &str) -> Option<i64> {
        self.vmcoreinfo?.number(name)
    }

    fn symbol(&self, name: &str) -> Option<VirtAddr> {
        self.vmcoreinfo?.symbol(name)
    }

    fn hex(&self, key: &str) -> Option<u64> {
        u64::from_str_radix(self.vmcoreinfo?.value(key)?, 16).ok()
    }

    fn offset(&self, name: &str) -> Option<u64> {
        self.vmcoreinfo?.offset(name)
    }

    fn size(&self, name: &str) -> Option<u64> {
        self.vmcoreinfo?.size(name)
    }

    fn release(&self) -> Option<&str> {
        self.vmcoreinfo?.osrelease()
    }

    fn page_size(&self) -> Option<u64> {
        self.vmcoreinfo?.page_size()
    }

    fn image_segment(&self) -> Option<(VirtAddr, PhysAddr, u64)> {
        let image = self.dump.info().kernel_image?;
        Some((image.vaddr, image.paddr, image.size))
    }

    fn direct_segment(&self) -> Option<u64> {
        self.dump.info().direct_map_base
    }

    fn read(&self, at: PhysAddr, buf: &mut [u8]) -> bool {
        self.dump.read_phys(at, buf).is_ok()
    }
}

/// The layout. Without the key of the top page table only the parts are left that are mapped at a known
/// distance.
///
/// # Errors
/// When VMCOREINFO lacks what the architecture's layout rests on.
pub(super) fn of(
    arch: &Arch,
    vmcoreinfo: &Vmcoreinfo,
    dump: &dyn MemoryDump,
) -> Result<Layout, KernelError> {
    let known = Known {
        vmcoreinfo: Some(vmcoreinfo),
        dump,
    };
    let layout = (arch.layout)(&known).map_err(|missing| KernelError::MissingKey {
        key: missing.0.to_owned(),
    })?;
    let size = vmcoreinfo.page_size();
    match size.filter(|&size| size != 1 << layout.page_shift) {
        Some(size) => Err(KernelError::PageSize { size }),
        None => Ok(layout),
    }
}
