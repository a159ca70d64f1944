//! Loading the capture kernel into the reserved memory, and taking it out.
//!
//! Both system calls free the image that was loaded before they look at the new one (kernel/kexec.c,
//! kernel/kexec_file.c, Linux 5.10 to 7.2), so everything that can be checked is checked first, and
//! when the kernel still refuses, the image that was kept from the last load is loaded again.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use initramfs::kernel::uki;
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::access;
use crate::diagnosis;
use crate::files::{Files, check_files, fits, read};
use crate::iomem::{Iomem, Range};
use crate::kernel::{FileLoad, Kernel, Slot, Syscall, patiently};
use crate::kexec_load;
pub use crate::kexec_load::Purgatory;
use crate::keys::Keys;
use crate::probe;
use crate::refusal::{LoadError, Previous, Refusal};
use crate::root;
use crate::servers;
use crate::signature;
use crate::state::{self, Input, LoadedState, State, StateError};

/// Which system call to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// kexec_file_load, and kexec_load where the kernel lacks the first or cannot read the image.
    #[default]
    Auto,
    /// kexec_file_load only.
    File,
    /// kexec_load only.
    Load,
}

/// Where the capture image comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// Just built.
    Bytes(Vec<u8>),
}

/// What to load.
#[derive(Clone, Debug)]
pub struct LoadRequest {
    /// The prefix of /proc, /sys and the state directory; `/` on a real machine.
    pub root: PathBuf,
    /// The kernel image, as a path that is not prefixed.
    pub kernel: PathBuf,
    /// The capture image.
    pub image: Source,
    /// The complete command line of the capture kernel.
    pub cmdline: String,
    /// Which system call.
    pub syscall: Choice,
    /// Files that the image was made from, for `status` to tell when it is stale. The kernel and the
    /// image are kept in the state directory when this is given.
    pub keep: Option<Vec<PathBuf>>,
    /// How kexec_load's purgatory behaves.
    pub purgatory: Purgatory,
}

impl Default for LoadRequest {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            kernel: PathBuf::new(),
            image: Source::Bytes(Vec::new()),
            cmdline: String::new(),
            syscall: Choice::Auto,
            keep: None,
            purgatory: Purgatory::default(),
        }
    }
}

/// A capture kernel that is now loaded.
#[derive(Clone, Debug, Serialize)]
pub struct Loaded {
    /// Its release, out of its own header.
    pub release: String,
    /// Its file.
    pub kernel: PathBuf,
    /// Bytes of the kernel file.
    pub kernel_bytes: u64,
    /// Bytes of the capture image.
    pub image_bytes: u64,
    /// Its command line (the kernel puts `elfcorehdr=` before it).
    pub cmdline: String,
    /// The call that loaded it.
    pub syscall: Syscall,
    /// The region it is in; `None` when /proc/iomem does not tell.
    pub region: Option<Range>,
    /// What went differently from what was asked, in sentences.
    pub warnings: Vec<String>,
}

/// Loads the capture kernel.
///
/// # Errors
/// With the reason, the next step, and what became of the image that was loaded before.
pub fn load(kernel: &dyn Kernel, request: &LoadRequest) -> Result<Loaded, LoadError> {
    let files = check(request)?;
    let region = reservation(&request.root)?;
    if let Some(region) = region {
        fits(&files, region)?;
    }
    access::check(&request.root)?;
    if request.syscall != Choice::Load {
        signature::check(
            &request.root,
            &files.kernel_path,
            &files.kernel,
            files.inside,
        )?;
    }
    let armed_before = probe::is_loaded(&request.root, Slot::Crash) == Some(true);

    let mut warnings = Vec::new();
    let syscall = match by_choice(kernel, request, &files, region, &mut warnings) {
        Ok(syscall) => syscall,
        Err(refusal) => {
            // Only the kernel knows whether it came as far as freeing the old image.
            let freed = probe::is_loaded(&request.root, Slot::Crash) != Some(true);
            let previous = if armed_before && freed {
                restore(kernel, &request.root)
            } else {
                Previous::None
            };
            return Err(LoadError::new(refusal, previous));
        }
    };
    let loaded = Loaded {
        release: files.header.release.clone(),
        kernel: request.kernel.clone(),
        kernel_bytes: files.kernel.len() as u64,
        image_bytes: files.image.len() as u64,
        cmdline: request.cmdline.clone(),
        syscall,
        region,
        warnings,
    };
    keep(request, &files, loaded)
}

/// Takes the capture kernel out. One that is not there is not an error.
///
/// # Errors
/// When the kernel refuses.
pub fn unload(kernel: &dyn Kernel, root: &Path) -> Result<(), LoadError> {
    access::check(root)?;
    empty(kernel, root, Slot::Crash).map_err(LoadError::from)
}

