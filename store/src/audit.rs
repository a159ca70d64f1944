//! A crash directory against its own manifest: every file there, of its size, with its hash.

use crate::crash_dir::CrashDir;
use crate::manifest::FileFacts;
use dump::facts::TableFacts;
use dump::files::sha256;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// One file, and what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audited {
    /// Its name.
    pub name: String,
    /// `Ok` says what was compared, `Err` what is wrong.
    pub outcome: Result<&'static str, String>,
}

/// Compares every file that the manifest names. The names must be plain: a manifest that was copied
/// from elsewhere must not lead to files outside its directory.
///
/// # Errors
/// When the manifest itself cannot be read.
pub fn audit(dir: &Path) -> io::Result<Vec<Audited>> {
    let dir = CrashDir::open(dir)?;
    let manifest = dir.manifest()?;
    let mut all: Vec<Audited> = manifest
        .files
        .iter()
        .map(|file| audited(&file.name, compare(&dir, file)))
        .collect();
    if let Some(core) = &manifest.core {
        let file = || dir.file(&core.file).map_err(|error| error.to_string());
        if let Some(sums) = &core.sums {
            let outcome = file().and_then(|mut file| sums.check(&mut file));
            all.push(audited(
                &core.file,
                outcome.map(|()| "the CRC-32 of every piece"),
            ));
        }
        if let Some(table) = &core.table {
            let hash = file().and_then(|file| same(&table.sha256, sha256_of_table(file, table)));
            let what = "SHA-256 of the seek table, which holds every frame's checksum";
            all.push(audited(&core.file, hash.map(|()| what)));
        }
    }
    Ok(all)
}

fn audited(name: &str, outcome: Result<&'static str, String>) -> Audited {
    Audited {
        name: name.to_owned(),
        outcome,
    }
}

fn compare(dir: &CrashDir, facts: &FileFacts) -> Result<&'static str, String> {
    let file = dir.file(&facts.name).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    if size != facts.size {
        return Err(format!(
            "it has {size} bytes, the manifest says {}",
            facts.size
        ));
    }
    match &facts.sha256 {
        None => Ok("size"),
        Some(told) => same(told, sha256(file)).map(|()| "size and SHA-256"),
    }
}

fn same(told: &str, found: io::Result<String>) -> Result<(), String> {
    match found {
        Ok(found) if found == told => Ok(()),
        Ok(_) => Err("its SHA-256 is not the manifest's".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn sha256_of_table(mut file: File, table: &TableFacts) -> io::Result<String> {
    file.seek(SeekFrom::Start(table.offset))?;
    sha256(file.take(table.len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::manifest::FILE;
    use crate::tests::crash_dir;

    #[test]
    fn what_changed_since_is_named() {
        let base = tempfile::tempdir().unwrap();
        let name = "n-20261121T231500Z";
        let dir = crash_dir(base.path(), name, "");
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        write("dmesg.txt", "last words");
        write("report.txt", "why");
        write("vmcore.elf", "pages");
        let store = Store::open(base.path()).unwrap();
        let manifest = serde_json::json!({
            "schema": 1, "afterpanic": "0", "verdict": "complete", "release": "6.1",
            "files": store.files(name).unwrap(), "soft_errors": [], "steps": [],
        });
        write(FILE, &manifest.to_string());
        assert!(audit(&dir).unwrap().iter().all(|file| file.outcome.is_ok()));

        write("dmesg.txt", "lost words");
        write("vmcore.elf", "page");
        std::fs::remove_file(dir.join("report.txt")).unwrap();
        let wrong: Vec<String> = audit(&dir)
            .unwrap()
            .into_iter()
            .filter(|file| file.outcome.is_err())
            .map(|file| file.name)
            .collect();
        assert_eq!(wrong, ["dmesg.txt", "report.txt", "vmcore.elf"]);
    }

    #[test]
    fn a_manifest_leads_to_no_file_outside() {
        let base = tempfile::tempdir().unwrap();
        let manifest = serde_json::json!({
            "schema": 1, "afterpanic": "0", "verdict": "complete", "release": "6.1",
            "files": [{"name": "/dev/zero", "size": 0, "sha256": ""},
                      {"name": "../secret", "size": 6}, {"name": "..", "size": 0}],
            "soft_errors": [], "steps": [],
        });
        std::fs::write(base.path().join("secret"), "secret").unwrap();
        let dir = crash_dir(base.path(), "n-20261121T231500Z", &manifest.to_string());
        let files = audit(&dir).unwrap();
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|file| file.outcome.is_err()), "{files:?}");
    }
}
