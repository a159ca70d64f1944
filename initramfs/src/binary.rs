//! Our own binary, which becomes `/init`: found, and proven to be static and of this build.

use std::path::{Path, PathBuf};

use goblin::elf::{Elf, header, program_header::PT_INTERP};

/// Its name.
pub const NAME: &str = "afterpanic-capture";

/// The same program for plans with targets over SSH.
pub const WITH_SSH: &str = "afterpanic-capture-ssh";

/// Where packages put it.
const LIBDIR: &str = "/usr/lib/afterpanic";

/// The machine that this program runs on: e_machine, and its name.
#[cfg(not(target_arch = "aarch64"))]
const MACHINE: (u16, &str) = (header::EM_X86_64, "x86-64");
#[cfg(target_arch = "aarch64")]
const MACHINE: (u16, &str) = (header::EM_AARCH64, "aarch64");

/// How to get one that fits.
const REMEDY: &str = "build it with: cargo build --release -p capture";

/// Why a binary cannot be `/init`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// It is nowhere.
    #[error("{NAME} is neither in {} nor in {LIBDIR}; {REMEDY}", folder.display())]
    Missing {
        /// The folder of the running program.
        folder: PathBuf,
    },
    /// The one with SSH is nowhere.
    #[error(
        "a target is reached by SSH, and {WITH_SSH} is neither in {} nor in {LIBDIR}; build it with: cargo build --release -p capture-ssh",
        folder.display()
    )]
    WithoutSsh {
        /// The folder of the other one.
        folder: PathBuf,
    },
    /// It cannot be read.
    #[error("Cannot read {}; {REMEDY}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no program for this machine.
    #[error("{} is no ELF program for {}; {REMEDY}", path.display(), MACHINE.1)]
    Foreign {
        /// Its path.
        path: PathBuf,
    },
    /// It needs shared libraries, which the capture kernel has not.
    #[error("{} is dynamically linked; unset RUSTFLAGS and {REMEDY}", path.display())]
    Dynamic {
        /// Its path.
        path: PathBuf,
    },
    /// It is of this version, but was built from other sources.
    #[error("{} is of this version but was built from other sources ({found}, this is {wanted}); {REMEDY}", path.display())]
    Sources {
        /// Its path.
        path: PathBuf,
        /// What it says.
        found: String,
        /// This build.
        wanted: &'static str,
    },
    /// It is of another version.
    #[error("{} is {found}, this is {wanted}; {REMEDY}", path.display())]
    Version {
        /// Its path.
        path: PathBuf,
        /// What it says.
        found: String,
        /// This version.
        wanted: &'static str,
    },
}

/// Finds the binary beside the running program, then where packages put it.
pub fn find() -> Result<PathBuf, BinaryError> {
    let program = std::env::current_exe().unwrap_or_default();
    let folder = program.parent().unwrap_or(Path::new("/")).to_owned();
    [folder.join(NAME), Path::new(LIBDIR).join(NAME)]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or(BinaryError::Missing { folder })
}

/// The binary with SSH: beside the one without, or where packages put it.
pub fn with_ssh(capture: &Path) -> Result<PathBuf, BinaryError> {
    let folder = capture.parent().unwrap_or(Path::new("/")).to_owned();
    [folder.join(WITH_SSH), Path::new(LIBDIR).join(WITH_SSH)]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or(BinaryError::WithoutSsh { folder })
}

/// Reads the binary, refusing one that could not run as `/init` or is of another version.
pub fn read(path: &Path) -> Result<Vec<u8>, BinaryError> {
    let bytes = std::fs::read(path).map_err(|source| BinaryError::Read {
        path: path.to_owned(),
        source,
    })?;
    check(path, &bytes)?;
    Ok(bytes)
}

