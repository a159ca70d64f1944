//! Debian's GRUB: a file of ours in /etc/default/grub.d, and update-grub.
//!
//! Facts: grub-mkconfig of Debian 12 and 13: /etc/default/grub, then /etc/default/grub.d/*.cfg in
//! ASCII order are sourced by a shell; the kernel takes the last `crashkernel=` of the result.
//! Nothing is evaluated here: a line that assigns one of the two variables and holds `crashkernel=`
//! counts as setting it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{BootLoader, BootLoaderError, Change, Edit, read};
use crate::root;

const DIRECTORY: &str = "/etc/default/grub.d";
const OURS: &str = "/etc/default/grub.d/90-afterpanic.cfg";

/// The file's text.
fn text(value: &str) -> String {
    format!(
        "# Written by `afterpanic reserve`: memory for the capture kernel.\n\
         GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel={value}\"\n"
    )
}

/// The lines of a file that set `crashkernel=`.
fn setting(text: &str) -> Option<&str> {
    text.lines()
        .map(str::trim)
        .find(|line| line.starts_with("GRUB_CMDLINE_LINUX") && line.contains("crashkernel="))
}

pub(super) fn propose(root: &Path, value: &str) -> Result<Change, BootLoaderError> {
    let mut change = Change::new(BootLoader::Grub);
    let mut others: Vec<PathBuf> = fs::read_dir(root::under(root, DIRECTORY))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| Path::new(DIRECTORY).join(e.file_name()))
        .filter(|p| p.extension().is_some_and(|e| e == "cfg") && p != Path::new(OURS))
        .collect();
    others.sort();
    others.insert(0, PathBuf::from("/etc/default/grub"));
    for path in others {
        let Some(text) = read(root, &path)? else {
            continue;
        };
        let Some(line) = setting(&text) else { continue };
        let line = line.to_owned();
        if path.starts_with(DIRECTORY) && path.as_path() > Path::new(OURS) {
            return Err(BootLoaderError::Conflict { path, line });
        }
        change.notes.push(format!(
            "{} sets crashkernel= too; ours comes later and wins",
            path.display()
        ));
    }
    let before = read(root, Path::new(OURS))?;
    let after = text(value);
    if before.as_deref() != Some(after.as_str()) {
        change.edits.push(Edit {
            path: PathBuf::from(OURS),
            before,
            after: Some(after),
        });
        change.command = Some(vec!["update-grub".to_owned()]);
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::super::apply;
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn writes_its_own_file_once() {
        let dir = tree(&[("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n")]);
        let change = propose(dir.path(), "96M").unwrap();
        assert!(change.diff().contains(
            "+ GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=96M\""
        ));
        assert_eq!(
            change.command.as_deref(),
            Some(["update-grub".to_owned()].as_slice())
        );
        apply(dir.path(), &change).unwrap();
        assert!(propose(dir.path(), "96M").unwrap().is_empty());
        let again = propose(dir.path(), "128M").unwrap();
        assert!(again.diff().contains("- GRUB") && again.diff().contains("crashkernel=128M"));
    }

    #[test]
    fn an_earlier_setting_is_mentioned_a_later_one_refused() {
        let dir = tree(&[(
            "etc/default/grub",
            "GRUB_CMDLINE_LINUX=\"crashkernel=1M\"\n",
        )]);
        assert_eq!(propose(dir.path(), "96M").unwrap().notes.len(), 1);
        let dir = tree(&[
            (
                "etc/default/grub.d/kdump-tools.cfg",
                "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=512M-:192M\"\n",
            ),
            ("etc/default/grub", "# GRUB_CMDLINE_LINUX=crashkernel=5M\n"),
        ]);
        let said = propose(dir.path(), "96M").unwrap_err().to_string();
        assert!(
            said.contains("kdump-tools.cfg sets crashkernel= after ours"),
            "{said}"
        );
    }
}