/// Empties a slot: by kexec_file_load, which lockdown allows, else by kexec_load.
pub(crate) fn empty(kernel: &dyn Kernel, root: &Path, slot: Slot) -> Result<(), Refusal> {
    match patiently(|| kernel.unload(slot, Syscall::File)) {
        Ok(()) => Ok(()),
        Err(Errno::ENOSYS) => patiently(|| kernel.unload(slot, Syscall::Load))
            .map_err(|errno| diagnosis::of_unload(root, Syscall::Load, errno)),
        Err(errno) => Err(diagnosis::of_unload(root, Syscall::File, errno)),
    }
}

/// Whether the running kernel would refuse a kernel file, under the root prefix, for want of a signature.
///
/// # Errors
/// With the reason, or when the file cannot be read.
pub fn check_signature(root: &Path, kernel: &Path) -> Result<(), LoadError> {
    let file = read(&root::under(root, kernel), "kernel")?;
    let inside = uki::linux_section(&file).is_some();
    Ok(signature::check(
        root,
        kernel,
        &uki::kernel_of(file),
        inside,
    )?)
}

fn check(request: &LoadRequest) -> Result<Files, Refusal> {
    let image = match &request.image {
        Source::Path(path) => read(path, "capture image")?,
        Source::Bytes(bytes) => bytes.clone(),
    };
    check_files(&request.kernel, image, &request.cmdline)
}

/// The region images go to. `None`: there is one, but /proc/iomem does not show where.
pub(crate) fn reservation(root: &Path) -> Result<Option<Range>, Refusal> {
    let (main, _) = Iomem::read(root).unwrap_or_default().crash_kernel();
    if main.is_some() {
        return Ok(main);
    }
    match probe::crash_size(root) {
        Some(0) => Err(diagnosis::no_reservation(root)),
        Some(_) => Ok(None),
        None if access::lacks_kexec(root) => Err(Refusal::NoKexec),
        None => Ok(None),
    }
}

fn by_choice(
    kernel: &dyn Kernel,
    request: &LoadRequest,
    files: &Files,
    region: Option<Range>,
    warnings: &mut Vec<String>,
) -> Result<Syscall, Refusal> {
    let keys = Keys::of_image(&request.root, &files.image);
    if request.syscall != Choice::Load {
        keys.register(kernel)?;
        let errno = match by_file(kernel, files, Slot::Crash)? {
            Ok(()) => return keys.verify(kernel).map(|()| Syscall::File),
            Err(errno) => errno,
        };
        let refusal = diagnosis::of_load(&request.root, Syscall::File, errno, files, region);
        if request.syscall == Choice::File || !falls_back(errno) {
            return Err(refusal);
        }
        warnings.extend(fell_back(errno));
    }
    keys.need_file_load()?;
    kexec_load::load(kernel, &request.root, files, region, &request.purgatory)?;
    Ok(Syscall::Load)
}

/// Whether the other system call may succeed where kexec_file_load failed: when the kernel lacks it,
/// or cannot read this image. Never after a refusal that is about trust or space.
#[must_use]
pub fn falls_back(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOSYS | Errno::ENOEXEC | Errno::ENOTSUP | Errno::EINVAL
    )
}

/// What to say of a load that fell back. A kernel that has kexec_load only (CONFIG_KEXEC_FILE is off: Debian's arm64)
/// lacks nothing.
pub(crate) fn fell_back(errno: Errno) -> Option<String> {
    let expected = errno == Errno::ENOSYS;
    (!expected).then(|| format!("kexec_file_load answered {errno:?}, so kexec_load was used"))
}

/// One kexec_file_load; the outer error is ours, the inner the kernel's.
pub(crate) fn by_file(
    kernel: &dyn Kernel,
    files: &Files,
    slot: Slot,
) -> Result<Result<(), Errno>, Refusal> {
    let path = &files.kernel_path;
    // The bytes that were checked are the bytes that are loaded, whatever happens to the file now.
    let image = sealed(&files.kernel, "kernel").map_err(|source| Refusal::Read {
        what: "kernel",
        path: path.clone(),
        source,
    })?;
    let initrd = if files.image.is_empty() {
        None
    } else {
        let name = PathBuf::from("(memory)");
        let file = sealed(&files.image, "image");
        Some(file.map_err(|source| Refusal::Read {
            what: "capture image",
            path: name,
            source,
        })?)
    };
    let load = FileLoad {
        kernel: image.as_fd(),
        initrd: initrd.as_ref().map(AsFd::as_fd),
        cmdline: &files.cmdline,
        slot,
    };
    Ok(patiently(|| kernel.kexec_file_load(&load)))
}

/// Bytes as a file in memory, open for reading only: the kernel refuses with ETXTBSY a file that is
/// still open for writing.
fn sealed(bytes: &[u8], name: &str) -> io::Result<File> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC)?;
    let mut writer = File::from(fd);
    writer.write_all(bytes)?;
    File::open(format!("/proc/self/fd/{}", writer.as_raw_fd()))
}

