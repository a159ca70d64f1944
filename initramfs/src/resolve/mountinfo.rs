//! `/proc/self/mountinfo`: which filesystem a path lies on.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `major:minor` as `/sys/dev/block` names it; major 0 is no disk.
    pub dev: String,
    /// Which part of the filesystem is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// The filesystem's type.
    pub fstype: String,
    /// What was mounted, usually a device node.
    pub source: PathBuf,
}

/// The mounts of the table, in its order; lines that make no sense are left out.
pub fn parse(table: &[u8]) -> Vec<Mount> {
    table
        .split(|byte| *byte == b'\n')
        .filter_map(mount)
        .collect()
}

/// The mount that `path` lies on: the longest mount point, and of equals the last, which hides the
/// others.
pub fn of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len())
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ');
    let dev = words.nth(2)?;
    let root = words.next()?;
    let point = words.next()?;
    // Optional fields end with a lone dash.
    let mut rest = words.skip_while(|word| *word != b"-").skip(1);
    let fstype = rest.next()?;
    let source = rest.next()?;
    Some(Mount {
        dev: String::from_utf8(dev.to_vec()).ok()?,
        root: unescape(root),
        point: unescape(point),
        fstype: String::from_utf8_lossy(fstype).into_owned(),
        source: unescape(source),
    })
}

/// The kernel writes blank, tab, newline, backslash and hash as `\` and three octal digits.
fn unescape(word: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(word.len());
    let mut at = 0;
    while let Some(byte) = word.get(at) {
        let octal = word
            .get(at + 1..at + 4)
            .filter(|digits| *byte == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)))
            .map(|digits| {
                digits
                    .iter()
                    .fold(0_u32, |n, d| n * 8 + u32::from(d - b'0'))
            })
            .and_then(|n| u8::try_from(n).ok());
        match octal {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

/// Whether the source of a mount looks like a device node.
pub fn is_node(source: &Path) -> bool {
    source.as_os_str().as_bytes().starts_with(b"/dev/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:21 / /proc rw shared:5 - proc proc rw
40 22 254:17 / /var rw shared:9 master:3 propagate_from:2 - xfs /dev/vdb1 rw
41 40 254:33 /a\\040b /var/crash\\040one rw - ext4 /dev/vdc1 rw
42 40 254:34 / /var rw - ext4 /dev/vdd1 rw
garbage
43 22 0:45 /@data /data rw - btrfs /dev/vde rw,subvol=/@data
";

    #[test]
    fn the_longest_and_latest_mount_wins() {
        let mounts = parse(TABLE);
        let dev = |path: &str| of(&mounts, Path::new(path)).unwrap().dev.as_str();
        assert_eq!(dev("/srv"), "254:1");
        assert_eq!(dev("/var/crash"), "254:34");
        assert_eq!(dev("/various"), "254:1");
        assert_eq!(dev("/var/crash one/x"), "254:33");
    }

    #[test]
    fn escapes_are_undone() {
        let mounts = parse(TABLE);
        let mount = of(&mounts, Path::new("/var/crash one")).unwrap();
        assert_eq!(mount.root, Path::new("/a b"));
        assert_eq!(
            unescape(b"a\\134\\011\\9\\04"),
            PathBuf::from("a\\\t\\9\\04")
        );
        assert_eq!(unescape(b"\\777"), PathBuf::from("\\777"));
    }
}
