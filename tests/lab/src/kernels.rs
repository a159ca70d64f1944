//! Kernels by series, from Debian's packages: fetched, unpacked, never installed.
//!
//! Each suite gets an apt directory of its own under `target/lab/apt`, so that the machine's
//! package lists stay as they are. What the newest kernel package of a suite is says its meta
//! package; 7.x splits it into several, all of which are unpacked into one tree.

mod compiled;

use crate::mirror;
use anyhow::{Context, Result, bail};
use rehearse::guest::image::KernelFiles;
use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The series that scenarios may name, and the suite each comes from.
const SERIES: [(&str, &str); 4] = [
    ("5.10", "bullseye"),
    ("6.1", "bookworm"),
    ("6.12", "trixie"),
    ("7", "sid"),
];

/// The kernel that a scenario or the command line names: a series, a series with `-generic`, or a
/// file, which needs `modules`.
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
    if let Some(series) = name.strip_suffix("-lab") {
        return compiled::get(series, name, say);
    }
    let (series, meta) = match name.strip_suffix("-generic") {
        Some(series) => (series, "linux-image-amd64"),
        None => (name, "linux-image-cloud-amd64"),
    };
    let Some((_, suite)) = SERIES.iter().find(|(s, _)| *s == series) else {
        let known: Vec<_> = SERIES.iter().map(|(s, _)| *s).collect();
        bail!(
            "No kernel series is called {name}; known: {}, each also with -generic, and 6.12-lab",
            known.join(", ")
        );
    };
    cached(name, &mut |dir| {
        say(&format!("fetching Linux {name} from Debian {suite}"));
        fetch(suite, meta, dir)
            .with_context(|| format!("Cannot fetch Linux {name} from Debian {suite}"))
    })
}

/// The kernel's tree in the cache; `make` makes it where there is none.
fn cached(name: &str, make: &mut dyn FnMut(&Path) -> Result<()>) -> Result<KernelFiles> {
    let dir = crate::cache().join("kernels").join(name);
    fs::create_dir_all(dir.parent().unwrap_or(&dir))?;
    // Two runs at once must not unpack into one tree.
    let _lock = lock(&crate::cache().join("kernels/.lock"), &mut |line| {
        eprintln!("lab: {line}");
    })?;
    if !dir.join("release").exists() {
        make(&dir)?;
    }
    let release = fs::read_to_string(dir.join("release"))?.trim().to_owned();
    let modules = dir.join("lib/modules").join(&release);
    Ok(KernelFiles {
        image: dir.join("vmlinuz"),
        modules,
        release,
    })
}

/// A lock file, taken; closing the file gives it back. `say` hears when another laboratory has it.
fn lock(path: &Path, say: &mut dyn FnMut(&str)) -> Result<File> {
    let file = File::create(path).with_context(|| format!("Cannot create {}", path.display()))?;
    let failed = || format!("Cannot lock {}", path.display());
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
    }
    say(&format!(
        "waiting for another laboratory, which holds {}",
        path.display()
    ));
    file.lock().with_context(failed)?;
    Ok(file)
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
    let series = name.strip_suffix("-generic").unwrap_or(&name);
    let Some((_, suite)) = SERIES.iter().find(|(s, _)| *s == series) else {
        bail!(
            "No debug information is known for {}",
            kernel.image.display()
        );
    };
    let release = &kernel.release;
    let apt = Apt::new(suite)?;
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

fn fetch(suite: &str, meta: &str, dir: &Path) -> Result<()> {
    let apt = Apt::new(suite)?;
    let debs = apt.download(&apt.kernel_packages(meta)?)?;
    let root = dir.with_extension("partial");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("usr/lib"))?;
    // 7.x packages hold usr/lib only, older ones lib only: one tree for both.
    std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    for deb in &debs {
        unpack(deb, &root)?;
    }
    let release = only_entry(&root.join("lib/modules"))?;
    let image = [
        format!("boot/vmlinuz-{release}"),
        format!("usr/lib/modules/{release}/vmlinuz"),
    ]
    .into_iter()
    .find(|p| root.join(p).exists())
    .context("The package holds no vmlinuz")?;
    std::os::unix::fs::symlink(image, root.join("vmlinuz"))?;
    finish(&root, &release, dir)
}

