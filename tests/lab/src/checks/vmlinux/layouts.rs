//! The layout of every named structure, in our file and in the debug vmlinux: its size, and of every member
//! the name, the place, the size and the type. `[]` and `[0]` are the same: BTF has one word for both.

use crate::expected;
use anyhow::{Result, ensure};
use debuginfo::{DebugFile, Structure};
use rehearse::guest::image::KernelFiles;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// Per cent of the structures that must be equal.
const BAR: f64 = 99.7;

/// Wrong ones that are printed.
const SHOWN: usize = 10;

/// By name: several structures of a kernel may have one.
type Layouts = BTreeMap<String, BTreeSet<String>>;

/// Compares.
///
/// # Errors
/// Too few are equal, or one differs in what has no reason.
pub(super) fn check(ours: &Path, theirs: &Path, kernel: &KernelFiles) -> Result<()> {
    let (ours, theirs) = (read(ours)?, read(theirs)?);
    let known = expected::vmlinux("layouts", &kernel.release)?;
    let (mut equal, mut flat, mut listed, mut wrong) = (0_u32, 0_u32, 0_u32, Vec::new());
    let none = BTreeSet::new();
    for (name, theirs) in &theirs {
        let ours = ours.get(name).unwrap_or(&none);
        let flattened = || theirs.iter().map(|layout| one_dimension(layout));
        if theirs.is_subset(ours) {
            equal += 1;
        } else if flattened().all(|layout| ours.contains(&layout)) {
            flat += 1;
        } else if known.iter().any(|known| known.question == *name) {
            listed += 1;
        } else {
            wrong.push((name, ours, theirs));
        }
    }
    let all = u32::try_from(theirs.len())?;
    let share = 100.0 * f64::from(equal) / f64::from(all.max(1));
    println!(
        "  layouts: {equal} of {all} structures equal ({share:.2} %, at least {BAR} %); {flat} with arrays \
         that BTF makes flat, {listed} listed, {} wrong",
        wrong.len()
    );
    for (name, ours, theirs) in wrong.iter().take(SHOWN) {
        println!("    {name}:\n      ours {ours:?}\n      theirs {theirs:?}");
    }
    ensure!(all > 5000, "the debug vmlinux has {all} structures only");
    ensure!(share >= BAR, "{share:.2} % of the layouts are equal");
    ensure!(
        wrong.is_empty(),
        "{} layouts differ, the first of {}",
        wrong.len(),
        wrong.first().map_or("", |(name, ..)| name)
    );
    Ok(())
}

fn read(path: &Path) -> Result<Layouts> {
    let mut all = Layouts::new();
    DebugFile::open(path)?.structures(|structure| {
        let layout = text(&structure);
        all.entry(structure.name).or_default().insert(layout);
    })?;
    Ok(all)
}

fn text(structure: &Structure) -> String {
    let mut text = format!("{} bytes", structure.size);
    for field in &structure.members {
        let size = match (field.bits, field.size) {
            (Some(bits), _) => format!("{bits} bits"),
            (None, size) => size.unwrap_or(0).to_string(),
        };
        let (bit, name) = (field.bit, &field.name);
        let words = field.words.replace("[]", "[0]");
        let _ = write!(text, "; {bit} {size} {words} {name}");
    }
    text
}

/// `[2][3]` as `[6]`, which is all that BTF keeps of it.
fn one_dimension(layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let mut count: Option<u64> = Some(1);
        rest = after;
        while let Some((number, after)) = rest.split_once(']') {
            count = count.and_then(|count| number.parse::<u64>().ok()?.checked_mul(count));
            rest = after;
            match rest.strip_prefix('[') {
                Some(next) => rest = next,
                None => break,
            }
        }
        let count = count.map(|count| count.to_string());
        let _ = write!(out, "[{}]", count.unwrap_or_default());
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::one_dimension;

    #[test]
    fn dimensions_are_multiplied() {
        assert_eq!(one_dimension("int[2][3] a; char[] b"), "int[6] a; char[] b");
        assert_eq!(one_dimension("int(*[4])(int[2][2])"), "int(*[4])(int[4])");
        assert_eq!(one_dimension("int[0][3] a"), "int[0] a");
        assert_eq!(one_dimension("int"), "int");
    }
}
