//! Tools of a newer Debian than this machine may be: unpacked, run by their own loader.
//!
//! There are two trees: makedumpfile alone, which a few megabytes make, and everything that opens
//! dumps, for the comparisons that `cargo xtask test --full` makes.

use crate::apt::{Apt, unpack};
use anyhow::{Context, Result, bail};
use initramfs::files::{self, Taken};
use initramfs::root::Root;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The suite they come from: trixie's makedumpfile 1.7.6 keeps free pages of 6.12.
pub const SUITE: &str = "sid";
/// Where what puts disks together comes from: its libraries have settled.
const STORAGE_SUITE: &str = "trixie";
/// Where its libraries stand.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// Its dynamic loader, among them.
const LOADER: &str = "ld-linux-x86-64.so.2";
const PACKAGES: [&str; 12] = [
    "makedumpfile",
    "libc6",
    "libgcc-s1",
    "libdw1t64",
    "libelf1t64",
    "liblzo2-2",
    "libzstd1",
    "zlib1g",
    "libbz2-1.0",
    "liblzma5",
    "libsnappy1v5",
    "libstdc++6",
];

/// What opens dumps, and a Python with both libraries.
const READERS: [&str; 5] = [
    "crash",
    "gdb",
    "makedumpfile",
    "python3-drgn",
    "python3-libkdumpfile",
];

/// crash, gdb, makedumpfile or python3 (with drgn and kdumpfile) of the suite, to be given
/// arguments.
///
/// # Errors
/// It cannot be fetched.
pub fn reader(name: &str) -> Result<Command> {
    let root = unpacked(&format!("{SUITE}-readers"), SUITE, |apt| {
        apt.closure(&READERS)
    })?;
    let mut command = run_in(&root, name);
    command
        .env("PYTHONHOME", root.join("usr"))
        .env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Nobody's start-up files.
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8");
    if name == "gdb" {
        command
            .arg("--data-directory")
            .arg(root.join("usr/share/gdb"));
    }
    Ok(command)
}

/// gdb for every architecture, to be given arguments.
///
/// # Errors
/// It cannot be fetched.
pub fn gdb() -> Result<Command> {
    let root = unpacked("gdb-multiarch", SUITE, |apt| {
        apt.closure(&["gdb-multiarch"])
    })?;
    let mut command = run_in(&root, "gdb-multiarch");
    command
        .env("PYTHONHOME", root.join("usr"))
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .arg("--data-directory")
        .arg(root.join("usr/share/gdb"));
    Ok(command)
}

/// nfs-ganesha, to be given arguments, and the directory of its plug-ins.
///
/// # Errors
/// It cannot be fetched.
pub fn ganesha() -> Result<(Command, PathBuf)> {
    let root = unpacked("ganesha", STORAGE_SUITE, |apt| {
        apt.closure(&["nfs-ganesha", "nfs-ganesha-vfs"])
    })?;
    let libraries = root.join(LIBRARIES);
    let mut path = libraries.clone().into_os_string();
    path.push(":");
    path.push(root.join("usr/lib/ganesha"));
    let mut command = Command::new(libraries.join(LOADER));
    command
        .arg("--library-path")
        .arg(path)
        .arg(root.join("usr/bin/ganesha.nfsd"));
    Ok((command, libraries.join("ganesha")))
}

/// `ip` or `tc` with their libraries, to be put into a guest.
///
/// # Errors
/// They cannot be fetched.
pub fn network(programs: &[&str]) -> Result<Vec<Taken>> {
    let root = unpacked("network", STORAGE_SUITE, |apt| apt.closure(&["iproute2"]))?;
    let paths = programs.iter().map(|name| format!("/sbin/{name}"));
    taken(&root, paths)
}

/// What the kernel's NFS server needs of user space, with the libraries, to be put into a guest.
///
/// # Errors
/// It cannot be fetched.
pub fn nfs_server() -> Result<Vec<Taken>> {
    let root = unpacked("nfs-server", STORAGE_SUITE, |apt| {
        apt.closure(&["nfs-kernel-server", "rpcbind"])
    })?;
    let programs = ["exportfs", "rpc.nfsd", "rpc.mountd"];
    let paths = programs.iter().map(|name| format!("/usr/sbin/{name}"));
    // rpcbind looks up its port and its transports.
    let more = [
        "/sbin/rpcbind",
        "/etc/netconfig",
        "/etc/protocols",
        "/etc/services",
    ];
    taken(&root, paths.chain(more.map(String::from)))
}

/// A tree with the OpenSSH server of a suite, and `ip` and `tc` that go with its libraries, as [`network`] has them.
///
/// # Errors
/// It cannot be fetched.
pub fn openssh(suite: &str) -> Result<(PathBuf, Vec<Taken>)> {
    let root = unpacked(&format!("{suite}-server"), suite, |apt| {
        apt.closure(&["openssh-server", "iproute2"])
    })?;
    let network = taken(
        &root,
        ["/sbin/ip", "/sbin/tc"].map(String::from).into_iter(),
    )?;
    Ok((root, network))
}