/// The indexes of the modules, which packages leave to their install script; then the final name.
fn finish(root: &Path, release: &str, dir: &Path) -> Result<()> {
    run(Command::new("depmod")
        .arg("-b")
        .arg(root)
        .arg(release)
        .env("PATH", sbin_path()))?;
    fs::write(root.join("release"), format!("{release}\n"))?;
    let _ = fs::remove_dir_all(dir);
    fs::rename(root, dir)?;
    Ok(())
}

fn sbin_path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin"
}

/// Unpacks through tar, because dpkg -x replaces the `lib` symlink by a directory.
///
/// # Errors
/// The package is damaged.
pub(crate) fn unpack(deb: &Path, root: &Path) -> Result<()> {
    let (mut dpkg, pipe) = files_of(deb)?;
    run(Command::new("tar")
        .args(["-x", "--keep-directory-symlink", "-C"])
        .arg(root)
        .stdin(pipe))?;
    if !dpkg.wait()?.success() {
        bail!("{} cannot be unpacked", deb.display());
    }
    Ok(())
}

/// A package's files as the archive that it holds, and the program that writes it.
fn files_of(deb: &Path) -> Result<(Child, ChildStdout)> {
    let mut dpkg = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("Cannot run dpkg-deb")?;
    let pipe = dpkg.stdout.take().context("dpkg-deb has no output")?;
    Ok((dpkg, pipe))
}

fn only_entry(dir: &Path) -> Result<String> {
    let mut names = fs::read_dir(dir)
        .with_context(|| format!("Cannot list {}", dir.display()))?
        .map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => bail!("{} should hold one kernel's modules", dir.display()),
    }
}

fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{} {}", command.get_program().display(), {
        let words: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        words.join(" ")
    });
    let output = command
        .output()
        .with_context(|| format!("Cannot run {shown}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said
            .lines()
            .rfind(|l| !l.trim().is_empty())
            .unwrap_or("nothing")
            .to_owned();
        bail!("{shown}: {}; it said: {last}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A private apt directory for one suite.
#[derive(Debug)]
pub struct Apt {
    dir: PathBuf,
    /// Held as long as this lives: apt fails when another one uses its directory.
    _lock: File,
    options: Vec<String>,
}

impl Apt {
    /// Sets the directory up and fetches the suite's package lists.
    ///
    /// # Errors
    /// No mirror is known, or it does not answer.
    pub fn new(suite: &str) -> Result<Apt> {
        let mirror = mirror::find(Path::new("/etc/apt"))?;
        let dir = crate::cache().join("apt").join(suite);
        for sub in ["lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let lock = lock(&dir.join(".lock"), &mut |line| eprintln!("lab: {line}"))?;
        fs::write(dir.join("sources.list"), mirror.line(suite))?;
        fs::write(dir.join("status"), "")?;
        let d = dir.display();
        let options = [
            format!("Dir::Etc::sourcelist={d}/sources.list"),
            "Dir::Etc::sourceparts=-".into(),
            "Dir::Etc::preferencesparts=-".into(),
            format!("Dir::State={d}"),
            format!("Dir::State::Lists={d}/lists"),
            format!("Dir::State::status={d}/status"),
            format!("Dir::Cache={d}/cache"),
            // A mirror frozen at some day is as good as any.
            "Acquire::Check-Valid-Until=false".into(),
            "Acquire::Languages=none".into(),
            "Acquire::Retries=3".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            // The directory is not readable for the user apt would become.
            "APT::Sandbox::User=root".into(),
        ];
        let apt = Apt {
            dir,
            _lock: lock,
            options: options
                .iter()
                .flat_map(|o| ["-o".into(), o.clone()])
                .collect(),
        };
        run(apt.command("apt-get").args(["-q", "update"]))?;
        Ok(apt)
    }

    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command
            .args(&self.options)
            .stdin(Stdio::null())
            .env("LC_ALL", "C");
        command
    }

    /// A package and all that it needs. Nothing is installed where this is asked, so it is complete.
    ///
    /// # Errors
    /// It does not exist.
    pub fn closure(&self, packages: &[&str]) -> Result<Vec<String>> {
        let text = run(self
            .command("apt-get")
            .args(["-q", "-s", "-y", "--no-install-recommends", "install"])
            .args(packages))?;
        let names = text.lines().filter_map(|l| l.strip_prefix("Inst "));
        let names = names.filter_map(|rest| rest.split_whitespace().next());
        Ok(names.map(str::to_owned).collect())
    }

    /// The packages that hold the kernel a meta package stands for.
    fn kernel_packages(&self, meta: &str) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        let mut look = vec![meta.to_owned()];
        while let Some(name) = look.pop() {
            let text = run(self
                .command("apt-cache")
                .args(["show", "--no-all-versions", &name]))?;
            for found in kernel_dependencies(&text) {
                if !names.contains(&found) {
                    look.push(found.clone());
                    names.push(found);
                }
            }
        }
        if names.is_empty() {
            bail!("{meta} names no kernel package");
        }
        Ok(names)
    }

    /// Downloads packages; their files.
    ///
    /// # Errors
    /// One does not exist, or the mirror does not answer.
    pub fn download(&self, packages: &[String]) -> Result<Vec<PathBuf>> {
        let debs = self.dir.join("debs");
        run(self
            .command("apt-get")
            .args(["-q", "download"])
            .args(packages)
            .current_dir(&debs))?;
        let mut files = Vec::new();
        for package in packages {
            let found = fs::read_dir(&debs)?.flatten().map(|e| e.path()).find(|p| {
                let name = p
                    .file_name()
                    .map(|n| n.to_string_lossy().into_owned())
                    .unwrap_or_default();
                name.split('_').next() == Some(package)
            });
            files.push(found.with_context(|| format!("{package} was not downloaded"))?);
        }
        Ok(files)
    }
}

/// The packages among a package's dependencies that hold a kernel image or its modules.
///
/// `linux-image-6.12.107+deb13-cloud-amd64` of a meta package; `linux-binary-…`, `linux-modules-…`
/// and `linux-base-…` (modules.builtin) of a 7.x image. A version in the name tells them from
/// `linux-base` and the meta packages.
fn kernel_dependencies(show: &str) -> Vec<String> {
    let depends = show
        .lines()
        .find_map(|l| l.strip_prefix("Depends:"))
        .unwrap_or_default();
    let kinds = [
        "linux-image-",
        "linux-binary-",
        "linux-modules-",
        "linux-base-",
    ];
    depends
        .split([',', '|'])
        .filter_map(|d| d.split_whitespace().next())
        .filter(|name| {
            kinds
                .iter()
                .filter_map(|k| name.strip_prefix(k))
                .any(|v| v.starts_with(|c: char| c.is_ascii_digit()))
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_from_their_surroundings() {
        let meta = "Package: linux-image-cloud-amd64\nDepends: linux-image-6.12.9+deb13-cloud-amd64 (= 6.12.9-1)\n";
        assert_eq!(
            kernel_dependencies(meta),
            ["linux-image-6.12.9+deb13-cloud-amd64"]
        );
        let split = "Depends: kmod, linux-base (>= 4.3~), linux-base-7.1-amd64 (= 1), linux-binary-7.1-amd64 (= 1) | linux-image-amd64, \
                     linux-modules-7.1-amd64 (= 1), initramfs-tools | linux-initramfs-tool\n";
        assert_eq!(
            kernel_dependencies(split),
            [
                "linux-base-7.1-amd64",
                "linux-binary-7.1-amd64",
                "linux-modules-7.1-amd64"
            ]
        );
    }

    #[test]
    fn a_second_laboratory_waits_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let first = lock(&path, &mut |line| panic!("{line}")).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let second = std::thread::spawn({
            let path = path.clone();
            move || lock(&path, &mut |line| tell.send(line.to_owned()).unwrap()).unwrap()
        });
        let line = told
            .recv_timeout(std::time::Duration::from_secs(20))
            .unwrap();
        assert!(line.contains(".lock"), "{line}");
        assert!(!second.is_finished());
        drop(first);
        drop(second.join().unwrap());
    }

    #[test]
    fn an_unknown_series_is_refused_with_those_known() {
        let error = get("4.4", None, &mut |_| {}).unwrap_err().to_string();
        assert!(
            error.contains("6.12") && error.contains("-generic"),
            "{error}"
        );
    }
}
