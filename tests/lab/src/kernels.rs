//! Kernels by series, from Debian's packages: fetched, unpacked, never installed.
//!
//! What the newest kernel package of a suite is says its meta
//! package; 7.x splits it into several, all of which are unpacked into one tree.

mod compiled;
mod tree;

use self::tree::{cached, finish, only_entry, sbin_path};
use crate::apt::{Apt, files_of, run, unpack};
use anyhow::{Context, Result, bail};
use rehearse::guest::image::KernelFiles;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The series that scenarios may name, and the suite each comes from.
const SERIES: [(&str, &str); 4] = [
    ("5.10", "bullseye"),
    ("6.1", "bookworm"),
    ("6.12", "trixie"),
    ("7", "sid"),
];

/// Debian's other kernels of a series: what follows the series' name, and the meta package.
const FLAVOURS: [(&str, &str); 8] = [
    ("-generic", "linux-image-amd64"),
    ("-rt", "linux-image-rt-amd64"),
    ("-arm64-16k", "linux-image-arm64-16k"),
    ("-arm64", "linux-image-cloud-arm64"),
    ("-riscv64", "linux-image-riscv64"),
    ("-ppc64el-64k", "linux-image-powerpc64le-64k"),
    ("-ppc64el", "linux-image-powerpc64le"),
    ("-s390x", "linux-image-s390x"),
];

/// The kernel that a scenario or the command line names: a series, a series with `-generic` or `-rt`, or
/// a file, which needs `modules`.
///
/// # Errors
/// It cannot be fetched or is not known.
pub fn get(name: &str, modules: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<KernelFiles> {
    if name.contains('/') || Path::new(name).is_file() {
        return local(Path::new(name), modules);
    }
    if let Some(base) = name.strip_suffix("-zst") {
        return packed(&get(base, None, say)?, name);
    }
    if let Some(suite) = compiled::suite(name) {
        return compiled::get(name, suite, say);
    }
    let (series, meta) = flavour(name);
    let Some((_, suite)) = SERIES.iter().find(|(s, _)| *s == series) else {
        let known: Vec<_> = SERIES.iter().map(|(s, _)| *s).collect();
        let compiled: Vec<_> = compiled::names().collect();
        bail!(
            "No kernel series is called {name}; known: {}, each also with -generic and -rt, and {}",
            known.join(", "),
            compiled.join(", ")
        );
    };
    cached(name, "", &mut |dir| {
        say(&format!("fetching Linux {name} from Debian {suite}"));
        fetch(suite, architecture(name), meta, dir)
            .with_context(|| format!("Cannot fetch Linux {name} from Debian {suite}"))
    })
}

/// Debian's name of a kernel's architecture, where it is not that of the machine.
pub(crate) fn architecture(name: &str) -> Option<&'static str> {
    let known = ["arm64", "riscv64", "ppc64el", "s390x"];
    let named = |debian: &&str| name.split('-').any(|part| part == *debian);
    known.into_iter().find(named)
}

/// The series of a name, and the meta package of the kernel.
fn flavour(name: &str) -> (&str, &str) {
    FLAVOURS
        .iter()
        .find_map(|(suffix, meta)| Some((name.strip_suffix(suffix)?, *meta)))
        .unwrap_or((name, "linux-image-cloud-amd64"))
}

/// A kernel with its modules for disks and filesystems packed by zstd, as other distributions do.
fn packed(base: &KernelFiles, name: &str) -> Result<KernelFiles> {
    let root = crate::cache().join("kernels").join(name);
    let modules = root.join("lib/modules").join(&base.release);
    if !modules.join("modules.dep").exists() {
        for folder in ["drivers/block", "drivers/virtio", "fs", "lib", "crypto"] {
            pack(
                &base.modules,
                Path::new("kernel").join(folder).as_path(),
                &modules,
            )?;
        }
        for index in [
            "modules.builtin",
            "modules.builtin.modinfo",
            "modules.order",
        ] {
            fs::copy(base.modules.join(index), modules.join(index))?;
        }
        run(Command::new("depmod")
            .arg("-b")
            .arg(&root)
            .arg(&base.release)
            .env("PATH", sbin_path()))?;
    }
    Ok(KernelFiles {
        modules,
        ..base.clone()
    })
}

