//! Files and programs taken into the image with everything they need to run there.
//!
//! A program brings its loader and its libraries: DT_NEEDED, searched as ld.so(8) does (RPATH,
//! RUNPATH, ld.so.conf, the default folders; of glibc-hwcaps only the baseline), and the libraries
//! that it says it may dlopen (`.note.dlopen`, the UAPI group's specification 1.x). Links on the way
//! are kept as links. A script brings its interpreter.

use std::collections::{BTreeSet, VecDeque};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use goblin::elf::Elf;

use crate::archive::{Archive, ArchiveError};
use crate::root::Root;

/// Debian's name of the machine's folders.
#[cfg(not(target_arch = "aarch64"))]
macro_rules! multiarch {
    () => {
        "x86_64-linux-gnu"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! multiarch {
    () => {
        "aarch64-linux-gnu"
    };
}

/// Where ld.so looks last. Debian's has its multiarch folders built in.
const DEFAULT_DIRS: [&str; 6] = [
    concat!("/lib/", multiarch!()),
    concat!("/usr/lib/", multiarch!()),
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// The type of the note in which a program lists what it may dlopen; its owner is "FDO".
const NT_DLOPEN: u32 = 0x407c_0c0a;

/// More files than any program needs.
const MAX_FILES: usize = 2000;

/// Why a file cannot be taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("Cannot read {}, which {why} needs; install it, or take it out of the config", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Who asked.
        why: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no file.
    #[error("{} is no regular file; extra_files takes single files", path.display())]
    NotFile {
        /// Its path.
        path: PathBuf,
    },
    /// It is to be run and cannot be.
    #[error("{} cannot be run, and it is {why}: {problem}", path.display())]
    NotProgram {
        /// Its path.
        path: PathBuf,
        /// What it is to be.
        why: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A library is nowhere.
    #[error("{} needs {library}, which is in none of the loader's folders; install it", path.display())]
    Library {
        /// The program or library that needs it.
        path: PathBuf,
        /// Its name.
        library: String,
    },
    /// A circle without end, or a very large program.
    #[error("{} needs more than {MAX_FILES} files", path.display())]
    TooMany {
        /// What was asked for.
        path: PathBuf,
    },
    /// An archive cannot hold it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// One file or link to take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its path, absolute.
    pub path: PathBuf,
    /// What it is.
    pub kind: TakenKind,
    /// Who asked.
    pub why: String,
}

/// What is taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenKind {
    /// A link to this.
    Link(PathBuf),
    /// A regular file with these permissions and bytes.
    File(u32, Vec<u8>),
}

/// The files asked for, each with the reason, and all that they need.
pub fn closure(root: &Root, asked: &[(PathBuf, String)]) -> Result<Vec<Taken>, FileError> {
    let mut walk = Walk {
        root,
        dirs: library_dirs(root),
        seen: BTreeSet::new(),
        taken: Vec::new(),
        todo: VecDeque::new(),
        beyond_defaults: false,
    };
    for (path, why) in asked {
        walk.todo.push_back((path.clone(), why.clone(), true));
    }
    while let Some((path, why, required)) = walk.todo.pop_front() {
        if walk.taken.len() > MAX_FILES {
            return Err(FileError::TooMany { path });
        }
        match walk.take(&path, &why) {
            Err(FileError::Read { .. }) if !required => {}
            outcome => outcome?,
        }
    }
    let cache = Path::new("/etc/ld.so.cache");
    if walk.beyond_defaults && root.exists(cache) {
        walk.take(cache, "libraries outside the loader's own folders")?;
    }
    walk.taken.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.taken)
}

/// Whether programs among the taken files can be run: ELF programs or scripts that are executable, and that
/// nobody but their owner may change.
pub(crate) fn executable(
    root: &Root,
    programs: &[(PathBuf, String)],
    taken: &[Taken],
) -> Result<(), FileError> {
    for (path, why) in programs {
        let failed = |problem| FileError::NotProgram {
            path: path.clone(),
            why: why.clone(),
            problem,
        };
        let real = root.resolve(path).map_err(|source| FileError::Read {
            path: path.clone(),
            why: why.clone(),
            source,
        })?;
        let kind = taken
            .iter()
            .find(|one| one.path == real)
            .map(|one| &one.kind);
        let Some(TakenKind::File(mode, bytes)) = kind else {
            return Err(failed("it is no regular file"));
        };
        if mode & 0o111 == 0 {
            return Err(failed("nobody may execute it; run chmod +x"));
        }
        if mode & 0o022 != 0 {
            return Err(failed(
                "others may write to it, and it runs as root; run chmod go-w",
            ));
        }
        if !bytes.starts_with(b"#!") && !bytes.starts_with(b"\x7fELF") {
            return Err(failed("it is neither an ELF program nor a script with #!"));
        }
    }
    Ok(())
}

/// Puts taken files into an archive.
pub fn put(archive: &mut Archive, taken: &[Taken]) -> Result<(), FileError> {
    for one in taken {
        let path = one.path.to_string_lossy();
        match &one.kind {
            TakenKind::Link(target) => {
                archive.symlink(&path, &target.to_string_lossy(), &one.why)?;
            }
            TakenKind::File(mode, bytes) => {
                archive.file(&path, *mode, bytes.clone(), &one.why)?;
            }
        }
    }
    Ok(())
}

struct Walk<'a> {
    root: &'a Root,
    dirs: Vec<PathBuf>,
    seen: BTreeSet<PathBuf>,
    taken: Vec<Taken>,
    todo: VecDeque<(PathBuf, String, bool)>,
    beyond_defaults: bool,
}

