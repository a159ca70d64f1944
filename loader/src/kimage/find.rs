//! Where distributions put the kernel image of a release.

use initramfs::kernel::uki;

use crate::root;
use std::fs;
use std::path::{Path, PathBuf};

/// Debian, Ubuntu, SUSE, Fedora up to 42; Fedora's and Debian's newer place among the modules.
const PLACES: [&str; 4] = [
    "/boot/vmlinuz-{}",
    "/usr/lib/modules/{}/vmlinuz",
    "/lib/modules/{}/vmlinuz",
    "/boot/{}/vmlinuz",
];

/// Where unified kernel images are on the EFI system partition (systemd-stub(7), kernel-install(8)).
const UKI_PLACES: [&str; 3] = ["/boot/efi/EFI/Linux", "/efi/EFI/Linux", "/boot/EFI/Linux"];

/// Where kernels lie that the boot loader itself reads.
const BOOT: [&str; 3] = ["/boot", "/efi", "/boot/efi"];
/// More names than such a directory has.
const MOST: usize = 500;

/// Finds the kernel image of a release, as a path that is not prefixed.
///
/// # Errors
/// The places that were looked at, for the error message.
pub fn find(root: &Path, release: &str) -> Result<PathBuf, Vec<String>> {
    let places: Vec<String> = PLACES
        .iter()
        .map(|place| place.replace("{}", release))
        .collect();
    let found = places
        .iter()
        .find(|place| root::under(root, place).is_file());
    found.map(PathBuf::from).ok_or(places)
}

/// Finds the kernel image of a release, or else the unified kernel image that holds it.
///
/// # Errors
/// The places that were looked at, for the error message.
pub fn find_any(root: &Path, release: &str) -> Result<PathBuf, Vec<String>> {
    find(root, release).or_else(|mut places| {
        places.extend(BOOT.map(str::to_owned));
        places.extend(UKI_PLACES.map(str::to_owned));
        let found = by_what_it_says(root, release);
        let found = found.or_else(|| ukis(root, release).into_iter().next());
        found.ok_or(places)
    })
}

/// A kernel whose name does not tell its release: Arch's vmlinuz-linux, Alpine's vmlinuz-lts, and what
/// kernel-install(8) copies to `TOKEN/RELEASE/linux`. Its header does.
fn by_what_it_says(root: &Path, release: &str) -> Option<PathBuf> {
    let names = |directory: &Path| -> Vec<String> {
        let entries = fs::read_dir(root::under(root, directory));
        let names = entries.into_iter().flatten().flatten();
        let mut names: Vec<String> = names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names.truncate(MOST);
        names
    };
    let kernel = |name: &String| {
        ["vmlinuz", "kernel", "bzImage"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    let candidates = BOOT.iter().flat_map(|directory| {
        let directory = Path::new(directory);
        names(directory)
            .into_iter()
            .map(move |name| match kernel(&name) {
                true => directory.join(name),
                false => directory.join(name).join(release).join("linux"),
            })
    });
    let is_it = |path: &PathBuf| {
        let path = root::under(root, path);
        path.is_file() && initramfs::kernel::release_of(&path).is_ok_and(|found| found == release)
    };
    candidates
        .into_iter()
        .find(|path| !release.is_empty() && is_it(path))
}

/// The unified kernel images of a release, by their names, or by what they say themselves.
pub(crate) fn ukis(root: &Path, release: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = UKI_PLACES
        .iter()
        .flat_map(|place| {
            let entries = fs::read_dir(root::under(root, place));
            let entries = entries.into_iter().flatten().flatten();
            entries.map(move |entry| Path::new(place).join(entry.file_name()))
        })
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_file = || root::under(root, path).is_file();
            is_file() && (is_named(&name, release) || says(root, path, release))
        })
        .collect();
    // What is named after the release comes first.
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !is_named(&name, release)
    };
    found.sort_by_key(|path| (named(path), path.clone()));
    found
}

/// Whether a file says in its section `.uname` that it holds this release (systemd-stub(7)).
fn says(root: &Path, path: &Path, release: &str) -> bool {
    let efi = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("efi"));
    let said = || uki::read_section(&root::under(root, path), ".uname", 256);
    let is_it = |bytes: Vec<u8>| {
        let text = String::from_utf8_lossy(&bytes);
        !release.is_empty() && text.trim_end_matches(['\0', '\n']) == release
    };
    efi && said().is_some_and(is_it)
}

