//! An image for another machine: drivers and filesystems by name, nothing looked up here.

use config::Config;
use plan::FsType;

use crate::closure::Wanted;
use crate::error::BuildError;
use crate::modules::Index;
use crate::resolve::{Resolved, elsewhere, filesystem_wanted};

/// Drivers that nobody links to and that others are useless without: where a module's path begins so,
/// these go in too.
const COMPANIONS: [(&str, &[&str]); 6] = [
    ("kernel/drivers/scsi/", &["sd_mod"]),
    ("kernel/drivers/ata/", &["sd_mod"]),
    ("kernel/drivers/message/", &["sd_mod"]),
    (
        "kernel/drivers/usb/storage/",
        &["sd_mod", "xhci_pci", "ehci_pci", "uhci_hcd", "ohci_pci"],
    ),
    ("kernel/drivers/mmc/", &["mmc_block"]),
    ("kernel/drivers/nvme/", &["nvme"]),
];

/// What the names come to.
pub(crate) fn resolve(
    names: &[String],
    config: &Config,
    index: &Index,
) -> Result<Resolved, BuildError> {
    let fstype = names
        .iter()
        .find_map(|name| FsType::from_name(name))
        .ok_or_else(|| BuildError::NoFilesystem {
            known: FsType::ALL.map(FsType::name).to_vec(),
        })?;
    let mut out = Resolved::default();
    let targets = config.target.iter().enumerate();
    for (at, target) in targets.filter(|(_, target)| !target.at_boot) {
        out.of.push(at);
        out.targets
            .push(elsewhere(target, fstype).ok_or(BuildError::NoDevice)?);
    }
    for name in names {
        if FsType::from_name(name).is_some() {
            let mut wanted = filesystem_wanted(name, "--for");
            if let Some(first) = wanted.first_mut()
                && index.find(&first.name).is_none()
            {
                first.name.clone_from(name);
            }
            out.wanted.extend(wanted);
            continue;
        }
        for companion in companions(name, index) {
            out.wanted.push(Wanted::required(
                companion,
                format!("--for {name}, which is useless alone"),
            ));
        }
        out.wanted.push(Wanted::required(name, "--for"));
    }
    Ok(out)
}

/// What this driver is useless without.
fn companions(name: &str, index: &Index) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    if name.starts_with("virtio") {
        found.push("virtio_pci");
    }
    let path = index.module(name).map_or("", |module| module.path.as_str());
    for (place, names) in COMPANIONS {
        if path.starts_with(place) {
            found.extend(names);
        }
    }
    found.retain(|companion| *companion != name && index.find(companion).is_some());
    found
}