impl Walk<'_> {
    fn take(&mut self, path: &Path, why: &str) -> Result<(), FileError> {
        let failed = |source| FileError::Read {
            path: path.to_owned(),
            why: why.to_owned(),
            source,
        };
        let real = self.root.resolve(path).map_err(failed)?;
        self.links(path, why);
        if !self.seen.insert(real.clone()) {
            return Ok(());
        }
        let here = self.root.host(&real);
        let meta = std::fs::metadata(&here).map_err(failed)?;
        if !meta.is_file() {
            return Err(FileError::NotFile {
                path: path.to_owned(),
            });
        }
        let bytes = std::fs::read(&here).map_err(failed)?;
        if bytes.starts_with(b"#!") {
            let line = bytes
                .split(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default();
            let line = String::from_utf8_lossy(line.get(2..).unwrap_or_default()).into_owned();
            if let Some(program) = line.split_ascii_whitespace().next() {
                let why = format!("interpreter of {}", path.display());
                self.todo.push_back((PathBuf::from(program), why, true));
            }
        } else if let Ok(elf) = Elf::parse(&bytes) {
            self.needs(&real, &elf, &bytes)?;
        }
        self.taken.push(Taken {
            path: real,
            kind: TakenKind::File(meta.permissions().mode() & 0o777, bytes),
            why: why.to_owned(),
        });
        Ok(())
    }

    /// The links that lead from `path` to the file, each taken as it is.
    fn links(&mut self, path: &Path, why: &str) {
        let mut at = path.to_owned();
        for _ in 0..40 {
            let link = at
                .ancestors()
                .filter(|part| *part != Path::new("/"))
                .filter_map(|part| {
                    let target = std::fs::read_link(self.root.host(part)).ok()?;
                    Some((part.to_owned(), target))
                })
                .last();
            let Some((link, target)) = link else {
                return;
            };
            let rest = at.strip_prefix(&link).unwrap_or(Path::new("")).to_owned();
            let next = link
                .parent()
                .unwrap_or(Path::new("/"))
                .join(&target)
                .join(rest);
            if self.seen.insert(link.clone()) {
                self.taken.push(Taken {
                    path: link,
                    kind: TakenKind::Link(target),
                    why: why.to_owned(),
                });
            }
            at = plain(&next);
        }
    }

    fn needs(&mut self, path: &Path, elf: &Elf, bytes: &[u8]) -> Result<(), FileError> {
        if let Some(interpreter) = elf.interpreter {
            let why = format!("loader of {}", path.display());
            self.todo.push_back((PathBuf::from(interpreter), why, true));
        }
        let why = format!("library of {}", path.display());
        for library in &elf.libraries {
            match self.find(library, path, elf) {
                Some(found) => self.todo.push_back((found, why.clone(), true)),
                None => {
                    return Err(FileError::Library {
                        path: path.to_owned(),
                        library: (*library).to_owned(),
                    });
                }
            }
        }
        for library in dlopened(elf, bytes) {
            if let Some(found) = self.find(&library, path, elf) {
                let why = format!("may be dlopened by {}", path.display());
                self.todo.push_back((found, why, false));
            }
        }
        Ok(())
    }

    /// Where the loader would find a library.
    fn find(&mut self, library: &str, path: &Path, elf: &Elf) -> Option<PathBuf> {
        if library.contains('/') {
            return Some(PathBuf::from(library));
        }
        let origin = path.parent().unwrap_or(Path::new("/")).to_string_lossy();
        let own: Vec<PathBuf> = elf
            .runpaths
            .iter()
            .chain(&elf.rpaths)
            .flat_map(|list| list.split(':'))
            .filter(|dir| !dir.is_empty())
            .map(|dir| {
                dir.replace("${ORIGIN}", "$ORIGIN")
                    .replace("$ORIGIN", &origin)
            })
            .map(|dir| plain(Path::new(&dir)))
            .collect();
        let found = own
            .iter()
            .chain(&self.dirs)
            .map(|dir| dir.join(library))
            .find(|candidate| self.is_ours(candidate))?;
        let dir = found.parent().unwrap_or(Path::new("/"));
        if !own.iter().any(|own| own == dir) && !DEFAULT_DIRS.iter().any(|d| Path::new(d) == dir) {
            self.beyond_defaults = true;
        }
        Some(found)
    }

    /// Whether a library is there and made for 64 bits.
    fn is_ours(&self, path: &Path) -> bool {
        use std::io::Read;
        let mut start = [0_u8; 5];
        self.root
            .open_path(path)
            .and_then(std::fs::File::open)
            .and_then(|mut file| file.read_exact(&mut start))
            .is_ok_and(|()| start == *b"\x7fELF\x02")
    }
}

