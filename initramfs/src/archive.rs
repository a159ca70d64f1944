//! An initramfs as a tree of files, each with the reason why it is in, written out sorted.
//!
//! ```
//! use initramfs::archive::Archive;
//! use initramfs::compress::Compression;
//!
//! let mut archive = Archive::new();
//! archive.nodes().unwrap();
//! archive.file("init", 0o755, b"\x7fELF".to_vec(), "what the kernel starts").unwrap();
//! let bytes = archive.pack(Compression::Zstd(3)).unwrap();
//! assert!(bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
//! ```

use std::collections::BTreeMap;
use std::io;
use std::thread::{self, ScopedJoinHandle};

use crate::closure::Closure;
use crate::compress::Compression;
use crate::cpio::{self, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG};
use crate::modules::{self, Index, ModuleError};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Bytes after which a part of the archive ends: our binary is one.
const PART: usize = 2 << 20;

/// Why an archive cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A path that an archive cannot hold.
    #[error("\"{path}\" cannot be in an image: {what}")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        what: &'static str,
    },
    /// A file the format cannot hold.
    #[error("\"{path}\" is larger than 4 GiB, which an image cannot hold")]
    TooLarge {
        /// Its path.
        path: String,
    },
    /// A module cannot be read.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// Packing failed.
    #[error("Cannot pack the image as {with}")]
    Pack {
        /// The compression.
        with: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// One file, folder, link or node of the archive.
#[derive(Clone, Debug)]
struct Node {
    mode: u32,
    rdev: (u32, u32),
    data: Vec<u8>,
    why: String,
}

/// What an archive holds at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The path, without a leading slash.
    pub path: String,
    /// Type and permission bits.
    pub mode: u32,
    /// Bytes of content.
    pub size: u64,
    /// Why it is in.
    pub why: String,
}

/// A module that was put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its name as the kernel says it.
    pub name: String,
    /// Its path in the image, with a leading slash.
    pub path: String,
    /// Whether nothing works without it.
    pub required: bool,
}

/// An archive being filled.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    nodes: BTreeMap<String, Node>,
}

impl Archive {
    /// An archive without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The folders and nodes that any init wants: /dev with console, null and kmsg, /proc, /sys, /tmp.
    pub fn nodes(&mut self) -> Result<(), ArchiveError> {
        for dir in ["dev", "proc", "sys", "run", "mnt"] {
            self.directory(dir, 0o755, "a place to mount on")?;
        }
        self.directory("tmp", 0o1777, "a place to mount on")?;
        for (name, mode, rdev) in [
            ("dev/console", 0o600, (5, 1)),
            ("dev/null", 0o666, (1, 3)),
            ("dev/kmsg", 0o600, (1, 11)),
        ] {
            self.put(
                name,
                S_IFCHR | mode,
                rdev,
                Vec::new(),
                "there before /dev is mounted",
            )?;
        }
        Ok(())
    }

    /// A folder; its parents are made as needed, here and below.
    pub fn directory(&mut self, path: &str, mode: u32, why: &str) -> Result<(), ArchiveError> {
        self.put(path, S_IFDIR | mode, (0, 0), Vec::new(), why)
    }

    /// A regular file.
    pub fn file(
        &mut self,
        path: &str,
        mode: u32,
        data: Vec<u8>,
        why: &str,
    ) -> Result<(), ArchiveError> {
        self.put(path, S_IFREG | (mode & 0o7777), (0, 0), data, why)
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str, why: &str) -> Result<(), ArchiveError> {
        self.put(
            path,
            S_IFLNK | 0o777,
            (0, 0),
            target.as_bytes().to_vec(),
            why,
        )
    }

    /// The modules of a closure, decompressed, as `/lib/modules/NAME.ko`; returned in load order.
    pub fn modules(
        &mut self,
        index: &Index,
        closure: &Closure,
    ) -> Result<Vec<Placed>, ArchiveError> {
        let mut placed = Vec::new();
        for picked in &closure.modules {
            let Some(module) = index.module(&picked.name) else {
                continue;
            };
            let data = modules::read(index, module)?;
            let path = format!("lib/modules/{}.ko", picked.name);
            self.file(&path, 0o644, data, &picked.why.join("; "))?;
            placed.push(Placed {
                name: picked.name.clone(),
                path: format!("/{path}"),
                required: picked.required,
            });
        }
        Ok(placed)
    }

