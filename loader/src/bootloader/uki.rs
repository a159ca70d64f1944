//! Unified kernel images: one EFI file with kernel, initramfs and command line inside. It is signed as
//! a whole, so the command line changes by an addon beside it, or by building the image again.
//!
//! Facts: systemd-stub(7): addons in `NAME.efi.extra.d/*.addon.efi` and in `loader/addons/`, whose section
//! `.cmdline` is appended; under Secure Boot an addon without an accepted signature is skipped; what is appended
//! is measured into PCR 12. The stub sets StubInfo and StubImageIdentifier. ukify(1), kernel-install(8),
//! mkinitcpio(8), dracut(8). systemd-boot's counter (`NAME+3-1.efi`) is no part of the directory's name.

use std::path::{Path, PathBuf};

use initramfs::kernel::uki::read_section;

use super::bls;
use super::change::{BootLoaderError, Change};
use super::effect::{Entry, took};
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::{BOOT_PARTITIONS, Machine};
use crate::{efi, kimage, root};

/// Our addon's name.
const ADDON: &str = "afterpanic.addon.efi";
/// What an addon is made from.
const STUB: &str = "/usr/lib/systemd/boot/efi/addonx64.efi.stub";
/// More than any command line has.
const LONGEST: u64 = 64 << 10;

pub(super) struct Uki;

impl Loader for Uki {
    fn kind(&self) -> BootLoader {
        BootLoader::Uki
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        if machine.stub_info.is_some() {
            return true;
        }
        // A stub would have set its variable, as a boot loader other than systemd-boot did.
        (machine.loader_info.is_none() || machine.says("systemd-boot"))
            && machine.parameter("BOOT_IMAGE").is_none()
            && bls::read_entries(machine).unwrap_or_default().is_empty()
            && running(machine).is_some()
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        let Some(uki) = running(machine) else {
            return Err("the unified kernel image of the running kernel was not found".to_owned());
        };
        Ok(vec![Entry {
            name: uki.display().to_string(),
            cmdline: said(machine, &uki, &[]),
        }])
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        let Some(uki) = running(machine) else {
            return Ok(change.by_hand(
                "mount the EFI system partition that this kernel was started from (at /efi, /boot or /boot/efi), then run this again",
            ));
        };
        let ours = directory(&uki).join(ADDON);
        let present = root::under(machine.root, &ours).exists();
        let Some(value) = value else {
            if present {
                change.run(&["rm", &ours.to_string_lossy()]);
            }
            bls::later_kernels(machine, None, &mut change)?;
            return Ok(change);
        };
        // What the image and the others' addons say already needs no addon of ours.
        if present && took(&said(machine, &uki, &[&ours]), value) {
            change.run(&["rm", &ours.to_string_lossy()]);
            return Ok(change);
        }
        let entries = self.read(machine).unwrap_or_default();
        if entries.iter().all(|entry| took(&entry.cmdline, value)) && !entries.is_empty() {
            return Ok(change);
        }
        if let Some(why) = in_the_way(machine, &uki, value) {
            change.notes.push(why);
            let rebuild = rebuild(machine, value);
            return Ok(change.by_hand(rebuild));
        }
        change.notes.push(
            "what an addon adds is measured into PCR 12: a LUKS key that is sealed to it must be enrolled again"
                .to_owned(),
        );
        if machine.secure_boot != Some(false) || !machine.tool("ukify") || !machine.has(STUB) {
            return Ok(change.by_hand(steps(machine, &ours, value)));
        }
        let folder = directory(&uki);
        change.run(&["mkdir", "-p", &folder.to_string_lossy()]);
        change.run(&[
            "ukify",
            "build",
            &format!("--cmdline=crashkernel={value}"),
            &format!("--output={}", ours.display()),
        ]);
        let mut later = Change::new(self.kind());
        bls::later_kernels(machine, Some(value), &mut later)?;
        change.edits = later.edits;
        if change.edits.is_empty() {
            change.notes.push(
                "the addon belongs to this image only: run this again after a kernel update"
                    .to_owned(),
            );
        }
        Ok(change)
    }
}

/// The image of the running kernel: the one that its stub names, or else the one with its release.
pub(super) fn running(machine: &Machine<'_>) -> Option<PathBuf> {
    let named = ["StubImageIdentifier", "LoaderImageIdentifier"];
    let named = named
        .iter()
        .filter_map(|name| efi::loader(machine.root, name));
    let named = named.map(|path| path.replace('\\', "/"));
    let places: Vec<String> = named
        .filter(|path| !path.contains("..") && path.to_ascii_lowercase().ends_with(".efi"))
        .flat_map(|path| BOOT_PARTITIONS.map(|at| format!("{at}/{}", path.trim_start_matches('/'))))
        .collect();
    let is_uki = |path: &&String| section(machine, Path::new(path)).is_some();
    let found = places.iter().find(is_uki).map(PathBuf::from);
    found.or_else(|| {
        kimage::ukis(machine.root, &machine.release)
            .into_iter()
            .next()
    })
}

