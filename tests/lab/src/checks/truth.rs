//! Agreement with tools that are not ours. A tool that is missing is a failure that names it.

use super::found::Found;
use super::{bare, hosts, interop, kinds, memory, sealed, secret, vmlinux};
use crate::elf::{Core, kdump_frames};
use crate::{elf, expected, holes, tools, truth};
use anyhow::{Context, Result, bail, ensure};
use rehearse::guest::image::KernelFiles;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vmcore::kernel::{Kernel, recorded};

/// The comparisons by name.
pub(super) const WORDS: [&str; 23] = [
    "verify",
    "formats",
    "plain",
    "readelf",
    "gdb",
    "drgn",
    "makedumpfile-dmesg",
    "makedumpfile-pages",
    "makedumpfile-levels",
    "kpageflags",
    "free-kept",
    "five-levels",
    "no-vmemmap",
    "no-secret",
    "cut",
    "analysis",
    "holes",
    "recorded",
    "without-btf",
    "hosts",
    memory::WORD,
    "sealed",
    "sealed-core",
];

/// Makes the named comparison.
///
/// # Errors
/// It does not agree, a tool is missing, or nothing is called that.
pub(super) fn check(word: &str, found: &Found<'_>, kernel: &KernelFiles) -> Result<()> {
    let core = found.core.as_ref().context("There is no core")?;
    let dir = found.dir.as_ref().context("There is no crash directory")?;
    if ["sealed", "sealed-core"].contains(&word) {
        return sealed::check(found, word == "sealed");
    }
    if word == "verify" {
        let mut verify = Command::new(&found.binaries.afterpanic);
        return output(verify.arg("verify").arg(dir), "afterpanic").map(drop);
    }
    if word == "formats" {
        return formats(dir);
    }
    if word == "kpageflags" {
        return kinds::kpageflags(found, kernel);
    }
    match word {
        "five-levels" => return five_levels(core),
        "no-vmemmap" => return no_vmemmap(core),
        "hosts" => return hosts::check(found, core),
        memory::WORD => return memory::check(found, core),
        "without-btf" => return bare::check(&found.binaries.afterpanic, core),
        _ => {}
    }
    let plain = dir.join("plain.elf");
    if !plain.exists() {
        unpack(core, &plain)?;
    }
    match word {
        "plain" => Core::open(&plain).and_then(|c| {
            ensure!(c.pages.len() > 1000, "only {} pages", c.pages.len());
            Ok(())
        }),
        "readelf" => readelf(&plain),
        "gdb" => gdb(&plain, kernel),
        "drgn" => drgn(&plain, kernel),
        "makedumpfile-dmesg" => dmesg(&plain, dir),
        "makedumpfile-pages" => pages(found, core, &plain, kernel),
        "makedumpfile-levels" => kinds::levels(dir, &plain, kernel),
        "free-kept" => kinds::free_kept(dir, &Core::open(&plain)?),
        "no-secret" => secret::check(core, &plain),
        "cut" => cut(found, core, dir),
        "analysis" => analysis(&plain, kernel, dir),
        "holes" => holes::check(core, Some(&crate::kernels::vmlinux(kernel)?)),
        "recorded" => recorded(core),
        word if interop::WORDS.contains(&word) => interop::check(word, found, core, &plain, kernel),
        word if vmlinux::WORDS.contains(&word) => vmlinux::check(word, found, &plain, kernel),
        other => bail!(
            "No comparison is called {other}; there are {} {} {}",
            WORDS.join(" "),
            interop::WORDS.join(" "),
            vmlinux::WORDS.join(" ")
        ),
    }
}

/// The reader that was written from docs/formats alone finds everything in a crash directory as its manifest
/// says. Before other comparisons: they leave files there.
fn formats(dir: &Path) -> Result<()> {
    let script = crate::root().join("tests/formats/reader.py");
    let mut reader = Command::new("python3");
    output(
        reader.arg("-B").arg(script).arg("check").arg(dir),
        "python3",
    )
    .map(drop)
}

/// The note holds what an old kernel's VMCOREINFO lacks, as arming recorded it.
fn recorded(core: &Path) -> Result<()> {
    let kernel = Kernel::new(vmcore::dump::open(core)?)?;
    for name in recorded::WANTED {
        let line = format!("RELATIVE({name})=");
        ensure!(kernel.recorded().contains(&line), "the note lacks {name}");
    }
    let scanned = recorded::from_kernel(&kernel);
    let lines = recorded::to_lines(kernel.vmcoreinfo().build_id().unwrap_or_default(), &scanned);
    let wrong = lines.lines().find(|line| !kernel.recorded().contains(line));
    ensure!(
        wrong.is_none(),
        "the note says otherwise than the core: {wrong:?}"
    );
    Ok(())
}

/// The kernel's own word that its page tables have five levels.
fn five_levels(core: &Path) -> Result<()> {
    let kernel = Kernel::new(vmcore::dump::open(core)?)?;
    let said = kernel.vmcoreinfo().number("pgtable_l5_enabled");
    ensure!(said == Some(1), "pgtable_l5_enabled is {said:?}");
    Ok(())
}