/// `path` without `.` and `..`, by its words alone.
fn plain(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            _ => {}
        }
    }
    out
}

/// The loader's folders: those of ld.so.conf and the files it includes, then the default ones.
fn library_dirs(root: &Root) -> Vec<PathBuf> {
    let mut texts = vec![root.text("/etc/ld.so.conf").unwrap_or_default()];
    for name in root.names("/etc/ld.so.conf.d") {
        if name.ends_with(".conf") {
            texts.extend(root.text(Path::new("/etc/ld.so.conf.d").join(name)));
        }
    }
    let mut dirs: Vec<PathBuf> = Vec::new();
    let configured = texts.iter().flat_map(|text| text.lines());
    let configured = configured.map(|line| line.split('#').next().unwrap_or_default().trim());
    for dir in configured
        .filter(|line| line.starts_with('/'))
        .chain(DEFAULT_DIRS)
    {
        let dir = PathBuf::from(dir);
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}

/// The libraries in `.note.dlopen`: JSON, a list of objects with a list of names each.
fn dlopened(elf: &Elf, bytes: &[u8]) -> Vec<String> {
    let Some(notes) = elf.iter_note_sections(bytes, Some(".note.dlopen")) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for note in notes.flatten().filter(|note| note.n_type == NT_DLOPEN) {
        let text = note
            .desc
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        let Ok(serde_json::Value::Array(features)) = serde_json::from_slice(text) else {
            continue;
        };
        for feature in features {
            let sonames = feature.get("soname").and_then(|list| list.as_array());
            let sonames = sonames.into_iter().flatten();
            names.extend(sonames.filter_map(|name| name.as_str()).map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_interpreters_come_along() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for sub in ["usr/bin", "opt"] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        symlink("usr/bin", dir.path().join("bin")).unwrap();
        std::fs::write(dir.path().join("usr/bin/interp"), "no ELF").unwrap();
        std::fs::write(dir.path().join("opt/tool-1"), "#!/bin/interp -x\nbody\n").unwrap();
        symlink("tool-1", dir.path().join("opt/tool")).unwrap();
        let asked = [(PathBuf::from("/opt/tool"), "extra_files".to_owned())];
        let taken = closure(&root, &asked).unwrap();
        let seen: Vec<_> = taken.iter().map(|t| t.path.to_str().unwrap()).collect();
        assert_eq!(
            seen,
            ["/bin", "/opt/tool", "/opt/tool-1", "/usr/bin/interp"]
        );
        assert_eq!(taken[0].kind, TakenKind::Link("usr/bin".into()));
        assert_eq!(taken[3].why, "interpreter of /opt/tool");
        let mut archive = Archive::new();
        put(&mut archive, &taken).unwrap();
        assert!(archive.contains("usr/bin/interp") && archive.contains("opt/tool"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let error = |path: &str| {
            let asked = [(PathBuf::from(path), "extra_files".to_owned())];
            closure(&root, &asked).unwrap_err().to_string()
        };
        assert!(error("/no/such").starts_with("Cannot read /no/such, which extra_files needs"));
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        assert!(error("/etc").contains("no regular file"));
    }

    /// Against the loader of the machine that runs the test, where there is one.
    #[test]
    fn a_real_program_brings_its_libraries() {
        let root = Root::new(Path::new("/"));
        let program = PathBuf::from("/bin/ls");
        let Ok(real) = root.bytes(&program) else {
            return;
        };
        if Elf::parse(&real).map_or(true, |elf| elf.libraries.is_empty()) {
            return;
        }
        let taken = closure(&root, &[(program, "the test".to_owned())]).unwrap();
        let names: Vec<_> = taken
            .iter()
            .filter_map(|t| t.path.file_name()?.to_str())
            .collect();
        assert!(
            names.iter().any(|name| name.starts_with("libc.so")),
            "{names:?}"
        );
        assert!(
            names.iter().any(|name| name.starts_with("ld-")),
            "{names:?}"
        );
    }
}