/// Loads what was kept from the last successful load. What another program had loaded cannot be read
/// back; then ours takes its place.
fn restore(kernel: &dyn Kernel, root: &Path) -> Previous {
    let state = State::read(root).ok().and_then(|state| state.loaded);
    let ours = state.is_some_and(|loaded| loaded.boot_id == probe::boot_id(root));
    match reload_kept(kernel, root) {
        Ok(_) if ours => Previous::Restored,
        Ok(_) => Previous::Replaced,
        Err(why) => Previous::Lost(why.to_string()),
    }
}

/// Loads the kernel, image and command line that were kept from the last successful load.
///
/// # Errors
/// When nothing is kept, or the kernel refuses.
pub fn reload_kept(kernel: &dyn Kernel, root: &Path) -> Result<Loaded, LoadError> {
    let state = State::read(root).map_err(Refusal::from)?;
    let kept = state.loaded.clone().ok_or(Refusal::NothingKept)?;
    let path = root::under(root, kept.kept_kernel.as_ref().unwrap_or(&kept.kernel));
    let image = read(&root::under(root, &kept.image), "capture image")?;
    let files = check_files(&path, image, &kept.cmdline)?;
    let region = reservation(root)?;
    access::check(root)?;
    match kept.syscall {
        Syscall::File => {
            let keys = Keys::of_image(root, &files.image);
            keys.register(kernel)?;
            by_file(kernel, &files, Slot::Crash)?
                .map_err(|errno| diagnosis::of_load(root, Syscall::File, errno, &files, region))?;
            keys.verify(kernel)?;
        }
        Syscall::Load => {
            let purgatory = Purgatory { reset: !kept.halts };
            kexec_load::load(kernel, root, &files, region, &purgatory)?;
        }
    }
    // On record for this boot: the kept image may come from an earlier one.
    let mut warnings = Vec::new();
    let now = LoadedState {
        at: jiff::Timestamp::now().as_second(),
        boot_id: probe::boot_id(root),
        ..kept.clone()
    };
    if let Err(why) = State::change(root, |state| state.loaded = Some(now)) {
        warnings.push(format!("Loaded, but it is not on record: {why}"));
    }
    Ok(Loaded {
        release: kept.release,
        kernel: kept.kernel,
        kernel_bytes: files.kernel.len() as u64,
        image_bytes: files.image.len() as u64,
        cmdline: kept.cmdline,
        syscall: kept.syscall,
        region,
        warnings,
    })
}

/// Keeps what was loaded. Failing here is no failure of the load, only a warning.
fn keep(request: &LoadRequest, files: &Files, mut loaded: Loaded) -> Result<Loaded, LoadError> {
    let Some(inputs) = &request.keep else {
        return Ok(loaded);
    };
    match write_state(request, files, inputs, &loaded) {
        Ok(warning) => loaded.warnings.extend(warning),
        Err(why) => loaded
            .warnings
            .push(format!("Loaded, but it is not on record: {why}")),
    }
    Ok(loaded)
}

/// Puts it on record; a warning when the record before was damaged.
fn write_state(
    request: &LoadRequest,
    files: &Files,
    inputs: &[PathBuf],
    loaded: &Loaded,
) -> Result<Option<String>, StateError> {
    let name: String = (loaded.release.chars())
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._+-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let name = if name.is_empty() || name.starts_with('.') {
        "kernel".to_owned()
    } else {
        name
    };
    let image = initramfs::cache::path(Path::new("/"), &name);
    let kept_kernel = image.with_file_name(format!("{name}.vmlinuz"));
    let kept = root::under(&request.root, &image);
    // What `image build` keeps is what was loaded; another image takes its place.
    if !matches!(&request.image, Source::Path(path) if *path == kept) {
        state::replace(&kept, &files.image)?;
    }
    // The image built next replaces the kept file, whether or not it can be loaded. What is loaded
    // now must stay readable for a restore, so it has a name of its own.
    let loaded_image = image.with_file_name(format!("{name}.loaded.img"));
    state::link(
        &kept,
        &root::under(&request.root, &loaded_image),
        &files.image,
    )?;
    state::replace(&root::under(&request.root, &kept_kernel), &files.kernel)?;
    let now = LoadedState {
        release: loaded.release.clone(),
        kernel: loaded.kernel.clone(),
        kept_kernel: Some(kept_kernel),
        image: loaded_image,
        image_bytes: loaded.image_bytes,
        cmdline: loaded.cmdline.clone(),
        syscall: loaded.syscall,
        halts: !request.purgatory.reset,
        at: jiff::Timestamp::now().as_second(),
        boot_id: probe::boot_id(&request.root),
        inputs: inputs
            .iter()
            .map(|path| Input::of(&request.root, path))
            .collect(),
        servers: servers::of_image(&files.image),
    };
    let record = || State::change(&request.root, |state| state.loaded = Some(now.clone()));
    match record() {
        // The state is lost, but what is loaded now is on record.
        Err(why @ StateError::MovedAside { .. }) => {
            record()?;
            Ok(Some(why.to_string()))
        }
        other => other.map(|()| None),
    }
}

#[cfg(test)]
#[path = "arm/tests.rs"]
mod tests;
