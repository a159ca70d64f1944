//! cpio and module order for the guest's image.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) struct Writer {
    out: Vec<u8>,
    ino: u32,
    dirs: Vec<String>,
}

impl Writer {
    pub fn new() -> Self {
        Writer {
            out: Vec::new(),
            ino: 1,
            dirs: Vec::new(),
        }
    }

    fn entry(&mut self, name: &str, mode: u32, rdev: (u32, u32), bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let namesize = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let fields = [
            self.ino, mode, 0, 0, 1, 0, length, 0, 0, rdev.0, rdev.1, namesize, 0,
        ];
        self.ino += 1;
        self.out.extend(b"070701");
        for field in fields {
            self.out.extend(format!("{field:08X}").bytes());
        }
        self.out.extend(name.as_bytes());
        self.out.push(0);
        self.pad();
        self.out.extend(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
    }

    fn parents(&mut self, name: &str) {
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.parents(parent);
            self.dir(parent, 0o755);
        }
    }

    pub fn dir(&mut self, name: &str, mode: u32) {
        if !self.dirs.iter().any(|d| d == name) {
            self.dirs.push(name.to_owned());
            self.entry(name, 0o040_000 | mode, (0, 0), &[]);
        }
    }

    pub fn file(&mut self, name: &str, mode: u32, bytes: &[u8]) {
        self.parents(name);
        self.entry(name, 0o100_000 | mode, (0, 0), bytes);
    }

    pub fn symlink(&mut self, name: &str, to: &str) {
        self.parents(name);
        self.entry(name, 0o120_777, (0, 0), to.as_bytes());
    }

    pub fn char_device(&mut self, name: &str, mode: u32, major: u32, minor: u32) {
        self.parents(name);
        self.entry(name, 0o020_000 | mode, (major, minor), &[]);
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.out
    }
}

fn stem(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split('.').next().unwrap_or_default().replace('-', "_")
}

/// The files of the named modules and what they need, dependencies first.
pub(super) fn closure(root: &Path, names: &[String]) -> Result<Vec<PathBuf>, String> {
    let read = |name: &str| fs::read_to_string(root.join(name)).map_err(|e| format!("{name}: {e}"));
    let dep = read("modules.dep")?;
    let builtin = read("modules.builtin")?;
    let softdep = read("modules.softdep").unwrap_or_default();
    let table: BTreeMap<String, (&str, Vec<&str>)> = dep
        .lines()
        .filter_map(|l| l.split_once(':'))
        .map(|(p, d)| (stem(p), (p, d.split_whitespace().rev().collect())))
        .collect();
    let mut out: Vec<PathBuf> = Vec::new();
    for name in names {
        let key = name.replace('-', "_");
        if builtin.lines().any(|l| stem(l) == key) {
            continue;
        }
        let Some((path, needs)) = table.get(&key) else {
            return Err(format!("no module is called {name}"));
        };
        let mut order: Vec<&str> = Vec::new();
        for line in softdep.lines() {
            let mut words = line.split_whitespace();
            if words.next() == Some("softdep") && words.next() == Some(key.as_str()) {
                for soft in words.filter(|w| !w.ends_with(':')) {
                    if let Some((p, d)) = table.get(&soft.replace('-', "_")) {
                        order.extend(d);
                        order.push(p);
                    }
                }
            }
        }
        order.extend(needs);
        order.push(path);
        for path in order {
            if !out.iter().any(|p| p.as_path() == Path::new(path)) {
                out.push(path.into());
            }
        }
    }
    Ok(out)
}

/// The file's content, decompressed by its suffix.
pub(super) fn plain(path: &Path) -> io::Result<Vec<u8>> {
    let tool = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path),
    };
    let output = Command::new(tool)
        .arg("-dc")
        .arg(path)
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(io::Error::other(tool))
    }
}
