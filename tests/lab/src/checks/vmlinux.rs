//! `afterpanic vmlinux` against the debug vmlinux of the same kernel: the same questions to crash, drgn and
//! gdb, line by line. What differs and why is in `expected/vmlinux.toml`.

mod layouts;
mod more;
mod questions;
mod slabs;
mod speed;

use super::found::Found;
use super::truth::output;
use crate::{expected, kernels, tools};
use anyhow::{Context, Result, bail, ensure};
use rehearse::guest::image::KernelFiles;
use similar::{Algorithm, DiffTag, capture_diff_slices};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use vmcore::kernel::Kernel;

/// The comparisons by debugger.
const CRASH: &str = "vmlinux-crash";
const DRGN: &str = "vmlinux-drgn";
const GDB: &str = "vmlinux-gdb";
/// The comparisons by name.
pub(super) const WORDS: [&str; 10] = [
    CRASH,
    DRGN,
    GDB,
    "vmlinux-layouts",
    "vmlinux-speed",
    "vmlinux-filtered",
    "vmlinux-mounted",
    "vmlinux-unknown",
    "vmlinux-slabs",
    "vmlinux-live",
];

/// The questions to drgn.
const HELPERS: &str = include_str!("vmlinux/helpers.py");
/// What gdb is asked. It reads no vmalloc memory from a core: the idle CPU's stack is in the image.
const GDB_ASKED: [&str; 9] = [
    "python frames()",
    "thread apply all -q print/x $pc",
    "ptype struct list_head",
    "ptype struct task_struct",
    "ptype struct kmem_cache",
    "ptype vfs_read",
    "p init_task.comm",
    "p sizeof(struct rq)",
    "x/12i strlen",
];
/// Frames without those of inlined functions and of tail calls, which no core tells.
const FRAMES: &str = "\
def frames():
    frame = gdb.newest_frame()
    while frame is not None and frame.level() < 40:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            print(hex(frame.pc()), frame.name())
        frame = frame.older()
";
/// Before each answer stands its question.
const MARK: &str = "@@@ ";

/// Makes the named comparison.
///
/// # Errors
/// An answer differs that is not known to, or a tool cannot be had.
pub(super) fn check(
    word: &str,
    found: &Found<'_>,
    plain: &Path,
    kernel: &KernelFiles,
) -> Result<()> {
    compare(word, &found.binaries.afterpanic, plain, kernel)
}

/// Makes all comparisons on a plain core that is there already, and prints what came of them.
pub fn compare_all(afterpanic: &Path, plain: &Path, kernel: &KernelFiles) -> bool {
    let mut good = true;
    for word in WORDS {
        match compare(word, afterpanic, plain, kernel) {
            Ok(()) => println!("{word}: passed"),
            Err(error) => {
                println!("{word}: {error:#}");
                good = false;
            }
        }
    }
    good
}

fn compare(word: &str, afterpanic: &Path, plain: &Path, kernel: &KernelFiles) -> Result<()> {
    match word {
        "vmlinux-filtered" => return more::filtered(afterpanic, plain, kernel),
        "vmlinux-mounted" => return more::mounted(afterpanic, plain, kernel),
        "vmlinux-unknown" => return more::unknown(plain, kernel),
        "vmlinux-live" => return more::live(plain),
        _ => {}
    }
    let dir = plain.parent().unwrap_or(plain);
    let theirs = kernels::vmlinux(kernel)?;
    if word == "vmlinux-slabs" {
        return slabs::check(&theirs, plain);
    }
    let ours = make(afterpanic, plain, dir, word == GDB)?;
    match word {
        "vmlinux-layouts" => return layouts::check(&ours, &theirs, kernel),
        "vmlinux-speed" => return speed::check(&ours, &theirs, plain, kernel),
        _ => {}
    }
    let theirs = ask(word, &theirs, plain, kernel, false)?;
    let ours = ask(word, &ours, plain, kernel, true)?;
    judge(word, &ours, &theirs, dir, plain, kernel)
}

