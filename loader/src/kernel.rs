//! The system calls that load, start and remove a second kernel, as a trait: [`crate::sys::Linux`]
//! makes them, [`Recorder`] records them for tests and for `--dry-run`.
//!
//! Facts: include/uapi/linux/kexec.h and include/uapi/linux/reboot.h, Linux 5.10 to 7.2. Flags that
//! only some kernels know are asked for by name here; which kernel has them is decided by callers.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Which of the kernel's two image slots a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slot {
    /// The image started by a panic; it lives in the crashkernel reservation.
    Crash,
    /// The image started by `reboot(LINUX_REBOOT_CMD_KEXEC)`.
    Boot,
}

/// Which system call loads an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Syscall {
    /// kexec_file_load(2): the kernel parses the files and checks signatures.
    File,
    /// kexec_load(2): we lay out the segments.
    Load,
}

impl Syscall {
    /// The system call's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "kexec_file_load",
            Self::Load => "kexec_load",
        }
    }
}

/// What kexec_file_load(2) is given.
#[derive(Clone, Copy, Debug)]
pub struct FileLoad<'a> {
    /// The kernel image, open for reading and by nobody for writing.
    pub kernel: BorrowedFd<'a>,
    /// The initramfs, if there is one.
    pub initrd: Option<BorrowedFd<'a>>,
    /// The command line.
    pub cmdline: &'a CStr,
    /// The slot it goes to.
    pub slot: Slot,
}

/// One piece of memory that kexec_load(2) fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The bytes; what `size` has beyond them is zeroed by the kernel.
    pub data: &'a [u8],
    /// The physical address, page aligned.
    pub address: u64,
    /// The size in memory, a multiple of the page size.
    pub size: u64,
}

/// What kexec_load(2) is given.
#[derive(Clone, Copy, Debug)]
pub struct SegmentLoad<'a> {
    /// The physical address where execution starts.
    pub entry: u64,
    /// At most 16 segments.
    pub segments: &'a [Segment<'a>],
    /// The slot it goes to.
    pub slot: Slot,
    /// Let the kernel rewrite the elfcorehdr segment itself when CPUs or memory come and go
    /// (KEXEC_UPDATE_ELFCOREHDR, Linux 6.6 and later).
    pub update_elfcorehdr: bool,
}

/// How reboot(2) ends this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reboot {
    /// Through the firmware.
    Restart,
    /// Power off.
    PowerOff,
    /// Stop.
    Halt,
    /// Into the image in [`Slot::Boot`].
    Kexec,
}

