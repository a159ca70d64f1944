//! The index of one kernel's modules, held in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::error::ModuleError;
use super::name::name_of;
use super::{glob, parse};

/// The largest index file that is read; a distribution kernel's largest is near 2 MiB.
const MAX_INDEX: u64 = 64 << 20;

/// One loadable module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its path below the release's folder, or absolute.
    pub path: String,
    /// Names of the modules it needs, as `modules.dep` lists them.
    pub needs: Vec<String>,
}

/// What a module wants around itself without linking to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Soft {
    /// Loaded before it, if it exists.
    pub pre: Vec<String>,
    /// Loaded after it, if it exists.
    pub post: Vec<String>,
    /// May be asked for by it later (modules.weakdep, kmod 33 and later).
    pub weak: Vec<String>,
}

/// What a name or alias stands for in a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// These modules.
    Modules(Vec<String>),
    /// Something in the kernel image itself.
    Builtin(String),
}

/// The modules of one kernel release.
#[derive(Clone, Debug, Default)]
pub struct Index {
    release: String,
    dir: PathBuf,
    modules: BTreeMap<String, Module>,
    builtin: BTreeSet<String>,
    soft: BTreeMap<String, Soft>,
    aliases: Vec<(String, String)>,
    builtin_aliases: Vec<(String, String)>,
    builtin_firmware: BTreeMap<String, Vec<String>>,
}

impl Index {
    /// Reads the index of `release` from `root`'s `lib/modules` (or `usr/lib/modules`).
    pub fn open(root: &Path, release: &str) -> Result<Self, ModuleError> {
        let dir = ["lib/modules", "usr/lib/modules"]
            .iter()
            .map(|base| root.join(base).join(release))
            .find(|dir| dir.is_dir());
        match dir {
            Some(dir) if is_release(release) => Self::open_dir(&dir, release),
            _ => Err(ModuleError::NoRelease {
                release: release.to_owned(),
                dir: root.join("lib/modules"),
            }),
        }
    }

    /// Reads the index in this very folder.
    pub fn open_dir(dir: &Path, release: &str) -> Result<Self, ModuleError> {
        let mut index = Self {
            release: release.to_owned(),
            dir: dir.to_owned(),
            ..Self::default()
        };
        index.read_dep()?;
        index.read_aliases()?;
        index.read_soft("modules.softdep", "softdep")?;
        index.read_soft("modules.weakdep", "weakdep")?;
        index.read_builtin()?;
        Ok(index)
    }

    /// The kernel release.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The folder that paths are relative to.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The module of this name, dashes and underscores alike.
    #[must_use]
    pub fn module(&self, name: &str) -> Option<&Module> {
        self.modules.get(&name_of(name))
    }