/// Files of a tree with everything they need.
fn taken(root: &Path, paths: impl Iterator<Item = String>) -> Result<Vec<Taken>> {
    let asked: Vec<_> = paths
        .map(|path| (PathBuf::from(path), "the guest".to_owned()))
        .collect();
    Ok(files::closure(&Root::new(root), &asked)?)
}

/// A program of a tree, run by the tree's own loader.
fn run_in(root: &Path, name: &str) -> Command {
    let libraries = root.join(LIBRARIES);
    let mut command = Command::new(libraries.join(LOADER));
    command
        .arg("--library-path")
        .arg(&libraries)
        .arg(root.join("usr/bin").join(name));
    command
}

/// makedumpfile, to be given arguments.
///
/// # Errors
/// It cannot be fetched.
pub fn makedumpfile() -> Result<Command> {
    Ok(run_in(&root()?, "makedumpfile"))
}

/// makedumpfile for the dumps of a machine (uname(1)'s name), to be given arguments: it reads those of its own
/// architecture only, and is emulated where that is not this one.
///
/// # Errors
/// It cannot be fetched, or is not known for the machine.
pub fn makedumpfile_of(machine: &str) -> Result<Command> {
    if machine == std::env::consts::ARCH {
        return makedumpfile();
    }
    emulated("makedumpfile", machine, "", |_| Ok(owned(&PACKAGES)))
}

/// crash for the dumps of a machine (uname(1)'s name), to be given arguments: as makedumpfile it reads those of its own
/// architecture only.
///
/// # Errors
/// It cannot be fetched, or is not known for the machine.
pub fn crash_of(machine: &str) -> Result<Command> {
    if machine == std::env::consts::ARCH {
        return reader("crash");
    }
    let mut command = emulated("crash", machine, "-crash", |apt| apt.closure(&["crash"]))?;
    command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8");
    Ok(command)
}

/// A program for another machine, of a tree whose name ends so, run by QEMU.
fn emulated(
    program: &str,
    machine: &str,
    end: &str,
    packages: impl FnOnce(&Apt) -> Result<Vec<String>>,
) -> Result<Command> {
    if machine != "aarch64" {
        bail!("{program} is not known for dumps of {machine}");
    }
    let name = format!("{SUITE}-arm64{end}");
    let root = unpacked_of(&name, SUITE, Some("arm64"), packages)?;
    let libraries = root.join("usr/lib/aarch64-linux-gnu");
    let mut command = Command::new("qemu-aarch64-static");
    command
        .arg(libraries.join("ld-linux-aarch64.so.1"))
        .arg("--library-path")
        .arg(&libraries)
        .arg(root.join("usr/bin").join(program));
    Ok(command)
}

/// makedumpfile's loader, its libraries and itself, to be put into an image.
///
/// # Errors
/// It cannot be fetched.
pub fn makedumpfile_files() -> Result<(PathBuf, Vec<PathBuf>, PathBuf)> {
    /// The libraries that makedumpfile and libdw name, directly or not.
    const NEEDED: [&str; 12] = [
        "libdw.so.1",
        "libelf.so.1",
        "libz.so.1",
        "libbz2.so.1.0",
        "liblzma.so.5",
        "libzstd.so.1",
        "liblzo2.so.2",
        "libsnappy.so.1",
        "libstdc++.so.6",
        "libgcc_s.so.1",
        "libc.so.6",
        "libm.so.6",
    ];
    let root = root()?;
    let dir = root.join(LIBRARIES);
    let libraries = NEEDED
        .map(|name| dir.join(name))
        .into_iter()
        .filter(|path| path.exists());
    Ok((
        dir.join(LOADER),
        libraries.collect(),
        root.join("usr/bin/makedumpfile"),
    ))
}

/// What puts disks together, with its libraries, to be put into the crashed kernel's guest.
///
/// # Errors
/// It cannot be fetched.
pub fn storage() -> Result<Vec<Taken>> {
    const PACKAGES: [&str; 23] = [
        "lvm2",
        "dmsetup",
        "mdadm",
        "e2fsprogs",
        "libc6",
        "libgcc-s1",
        "libaio1t64",
        "libblkid1",
        "libbsd0",
        "libcap2",
        "libcom-err2",
        "libdevmapper-event1.02.1",
        "libdevmapper1.02.1",
        "libedit2",
        "libext2fs2t64",
        "libmd0",
        "libpcre2-8-0",
        "libselinux1",
        "libss2",
        "libsystemd0",
        "libtinfo6",
        "libudev1",
        "libuuid1",
    ];
    let root = unpacked("disks", STORAGE_SUITE, |_| Ok(owned(&PACKAGES)))?;
    let programs = ["lvm", "dmsetup", "mdadm", "mkfs.ext4"];
    taken(
        &root,
        programs.iter().map(|name| format!("/usr/sbin/{name}")),
    )
}

