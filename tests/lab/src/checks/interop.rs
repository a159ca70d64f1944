//! The programs that people open dumps with, of the newest Debian, on what we write; and what they
//! write, read by us.
//!
//! Every one of our formats is made from the scenario's core and held against the unfiltered core as
//! `zstd -d` unpacks it: the same program has to say the same of both. What a program needs and
//! how it fails is in its manual; that `crash -s -i` prints nothing but answers is crash(8).

pub(super) mod mounted;

use self::mounted::Mounted;
use super::found::Found;
use super::truth::{last, machine, output, unpack};
use crate::elf::{Core, kdump_frames};
use crate::{kernels, tools};
use anyhow::{Context, Result, bail, ensure};
use rehearse::guest::image::KernelFiles;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vmcore::addr::{Pfn, PhysAddr};
use vmcore::dump;

/// The comparisons by name.
pub(super) const WORDS: [&str; 6] = [
    "crash",
    "drgn-stacks",
    "gdb-newest",
    "libkdumpfile",
    "makedumpfile-again",
    "makedumpfile-formats",
];

/// A scenario's core in every form that others open.
struct Outputs<'a> {
    found: &'a Found<'a>,
    dir: &'a Path,
    /// The core as it was written, unpacked.
    plain: &'a Path,
    vmlinux: PathBuf,
    /// What each is called and where it is.
    elf: Vec<(&'static str, PathBuf)>,
    kdump: Vec<(&'static str, PathBuf)>,
    /// Unmounts when it goes.
    _mounted: Mounted,
}

/// Makes the named comparison.
///
/// # Errors
/// It does not agree, or a tool cannot be had.
pub(super) fn check(
    word: &str,
    found: &Found<'_>,
    core: &Path,
    plain: &Path,
    kernel: &KernelFiles,
) -> Result<()> {
    let dir = plain.parent().unwrap_or(plain);
    let outputs = Outputs::make(found, core, plain, dir, || kernels::vmlinux(kernel))?;
    match word {
        "crash" => outputs.crash(),
        "drgn-stacks" => outputs.drgn(),
        "gdb-newest" => outputs.gdb(kernel),
        "libkdumpfile" => outputs.libkdumpfile(),
        "makedumpfile-again" => outputs.makedumpfile_again(),
        "makedumpfile-formats" => outputs.makedumpfile_formats(),
        other => bail!("No comparison is called {other}"),
    }
}

impl<'a> Outputs<'a> {
    fn make(
        found: &'a Found<'a>,
        core: &Path,
        plain: &'a Path,
        dir: &'a Path,
        vmlinux: impl FnOnce() -> Result<PathBuf>,
    ) -> Result<Self> {
        let at = |name: &str| dir.join(name);
        let (zst, elf) = (at("standard.elf.zst"), at("standard.elf"));
        convert(found, core, &zst, "elf-zst", "standard")?;
        if !elf.exists() {
            unpack(&zst, &elf)?;
        }
        let (zstd, zlib) = (at("zstd.kdump"), at("zlib.kdump"));
        convert(found, core, &zstd, "kdump-zstd", "standard")?;
        convert(found, core, &zlib, "kdump-zlib", "standard")?;
        let mounted = Mounted::new(&found.binaries.afterpanic, &zst, &at("mounted"))?;
        Ok(Self {
            found,
            dir,
            plain,
            vmlinux: vmlinux()?,
            elf: vec![
                ("elf-zst, unpacked", elf),
                ("mounted vmcore", mounted.dir.join("vmcore")),
            ],
            kdump: vec![
                ("kdump-zstd", zstd),
                ("kdump-zlib", zlib),
                ("mounted vmcore.kdump", mounted.dir.join("vmcore.kdump")),
            ],
            _mounted: mounted,
        })
    }

    fn all(&self) -> impl Iterator<Item = &(&'static str, PathBuf)> {
        self.elf.iter().chain(&self.kdump)
    }

    /// The same answer for every output as for the unfiltered core.
    fn same(&self, ask: impl Fn(&Path) -> Result<String>) -> Result<String> {
        self.same_of(self.all(), ask)
    }

    /// The same for some of the outputs.
    fn same_of<'b>(
        &self,
        outputs: impl Iterator<Item = &'b (&'static str, PathBuf)>,
        ask: impl Fn(&Path) -> Result<String>,
    ) -> Result<String> {
        let expected = ask(self.plain).context("of the unfiltered core")?;
        for (name, path) in outputs {
            let got = ask(path).with_context(|| format!("of {name}"))?;
            let mut lines = expected.lines().zip(got.lines()).zip(1..);
            if let Some(((theirs, ours), n)) = lines.find(|((a, b), _)| a != b) {
                bail!("{name}: line {n} is \"{ours}\" and not \"{theirs}\"");
            }
            ensure!(got == expected, "{name}: the answer ends early");
        }
        Ok(expected)
    }

    fn crash(&self) -> Result<()> {
        let script = self.dir.join("crash.cmd");
        fs::write(&script, "bt -a\nps\nmod\nlog\nexit\n")?;
        let machine = machine(self.plain)?;
        // Emulated, one answer takes minutes: a kdump file is the other form that crash reads.
        let (elf, kdump) = match machine == std::env::consts::ARCH {
            true => (self.elf.as_slice(), self.kdump.as_slice()),
            false => (&[][..], self.kdump.get(..1).unwrap_or_default()),
        };
        let text = self.same_of(elf.iter().chain(kdump), |core| {
            let mut crash = tools::crash_of(machine)?;
            crash.args(["--no_scroll", "-s", "-i"]);
            crash.arg(&script).arg(&self.vmlinux).arg(core);
            output(crash.current_dir(self.dir), "crash")
        })?;
        for needle in ["machine_kexec", "swapper/0", "MODULE", "Linux version "] {
            ensure!(text.contains(needle), "crash does not say {needle}");
        }
        Ok(())
    }

    fn drgn(&self) -> Result<()> {
        let text = self.same(|core| {
            let mut python = tools::reader("python3")?;
            python.args(["-c", STACKS]).arg(&self.vmlinux).arg(core);
            output(&mut python, "python3-drgn")
        })?;
        let tasks = text.lines().filter(|l| l.starts_with("task ")).count();
        ensure!(tasks > 40, "drgn finds {tasks} tasks");
        for needle in ["__crash_kexec", "kthreadd"] {
            ensure!(text.contains(needle), "no stack shows {needle}");
        }
        Ok(())
    }

    fn gdb(&self, kernel: &KernelFiles) -> Result<()> {
        for (name, path) in &self.elf {
            super::truth::gdb_with(tools::reader("gdb")?, path, kernel)
                .with_context(|| format!("of {name}"))?;
        }
        Ok(())
    }

    /// Every page of every output, read through the library and compared with the unfiltered core.
    fn libkdumpfile(&self) -> Result<()> {
        let all = Core::open(self.plain)?;
        for (name, path) in self.all() {
            let image = dump::open(path).with_context(|| format!("Cannot open {name}"))?;
            let held = pages(&*image);
            let table = self.dir.join("pages.table");
            let mut bytes = Vec::new();
            for pfn in &held {
                let offset = all
                    .pages
                    .get(pfn)
                    .with_context(|| format!("{name} has page {pfn:#x}, the core has not"))?;
                bytes.extend([*pfn, *offset].map(u64::to_le_bytes).concat());
            }
            fs::write(&table, bytes)?;
            let mut python = tools::reader("python3")?;
            python
                .args(["-c", PAGES])
                .args([path.as_path(), self.plain, &table]);
            let said = output(&mut python, "python3-libkdumpfile")
                .with_context(|| format!("of {name}"))?;
            let expected = format!("{} equal", held.len());
            ensure!(
                said.trim() == expected,
                "{name}: {}, not {expected}",
                last(&said)
            );
            ensure!(held.len() > 1000, "{name} holds {} pages", held.len());
        }
        Ok(())
    }

    /// makedumpfile filters our kdump files as it filters the core itself.
    fn makedumpfile_again(&self) -> Result<()> {
        let filter = |from: &Path| {
            let to = self.dir.join("again.kdump");
            let _ = fs::remove_file(&to);
            let mut tool = tools::reader("makedumpfile")?;
            tool.args(["-l", "-d", "31"]).args([from, to.as_path()]);
            output(&mut tool, "makedumpfile")?;
            kdump_frames(&to)
        };
        let expected = filter(self.plain)?;
        ensure!(expected.len() > 1000, "only {} pages", expected.len());
        for format in ["kdump-zstd", "kdump-zlib"] {
            let all = self.dir.join("all.kdump");
            let _ = fs::remove_file(&all);
            convert(self.found, self.plain, &all, format, "all")?;
            let got = filter(&all)?;
            fs::remove_file(&all)?;
            let (less, more) = (expected.difference(&got), got.difference(&expected));
            let (less, more) = (less.count(), more.count());
            ensure!(
                less + more == 0,
                "{format}: {less} pages fewer and {more} more than from the core"
            );
        }
        Ok(())
    }

    /// What makedumpfile writes, read by us: its pages, and the core's bytes in them.
    fn makedumpfile_formats(&self) -> Result<()> {
        const KINDS: [&str; 9] = [
            "-c",
            "-l",
            "-p",
            "-z",
            "",
            "-E",
            "-F -z",
            "-F -E",
            "--split -z",
        ];
        let all = Core::open(self.plain)?;
        for kind in KINDS {
            let made = self.made_by_makedumpfile(kind)?;
            let image = dump::open_set(&made).with_context(|| format!("makedumpfile {kind}"))?;
            let held = pages(&*image);
            if let ([one], false) = (made.as_slice(), kind.contains("-E") || kind.contains("-F")) {
                let theirs: Vec<u64> = kdump_frames(one)?.into_iter().collect();
                ensure!(held == theirs, "makedumpfile {kind}: other pages are read");
            }
            ensure!(
                held.len() > 1000,
                "makedumpfile {kind}: {} pages",
                held.len()
            );
            let mut page = [0; 4096];
            for pfn in &held {
                let addr = Pfn(*pfn).phys().unwrap_or(PhysAddr(0));
                image.read_phys(addr, &mut page)?;
                // -E leaves short runs of excluded pages in as zeros.
                let zeros = kind.contains("-E") && page == [0; 4096];
                ensure!(
                    zeros || page == all.page(*pfn)?,
                    "makedumpfile {kind}: page {pfn:#x} is another"
                );
            }
            for file in made {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }

    fn made_by_makedumpfile(&self, kind: &str) -> Result<Vec<PathBuf>> {
        let split = kind.contains("--split");
        let names: &[&str] = if split { &["p1", "p2"] } else { &["p"] };
        let files: Vec<PathBuf> = names
            .iter()
            .map(|name| self.dir.join(format!("theirs.{name}")))
            .collect();
        for file in &files {
            let _ = fs::remove_file(file);
        }
        let mut tool = tools::reader("makedumpfile")?;
        tool.args(kind.split_whitespace()).args(["-d", "31"]);
        if split {
            tool.args(["--splitblock-size", "16"]);
        }
        tool.arg(self.plain);
        match files.as_slice() {
            [file] if kind.contains("-F") => {
                let to = fs::File::create(file)?;
                let status = tool.stdin(Stdio::null()).stdout(to).stderr(Stdio::null());
                let status = status.status()?;
                ensure!(status.success(), "makedumpfile {kind}: {status}");
            }
            files => drop(output(tool.args(files), "makedumpfile")?),
        }
        Ok(files)
    }
}

/// Runs `afterpanic convert` unless its result is there.
fn convert(found: &Found<'_>, core: &Path, to: &Path, format: &str, level: &str) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    let mut tool = Command::new(&found.binaries.afterpanic);
    tool.args(["convert", "--level", level, "--format", format]);
    output(tool.args([core, to]), "afterpanic").map(drop)
}

/// The page frames that an image holds.
fn pages(image: &dyn dump::MemoryDump) -> Vec<u64> {
    let (mut pages, mut from) = (Vec::new(), Pfn(0));
    while let Some(run) = image.next_present(from) {
        pages.extend(run.start.0..run.end.0);
        from = run.end;
    }
    pages
}

/// For drgn: every task and its stack. Arguments: vmlinux, core.
const STACKS: &str = r#"
import sys, drgn
from drgn.helpers.linux import for_each_task
prog = drgn.Program()
prog.set_core_dump(sys.argv[2])
prog.load_debug_info([sys.argv[1]])
for task in sorted(for_each_task(prog), key=lambda t: t.pid.value_()):
    print("task", task.pid.value_(), task.comm.string_().decode(), hex(task.value_()))
    try:
        for frame in prog.stack_trace(task):
            print("  ", hex(frame.pc), frame.name)
    except ValueError as error:
        print("  ", error)
"#;

/// For libkdumpfile: pages against those of a plain ELF core. Arguments: dump, core, table of page
/// frame and offset in the core. Of an ELF core the library (0.5.6) also gives the page after a
/// segment's end when it is asked for right after the segment's last, makedumpfile's cores
/// included; so only in kdump files is it asked for pages that were left out.
const PAGES: &str = r#"
import sys, struct, kdumpfile
dump, core, table = (open(path, "rb") for path in sys.argv[1:4])
context = kdumpfile.Context()
context.open_fd(dump.fileno())
asks_for_others = context.attr["file.format"] != "elf"
equal = 0
last = None
for pfn, offset in struct.iter_unpack("<QQ", table.read()):
    if asks_for_others and last is not None and pfn > last + 1:
        try:
            context.read(kdumpfile.MACHPHYSADDR, (last + 1) * 4096, 4096)
            sys.exit(f"page {last + 1:#x} was read and is not in the dump")
        except kdumpfile.NoDataError:
            pass
    core.seek(offset)
    if bytes(context.read(kdumpfile.MACHPHYSADDR, pfn * 4096, 4096)) != core.read(4096):
        sys.exit(f"page {pfn:#x} differs")
    equal += 1
    last = pfn
print(equal, "equal")
"#;