/// What this crate asks of the running kernel.
pub trait Kernel {
    /// kexec_file_load(2).
    ///
    /// # Errors
    /// The kernel's errno, unchanged.
    fn kexec_file_load(&self, load: &FileLoad<'_>) -> Result<(), Errno>;

    /// kexec_load(2).
    ///
    /// # Errors
    /// The kernel's errno, unchanged.
    fn kexec_load(&self, load: &SegmentLoad<'_>) -> Result<(), Errno>;

    /// Empties a slot through one of the two calls. An empty slot is not an error.
    ///
    /// # Errors
    /// The kernel's errno, unchanged.
    fn unload(&self, slot: Slot, by: Syscall) -> Result<(), Errno>;

    /// reboot(2). Returns only when it failed or when the implementation is a fake.
    ///
    /// # Errors
    /// The kernel's errno, unchanged.
    fn reboot(&self, how: Reboot) -> Result<(), Errno>;

    /// Links the user's keyring into the process's own, so that a search finds what is in it.
    ///
    /// # Errors
    /// The kernel's errno, unchanged.
    fn reach_user_keyring(&self) -> Result<(), Errno>;

    /// sync(2).
    fn sync(&self);

    /// Makes one mounted filesystem read-only.
    ///
    /// # Errors
    /// The kernel's errno, unchanged (EBUSY while a file is open for writing).
    fn remount_read_only(&self, mount_point: &Path) -> Result<(), Errno>;
}

/// Repeats a call while another kexec operation is in flight (EBUSY; the kernel does not wait).
pub(crate) fn patiently(mut call: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    for _ in 0..10 {
        match call() {
            Err(Errno::EBUSY) => std::thread::sleep(Duration::from_millis(200)),
            other => return other,
        }
    }
    call()
}

/// One call that a [`Recorder`] saw. File contents are read back, so that a test sees what the
/// kernel would have seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// kexec_file_load(2).
    FileLoad {
        /// The kernel file's bytes.
        kernel: Vec<u8>,
        /// The initramfs file's bytes.
        initrd: Option<Vec<u8>>,
        /// The command line.
        cmdline: CString,
        /// The slot.
        slot: Slot,
    },
    /// kexec_load(2).
    Load {
        /// Where execution starts.
        entry: u64,
        /// (physical address, size in memory, bytes) of each segment.
        segments: Vec<(u64, u64, Vec<u8>)>,
        /// The slot.
        slot: Slot,
        /// KEXEC_UPDATE_ELFCOREHDR was set.
        update_elfcorehdr: bool,
    },
    /// A slot was emptied.
    Unload(Slot, Syscall),
    /// reboot(2).
    Reboot(Reboot),
    /// The user's keyring was linked.
    ReachUserKeyring,
    /// sync(2).
    Sync,
    /// A filesystem was made read-only.
    RemountReadOnly(PathBuf),
}

/// A kernel that only writes down what it is asked, and answers as told.
#[derive(Debug, Default)]
pub struct Recorder {
    calls: Mutex<Vec<Call>>,
    /// Answers still to give, first to last; when there are none, everything succeeds.
    answers: Mutex<Vec<Errno>>,
}

impl Recorder {
    /// A recorder whose first load, unload and reboot calls fail with these, in order; later ones
    /// succeed. `Errno::from_raw(0)` in the list stands for a success.
    #[must_use]
    pub fn failing(answers: &[Errno]) -> Self {
        Self {
            calls: Mutex::default(),
            answers: Mutex::new(answers.iter().rev().copied().collect()),
        }
    }

    /// What was asked so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        match self.calls.lock() {
            Ok(calls) => calls.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    fn note(&self, call: Call) {
        match self.calls.lock() {
            Ok(mut calls) => calls.push(call),
            Err(poisoned) => poisoned.into_inner().push(call),
        }
    }

    fn answer(&self) -> Result<(), Errno> {
        let next = match self.answers.lock() {
            Ok(mut answers) => answers.pop(),
            Err(poisoned) => poisoned.into_inner().pop(),
        };
        match next {
            Some(errno) if errno != Errno::from_raw(0) => Err(errno),
            _ => Ok(()),
        }
    }
}

/// The whole file behind a descriptor, from its start and without moving its position.
fn contents(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let at = i64::try_from(out.len()).map_err(|_| Errno::EFBIG)?;
        let n = nix::sys::uio::pread(fd, &mut block, at)?;
        if n == 0 {
            return Ok(out);
        }
        out.extend(block.iter().take(n));
    }
}

impl Kernel for Recorder {
    fn kexec_file_load(&self, load: &FileLoad<'_>) -> Result<(), Errno> {
        self.note(Call::FileLoad {
            kernel: contents(load.kernel)?,
            initrd: load.initrd.map(contents).transpose()?,
            cmdline: load.cmdline.to_owned(),
            slot: load.slot,
        });
        self.answer()
    }

    fn kexec_load(&self, load: &SegmentLoad<'_>) -> Result<(), Errno> {
        self.note(Call::Load {
            entry: load.entry,
            segments: load
                .segments
                .iter()
                .map(|s| (s.address, s.size, s.data.to_vec()))
                .collect(),
            slot: load.slot,
            update_elfcorehdr: load.update_elfcorehdr,
        });
        self.answer()
    }

    fn unload(&self, slot: Slot, by: Syscall) -> Result<(), Errno> {
        self.note(Call::Unload(slot, by));
        self.answer()
    }

    fn reboot(&self, how: Reboot) -> Result<(), Errno> {
        self.note(Call::Reboot(how));
        self.answer()
    }

    fn reach_user_keyring(&self) -> Result<(), Errno> {
        self.note(Call::ReachUserKeyring);
        Ok(())
    }

    fn sync(&self) {
        self.note(Call::Sync);
    }

    fn remount_read_only(&self, mount_point: &Path) -> Result<(), Errno> {
        self.note(Call::RemountReadOnly(mount_point.to_owned()));
        Ok(())
    }
}
