//! The name of this machine on a store that several machines share.

use crate::root::Root;
use sha2::{Digest, Sha256};

/// Keeps the machine id itself from being shown: machine-id(5) asks for a hash with a key of the
/// application's.
const KEY: &str = "afterpanic store";

/// The directory of this machine on a shared store: 32 hex digits made from `/etc/machine-id`. `None`
/// where the machine has no id.
#[must_use]
pub fn store_name(root: &Root) -> Option<String> {
    let id = root.text("/etc/machine-id")?;
    let right = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !right {
        return None;
    }
    let hash = Sha256::digest(format!("{KEY}\n{}", id.to_ascii_lowercase()));
    let bytes = hash.get(..16)?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_one_name_and_hides_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        assert_eq!(store_name(&root), None);
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let name = |id: &str| {
            std::fs::write(dir.path().join("etc/machine-id"), id).unwrap();
            store_name(&root)
        };
        let id = "0123456789abcdef0123456789abcdef";
        let first = name(&format!("{id}\n")).unwrap();
        assert_eq!(first.len(), 32);
        assert_ne!(first, id);
        assert_ne!(Some(first), name("1123456789abcdef0123456789abcdef"));
        assert_eq!(name("uninitialized\n"), None);
    }
}