/// The kernel has no one array of struct pages: its own configuration says so, and no symbol tells
/// where one would begin.
fn no_vmemmap(core: &Path) -> Result<()> {
    let kernel = Kernel::new(vmcore::dump::open(core)?)?;
    let info = kernel.vmcoreinfo();
    ensure!(
        info.symbol("mem_section").is_some(),
        "the kernel has no sections of memory"
    );
    ensure!(
        kernel.symbol("vmemmap_populate").is_err(),
        "the kernel has a vmemmap"
    );
    Ok(())
}

/// Every answer of the analysis against drgn's.
fn analysis(plain: &Path, kernel: &KernelFiles, dir: &Path) -> Result<()> {
    for agreement in truth::check(plain, kernel, dir)? {
        eprintln!("lab: {} {}", kernel.release, agreement.line());
    }
    Ok(())
}

/// Runs a command; its output, or what it said.
pub(super) fn output(command: &mut Command, package: &str) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name} cannot be run; it is in Debian's package {package}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success(),
        "{name}: {}; {}",
        output.status,
        last(&said)
    );
    Ok(text + &said)
}

pub(super) fn last(text: &str) -> &str {
    text.lines()
        .rfind(|l| !l.trim().is_empty())
        .unwrap_or("it said nothing")
}

/// By the format's own tool, as anybody would.
pub(super) fn unpack(core: &Path, plain: &Path) -> Result<()> {
    ensure!(
        core.extension().is_some_and(|e| e == "zst"),
        "{} is not compressed by zstd",
        core.display()
    );
    output(
        Command::new("zstd")
            .args(["-q", "-d", "--sparse", "-f", "-o"])
            .arg(plain)
            .arg(core),
        "zstd",
    )
    .map(drop)
}

/// Counts the segments in the headers, which are the first of what zstd unpacks.
pub(super) fn segments(found: &Found<'_>, least: u64) -> Result<()> {
    let core = found.core.as_ref().context("There is no core")?;
    let mut zstd = Command::new("zstd")
        .args(["-q", "-d", "-c"])
        .arg(core)
        .stdout(Stdio::piped())
        .spawn()
        .context("zstd cannot be run; it is in Debian's package zstd")?;
    let count = match &mut zstd.stdout {
        Some(pipe) => elf::segments(pipe),
        None => bail!("zstd has no output"),
    };
    let _ = zstd.kill();
    zstd.wait()?;
    let count = count?;
    ensure!(count >= least, "there are {count}");
    Ok(())
}

fn readelf(plain: &Path) -> Result<()> {
    let text = output(
        Command::new("readelf")
            .args(["--wide", "--headers", "--notes"])
            .arg(plain),
        "binutils",
    )?;
    ensure!(
        text.contains("CORE (Core file)"),
        "readelf does not call it a core"
    );
    let complaint = text
        .lines()
        .find(|l| l.starts_with("readelf:") && !l.contains("AFTERPANIC"));
    ensure!(complaint.is_none(), "{}", complaint.unwrap_or_default());
    Ok(())
}

/// Where the kernel's init_uts_ns is, and what its first 390 bytes must be.
fn uts(plain: &Path, kernel: &KernelFiles) -> Result<(String, Vec<(usize, String)>)> {
    let core = Core::open(plain)?;
    let address = core
        .vmcoreinfo("SYMBOL(init_uts_ns)")
        .context("VMCOREINFO has no init_uts_ns")?;
    let fields = ["Linux", "lab", &kernel.release, "", machine(plain)?];
    let fields = fields
        .iter()
        .enumerate()
        .map(|(n, text)| (n * 65, (*text).to_owned()));
    Ok((address, fields.filter(|(_, t)| !t.is_empty()).collect()))
}

/// What uname(1) called the machine of a core: by e_machine of its ELF header.
pub(super) fn machine(plain: &Path) -> Result<&'static str> {
    let mut header = [0; 20];
    File::open(plain)?.read_exact(&mut header)?;
    let [.., low, high] = header;
    match u16::from_le_bytes([low, high]) {
        62 => Ok("x86_64"),
        183 => Ok("aarch64"),
        other => bail!("{} is of machine {other}", plain.display()),
    }
}

fn gdb(plain: &Path, kernel: &KernelFiles) -> Result<()> {
    gdb_with(Command::new("gdb"), plain, kernel)
}

pub(super) fn gdb_with(mut gdb: Command, plain: &Path, kernel: &KernelFiles) -> Result<()> {
    let (address, fields) = uts(plain, kernel)?;
    gdb.args(["-nx", "-batch", "-core"]).arg(plain);
    for (offset, _) in &fields {
        gdb.arg("-ex").arg(format!("x/s 0x{address}+{offset}"));
    }
    let text = output(&mut gdb, "gdb")?;
    for (_, field) in &fields {
        ensure!(
            text.contains(&format!("\"{field}\"")),
            "gdb does not read \"{field}\" in init_uts_ns: {}",
            last(&text)
        );
    }
    Ok(())
}