    /// Whether something stands at this path.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// What is in, sorted by path.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        self.nodes.iter().map(|(path, node)| Item {
            path: path.clone(),
            mode: node.mode,
            size: node.data.len() as u64,
            why: node.why.clone(),
        })
    }

    /// Memory that the unpacked files take: whole pages, in the kernel's root filesystem.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.nodes
            .values()
            .map(|node| (node.data.len() as u64).next_multiple_of(4096))
            .sum()
    }

    /// The archive, packed in parts of at least [`PART`] bytes, all at once: the kernel unpacks one
    /// after the other (init/initramfs.c, `unpack_to_rootfs`, 5.10 to 7.2).
    pub fn pack(&self, compression: Compression) -> Result<Vec<u8>, ArchiveError> {
        let parts = self.parts(PART)?;
        let packed = thread::scope(|scope| {
            let pack = |part: Vec<u8>| {
                let body = move || compression.pack(&part);
                thread::Builder::new().spawn_scoped(scope, body)
            };
            let threads: io::Result<Vec<_>> = parts.into_iter().map(pack).collect();
            let died = |_| Err(io::Error::other("a thread died"));
            let join = |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(died);
            threads?
                .into_iter()
                .map(join)
                .collect::<io::Result<Vec<_>>>()
        });
        let failed = |source| ArchiveError::Pack {
            with: compression.name(),
            source,
        };
        Ok(packed.map_err(failed)?.concat())
    }

    /// Plain archives that together are this one, each as soon as it has `size` bytes.
    fn parts(&self, size: usize) -> Result<Vec<Vec<u8>>, ArchiveError> {
        let mut parts = Vec::new();
        let mut writer = cpio::Writer::new();
        for (path, node) in &self.nodes {
            if !writer.entry(path, node.mode, node.rdev, &node.data) {
                return Err(ArchiveError::TooLarge { path: path.clone() });
            }
            if writer.size() >= size {
                parts.push(std::mem::take(&mut writer).finish());
            }
        }
        if parts.is_empty() || writer.size() > 0 {
            parts.push(writer.finish());
        }
        Ok(parts)
    }

    fn put(
        &mut self,
        path: &str,
        mode: u32,
        rdev: (u32, u32),
        data: Vec<u8>,
        why: &str,
    ) -> Result<(), ArchiveError> {
        let path = path.trim_start_matches('/');
        let wrong = |what| ArchiveError::Path {
            path: path.escape_debug().to_string(),
            what,
        };
        if path.is_empty() || path.len() > 4000 {
            return Err(wrong("it is empty or too long"));
        }
        if path.contains('\0') {
            return Err(wrong("it holds a zero byte"));
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(wrong("it is not a plain path"));
        }
        let path = &self
            .through_links(path)
            .ok_or_else(|| wrong("its links lead nowhere"))?;
        for (at, _) in path.match_indices('/') {
            let parent = path.get(..at).unwrap_or_default();
            let node = self.nodes.entry(parent.to_owned()).or_insert_with(|| Node {
                mode: S_IFDIR | 0o755,
                rdev: (0, 0),
                data: Vec::new(),
                why: "a folder".to_owned(),
            });
            if node.mode & cpio::S_IFMT != S_IFDIR {
                return Err(wrong("one of its parents is no folder"));
            }
        }
        let node = Node {
            mode,
            rdev,
            data,
            why: why.to_owned(),
        };
        let is_link = |node: &Node| node.mode & cpio::S_IFMT == S_IFLNK;
        if mode & cpio::S_IFMT == S_IFDIR && self.nodes.get(path).is_some_and(is_link) {
            return Ok(());
        }
        let was = self.nodes.insert(path.clone(), node);
        if mode & cpio::S_IFMT == S_IFLNK
            && was.is_some_and(|was| was.mode & cpio::S_IFMT == S_IFDIR)
        {
            self.move_through(path)?;
        }
        Ok(())
    }

    /// `path` with links among its parents replaced by where they lead: the kernel unpacks in order
    /// and cannot follow a link to a folder that comes later.
    fn through_links(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        'again: for _ in 0..MAX_LINKS {
            for (at, _) in path.match_indices('/') {
                let parent = path.get(..at)?;
                let Some(node) = self.nodes.get(parent) else {
                    continue;
                };
                if node.mode & cpio::S_IFMT != S_IFLNK {
                    continue;
                }
                let target = std::str::from_utf8(&node.data).ok()?;
                let base = match parent.rsplit_once('/') {
                    Some((base, _)) if !target.starts_with('/') => base,
                    _ => "",
                };
                let rest = path.get(at..)?;
                path = plain(&format!("{base}/{target}{rest}"));
                continue 'again;
            }
            return Some(path);
        }
        None
    }

    /// Moves what lies in a folder that has just become a link to where the link leads.
    fn move_through(&mut self, link: &str) -> Result<(), ArchiveError> {
        let inside = format!("{link}/");
        let paths: Vec<String> = self
            .nodes
            .range(inside.clone()..)
            .map(|(path, _)| path.clone())
            .take_while(|path| path.starts_with(&inside))
            .collect();
        for path in paths {
            if let Some(node) = self.nodes.remove(&path) {
                self.put(&path, node.mode, node.rdev, node.data, &node.why)?;
            }
        }
        Ok(())
    }
}

