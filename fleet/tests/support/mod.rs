//! Crash directories made from a real one, a bucket, and the program.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const M1: &str = "00000000000000000000000000000001";
pub(crate) const M2: &str = "00000000000000000000000000000002";

/// A directory with stores and a bucket.
pub(crate) struct Lab(tempfile::TempDir);

/// What a run said.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// It must have done everything.
    #[track_caller]
    pub(crate) fn done(&self) -> &Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path("bucket").display())
    }

    /// Makes a crash directory in a store.
    pub(crate) fn crash(&self, store: &str, node: &str, stamp: &str, signature: &str) -> PathBuf {
        let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash");
        let read = |name: &str| -> Value {
            serde_json::from_slice(&fs::read(real.join(name)).unwrap()).unwrap()
        };
        let dir = self.path(store).join(format!("{node}-{stamp}"));
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        let mut report = read("report.json");
        report["reason"]["signature"] = json!(signature);
        report["system"]["uts"]["nodename"] = json!(node);
        let report = serde_json::to_vec(&report).unwrap();
        let mut files = Vec::new();
        let core = b"not a core\n".to_vec();
        for (name, content, hashed) in [
            ("panic.log", fs::read(real.join("panic.log")).unwrap(), true),
            ("report.json", report, true),
            (
                "report.txt",
                fs::read(real.join("report.txt")).unwrap(),
                true,
            ),
            ("vmcore.elf.zst", core, false),
        ] {
            let mut file = json!({"name": name, "size": content.len()});
            if hashed {
                let hash = Sha256::digest(&content);
                file["sha256"] = json!(hash.iter().map(|b| format!("{b:02x}")).collect::<String>());
            }
            files.push(file);
            fs::write(dir.join(name), content).unwrap();
        }
        let mut manifest = read("manifest.json");
        manifest["files"] = json!(files);
        manifest["signature"] = json!(signature);
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
        dir
    }

    pub(crate) fn run(&self, words: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afterpanic-fleet"));
        let output = command
            .args(words)
            .env_remove("AWS_PROFILE")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Run {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    pub(crate) fn ship(&self, store: &str, machine: &str, more: &[&str]) -> Run {
        let (store, url) = (self.path(store).display().to_string(), self.url());
        let words = ["ship", &store, "--to", &url, "--machine", machine];
        self.run(&[&words, more].concat())
    }

    pub(crate) fn index(&self, more: &[&str]) -> Run {
        self.run(&[&["index", &self.url(), "--json"], more].concat())
    }

    pub(crate) fn fetch(&self, signature: &str, to: &str, more: &[&str]) -> Run {
        let (to, url) = (self.path(to).display().to_string(), self.url());
        self.run(&[&["fetch", signature, &to, "--bucket", &url], more].concat())
    }

    pub(crate) fn crash_dir(&self, machine: &str, day: &str, name: &str) -> PathBuf {
        self.path(&format!("bucket/v1/crashes/dt={day}/{machine}/{name}"))
    }

    /// Removes what the bucket has of a machine.
    pub(crate) fn forget(&self, machine: &str) {
        for day in fs::read_dir(self.path("bucket/v1/crashes")).unwrap() {
            let _ = fs::remove_dir_all(day.unwrap().path().join(machine));
        }
    }

    pub(crate) fn parts(&self, day: &str) -> Vec<String> {
        let dir = self.path(&format!("bucket/v1/index/dt={day}"));
        let names = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Every file below a directory.
    pub(crate) fn files(&self, name: &str) -> Vec<PathBuf> {
        let (mut found, mut todo) = (Vec::new(), vec![self.path(name)]);
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => todo.push(path),
                    false => found.push(path),
                }
            }
        }
        found.sort();
        found
    }
}
