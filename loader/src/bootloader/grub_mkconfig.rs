//! GRUB where grub-mkconfig (grub2-mkconfig on some distributions) reads /etc/default/grub and no directory:
//! Arch, Gentoo, Void, and Fedora without Boot Loader Specification entries. The file is edited, and the command
//! writes the grub.cfg that GRUB boots from.
//!
//! Facts: util/grub-mkconfig.in of GRUB 2.06 to 2.14, which sources /etc/default/grub.

use std::path::Path;

use super::change::{BootLoaderError, Change};
use super::effect::{Effect, Entry, judge, took};
use super::grub::{reads_directory, sourced};
use super::grub_cfg;
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::Machine;
use super::variables::{Variables, with_value};

pub(super) const FILE: &str = "/etc/default/grub";

pub(super) struct GrubMkconfig;

impl Loader for GrubMkconfig {
    fn kind(&self) -> BootLoader {
        BootLoader::GrubMkconfig
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        !machine.not_grub()
            && (machine.has(FILE) || !grub_cfg::files(machine).is_empty())
            && !reads_directory(machine)
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        grub_cfg::read(machine)
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        let before = machine.file(FILE)?;
        let old = before.clone().unwrap_or_default();
        let new = with_value(&old, value);
        let mut seen = Variables::default();
        seen.source(&new);
        if seen.unknown.is_none() && value.is_some_and(|value| !took(&seen.cmdline(), value)) {
            return Err(BootLoaderError::Conflict {
                path: FILE.into(),
                line: seen.cmdline().trim().to_owned(),
            });
        }
        // Without one, grub.cfg was made in another way.
        let existed = before.is_some();
        let mut edits = Change::new(self.kind());
        edits.edit(Path::new(FILE), before, Some(new));
        if edits.is_empty() && generated(self.read(machine), value) {
            return Ok(change);
        }
        change.edits = edits.edits;
        // What this reader cannot evaluate is not certain to take effect.
        if let Some(line) = &seen.unknown {
            change
                .notes
                .push(format!("only a shell can tell what this line does: {line}"));
        }
        let certain = seen.unknown.is_none() && existed;
        match writer(machine) {
            Ok([program, file]) if certain => {
                change.run(&[&program, "-o", &file]);
                Ok(change)
            }
            Ok([program, file]) => Ok(change.by_hand(format!(
                "change {FILE} like this if that is where its parameters come from, then run {program} -o {file}"
            ))),
            Err(how) => {
                let mut steps = steps(&old, value);
                steps.push(how);
                Ok(change.by_hand(steps.join(", then ")))
            }
        }
    }

    /// Evaluates the written file as grub-mkconfig does, and looks into the grub.cfg that it wrote. Under
    /// another root nothing was executed and no grub.cfg was written.
    fn verify(&self, machine: &Machine<'_>, value: &str) -> Effect {
        if machine.root == Path::new("/") {
            return match sourced(&[FILE.into()]) {
                Err(why) => Effect::Unknown(why),
                Ok(cmdline) if !took(&cmdline, value) => {
                    Effect::NotTaken(format!("{FILE} gives: {cmdline}"))
                }
                Ok(_) => judge(self.read(machine), value),
            };
        }
        let mut seen = Variables::default();
        seen.source(&machine.text(FILE));
        match seen.unknown {
            Some(line) => Effect::Unknown(format!("this line needs a shell: {line}")),
            None if took(&seen.cmdline(), value) => Effect::Taken,
            None => Effect::NotTaken(format!("{FILE} gives: {}", seen.cmdline())),
        }
    }
}

/// Whether grub.cfg is as the files want it. One that cannot be read counts: there is nothing better to do.
fn generated(entries: Result<Vec<Entry>, String>, value: Option<&str>) -> bool {
    let entries = entries.unwrap_or_default();
    entries.iter().all(|entry| match value {
        Some(value) => took(&entry.cmdline, value),
        None => !entry.cmdline.contains("crashkernel="),
    })
}

/// The program that writes grub.cfg and the file that GRUB boots from; the error is the step for the operator,
/// where one of the two is not certain.
pub(super) fn writer(machine: &Machine<'_>) -> Result<[String; 2], String> {
    const KNOWN: [(&str, &str); 2] = [
        ("grub-mkconfig", "/boot/grub/grub.cfg"),
        ("grub2-mkconfig", "/boot/grub2/grub.cfg"),
    ];
    let files = grub_cfg::files(machine);
    let program = KNOWN.iter().find(|(program, _)| machine.tool(program));
    let named = |path: &str| KNOWN.iter().find(|(_, usual)| *usual == path);
    match (program, files.as_slice()) {
        (Some((program, _)), [file]) if grub_cfg::is_generated(&machine.text(file)) => {
            Ok([(*program).to_owned(), file.display().to_string()])
        }
        (_, [file]) if !grub_cfg::is_generated(&machine.text(file)) => Err(format!(
            "grub-mkconfig did not write {0} and would replace it: add the parameter to its linux lines too",
            file.display()
        )),
        (Some((program, _)), [_, _, ..]) => {
            let files: Vec<String> = files
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            Err(format!(
                "run {program} -o FILE with the FILE that GRUB boots from: {}",
                files.join(" or ")
            ))
        }
        (Some((program, usual)), _) => Err(format!("run {program} -o {usual}")),
        (None, [file, ..]) => {
            let file = file.display().to_string();
            let program = named(&file).map_or("grub-mkconfig", |(program, _)| program);
            Err(format!("run {program} -o {file}"))
        }
        (None, []) => Err(
            "run grub-mkconfig -o /boot/grub/grub.cfg (or grub2-mkconfig -o /boot/grub2/grub.cfg)"
                .to_owned(),
        ),
    }
}

/// What to do to the file, for the operator.
fn steps(text: &str, value: Option<&str>) -> Vec<String> {
    const DEFAULT: &str = "GRUB_CMDLINE_LINUX_DEFAULT=";
    let old = assignment(text, DEFAULT).unwrap_or_default();
    let mut steps = Vec::new();
    let new = super::change::with_value(&old, value);
    if new != old {
        steps.push(format!("in {FILE} set {DEFAULT}\"{new}\""));
    }
    let other = assignment(text, "GRUB_CMDLINE_LINUX=").unwrap_or_default();
    if other.contains("crashkernel=") {
        steps.push(format!(
            "remove crashkernel= from GRUB_CMDLINE_LINUX=\"{other}\""
        ));
    }
    steps
}

/// The value of the last assignment, without quotes.
fn assignment(text: &str, name: &str) -> Option<String> {
    let line = text.lines().map(str::trim).rfind(|l| l.starts_with(name))?;
    let value = line.strip_prefix(name)?.trim();
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests;