/// A path without `.`, `..` and double slashes.
fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpio::{Kind, Reader};

    #[test]
    fn parents_stand_before_what_lies_in_them_and_order_of_filling_does_not_matter() {
        let fill = |names: &[&str]| {
            let mut archive = Archive::new();
            for name in names {
                archive
                    .file(name, 0o644, name.as_bytes().to_vec(), "test")
                    .unwrap();
            }
            archive.pack(Compression::None).unwrap()
        };
        let bytes = fill(&["z", "a/b/c", "a-b"]);
        assert_eq!(bytes, fill(&["a-b", "z", "a/b/c"]));
        let entries: Vec<_> = Reader::new(&bytes).collect::<Result<_, _>>().unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|e| (e.path.as_str(), e.kind()))
            .collect();
        let at = |path: &str| seen.iter().position(|(p, _)| *p == path).unwrap();
        assert!(at("a") < at("a/b") && at("a/b") < at("a/b/c"));
        assert_eq!(seen[at("a/b")].1, Kind::Directory);
        assert!(entries.iter().all(|e| e.mtime == 0));
    }

    #[test]
    fn odd_paths_are_refused() {
        let mut archive = Archive::new();
        archive.file("a", 0o644, Vec::new(), "").unwrap();
        for path in ["", "/", "a//b", "x/../y", "./x", "x\0", "a/b"] {
            assert!(archive.file(path, 0o644, Vec::new(), "").is_err(), "{path}");
        }
    }

    #[test]
    fn nothing_is_written_through_a_link_whichever_comes_first() {
        let paths = |steps: &[&str]| {
            let mut archive = Archive::new();
            for step in steps {
                match *step {
                    "lib" => archive.symlink("lib", "usr/lib", "test").unwrap(),
                    "usr/lib64" => archive.symlink("usr/lib64", "/lib", "test").unwrap(),
                    path => archive.file(path, 0o644, b"x".to_vec(), "test").unwrap(),
                }
            }
            archive.items().map(|item| item.path).collect::<Vec<_>>()
        };
        let expected = [
            "lib",
            "usr",
            "usr/lib",
            "usr/lib/modules",
            "usr/lib/modules/a.ko",
        ];
        assert_eq!(paths(&["lib/modules/a.ko", "lib"]), expected);
        assert_eq!(paths(&["lib", "lib/modules/a.ko"]), expected);
        let twice = paths(&["usr/lib64", "lib", "usr/lib64/b.so"]);
        assert_eq!(
            twice,
            ["lib", "usr", "usr/lib", "usr/lib/b.so", "usr/lib64"]
        );
        let mut circle = Archive::new();
        circle.symlink("a", "b", "").unwrap();
        circle.symlink("b", "a", "").unwrap();
        assert!(circle.file("a/x", 0o644, Vec::new(), "").is_err());
    }

    #[test]
    fn unpacked_counts_whole_pages() {
        let mut archive = Archive::new();
        archive.file("one", 0o644, vec![1; 4097], "").unwrap();
        archive.file("two", 0o644, vec![1; 1], "").unwrap();
        assert_eq!(archive.unpacked(), 3 * 4096);
    }
}
