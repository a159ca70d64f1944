//! Runs the binary with a root prefix that holds only what a test puts there.

#[path = "schemas.rs"]
pub(crate) mod schemas;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A machine that exists only as files.
pub(crate) struct Machine {
    dir: TempDir,
}

impl Machine {
    /// A machine with nothing on it.
    pub(crate) fn empty() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.dir.path().join(absolute.trim_start_matches('/'))
    }

    /// Writes one of its files.
    pub(crate) fn file(&self, absolute: &str, content: &str) -> &Self {
        let path = self.path(absolute);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Makes one of its links; the target is as seen from inside.
    pub(crate) fn link(&self, absolute: &str, target: &str) -> &Self {
        let path = self.path(absolute);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// Runs `afterpanic --root <this machine> args…`.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.run_program(Path::new(env!("CARGO_BIN_EXE_afterpanic")), args)
    }

    /// The same with a copy of the program, which finds what lies beside it.
    pub(crate) fn run_program(&self, program: &Path, args: &[&str]) -> Run {
        let output = Command::new(program)
            .arg("--root")
            .arg(self.dir.path())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Run { output }
    }

    /// Runs `afterpanic args…` on this machine and in its root directory, with nothing of the
    /// environment that changes what it prints.
    pub(crate) fn run_inside(&self, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afterpanic"));
        for name in [
            "COLUMNS",
            "NO_COLOR",
            "CLICOLOR_FORCE",
            "RUST_LOG",
            "RUST_BACKTRACE",
            "TZ",
        ] {
            command.env_remove(name);
        }
        let output = command
            .current_dir(self.dir.path())
            .args(args)
            .args(["--root", "."])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Run { output }
    }

    /// The program on this machine, beside a capture binary that was never built: a header and the mark
    /// with its version.
    pub(crate) fn program(&self) -> PathBuf {
        let program = self.path("/opt/afterpanic");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_afterpanic"));
        if std::fs::hard_link(built, &program).is_err() {
            std::fs::copy(built, &program).unwrap();
        }
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
        elf.extend([0; 28]);
        elf.extend([64, 0, 56, 0, 0, 0, 64, 0, 0, 0, 0, 0]);
        elf.extend(format!("afterpanic-capture {}\n", plan::BUILD).as_bytes());
        std::fs::write(program.with_file_name("afterpanic-capture"), elf).unwrap();
        program
    }

    /// The root prefix.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }
}

/// A finished run.
pub(crate) struct Run {
    output: Output,
}

impl Run {
    /// A run that ended.
    #[allow(dead_code)]
    pub(crate) fn of(output: Output) -> Self {
        Self { output }
    }

    /// The same with what it wrote to files.
    #[allow(dead_code)]
    pub(crate) fn with(mut self, stdout: Vec<u8>, stderr: Vec<u8>) -> Self {
        (self.output.stdout, self.output.stderr) = (stdout, stderr);
        self
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.output.status.code(),
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout(),
            self.stderr()
        );
        self
    }

    /// The exit code.
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    /// What it answered.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    /// What it complained of.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    /// Its answer as the one JSON object it must be, as docs/json.md has it.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let value: serde_json::Value = serde_json::from_str(&self.stdout()).unwrap();
        assert!(value["schema"].is_string(), "{value}");
        assert!(value["warnings"].is_array(), "{value}");
        schemas::assert_documented(&value);
        value
    }
}
