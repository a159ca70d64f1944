//! A crash directory against its own manifest: every file there, of its size, with its hash.

use crate::manifest::Manifest;
use dump::facts::{TableFacts, hex};
use dump::files::sha256_of;
use sha2::{Digest, Sha256};
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

/// Compares every file that the manifest names.
///
/// # Errors
/// When the manifest itself cannot be read.
pub fn audit(dir: &Path) -> io::Result<Vec<Audited>> {
    let manifest = Manifest::read(dir)?;
    let mut all: Vec<Audited> = manifest
        .files
        .iter()
        .map(|file| {
            let path = dir.join(&file.name);
            let outcome = size_is(&path, file.size).and_then(|()| match &file.sha256 {
                None => Ok("size"),
                Some(told) => same(told, sha256_of(&path)).map(|()| "size and SHA-256"),
            });
            Audited {
                name: file.name.clone(),
                outcome,
            }
        })
        .collect();
    if let Some((core, sums)) = manifest
        .core
        .as_ref()
        .and_then(|core| Some((core, core.sums.as_ref()?)))
    {
        all.push(Audited {
            name: core.file.clone(),
            outcome: sums
                .check(&dir.join(&core.file))
                .map(|()| "the CRC-32 of every piece"),
        });
    }
    if let Some((core, table)) = manifest
        .core
        .as_ref()
        .and_then(|core| Some((core, core.table.as_ref()?)))
    {
        let outcome = same(&table.sha256, sha256_of_table(&dir.join(&core.file), table))
            .map(|()| "SHA-256 of the seek table, which holds every frame's checksum");
        all.push(Audited {
            name: core.file.clone(),
            outcome,
        });
    }
    Ok(all)
}

fn size_is(path: &Path, told: u64) -> Result<(), String> {
    let found = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if found == told {
        Ok(())
    } else {
        Err(format!("it has {found} bytes, the manifest says {told}"))
    }
}

fn same(told: &str, found: io::Result<String>) -> Result<(), String> {
    match found {
        Ok(found) if found == told => Ok(()),
        Ok(_) => Err("its SHA-256 is not the manifest's".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn sha256_of_table(path: &Path, table: &TableFacts) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(table.offset))?;
    let mut rest = file.take(table.len);
    let mut hash = Sha256::new();
    let mut buf = vec![0; 64 << 10];
    loop {
        match rest.read(&mut buf)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(buf.get(..n).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{FILE, files_of};

    #[test]
    fn what_changed_since_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("dmesg.txt", "last words");
        write("report.txt", "why");
        write("vmcore.elf", "pages");
        let manifest = serde_json::json!({
            "schema": 1, "afterpanic": "0", "verdict": "complete", "release": "6.1",
            "files": files_of(dir.path()).unwrap(), "soft_errors": [], "steps": [],
        });
        write(FILE, &manifest.to_string());
        assert!(
            audit(dir.path())
                .unwrap()
                .iter()
                .all(|file| file.outcome.is_ok())
        );

        write("dmesg.txt", "lost words");
        write("vmcore.elf", "page");
        std::fs::remove_file(dir.path().join("report.txt")).unwrap();
        let wrong: Vec<String> = audit(dir.path())
            .unwrap()
            .into_iter()
            .filter(|file| file.outcome.is_err())
            .map(|file| file.name)
            .collect();
        assert_eq!(wrong, ["dmesg.txt", "report.txt", "vmcore.elf"]);
    }
}
