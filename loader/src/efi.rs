//! EFI variables under a root prefix: which boot loader and stub started this kernel, and Secure Boot.
//!
//! Facts: efivarfs puts four bytes of attributes before the value (Documentation/filesystems/efivarfs.rst);
//! the Boot Loader Interface (LoaderInfo, LoaderImageIdentifier, StubInfo, StubImageIdentifier; UTF-16,
//! ends with a NUL); UEFI 2.10, section 3.3 (SecureBoot, SetupMode: one byte); shim's MokSBStateRT, which is 1
//! when shim was told not to verify. Firmware that has no SecureBoot among its variables verifies nothing
//! (include/linux/efi.h, `efi_get_secureboot_mode`, Linux 5.10 to 7.2).

use std::path::Path;

use crate::root;

/// The vendor of the Boot Loader Interface.
const LOADER: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";
const DIRECTORY: &str = "/sys/firmware/efi/efivars";

/// Whether EFI firmware started this machine.
pub(crate) fn started(root: &Path) -> bool {
    root::under(root, "/sys/firmware/efi").exists()
}

/// A variable's value.
fn variable(root: &Path, name: &str, vendor: &str) -> Option<Vec<u8>> {
    let path = format!("{DIRECTORY}/{name}-{vendor}");
    let bytes = root::bytes(root, path, root::TEXT).ok()?;
    bytes.get(4..).map(<[u8]>::to_vec)
}

/// A variable of the Boot Loader Interface as text: `LoaderInfo`, `StubInfo` …
pub(crate) fn loader(root: &Path, name: &str) -> Option<String> {
    let value = variable(root, name, LOADER)?;
    let units = value
        .chunks_exact(2)
        .filter_map(|pair| <[u8; 2]>::try_from(pair).ok())
        .map(u16::from_le_bytes)
        .take_while(|unit| *unit != 0);
    let text: String = char::decode_utf16(units)
        .map(|c| c.unwrap_or('?'))
        .filter(|c| !c.is_control())
        .collect();
    (!text.is_empty()).then_some(text)
}

/// Whether Secure Boot verifies what is started: `None` when the firmware does not tell, or efivarfs is not
/// mounted on a machine that EFI started.
pub(crate) fn secure_boot(root: &Path) -> Option<bool> {
    if !started(root) {
        return root::under(root, "/sys/firmware").exists().then_some(false);
    }
    let byte = |name, vendor| variable(root, name, vendor)?.first().copied();
    let Some(enabled) = byte("SecureBoot", GLOBAL) else {
        return shows_variables(root).then_some(false);
    };
    let enabled = enabled == 1 && byte("SetupMode", GLOBAL) != Some(1);
    Some(enabled && byte("MokSBStateRT", SHIM) != Some(1))
}

/// Whether the firmware's own variables can be seen.
fn shows_variables(root: &Path) -> bool {
    let entries = std::fs::read_dir(root::under(root, DIRECTORY));
    entries.into_iter().flatten().flatten().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().ends_with(GLOBAL)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes a variable of the Boot Loader Interface.
    pub(crate) fn put_loader(root: &Path, name: &str, text: &str) {
        let mut bytes = vec![6, 0, 0, 0];
        bytes.extend(text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        put(root, &format!("{name}-{LOADER}"), &bytes);
    }

    /// Writes SecureBoot.
    pub(crate) fn put_secure_boot(root: &Path, on: bool) {
        put(
            root,
            &format!("SecureBoot-{GLOBAL}"),
            &[6, 0, 0, 0, u8::from(on)],
        );
    }

    fn put(root: &Path, name: &str, bytes: &[u8]) {
        let directory = root::under(root, DIRECTORY);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), bytes).unwrap();
    }

    #[test]
    fn variables_are_read_and_damage_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(secure_boot(dir.path()), None);
        put_loader(dir.path(), "LoaderInfo", "systemd-boot 257.7");
        assert_eq!(
            loader(dir.path(), "LoaderInfo").as_deref(),
            Some("systemd-boot 257.7")
        );
        assert_eq!(loader(dir.path(), "StubInfo"), None);
        assert_eq!(secure_boot(dir.path()), None);
        // The firmware has variables, and none says that it verifies.
        put(
            dir.path(),
            &format!("BootOrder-{GLOBAL}"),
            &[7, 0, 0, 0, 0, 0],
        );
        assert_eq!(secure_boot(dir.path()), Some(false));
        put_secure_boot(dir.path(), true);
        assert_eq!(secure_boot(dir.path()), Some(true));
        put(
            dir.path(),
            &format!("MokSBStateRT-{SHIM}"),
            &[6, 0, 0, 0, 1],
        );
        assert_eq!(secure_boot(dir.path()), Some(false));
        put(dir.path(), &format!("LoaderInfo-{LOADER}"), &[6, 0]);
        assert_eq!(loader(dir.path(), "LoaderInfo"), None);
    }

    #[test]
    fn without_efi_nothing_is_verified() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("sys/firmware/acpi")).unwrap();
        assert_eq!(secure_boot(dir.path()), Some(false));
    }
}