fn check(path: &Path, bytes: &[u8]) -> Result<(), BinaryError> {
    let path = || path.to_owned();
    let elf = Elf::parse(bytes).map_err(|_| BinaryError::Foreign { path: path() })?;
    let program = matches!(elf.header.e_type, header::ET_EXEC | header::ET_DYN);
    if elf.header.e_machine != MACHINE.0 || !program {
        return Err(BinaryError::Foreign { path: path() });
    }
    let interpreted = elf.program_headers.iter().any(|ph| ph.p_type == PT_INTERP);
    if interpreted || !elf.libraries.is_empty() {
        return Err(BinaryError::Dynamic { path: path() });
    }
    let wanted = plan::BUILD;
    let release = |build: &str| build.split('+').next().map(str::to_owned);
    match version(bytes) {
        Some(found) if found == wanted => Ok(()),
        Some(found) if release(&found) == release(wanted) => Err(BinaryError::Sources {
            path: path(),
            found,
            wanted,
        }),
        found => Err(BinaryError::Version {
            path: path(),
            found: found.map_or_else(
                || format!("no {NAME}"),
                |version| format!("{NAME} {version}"),
            ),
            wanted,
        }),
    }
}

/// The version that the binary would print: it holds it as one line.
fn version(bytes: &[u8]) -> Option<String> {
    let mark = format!("{NAME} ").into_bytes();
    let mut rest = bytes;
    while let Some(at) = find_bytes(rest, &mark) {
        rest = rest.get(at + mark.len()..)?;
        let end = rest.iter().take(60).position(|byte| *byte == b'\n');
        let text = end
            .and_then(|end| rest.get(..end))
            .and_then(|text| std::str::from_utf8(text).ok());
        if let Some(text) = text
            && text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_graphic())
        {
            return Some(text.to_owned());
        }
    }
    None
}

fn find_bytes(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    loop {
        let at = from
            + haystack
                .get(from..)?
                .iter()
                .position(|byte| *byte == first)?;
        if haystack.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Binaries for tests, laid out by hand.
#[cfg(test)]
pub(crate) mod fixture {
    /// A small ELF program: a header, and behind it a mark.
    pub(crate) fn elf(machine: u16, interpreter: bool, mark: &str) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        for half in [3_u16, machine] {
            bytes.extend(half.to_le_bytes());
        }
        bytes.extend(1_u32.to_le_bytes());
        for word in [0_u64, 64, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(0_u32.to_le_bytes());
        for half in [64_u16, 56, 1, 64, 0, 0] {
            bytes.extend(half.to_le_bytes());
        }
        let kind: u32 = if interpreter { 3 } else { 4 };
        bytes.extend(kind.to_le_bytes());
        bytes.extend(4_u32.to_le_bytes());
        for word in [120_u64, 0, 0, 8, 8, 1] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"/lib/ld\0");
        bytes.extend(mark.as_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::elf;
    use super::*;

    fn verdict(bytes: &[u8]) -> String {
        check(Path::new("x"), bytes).map_or_else(|e| e.to_string(), |()| "fits".to_owned())
    }

    #[test]
    fn only_a_static_binary_of_this_version_fits() {
        let mark = format!(
            "afterpanic-capture looks\0afterpanic-capture {}\n",
            plan::BUILD
        );
        let (own, name) = MACHINE;
        assert_eq!(verdict(&elf(own, false, &mark)), "fits");
        let older = format!("afterpanic-capture {}+0\n", env!("CARGO_PKG_VERSION"));
        assert!(verdict(&elf(own, false, &older)).contains("built from other sources"));
        assert!(verdict(&elf(own, false, &older)).contains("cargo build --release -p capture"));
        assert!(verdict(&elf(own, true, &mark)).contains("dynamically linked"));
        let other = verdict(&elf(own + 1, false, &mark));
        assert!(other.contains(&format!("no ELF program for {name}")));
        assert!(verdict(b"#!/bin/sh\n").contains("no ELF program"));
        assert!(
            verdict(&elf(own, false, "afterpanic-capture 9.9.9\n"))
                .starts_with("x is afterpanic-capture 9.9.9, this is ")
        );
        assert!(verdict(&elf(own, false, "")).starts_with("x is no afterpanic-capture"));
    }
}