/// What a debugger answers with a vmlinux. Several comparisons need the same: each is asked for once.
/// `relocated`: what `make` made for gdb.
fn ask(
    tool: &str,
    vmlinux: &Path,
    core: &Path,
    kernel: &KernelFiles,
    relocated: bool,
) -> Result<Answers> {
    type Asked = (String, PathBuf, PathBuf);
    static KNOWN: Mutex<BTreeMap<Asked, String>> = Mutex::new(BTreeMap::new());
    let asked = (tool.to_owned(), vmlinux.to_owned(), core.to_owned());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = known().get(&asked) {
        return Answers::of(text);
    }
    let start = Instant::now();
    let text = match tool {
        CRASH => crash(vmlinux, core, &kernel.release),
        DRGN => drgn(vmlinux, core),
        GDB => ask_gdb(vmlinux, core, relocated),
        other => bail!("No comparison is called {other}"),
    }?;
    let seconds = start.elapsed();
    println!("  {tool} with {}: {seconds:.1?}", vmlinux.display());
    let answers = Answers::of(&text);
    known().insert(asked, text);
    answers
}

/// Whether only such lines differ as are known to. Answers that differ otherwise are kept in `dir`.
fn judge(
    word: &str,
    ours: &Answers,
    theirs: &Answers,
    dir: &Path,
    core: &Path,
    kernel: &KernelFiles,
) -> Result<()> {
    let tool = word.trim_start_matches("vmlinux-");
    let differs = differences(ours, theirs);
    let known = expected::vmlinux(tool, &kernel.release)?;
    let data = match known.iter().any(|known| known.how == "data") {
        true => data_of(core)?,
        false => 0..0,
    };
    let unknown: Vec<&Difference> = differs
        .iter()
        .filter(|found| !known.iter().any(|known| found.is(known, &data)))
        .collect();
    if let Some(first) = unknown.first() {
        fs::write(dir.join(format!("{word}.ours")), &ours.text)?;
        fs::write(dir.join(format!("{word}.theirs")), &theirs.text)?;
        bail!(
            "{} lines differ and are not in expected/vmlinux.toml; the first: \"{}\" answers \"{}\" \
             and not \"{}\"",
            unknown.len(),
            first.question,
            first.ours,
            first.theirs
        );
    }
    ensure!(
        theirs.answers.len() > 5,
        "only {} answers",
        theirs.answers.len()
    );
    Ok(())
}

/// Where the data of a core's kernel lies: behind its code.
fn data_of(core: &Path) -> Result<Range<u64>> {
    let kernel = Kernel::new(vmcore::dump::open(core)?)?;
    Ok(kernel.symbol("_etext")?.0..kernel.symbol("_end")?.0)
}

/// Makes the file, once for each kind.
fn make(afterpanic: &Path, core: &Path, dir: &Path, relocated: bool) -> Result<PathBuf> {
    let out = dir.join(if relocated { "vmlinux.gdb" } else { "vmlinux" });
    if !out.exists() {
        let mut tool = Command::new(afterpanic);
        tool.args(["vmlinux", "--modules"])
            .args([core, out.as_path()]);
        if relocated {
            tool.arg("--relocated");
        }
        let said = output(&mut tool, "afterpanic")?;
        println!("  {}", said.trim());
    }
    Ok(out)
}

fn crash(vmlinux: &Path, core: &Path, release: &str) -> Result<String> {
    let dir = core.parent().unwrap_or(core);
    let script = beside(core, "vmlinux.cmd");
    let mut commands = String::new();
    for command in questions::of(core)? {
        commands += &format!("!echo \"{MARK}{command}\"\n{command}\n");
    }
    fs::write(&script, commands + "exit\n")?;
    let mut crash = crash_command(&script, vmlinux, core, release)?;
    output(crash.current_dir(dir), "crash")
}