/// The text of a file's section `.cmdline`.
fn section(machine: &Machine<'_>, path: &Path) -> Option<String> {
    let bytes = read_section(&root::under(machine.root, path), ".cmdline", LONGEST)?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim_end_matches(['\0', '\n', ' ']).to_owned())
}

/// Where an image's own addons lie.
fn directory(uki: &Path) -> PathBuf {
    let name = uki.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".efi").unwrap_or(&name);
    let name = format!("{}.efi.extra.d", kimage::uncounted(stem));
    uki.with_file_name(name)
}

/// The addons that the stub adds, in its order: the image's own, then those of the partition.
fn addons(machine: &Machine<'_>, uki: &Path) -> Vec<PathBuf> {
    let own = machine.files(&directory(uki).to_string_lossy(), ".addon.efi");
    // The image is in EFI/Linux of its partition.
    let partition = uki.ancestors().nth(3).unwrap_or(Path::new("/"));
    let all = partition.join("loader/addons");
    let all = machine.files(&all.to_string_lossy(), ".addon.efi");
    own.into_iter().chain(all).collect()
}

/// What the image and its addons say, without some of them.
fn said(machine: &Machine<'_>, uki: &Path, without: &[&Path]) -> String {
    let mut cmdline = section(machine, uki).unwrap_or_default();
    for addon in addons(machine, uki) {
        if !without.contains(&addon.as_path()) {
            let more = section(machine, &addon).unwrap_or_default();
            cmdline.push_str(&format!(" {more}"));
        }
    }
    cmdline
}

/// Why an addon would not do: a plain value inside the image wins over `,high`, or another addon comes later.
fn in_the_way(machine: &Machine<'_>, uki: &Path, value: &str) -> Option<String> {
    let mut cmdline = section(machine, uki).unwrap_or_default();
    let mut files: Vec<PathBuf> = addons(machine, uki);
    files.retain(|path| path.file_name().is_none_or(|name| name != ADDON));
    let (before, after): (Vec<_>, Vec<_>) = (files.into_iter())
        .partition(|path| path.starts_with(directory(uki)) && path < &directory(uki).join(ADDON));
    for path in before {
        cmdline.push_str(&format!(" {}", section(machine, &path).unwrap_or_default()));
    }
    cmdline.push_str(&format!(" crashkernel={value}"));
    for path in after {
        cmdline.push_str(&format!(" {}", section(machine, &path).unwrap_or_default()));
        if !took(&cmdline, value) {
            return Some(format!(
                "{} comes later and sets another crashkernel=",
                path.display()
            ));
        }
    }
    let uki = uki.display();
    (!took(&cmdline, value))
        .then(|| format!("{uki} holds a crashkernel= that an addon cannot override"))
}

/// The command that builds the image again, by what built it.
fn rebuild(machine: &Machine<'_>, value: &str) -> String {
    let release = &machine.release;
    let presets = machine.files("/etc/mkinitcpio.d", ".preset");
    let by_preset = |path: &PathBuf| {
        machine
            .text(path)
            .lines()
            .any(|line| line.contains("_uki="))
    };
    let dracut = (machine.files("/etc/dracut.conf.d", ".conf").iter()).any(|path| {
        machine
            .text(path)
            .lines()
            .any(|line| line.trim().replace(' ', "").starts_with("uefi=\"yes"))
    });
    let command = if presets.iter().any(by_preset) {
        "mkinitcpio -P".to_owned()
    } else if dracut {
        return format!(
            "add crashkernel={value} to kernel_cmdline= in /etc/dracut.conf.d and rebuild the unified kernel image: dracut --force --uefi --kver {release}"
        );
    } else {
        let places =
            ["/usr/lib/modules", "/lib/modules"].map(|at| format!("{at}/{release}/vmlinuz"));
        let kernel = places
            .iter()
            .find(|path| machine.has(path))
            .unwrap_or(&places[0]);
        format!("kernel-install add {release} {kernel}")
    };
    format!(
        "add crashkernel={value} to /etc/kernel/cmdline and rebuild the unified kernel image: {command}"
    )
}

/// Both ways, for the operator.
fn steps(machine: &Machine<'_>, addon: &Path, value: &str) -> String {
    let keys = machine.text("/etc/kernel/uki.conf");
    let key = |name: &str| {
        let line = keys
            .lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim().to_owned())
    };
    let signing = match (key("SecureBootPrivateKey"), key("SecureBootCertificate")) {
        (Some(private), Some(certificate)) => {
            format!(" --secureboot-private-key={private} --secureboot-certificate={certificate}")
        }
        _ => " --secureboot-private-key=KEY --secureboot-certificate=CERTIFICATE".to_owned(),
    };
    let (signing, why) = match machine.secure_boot {
        Some(false) => ("", ""),
        Some(true) => (
            signing.as_str(),
            " (Secure Boot is on: an addon without a signature is not read)",
        ),
        None => (
            signing.as_str(),
            " (under Secure Boot only; without it leave the two keys out)",
        ),
    };
    let folder = addon.parent().unwrap_or(addon).display();
    format!(
        "mkdir -p {folder} && ukify build{signing} --cmdline=crashkernel={value} --output={}{why}; or {}",
        addon.display(),
        rebuild(machine, value)
    )
}

#[cfg(test)]
mod tests;