/// Whether a unified kernel image of this name is of this release: `TOKEN-RELEASE.efi` (kernel-install(8))
/// or `linux-RELEASE-MACHINEID[-BUILD].efi` (dracut(8)). What systemd-boot(7) counts boots with, as in
/// `TOKEN-RELEASE+3-1.efi`, does not count.
fn is_named(file: &str, release: &str) -> bool {
    let Some(stem) = file.strip_suffix(".efi").filter(|_| !release.is_empty()) else {
        return false;
    };
    let ends = |before: &str| before.is_empty() || before.ends_with('-');
    let follows = |after: &str| {
        let id = after.strip_prefix('-').and_then(|rest| rest.get(..32));
        let then = after.get(33..).unwrap_or_default();
        after.is_empty()
            || id.is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))
                && (then.is_empty() || then.starts_with('-'))
    };
    [stem, uncounted(stem)].iter().any(|stem| {
        stem.match_indices(release).any(|(at, found)| {
            let after = at.checked_add(found.len()).and_then(|end| stem.get(end..));
            stem.get(..at).is_some_and(ends) && after.is_some_and(follows)
        })
    })
}

/// A name without `+LEFT` or `+LEFT-DONE` at its end.
pub(crate) fn uncounted(stem: &str) -> &str {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match stem.rsplit_once('+') {
        Some((name, counter)) if counter.splitn(2, '-').all(number) => name,
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_has_it_wins() {
        let root = tempfile::tempdir().unwrap();
        let places = find(root.path(), "6.1.0").unwrap_err();
        assert!(places.contains(&"/boot/vmlinuz-6.1.0".to_string()));
        for place in ["lib/modules/6.1.0/vmlinuz", "boot/vmlinuz-6.1.0"] {
            let path = root.path().join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
            assert_eq!(
                find(root.path(), "6.1.0").unwrap(),
                Path::new("/").join(place)
            );
        }
    }

    #[test]
    fn a_kernel_with_another_name_is_found_by_its_header() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, release: &str| {
            let mut image = vec![0_u8; 0x1000];
            image[0x202..0x206].copy_from_slice(b"HdrS");
            image[0x20f] = 0x0a;
            let text = format!("{release} (x) #1\0");
            image[0xc00..0xc00 + text.len()].copy_from_slice(text.as_bytes());
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, image).unwrap();
        };
        put("boot/vmlinuz-linux-lts", "6.6.9-1-lts");
        put("boot/vmlinuz-linux", "6.12.1-arch1-1");
        put("efi/0123/6.12.9-1/linux", "6.12.9-1");
        let found = |release| find_any(root.path(), release).ok();
        assert_eq!(
            found("6.12.1-arch1-1"),
            Some(PathBuf::from("/boot/vmlinuz-linux"))
        );
        assert_eq!(
            found("6.12.9-1"),
            Some(PathBuf::from("/efi/0123/6.12.9-1/linux"))
        );
        assert_eq!(found("6.12.1"), None);
    }

    #[test]
    fn a_unified_kernel_image_is_the_last_resort() {
        let root = tempfile::tempdir().unwrap();
        let places = find_any(root.path(), "6.1.0").unwrap_err();
        assert!(places.contains(&"/efi/EFI/Linux".to_string()));
        for path in [
            "efi/EFI/Linux/0123-6.1.0.efi",
            "efi/EFI/Linux/0123-6.0.9.efi",
            "boot/vmlinuz-6.1.0",
        ] {
            let file = root.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
            assert!(find(root.path(), "6.1.0").is_err() || path.starts_with("boot"));
            let wanted = if path.starts_with("boot") {
                path
            } else {
                "efi/EFI/Linux/0123-6.1.0.efi"
            };
            assert_eq!(
                find_any(root.path(), "6.1.0").unwrap(),
                Path::new("/").join(wanted)
            );
        }
    }

    #[test]
    fn the_whole_release_counts_in_the_name_of_a_unified_kernel_image() {
        let root = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        let dir = root.path().join("efi/EFI/Linux");
        fs::create_dir_all(&dir).unwrap();
        for name in [
            "debian-6.1.0-10.efi",
            "debian-16.1.0-1.efi",
            "debian-6.1.0-1+3-1.efi",
            "linux-6.1.0-2+deb13.efi",
            &format!("linux-6.1.0-3-{id}-build.efi"),
        ] {
            fs::write(dir.join(name), "").unwrap();
        }
        let names = |release| -> Vec<String> {
            let found = ukis(root.path(), release).into_iter();
            found
                .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(names("6.1.0-1"), ["debian-6.1.0-1+3-1.efi"]);
        assert_eq!(names("6.1.0-10"), ["debian-6.1.0-10.efi"]);
        assert_eq!(names("6.1.0-2+deb13"), ["linux-6.1.0-2+deb13.efi"]);
        assert_eq!(names("6.1.0-3"), [format!("linux-6.1.0-3-{id}-build.efi")]);
        assert!(names("6.1.0").is_empty());
        assert!(names("").is_empty());
    }
}