/// crash with a file of commands.
fn crash_command(script: &Path, vmlinux: &Path, core: &Path, release: &str) -> Result<Command> {
    let mut crash = tools::reader("crash")?;
    // crash 9.0.2 stops at the modules of 7.x, with the debug vmlinux, too.
    if release.starts_with("7.") {
        crash.arg("--no_modules");
    }
    crash.args(["--no_scroll", "-s", "-i"]);
    crash.arg(script).arg(vmlinux).arg(core);
    Ok(crash)
}

/// A file beside the core.
fn beside(core: &Path, name: &str) -> PathBuf {
    core.with_file_name(name)
}

fn drgn(vmlinux: &Path, core: &Path) -> Result<String> {
    let mut python = tools::reader("python3")?;
    python.args(["-c", HELPERS]).arg(vmlinux).arg(core);
    output(&mut python, "python3-drgn")
}

fn ask_gdb(vmlinux: &Path, core: &Path, relocated: bool) -> Result<String> {
    let mut gdb = tools::reader("gdb")?;
    gdb.args(["-nx", "-q", "-batch"]);
    for setting in ["pagination off", "width 0", "max-value-size unlimited"] {
        gdb.args(["-ex", &format!("set {setting}")]);
    }
    gdb.arg("-ex").arg(format!("core-file {}", core.display()));
    let file = vmlinux.display();
    gdb.arg("-ex").arg(match relocated {
        true => format!("symbol-file {file}"),
        false => format!("symbol-file {file} -o {:#x}", moved(core)?),
    });
    let script = core.with_extension("frames.py");
    fs::write(&script, FRAMES)?;
    gdb.arg("-x").arg(&script);
    for question in GDB_ASKED {
        gdb.args(["-ex", &format!("echo {MARK}{question}\\n")]);
        gdb.args(["-ex", question]);
    }
    output(&mut gdb, "gdb")
}

/// What KASLR added.
fn moved(core: &Path) -> Result<u64> {
    let core = vmcore::dump::open(core)?;
    let info = core.info().vmcoreinfo.clone();
    let info = vmcore::kernel::Vmcoreinfo::parse(&info.context("The core has no VMCOREINFO")?);
    Ok(info.kernel_offset().unwrap_or(0))
}

/// Answers by question.
struct Answers {
    text: String,
    answers: Vec<(String, Vec<String>)>,
}

impl Answers {
    fn of(text: &str) -> Result<Self> {
        let mut answers: Vec<(String, Vec<String>)> = Vec::new();
        for line in text.lines() {
            match (line.strip_prefix(MARK), answers.last_mut()) {
                (Some(question), _) => answers.push((question.to_owned(), Vec::new())),
                // crash's own addresses, when a command fails.
                (None, Some(_)) if line.contains("] error trace: ") => {}
                (None, Some((_, lines))) => lines.push(unnumbered(line.trim_end())),
                // What a program says before the first question.
                (None, None) => {}
            }
        }
        ensure!(!answers.is_empty(), "there is no answer in \"{text}\"");
        let text = text.to_owned();
        Ok(Self { text, answers })
    }
}

/// A line that is not the same.
struct Difference {
    question: String,
    ours: String,
    theirs: String,
    /// Addresses of the frames in the other lines that differ there.
    frames: Vec<u64>,
}

impl Difference {
    /// Whether it is one that is known. `data` is where the kernel's data lies.
    fn is(&self, known: &expected::Vmlinux, data: &Range<u64>) -> bool {
        self.question.starts_with(&known.question)
            && match known.how.as_str() {
                // Ours ends earlier: what is missing is the place in the source.
                "shorter" => !self.ours.is_empty() && self.theirs.starts_with(&self.ours),
                "whole" => self.question == known.question,
                "data" => self.frames.iter().any(|at| data.contains(at)),
                _ => is_like(&self.ours, &known.ours) && is_like(&self.theirs, &known.theirs),
            }
    }
}

/// Whether a line has these words; without words, whether there is no line.
fn is_like(line: &str, words: &str) -> bool {
    match words {
        "" => line.is_empty(),
        words => line.contains(words),
    }
}