/// cryptsetup, keyctl, lvm and what makes filesystems, to be put into the crashed kernel's guest.
///
/// # Errors
/// It cannot be fetched.
pub fn encryption() -> Result<Vec<Taken>> {
    let packages = ["cryptsetup-bin", "keyutils", "lvm2", "e2fsprogs"];
    let root = unpacked("luks", STORAGE_SUITE, |apt| apt.closure(&packages))?;
    let asked = [
        "sbin/cryptsetup",
        "bin/keyctl",
        "sbin/lvm",
        "sbin/mkfs.ext4",
    ]
    .map(|name| (format!("/usr/{name}").into(), "the guest".to_owned()));
    Ok(files::closure(&Root::new(&root), &asked)?)
}

/// ukify with the stubs of its version, as a tree: addons came with systemd 254.
///
/// # Errors
/// It cannot be fetched.
pub fn ukify() -> Result<PathBuf> {
    unpacked("ukify", "trixie", |_| {
        Ok(owned(&["systemd-ukify", "systemd-boot-efi"]))
    })
}

/// Python with drgn, to be given a script.
///
/// # Errors
/// It cannot be fetched.
pub fn drgn() -> Result<Command> {
    let root = unpacked("drgn", SUITE, |apt| apt.closure(&["python3-drgn"]))?;
    let libraries = root.join(LIBRARIES);
    let python = fs::read_link(root.join("usr/bin/python3"))
        .with_context(|| format!("{} holds no python3", root.display()))?;
    let mut command = Command::new(libraries.join(LOADER));
    command
        .env("PYTHONHOME", root.join("usr"))
        .env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Nothing but the files that it is given.
        .env("DEBUGINFOD_URLS", "")
        .arg("--library-path")
        .arg(&libraries)
        .arg(root.join("usr/bin").join(python));
    Ok(command)
}

/// Where the browser comes from: its libraries ask for a C library that older machines have, too.
const BROWSER_SUITE: &str = "bookworm";

/// A browser without a window, to be given arguments: Chromium's headless shell, with fonts of its own. It
/// starts itself again for its children, so it runs by this machine's loader and C library.
///
/// # Errors
/// It cannot be fetched.
pub fn browser() -> Result<Command> {
    let root = unpacked("browser", BROWSER_SUITE, |apt| {
        let mut all = apt.closure(&["chromium-headless-shell", "fonts-dejavu-core"])?;
        all.retain(|name| name != "libc6" && name != "libc-bin");
        Ok(all)
    })?;
    let libraries = root.join(LIBRARIES);
    let paths = [libraries.join("pulseaudio"), libraries];
    let mut command = Command::new(root.join("usr/lib/chromium/chromium-headless-shell"));
    command
        .env("LD_LIBRARY_PATH", std::env::join_paths(paths)?)
        .env("FONTCONFIG_SYSROOT", &root)
        .env("LC_ALL", "C.UTF-8");
    Ok(command)
}

/// The unpacked packages of makedumpfile.
fn root() -> Result<PathBuf> {
    unpacked(SUITE, SUITE, |_| Ok(owned(&PACKAGES)))
}

fn owned(packages: &[&str]) -> Vec<String> {
    packages.iter().map(|name| (*name).to_owned()).collect()
}

/// Packages of a suite, unpacked under this name.
fn unpacked(
    name: &str,
    suite: &str,
    packages: impl FnOnce(&Apt) -> Result<Vec<String>>,
) -> Result<PathBuf> {
    unpacked_of(name, suite, None, packages)
}

/// The same of packages for another architecture, by Debian's name.
fn unpacked_of(
    name: &str,
    suite: &str,
    architecture: Option<&str>,
    packages: impl FnOnce(&Apt) -> Result<Vec<String>>,
) -> Result<PathBuf> {
    let dir = crate::cache().join("tools");
    fs::create_dir_all(&dir)?;
    let lock = File::create(dir.join(".lock"))?;
    lock.lock().context("Cannot lock the tools")?;
    let root = dir.join(name);
    if !root.exists() {
        let partial = dir.join("partial");
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir_all(partial.join("usr/lib"))?;
        std::os::unix::fs::symlink("usr/lib", partial.join("lib"))?;
        for (link, to) in [
            ("bin", "usr/bin"),
            ("sbin", "usr/sbin"),
            ("lib64", "usr/lib64"),
        ] {
            fs::create_dir_all(partial.join(to))?;
            std::os::unix::fs::symlink(to, partial.join(link))?;
        }
        let apt = Apt::of(suite, architecture)?;
        let debs = apt.download(&packages(&apt)?)?;
        for deb in debs {
            unpack(&deb, &partial)?;
        }
        fs::rename(&partial, &root)?;
    }
    Ok(root)
}
