//! Where distributions put the kernel image of a release.

use crate::root;
use std::path::{Path, PathBuf};

/// Debian, Ubuntu, SUSE, Fedora up to 42; Fedora's and Debian's newer place among the modules.
const PLACES: [&str; 4] = [
    "/boot/vmlinuz-{}",
    "/usr/lib/modules/{}/vmlinuz",
    "/lib/modules/{}/vmlinuz",
    "/boot/{}/vmlinuz",
];

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
}
