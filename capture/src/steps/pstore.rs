//! The records of pstore: what firmware and ramoops kept of this crash or an earlier one.
//!
//! Mounting pstore reads every record from the firmware, which can take long or hang. So this step
//! comes after the core. By hand pstore is mounted already.

use crate::protocol;
use dump::seal::Sealer;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Most bytes saved of one record.
const MAX_BYTES: u64 = 4 << 20;

/// Most records saved.
const MAX_RECORDS: usize = 64;

/// Where the records show.
const PSTORE: &str = "/sys/fs/pstore";

pub(super) fn run(dir: &Path, sealer: &Sealer, init: bool) -> Result<(), String> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    if init && Path::new(PSTORE).is_dir() {
        let _ = mount(Some("pstore"), PSTORE, Some("pstore"), quiet, None::<&str>);
    }
    save(Path::new(PSTORE), &dir.join("pstore"), sealer);
    Ok(())
}

/// Copies the records. One that cannot be copied is a soft error.
fn save(records: &Path, to: &Path, sealer: &Sealer) {
    let Ok(entries) = fs::read_dir(records) else {
        return;
    };
    for entry in entries.flatten().take(MAX_RECORDS) {
        let name = entry.file_name();
        if let Err(error) = copy(&entry.path(), to, sealer, &name.to_string_lossy()) {
            protocol::soft(format!(
                "cannot save the pstore record {}: {error}",
                name.display()
            ));
        }
    }
}

fn copy(from: &Path, to: &Path, sealer: &Sealer, name: &str) -> io::Result<()> {
    if !to.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(to)?;
    }
    let mut from = fs::File::open(from)?.take(MAX_BYTES);
    let mut file = sealer.create(to, name)?;
    io::copy(&mut from, &mut file)?;
    file.close()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dump::seal::{Identities, Identity, Scope, open_text};

    #[test]
    fn records_are_copied_and_large_ones_cut() {
        let records = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("pstore");
        let open = Sealer::default();
        save(records.path(), &to, &open);
        assert!(!to.exists());
        fs::write(records.path().join("dmesg-efi-1"), "panic").unwrap();
        fs::write(records.path().join("large"), vec![b'x'; 5 << 20]).unwrap();
        save(records.path(), &to, &open);
        assert_eq!(fs::read(to.join("dmesg-efi-1")).unwrap(), b"panic");
        assert_eq!(fs::metadata(to.join("large")).unwrap().len(), MAX_BYTES);
    }

    #[test]
    fn a_sealed_record_is_never_there_in_clear() {
        let records = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        fs::write(records.path().join("dmesg-efi-1"), "panic").unwrap();
        let identity = Identity::generate().unwrap();
        let sealer = Sealer::new(vec![identity.recipient()], Scope::All);
        save(records.path(), to.path(), &sealer);
        let names = fs::read_dir(to.path()).unwrap().flatten();
        let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["dmesg-efi-1.age"]);
        let sealed = to.path().join("dmesg-efi-1.age");
        let bytes = fs::read(&sealed).unwrap();
        assert!(!bytes.windows(5).any(|part| part == b"panic"));
        let identities = Identities::of(identity);
        let mut text = String::new();
        let file = fs::File::open(&sealed).unwrap();
        let mut content = open_text(file, &identities).unwrap();
        content.read_to_string(&mut text).unwrap();
        assert_eq!(text, "panic");
    }
}