fn drgn(plain: &Path, kernel: &KernelFiles) -> Result<()> {
    let (address, fields) = uts(plain, kernel)?;
    let core = Core::open(plain)?;
    // A frame that is RAM (there are kept ones on both sides) and was left out.
    let frames: Vec<u64> = core.pages.keys().copied().collect();
    let gap = frames
        .iter()
        .zip(frames.iter().skip(1))
        .find(|(a, b)| **b > **a + 1 && **a > 0x1000);
    let absent = gap.context("No page was left out")?.0 + 1;
    let mut script = format!(
        "import drgn,sys\np=drgn.Program()\np.set_core_dump(sys.argv[1])\nu=p.read(0x{address},390)\n\
         try:\n p.read({absent}*4096,8,True)\n print('absent page was read')\n\
         except drgn.FaultError: print('absent page faults')\n"
    );
    for (offset, field) in &fields {
        script +=
            &format!("print('field', u[{offset}:{offset}+65].split(b'\\0')[0]==b'{field}')\n");
    }
    let text = output(
        Command::new("/usr/bin/python3")
            .args(["-c", &script])
            .arg(plain),
        "python3-drgn",
    )?;
    ensure!(
        text.contains("absent page faults"),
        "drgn reads a page that was left out: {}",
        last(&text)
    );
    ensure!(
        !text.contains("field False"),
        "drgn reads another init_uts_ns: {text}"
    );
    Ok(())
}

fn dmesg(plain: &Path, dir: &Path) -> Result<()> {
    let theirs = dir.join("makedumpfile-dmesg.txt");
    let _ = fs::remove_file(&theirs);
    output(
        tools::makedumpfile_of(machine(plain)?)?
            .arg("--dump-dmesg")
            .arg(plain)
            .arg(&theirs),
        "makedumpfile",
    )?;
    let (ours, theirs) = (fs::read(dir.join("dmesg.txt"))?, fs::read(&theirs)?);
    if ours != theirs {
        let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        bail!(
            "dmesg.txt differs at byte {at}: {} bytes, makedumpfile {}",
            ours.len(),
            theirs.len()
        );
    }
    Ok(())
}

/// The unfiltered core, filtered once by makedumpfile and once by ours: the same frames, and in
/// ours the bytes that the unfiltered core has.
fn pages(found: &Found<'_>, core: &Path, plain: &Path, kernel: &KernelFiles) -> Result<()> {
    let dir = plain.parent().unwrap_or(plain);
    let (ours, theirs) = (dir.join("ours.elf"), dir.join("makedumpfile.kdump"));
    for file in [&ours, &theirs] {
        let _ = fs::remove_file(file);
    }
    // Not its ELF output, in which short runs of excluded pages are kept.
    output(
        tools::makedumpfile_of(machine(plain)?)?
            .args(["-c", "-d", "31"])
            .args([plain, &theirs]),
        "makedumpfile",
    )?;
    let mut convert = Command::new(&found.binaries.afterpanic);
    convert
        .args(["convert", "--level", "standard", "--format", "elf"])
        .args([core, ours.as_path()]);
    output(&mut convert, "afterpanic")?;
    let verdict = compare(
        &Core::open(&ours)?,
        &kdump_frames(&theirs)?,
        &Core::open(plain)?,
        &kernel.release,
    );
    for file in [ours, theirs] {
        let _ = fs::remove_file(file);
    }
    verdict
}

fn compare(ours: &Core, theirs: &BTreeSet<u64>, all: &Core, release: &str) -> Result<()> {
    let known = expected::pages(release)?;
    ensure!(
        theirs.len() > 1000,
        "makedumpfile kept {} pages",
        theirs.len()
    );
    let missing: Vec<_> = theirs
        .iter()
        .filter(|pfn| !ours.pages.contains_key(pfn))
        .collect();
    let mut more = 0u64;
    for pfn in ours.pages.keys() {
        let page = ours.page(*pfn)?;
        ensure!(page == all.page(*pfn)?, "page {pfn:#x} is not what it was");
        // Zero pages stay inside their run by design.
        more += u64::from(!theirs.contains(pfn) && page.iter().any(|b| *b != 0));
    }
    ensure!(
        missing.len() as u64 <= known.missing,
        "{} of {} pages that makedumpfile keeps are missing, the first {:x?}; known are {}",
        missing.len(),
        theirs.len(),
        missing.first(),
        known.missing
    );
    ensure!(
        more <= known.more,
        "{more} pages are kept that makedumpfile drops; known are {}",
        known.more
    );
    Ok(())
}

/// A core cut off in the middle still answers, and says that it is cut.
fn cut(found: &Found<'_>, core: &Path, dir: &Path) -> Result<()> {
    let half: PathBuf = dir.join("cut.elf.zst");
    let bytes = fs::read(core)?;
    fs::write(&half, bytes.get(..bytes.len() / 2).unwrap_or_default())?;
    let output = Command::new(&found.binaries.afterpanic)
        .arg("info")
        .arg(&half)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let _ = fs::remove_file(&half);
    ensure!(
        text.contains("cut"),
        "info does not say that half a core is cut off: {}",
        last(&text)
    );
    ensure!(
        output.status.code().is_some_and(|c| c != 0),
        "info on half a core ends with 0"
    );
    Ok(())
}