/// The modules of a folder, and of those in it.
fn pack(from: &Path, folder: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.join(folder))?;
    for entry in fs::read_dir(from.join(folder))? {
        let path = entry?.path();
        let inside = path.strip_prefix(from)?;
        if path.is_dir() {
            pack(from, inside, to)?;
            continue;
        }
        let bytes = initramfs::modules::decompress(&path, fs::read(&path)?)?;
        let plain = to.join(inside).with_extension("");
        fs::write(&plain, bytes)?;
        run(Command::new("zstd").args(["-q", "--rm", "-f"]).arg(&plain))?;
    }
    Ok(())
}

/// The vmlinux with debug information of a kernel that [`get`] fetched, from its -dbg package.
///
/// # Errors
/// It cannot be fetched, or the kernel was given as a file.
pub fn vmlinux(kernel: &KernelFiles) -> Result<PathBuf> {
    let dir = kernel.image.parent().unwrap_or(&kernel.image);
    let vmlinux = dir.join("vmlinux");
    if vmlinux.exists() {
        return Ok(vmlinux);
    }
    let name = dir.file_name().map(|n| n.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let (series, _) = flavour(&name);
    let Some((_, suite)) = SERIES.iter().find(|(s, _)| *s == series) else {
        bail!(
            "No debug information is known for {}",
            kernel.image.display()
        );
    };
    let release = &kernel.release;
    let apt = Apt::of(suite, architecture(&name))?;
    // Another laboratory may have unpacked it while this one waited.
    if vmlinux.exists() {
        return Ok(vmlinux);
    }
    let debs = apt.download(&[format!("linux-image-{release}-dbg")])?;
    for deb in debs {
        let (mut dpkg, pipe) = files_of(&deb)?;
        let partial = File::create(dir.join("vmlinux.partial"))?;
        // One of the two is a file; where the other is there at all it is a link, which is no bytes.
        // tar fails when one is missing.
        let _ = Command::new("tar")
            .args(["-x", "--to-stdout", "--wildcards"])
            .arg(format!("*/boot/vmlinux-{release}"))
            .arg(format!("*/modules/{release}/vmlinux"))
            .stdin(pipe)
            .stdout(partial)
            .stderr(Stdio::null())
            .status()?;
        // It is most of a gigabyte, and no longer needed.
        let _ = fs::remove_file(&deb);
        let _ = dpkg.wait()?;
        let mut magic = [0; 4];
        let found = File::open(dir.join("vmlinux.partial"))?.read_exact(&mut magic);
        if found.is_err() || magic != *b"\x7fELF" {
            bail!("{} holds no vmlinux of {release}", deb.display());
        }
    }
    fs::rename(dir.join("vmlinux.partial"), &vmlinux)?;
    Ok(vmlinux)
}

/// A kernel of this machine: the release is the name of its modules' directory.
fn local(image: &Path, modules: Option<&Path>) -> Result<KernelFiles> {
    let Some(modules) = modules else {
        bail!(
            "{} needs its modules: --modules /lib/modules/RELEASE",
            image.display()
        );
    };
    let modules = modules
        .canonicalize()
        .with_context(|| format!("Cannot find {}", modules.display()))?;
    if !modules.join("modules.dep").exists() {
        bail!(
            "{} holds no modules.dep; run depmod there",
            modules.display()
        );
    }
    let release = modules
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    Ok(KernelFiles {
        release,
        image: image.canonicalize()?,
        modules,
    })
}

fn fetch(suite: &str, architecture: Option<&str>, meta: &str, dir: &Path) -> Result<()> {
    let apt = Apt::of(suite, architecture)?;
    let packages = apt.kernel_packages(meta)?;
    let debs = match apt.download(&packages) {
        Ok(debs) => debs,
        Err(why) => match apt.older_kernel(&packages)? {
            Some(older) => apt.download(&[older])?,
            None => return Err(why),
        },
    };
    let root = dir.with_extension("partial");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("usr/lib"))?;
    // 7.x packages hold usr/lib only, older ones lib only: one tree for both.
    std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    for deb in &debs {
        unpack(deb, &root)?;
    }
    let release = only_entry(&root.join("lib/modules"))?;
    // Kernels of riscv64 and ppc64el are not packed.
    let image = [
        format!("boot/vmlinuz-{release}"),
        format!("boot/vmlinux-{release}"),
        format!("usr/lib/modules/{release}/vmlinuz"),
    ]
    .into_iter()
    .find(|p| root.join(p).exists())
    .context("The package holds no kernel image")?;
    std::os::unix::fs::symlink(image, root.join("vmlinuz"))?;
    finish(&root, &release, dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_series_is_refused_with_those_known() {
        let error = get("4.4", None, &mut |_| {}).unwrap_err().to_string();
        assert!(
            error.contains("6.12-debug") && error.contains("-generic"),
            "{error}"
        );
    }
}
