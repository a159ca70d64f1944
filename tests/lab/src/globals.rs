//! The table of globals' types that ships in `debuginfo`, and how right the answers made with it are.
//!
//! The truth is the debug information of each kernel's own vmlinux. A table is made of all of them; the
//! answers are judged once with the whole table, which has a row of the very kernel, and once without that
//! row, as for a kernel that nobody has seen.

mod judge;
mod make;
mod vmlinux;

use crate::kernels;
use anyhow::{Context, Result, bail};
use debuginfo::{DebugFile, Table};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vmlinux::Vmlinux;

/// The kernels that the table is made of.
const SERIES: [&str; 4] = ["5.10", "6.1", "6.12", "7"];
/// Where the table is, in the workspace.
const TABLE: &str = "debuginfo/src/globals/table.txt.xz";
/// Where the dimensions of arrays in structures are.
const DIMENSIONS: &str = "debuginfo/src/dwarf/dimensions.txt";
/// The names that crash and drgn ask for.
pub(crate) const USED: &str = include_str!("../globals/used.txt");

/// What is wanted.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Judge the answers against the debug information, instead of writing the table
    #[arg(long)]
    judge: bool,
    /// A vmlinux with debug information, instead of those of Debian's kernels; may be given again
    #[arg(long = "vmlinux", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the wrong answers, too
    #[arg(long, requires = "judge")]
    wrong: bool,
}

/// Makes the table, or judges it; whether the bars hold.
///
/// # Errors
/// A kernel cannot be fetched or read.
pub fn run(options: &Options) -> Result<bool> {
    let mut made = make::Maker::default();
    let mut good = true;
    let table = match options.judge {
        true => Some(crate::root().join(TABLE)),
        false => None,
    };
    let mut one = |path: &Path| -> Result<()> {
        eprintln!("lab: reading {}", path.display());
        let kernel =
            Vmlinux::read(path).with_context(|| format!("Cannot use {}", path.display()))?;
        let Some(table) = &table else {
            made.add(&kernel);
            DebugFile::open(path)?.structures(|structure| made.add_structure(&structure))?;
            return Ok(());
        };
        for own in [true, false] {
            let judgement = judge::judge(&kernel, &unpack(table)?, own);
            judgement.print(&kernel.release, own, options.wrong);
            good &= judgement.holds(own);
        }
        Ok(())
    };
    for path in &options.files {
        one(path)?;
    }
    if options.files.is_empty() {
        for series in SERIES {
            let kernel = kernels::get(series, None, &mut |line| eprintln!("lab: {line}"))?;
            let had = kernel.image.with_file_name("vmlinux").exists();
            let path = kernels::vmlinux(&kernel)?;
            one(&path)?;
            // It is most of a gigabyte.
            if !had {
                fs::remove_file(&path)?;
            }
        }
    }
    if table.is_none() {
        let (text, path) = (made.text(), crate::root().join(TABLE));
        fs::write(&path, pack(&text)?)?;
        fs::write(crate::root().join(DIMENSIONS), made.dimensions())?;
        let (names, bytes) = (made.len(), fs::metadata(&path)?.len());
        println!("{names} names, {bytes} bytes: {}", path.display());
    }
    Ok(good)
}

/// The table in a file.
fn unpack(path: &Path) -> Result<Table> {
    let output = Command::new("xz").args(["-dc"]).arg(path).output()?;
    if !output.status.success() {
        bail!("{} cannot be unpacked", path.display());
    }
    Ok(Table::parse(&String::from_utf8(output.stdout)?)?)
}

fn pack(text: &str) -> Result<Vec<u8>> {
    let mut xz = Command::new("xz")
        .args(["-9e", "--format=xz", "--check=crc32"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("Cannot run xz")?;
    let mut into = xz.stdin.take().context("xz has no input")?;
    let text = text.to_owned();
    let writer = std::thread::spawn(move || into.write_all(text.as_bytes()));
    let output = xz.wait_with_output()?;
    writer.join().ok().context("the writer has panicked")??;
    if !output.status.success() {
        bail!("xz failed");
    }
    Ok(output.stdout)
}
