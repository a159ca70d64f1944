//! Where a target lies: one of four keys, of which a target has one at most.

use crate::model::{Account, Device, Export, Target};

/// Where a target lies.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// `device`
    Device(Device),
    /// `nfs`
    Nfs(Export),
    /// `ssh`
    Ssh(Account),
    /// `raw`
    Raw(Device),
}

impl Place {
    /// Makes it the place of this target. What another place had is gone.
    pub(super) fn put(self, target: &mut Target) {
        (target.device, target.raw) = (None, None);
        (target.nfs, target.ssh) = (None, None);
        match self {
            Self::Device(device) => target.device = Some(device),
            Self::Nfs(export) => target.nfs = Some(export),
            Self::Ssh(account) => {
                target.ssh = Some(account);
                target.options = None;
            }
            Self::Raw(device) => {
                target.raw = Some(device);
                target.options = None;
            }
        }
    }
}
