//! A crash directory against its own manifest: every file there, of its size, with its hash.

use crate::crash_dir::CrashDir;
use crate::manifest::FileFacts;
use dump::facts::TableFacts;
use dump::files::sha256;
use dump::{Sums, SumsError};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// It is longer or shorter.
    #[error("it has {found} bytes, the manifest says {expected}")]
    Size {
        /// Bytes.
        found: u64,
        /// Bytes in the manifest.
        expected: u64,
    },
    /// Its bytes differ.
    #[error("its SHA-256 is not the manifest's")]
    Hash,
    /// Pieces of it differ.
    #[error(transparent)]
    Sums(#[from] SumsError),
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One file, and what is wrong with it.
#[derive(Debug)]
pub struct Audited {
    /// Its name.
    pub name: String,
    /// `Ok` says what was compared, `Err` what is wrong.
    pub outcome: Result<&'static str, AuditError>,
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
        if let Some(sums) = &core.sums {
            let outcome = compare_sums(&dir, &core.file, sums);
            all.push(audited(&core.file, outcome));
        }
        if let Some(table) = &core.table {
            let outcome = compare_table(&dir, &core.file, table);
            all.push(audited(&core.file, outcome));
        }
    }
    Ok(all)
}

fn audited(name: &str, outcome: Result<&'static str, AuditError>) -> Audited {
    Audited {
        name: name.to_owned(),
        outcome,
    }
}

fn compare(dir: &CrashDir, facts: &FileFacts) -> Result<&'static str, AuditError> {
    let file = dir.file(&facts.name)?;
    let (found, expected) = (file.metadata()?.len(), facts.size);
    if found != expected {
        return Err(AuditError::Size { found, expected });
    }
    match &facts.sha256 {
        None => Ok("size"),
        Some(expected) => same(expected, &sha256(file)?, "size and SHA-256"),
    }
}

fn compare_sums(dir: &CrashDir, name: &str, sums: &Sums) -> Result<&'static str, AuditError> {
    sums.check(&mut dir.file(name)?)?;
    Ok("the CRC-32 of every piece")
}

fn compare_table(
    dir: &CrashDir,
    name: &str,
    table: &TableFacts,
) -> Result<&'static str, AuditError> {
    same(
        &table.sha256,
        &sha256_of_table(dir.file(name)?, table)?,
        "SHA-256 of the seek table, which holds every frame's checksum",
    )
}

fn same(expected: &str, found: &str, what: &'static str) -> Result<&'static str, AuditError> {
    match expected == found {
        true => Ok(what),
        false => Err(AuditError::Hash),
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
