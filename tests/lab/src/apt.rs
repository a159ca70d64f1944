//! Packages of Debian's suites: fetched with an apt directory for each suite, so that the machine's own
//! package lists stay as they are, and unpacked, never installed.

use crate::mirror;
use anyhow::{Context, Result, bail};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

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
        Self::of(suite, None)
    }

    /// The same for packages of another architecture than the machine's, by Debian's name.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(suite: &str, architecture: Option<&str>) -> Result<Apt> {
        let name = match architecture {
            Some(architecture) => format!("{suite}-{architecture}"),
            None => suite.to_owned(),
        };
        let line = mirror::find(Path::new("/etc/apt"))?.line(suite);
        Self::with(&name, &line, architecture)
    }

    /// The same for the sources of a suite's packages.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn sources(suite: &str) -> Result<Apt> {
        let line = mirror::find(Path::new("/etc/apt"))?.line(suite);
        let line = line.replacen("deb ", "deb-src ", 1);
        Self::with(&format!("{suite}-source"), &line, None)
    }

    fn with(name: &str, line: &str, architecture: Option<&str>) -> Result<Apt> {
        let dir = crate::cache().join("apt").join(name);
        for sub in ["lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let lock = lock(&dir.join(".lock"), &mut |line| eprintln!("lab: {line}"))?;
        fs::write(dir.join("sources.list"), line)?;
        fs::write(dir.join("status"), "")?;
        let d = dir.display();
        let mut options = vec![
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
        if let Some(architecture) = architecture {
            options.push(format!("APT::Architecture={architecture}"));
            options.push(format!("APT::Architectures={architecture}"));
        }
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

    /// The archive with the upstream source of a package, fetched into a directory.
    ///
    /// # Errors
    /// It does not exist, or the mirror does not answer.
    pub fn source(&self, package: &str, to: &Path) -> Result<PathBuf> {
        run(self
            .command("apt-get")
            .args(["-q", "source", "--download-only", "--tar-only", package])
            .current_dir(to))?;
        let mut files = fs::read_dir(to)?.flatten().map(|entry| entry.path());
        let found = files.find(|path| {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            name.is_some_and(|n| n.starts_with(package) && n.contains(".orig.tar."))
        });
        found.with_context(|| format!("the source of {package} was not downloaded"))
    }

    /// The packages that hold the kernel a meta package stands for.
    ///
    /// # Errors
    /// It names none.
    pub fn kernel_packages(&self, meta: &str) -> Result<Vec<String>> {
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

    /// The package with the source of the suite's kernel: `linux-source-7.2`.
    ///
    /// # Errors
    /// The meta package names none.
    pub fn kernel_source(&self) -> Result<String> {
        let text =
            run(self
                .command("apt-cache")
                .args(["show", "--no-all-versions", "linux-source"]))?;
        let depends = text.lines().find_map(|line| line.strip_prefix("Depends:"));
        let name = depends.and_then(|line| line.split_whitespace().next());
        let name = name.filter(|name| name.starts_with("linux-source-"));
        Ok(name.context("linux-source names no source")?.to_owned())
    }

    /// The kernel package before this one, of the same flavour: a mirror may list a package that it does not
    /// have. `None` where there is none, or the kernel is in several packages.
    ///
    /// # Errors
    /// apt-cache fails.
    pub fn older_kernel(&self, packages: &[String]) -> Result<Option<String>> {
        let [newest] = packages else {
            return Ok(None);
        };
        let text = run(self.command("apt-cache").args(["pkgnames", "linux-image-"]))?;
        Ok(kernel_before(newest, text.lines()))
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

/// The newest of the names that are of a kernel's flavour (`+deb13-s390x`) and older.
fn kernel_before<'a>(newest: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let (release, flavour) = newest.split_once('+')?;
    let numbers = |release: &str| -> Vec<u32> {
        let parts = release.rsplit('-').next().unwrap_or_default().split('.');
        parts.filter_map(|part| part.parse().ok()).collect()
    };
    names
        .filter(|name| {
            name.split_once('+')
                .is_some_and(|(_, tail)| tail == flavour)
        })
        .map(|name| (numbers(name.split('+').next().unwrap_or_default()), name))
        .filter(|(version, _)| *version < numbers(release))
        .max()
        .map(|(_, name)| name.to_owned())
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

/// A lock file, taken; closing the file gives it back. `say` hears when another laboratory has it.
pub(crate) fn lock(path: &Path, say: &mut dyn FnMut(&str)) -> Result<File> {
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
pub(crate) fn files_of(deb: &Path) -> Result<(Child, ChildStdout)> {
    let mut dpkg = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("Cannot run dpkg-deb")?;
    let pipe = dpkg.stdout.take().context("dpkg-deb has no output")?;
    Ok((dpkg, pipe))
}

/// What a command says on its stdout.
///
/// # Errors
/// It fails; the error has its last line on stderr.
pub(crate) fn run(command: &mut Command) -> Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_before_is_of_the_same_flavour() {
        let names = [
            "linux-image-6.12.107+deb13-s390x",
            "linux-image-6.12.99+deb13-s390x",
            "linux-image-6.12.117+deb13-s390x",
            "linux-image-6.12.110+deb13-s390x-dbg",
        ];
        let before = |newest| kernel_before(newest, names.into_iter());
        assert_eq!(
            before("linux-image-6.12.117+deb13-s390x").as_deref(),
            Some("linux-image-6.12.107+deb13-s390x")
        );
        assert_eq!(before("linux-image-6.12.99+deb13-s390x"), None);
    }

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
}