    /// Whether it is part of the kernel image.
    #[must_use]
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(&name_of(name))
    }

    /// The firmware files that a driver in the kernel image may ask for.
    #[must_use]
    pub fn builtin_firmware(&self, name: &str) -> &[String] {
        let files = self.builtin_firmware.get(&name_of(name));
        files.map_or(&[], Vec::as_slice)
    }

    /// What a module wants around itself; built-in ones too.
    #[must_use]
    pub fn soft(&self, name: &str) -> Option<&Soft> {
        self.soft.get(&name_of(name))
    }

    /// Every module's name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    /// The file of a module.
    #[must_use]
    pub fn path(&self, module: &Module) -> PathBuf {
        // An absolute path in modules.dep stands for itself; join does that.
        self.dir.join(&module.path)
    }

    /// What a name or an alias stands for: the name itself first, then what is built in, then every
    /// module whose alias matches.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Found> {
        let plain = name_of(name);
        if self.modules.contains_key(&plain) {
            return Some(Found::Modules(vec![plain]));
        }
        if self.builtin.contains(&plain) {
            return Some(Found::Builtin(plain));
        }
        self.find_alias(name)
    }

    /// What an alias such as `pci:v…`, `fs-xfs` or `crypto-crc32c` stands for.
    #[must_use]
    pub fn find_alias(&self, alias: &str) -> Option<Found> {
        let built_in = self
            .builtin_aliases
            .iter()
            .find(|(pattern, _)| glob::matches(pattern, alias));
        if let Some((_, name)) = built_in {
            return Some(Found::Builtin(name.clone()));
        }
        let mut names: Vec<String> = Vec::new();
        for (pattern, name) in &self.aliases {
            if glob::matches(pattern, alias) && !names.contains(name) {
                names.push(name.clone());
            }
        }
        (!names.is_empty()).then_some(Found::Modules(names))
    }

    fn read_dep(&mut self) -> Result<(), ModuleError> {
        let (path, text) = self.text("modules.dep")?;
        let text = text.ok_or_else(|| ModuleError::Index {
            path: path.clone(),
            source: ErrorKind::NotFound.into(),
        })?;
        let corrupt = |line: usize, what: String| ModuleError::Corrupt {
            path: path.clone(),
            line,
            what,
        };
        for (at, line) in lines(&text) {
            let dep = parse::dep(line).map_err(|what| corrupt(at, what.to_string()))?;
            let module = Module {
                path: dep.path.to_owned(),
                needs: dep.needs.iter().map(|path| name_of(path)).collect(),
            };
            let name = name_of(dep.path);
            if let Some(other) = self.modules.get(&name) {
                let what = format!("{} and {} have the same name", other.path, module.path);
                return Err(corrupt(at, what));
            }
            self.modules.insert(name, module);
        }
        for (name, module) in &self.modules {
            if let Some(need) = module
                .needs
                .iter()
                .find(|need| !self.modules.contains_key(*need))
            {
                let at = lines(&text).find(|(_, line)| {
                    line.split_once(':')
                        .is_some_and(|(path, _)| name_of(path) == *name)
                });
                return Err(corrupt(
                    at.map_or(0, |(at, _)| at),
                    format!("{name} needs {need}, which has no line of its own"),
                ));
            }
        }
        Ok(())
    }

    fn read_aliases(&mut self) -> Result<(), ModuleError> {
        let (_, text) = self.text("modules.alias")?;
        for (_, line) in lines(&text.unwrap_or_default()) {
            let mut words = line.split_ascii_whitespace();
            if let (Some("alias"), Some(pattern), Some(name)) =
                (words.next(), words.next(), words.next())
            {
                self.aliases.push((pattern.to_owned(), name_of(name)));
            }
        }
        Ok(())
    }

    fn read_soft(&mut self, file: &str, keyword: &str) -> Result<(), ModuleError> {
        let (_, text) = self.text(file)?;
        for (_, line) in lines(&text.unwrap_or_default()) {
            let mut words = line.split_ascii_whitespace();
            if let (Some(first), Some(name)) = (words.next(), words.next())
                && first == keyword
            {
                let soft = self.soft.entry(name_of(name)).or_default();
                if keyword == "weakdep" {
                    soft.weak.extend(words.map(str::to_owned));
                } else {
                    let (pre, post) = parse::softdep(words);
                    soft.pre.extend(pre);
                    soft.post.extend(post);
                }
            }
        }
        Ok(())
    }

    fn read_builtin(&mut self) -> Result<(), ModuleError> {
        let (_, text) = self.text("modules.builtin")?;
        for (_, line) in lines(&text.unwrap_or_default()) {
            self.builtin.insert(name_of(line));
        }
        let (_, text) = self.text("modules.builtin.modinfo")?;
        for record in text.unwrap_or_default().split('\0') {
            let Some((name, key, value)) = parse::modinfo(record) else {
                continue;
            };
            match key {
                "alias" => self.builtin_aliases.push((value.to_owned(), name)),
                "softdep" => {
                    let (pre, post) = parse::softdep(value.split_ascii_whitespace());
                    let soft = self.soft.entry(name).or_default();
                    soft.pre.extend(pre);
                    soft.post.extend(post);
                }
                "firmware" => {
                    let files = self.builtin_firmware.entry(name).or_default();
                    files.push(value.to_owned());
                }
                "weakdep" => {
                    let weak = value.split_ascii_whitespace().map(str::to_owned);
                    self.soft.entry(name).or_default().weak.extend(weak);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A file of the index as text; nothing if it does not exist.
    fn text(&self, name: &str) -> Result<(PathBuf, Option<String>), ModuleError> {
        let path = self.dir.join(name);
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((path, None)),
            Err(source) => return Err(ModuleError::Index { path, source }),
        };
        let mut bytes = Vec::new();
        match file.take(MAX_INDEX + 1).read_to_end(&mut bytes) {
            Ok(read) if read as u64 <= MAX_INDEX => {}
            Ok(_) => {
                let what = "the file is larger than any index".to_owned();
                return Err(ModuleError::Corrupt {
                    path,
                    line: 1,
                    what,
                });
            }
            Err(source) => return Err(ModuleError::Index { path, source }),
        }
        Ok((path, Some(String::from_utf8_lossy(&bytes).into_owned())))
    }
}

/// Lines that say something, with their number.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// A release is one path component.
fn is_release(release: &str) -> bool {
    !release.is_empty() && !release.contains('/') && release != "." && release != ".."
}
