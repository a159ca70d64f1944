//! The laboratory's program in the guest, as the host sees it: where it lies, what it is told, and
//! what it asks of the host.

use anyhow::Result;
use initramfs::files::{Taken, TakenKind};
use rehearse::guest::{End, Step};
use rehearse::session::Reply;
use rehearse::vm::Control;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where the program lies in the guest.
pub const PROGRAM: &str = "/lab/guest";
/// Where the description of the load on the machine lies in the guest.
pub const WORK: &str = "/lab/work.json";
/// The line with which the guest asks the host for a non-maskable interrupt.
pub const WANTS_NMI: &str = "waits for a non-maskable interrupt";
/// The line with which the guest asks the host for a fatal machine check.
pub const WANTS_MACHINE_CHECK: &str = "waits for a machine check";
/// The line with which the guest asks the host for more memory.
pub const WANTS_MEMORY: &str = "waits for more memory";
/// What a guest that asks for memory is given, in bytes.
const MORE_MEMORY: u64 = 256 << 20;

/// The load on the machine when it dies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// MiB of files in a tmpfs.
    pub files_mib: u32,
    /// A string that one process holds in its memory, many times over.
    pub secret: String,
    /// Processes that only sleep.
    pub sleepers: u32,
    /// Pages in pipes with as many free pages between them.
    pub pipe_pages: u32,
    /// Processes that write files on the target and sync them, over and over.
    pub writers: u32,
    /// Take memory until only so many MiB are available, and keep using it.
    pub press_leave_mib: Option<u64>,
    /// Processes of a hundred threads each, all asleep.
    pub crowds: u32,
    /// Processes that leave a child behind which has ended.
    pub zombies: u32,
    /// Fill this directory until only so many KiB are free.
    pub fill: Option<Fill>,
}

/// A filesystem to fill up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// A directory on it.
    pub dir: PathBuf,
    /// What to leave.
    pub leave_kib: u64,
}

impl Work {
    /// It as the file that the program reads.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn file(&self) -> Result<Taken> {
        Ok(Taken {
            path: WORK.into(),
            kind: TakenKind::File(0o644, serde_json::to_vec(self)?),
            why: "the laboratory".into(),
        })
    }
}

/// A line of the program.
#[must_use]
pub fn command(words: &[&str]) -> Vec<String> {
    let words = words.iter().map(|word| (*word).to_owned());
    std::iter::once(PROGRAM.to_owned()).chain(words).collect()
}

/// A step of the guest's script that must succeed.
#[must_use]
pub fn step(words: &[&str]) -> Step {
    Step {
        command: command(words),
        ok: vec![0],
    }
}

/// The end of a script: PID 1 becomes the program, which panics.
#[must_use]
pub fn panics(how: &[&str]) -> End {
    End::Become(command(&[&["panic"], how].concat()))
}

/// What the host does when the program asks for something.
#[must_use]
pub fn replies() -> Vec<Reply> {
    // An uncorrected error whose context is corrupt, in bank 9, seen by every CPU. MCi_STATUS: valid,
    // uncorrected, enabled, processor context corrupt; MCG_STATUS: in progress (SDM, volume 3, 17.3).
    let mce = json!({"command-line": "mce -b 0 9 0xb200000000000000 0x4 0x0 0x0"});
    let mut all = vec![
        (WANTS_NMI, "inject-nmi", Value::Null),
        (WANTS_MACHINE_CHECK, "human-monitor-command", mce),
    ];
    all.extend(memory().map(|(command, arguments)| (WANTS_MEMORY, command, arguments)));
    all.into_iter()
        .map(|(line, command, arguments)| Reply {
            line: line.into(),
            command: command.into(),
            arguments,
        })
        .collect()
}

/// The commands that plug a memory module in; the machine needs a slot for it
/// (`-m 1024M,slots=1,maxmem=2G`).
fn memory() -> [(&'static str, Value); 2] {
    let memory = json!({ "qom-type": "memory-backend-ram", "id": "more", "size": MORE_MEMORY });
    let module = json!({ "driver": "pc-dimm", "id": "dimm", "memdev": "more" });
    [("object-add", memory), ("device_add", module)]
}

/// Plugs a memory module in.
pub fn more_memory(control: &mut Control<'_>) {
    for (command, arguments) in memory() {
        control.execute(command, &arguments);
    }
}
