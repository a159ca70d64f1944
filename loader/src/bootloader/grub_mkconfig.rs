//! GRUB without Debian's update-grub: /etc/default/grub alone is read, and grub-mkconfig (grub2-mkconfig
//! on some distributions) writes the file that GRUB boots from. Where that file is depends on the
//! distribution, so nothing is changed here; the commands are shown.
//!
//! Facts: util/grub-mkconfig.in of GRUB 2.06 to 2.14, which sources /etc/default/grub only.

use std::path::{Path, PathBuf};

use super::change::{BootLoaderError, read, with_value};
use super::grub::{self, OURS};
use crate::root;

const FILE: &str = "/etc/default/grub";
const DEFAULT: &str = "GRUB_CMDLINE_LINUX_DEFAULT=";

/// The commands that set the value.
pub(super) fn command(root: &Path, value: &str) -> Result<String, BootLoaderError> {
    let text = read(root, Path::new(FILE))?.unwrap_or_default();
    let mut steps = Vec::new();
    if grub::has_directory(root) {
        // Debian's layout, but its update-grub is not there to run.
        return Ok(format!(
            "write to {OURS}: {}, then run update-grub",
            grub::line(value)
        ));
    }
    let old = assignment(&text, DEFAULT).unwrap_or_default();
    steps.push(format!(
        "in {FILE} set {DEFAULT}\"{}\"",
        with_value(&old, value)
    ));
    let other = assignment(&text, "GRUB_CMDLINE_LINUX=").unwrap_or_default();
    if other.contains("crashkernel=") {
        steps.push(format!(
            "remove crashkernel= from GRUB_CMDLINE_LINUX=\"{other}\""
        ));
    }
    steps.push(mkconfig(root));
    Ok(steps.join(", then "))
}

/// The value of the last assignment, without quotes.
fn assignment(text: &str, name: &str) -> Option<String> {
    let line = text.lines().map(str::trim).rfind(|l| l.starts_with(name))?;
    let value = line.strip_prefix(name)?.trim();
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// The command that writes the file in use.
fn mkconfig(root: &Path) -> String {
    let file = |path: &str| {
        let path = PathBuf::from(path);
        root::under(root, &path).exists().then_some(path)
    };
    let known = [
        ("grub-mkconfig", "/boot/grub/grub.cfg"),
        ("grub2-mkconfig", "/boot/grub2/grub.cfg"),
    ];
    for (program, usual) in known {
        if root::tool(root, program).is_some() {
            let used = file(usual).or_else(|| known.iter().find_map(|(_, path)| file(path)));
            let used = used.unwrap_or_else(|| PathBuf::from(usual));
            return format!("run {program} -o {}", used.display());
        }
    }
    match known.iter().find(|(_, path)| file(path).is_some()) {
        Some((program, path)) => format!("run {program} -o {path}"),
        None => {
            "run grub-mkconfig -o /boot/grub/grub.cfg (or grub2-mkconfig -o /boot/grub2/grub.cfg)"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BootLoader, propose};
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn the_file_to_edit_and_the_command_are_named_and_nothing_is_written() {
        let dir = tree(&[
            (
                "etc/default/grub",
                "GRUB_CMDLINE_LINUX_DEFAULT=\"loglevel=4\"\nGRUB_CMDLINE_LINUX='crashkernel=auto'\n",
            ),
            ("usr/bin/grub2-mkconfig", ""),
            ("boot/grub2/grub.cfg", ""),
        ]);
        let change = propose(dir.path(), "96M").unwrap();
        assert_eq!(change.boot_loader, BootLoader::GrubMkconfig);
        assert!(change.edits.is_empty());
        assert_eq!(
            change.by_hand.unwrap(),
            "in /etc/default/grub set GRUB_CMDLINE_LINUX_DEFAULT=\"loglevel=4 crashkernel=96M\", \
             then remove crashkernel= from GRUB_CMDLINE_LINUX=\"crashkernel=auto\", \
             then run grub2-mkconfig -o /boot/grub2/grub.cfg"
        );
    }

    #[test]
    fn an_update_grub_that_is_not_debians_does_not_count() {
        let dir = tree(&[
            ("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=quiet\n"),
            (
                "usr/bin/update-grub",
                "#!/bin/sh\ngrub-mkconfig -o /boot/grub/grub.cfg\n",
            ),
            ("usr/bin/grub-mkconfig", "#!/bin/sh\n. /etc/default/grub\n"),
        ]);
        let change = propose(dir.path(), "96M").unwrap();
        assert!(change.edits.is_empty() && change.by_hand.is_some());
    }

    #[test]
    fn debians_layout_without_update_grub_names_a_file_that_kdump_tools_does_not_override() {
        let dir = tree(&[
            ("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=quiet\n"),
            (
                "etc/default/grub.d/kdump-tools.cfg",
                "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=2G-:1G\"\n",
            ),
        ]);
        let said = propose(dir.path(), "96M").unwrap().by_hand.unwrap();
        assert!(
            said.starts_with("write to /etc/default/grub.d/zz-"),
            "{said}"
        );
        assert!(said.ends_with("then run update-grub"), "{said}");
    }
}