/// A frame of crash without its number, and a value of gdb without that of its history (`$1`): one more in
/// front changes all others'.
fn unnumbered(line: &str) -> String {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((number, frame)) = line
        .trim_start()
        .strip_prefix('#')
        .and_then(|rest| rest.split_once(" ["))
        && is_number(number)
    {
        return frame.to_owned();
    }
    match line.split_once(" = $") {
        Some((name, rest)) => match rest.split_once(" =") {
            Some((number, value)) if is_number(number) => format!("{name} ={value}"),
            _ => line.to_owned(),
        },
        None => line.to_owned(),
    }
}

/// The address of a frame of crash: `[ffffb071801a3f58] schedule at ffffffff84a0011f`.
fn frame(line: &str) -> Option<u64> {
    let (_, at) = line.rsplit_once(" at ")?;
    u64::from_str_radix(at.trim(), 16).ok()
}

fn differences(ours: &Answers, theirs: &Answers) -> Vec<Difference> {
    let mut all = Vec::new();
    let missing = Vec::new();
    for (question, theirs) in &theirs.answers {
        let mut same = ours.answers.iter();
        let ours = same.find_map(|(is, lines)| (is == question).then_some(lines));
        let ours = ours.unwrap_or(&missing);
        for change in capture_diff_slices(Algorithm::Myers, theirs, ours) {
            let (old, new) = (change.old_range(), change.new_range());
            if change.tag() == DiffTag::Equal {
                continue;
            }
            let frames = theirs.get(old.clone()).unwrap_or_default();
            let frames: Vec<u64> = frames.iter().filter_map(|line| frame(line)).collect();
            for n in 0..old.len().max(new.len()) {
                let line = |lines: &[String]| lines.get(n).cloned().unwrap_or_default();
                all.push(Difference {
                    question: question.clone(),
                    ours: line(ours.get(new.clone()).unwrap_or_default()),
                    theirs: line(theirs.get(old.clone()).unwrap_or_default()),
                    frames: frames.clone(),
                });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Answers, differences};

    #[test]
    fn a_line_more_or_less_is_a_difference() {
        let of = |text: &str| Answers::of(text).unwrap();
        let theirs = of("hello\n@@@ a\n1\n2\n@@@ b\n3\n");
        assert!(differences(&of("@@@ b\n3\n@@@ a\n1\n2 \n"), &theirs).is_empty());
        let found = differences(&of("@@@ a\n1\n@@@ b\n3\n4\n"), &theirs);
        let lines: Vec<_> = found.iter().map(|d| (&*d.ours, &*d.theirs)).collect();
        assert_eq!(lines, [("", "2"), ("4", "")]);
        assert_eq!(differences(&of("@@@ a\n1\n2\n"), &theirs).len(), 1);
        assert!(Answers::of("crash: cannot open\n").is_err());
    }

    #[test]
    fn only_what_is_data_is_no_frame() {
        let known = crate::expected::Vmlinux {
            series: String::new(),
            tool: "crash".to_owned(),
            question: "bt".to_owned(),
            how: "data".to_owned(),
            ours: String::new(),
            theirs: String::new(),
            reason: String::new(),
        };
        let is = |ours: &str, theirs: &str| {
            let of = |text: &str| Answers::of(&format!("@@@ bt -t\nfirst\n{text}last\n")).unwrap();
            let found = differences(&of(ours), &of(theirs));
            found
                .iter()
                .all(|found| found.is(&known, &(0x2000..0x3000)))
        };
        assert!(is("", "[ffff800] wait at 2ff8\n"));
        // It goes on from there.
        assert!(is(
            "[ffff810] softirq at 1ff8\n",
            "[ffff800] wait at 2ff8\nWARNING\n[ffff818] other at 1f00\n"
        ));
        assert!(!is("", "[ffff800] schedule at 1ff8\n"));
        assert!(!is("", "no stack\n"));
    }
}
