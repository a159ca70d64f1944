//! The store of crashes: directories named after the machine and the time of its crash.
//!
//! `<nodename>-<CRASHTIME in UTC, 20261121T231500Z>[-<n>][.partial|.incomplete]`. A name holds all that
//! is needed to list and order crashes. The content is described by the manifest.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// How far a crash directory got, as its name says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// No suffix: complete or degraded.
    Done,
    /// `.incomplete`: finished without everything.
    Incomplete,
    /// `.partial`: being written, or cut off while it was.
    Partial,
}

impl State {
    /// The suffix of the directory's name.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Done => "",
            Self::Incomplete => ".incomplete",
            Self::Partial => ".partial",
        }
    }

    /// The name in a table or JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Incomplete => "incomplete",
            Self::Partial => "partial",
        }
    }
}

/// One crash directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Crash {
    /// The directory.
    pub path: PathBuf,
    /// The machine's node name, reduced to `[A-Za-z0-9._-]`.
    pub node: String,
    /// Time of the crash, UTC, as in the name: `20261121T231500Z`.
    pub stamp: String,
    /// 1, or the number that tells crashes of the same second apart.
    pub serial: u32,
    /// How far it got.
    pub state: State,
}

impl Crash {
    /// The directory's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Reads a directory's name; `None` when it is no crash directory.
    #[must_use]
    pub fn parse(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (name, state) = [State::Incomplete, State::Partial]
            .into_iter()
            .find_map(|state| name.strip_suffix(state.suffix()).map(|rest| (rest, state)))
            .unwrap_or((name, State::Done));
        let (head, tail) = name.rsplit_once('-')?;
        let (node, stamp, serial) = match (is_stamp(tail), tail.parse::<u32>()) {
            (true, _) => (head, tail, 1),
            (false, Ok(serial)) => {
                let (node, stamp) = head.rsplit_once('-')?;
                (is_stamp(stamp) && serial > 1).then_some((node, stamp, serial))?
            }
            (false, Err(_)) => return None,
        };
        Some(Self {
            path: path.to_path_buf(),
            node: node.into(),
            stamp: stamp.into(),
            serial,
            state,
        })
    }

    /// By time of the crash, then by number, node and state.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        (&self.stamp, self.serial, &self.node, self.state).cmp(&(
            &other.stamp,
            other.serial,
            &other.node,
            other.state,
        ))
    }
}

/// The longest node name in a directory's name.
const MAX_NODE: usize = 64;

/// A node name reduced to what a directory's name may hold.
#[must_use]
pub fn reduce(nodename: &[u8]) -> String {
    let name: String = nodename
        .iter()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(*byte),
            _ => '_',
        })
        .take(MAX_NODE)
        .collect();
    // A leading dot would hide it, and "." is no name.
    let name = name.trim_start_matches('.');
    if name.is_empty() {
        "unknown".into()
    } else {
        name.into()
    }
}

/// Seconds since 1970 as `20261121T231500Z`.
#[must_use]
pub fn stamp(seconds: u64) -> String {
    vmcore::time::Utc::of(seconds)
        .map_or_else(|| "00000000T000000Z".into(), vmcore::time::Utc::stamp)
}

/// Whether `text` has the shape `20261121T231500Z`.
fn is_stamp(text: &str) -> bool {
    text.len() == 16
        && text.bytes().enumerate().all(|(i, byte)| match i {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> Option<(String, String, u32, State)> {
        Crash::parse(Path::new(name)).map(|c| (c.node, c.stamp, c.serial, c.state))
    }

    #[test]
    fn names_are_read() {
        let stamp = "20261121T231500Z".to_string();
        let node = "web-03".to_string();
        assert_eq!(
            parse("/x/web-03-20261121T231500Z"),
            Some((node.clone(), stamp.clone(), 1, State::Done))
        );
        assert_eq!(
            parse("web-03-20261121T231500Z-2.partial"),
            Some((node.clone(), stamp.clone(), 2, State::Partial))
        );
        assert_eq!(
            parse("web-03-20261121T231500Z.incomplete"),
            Some((node, stamp, 1, State::Incomplete))
        );
        for other in [
            "lost+found",
            "web-03",
            "202611212315",
            "a-20261121T231500Z-x",
            "a-2026112AT231500Z",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn node_names_are_reduced() {
        assert_eq!(reduce(b"web-03"), "web-03");
        assert_eq!(reduce(b"../../etc"), "_.._etc");
        assert_eq!(reduce(b"a b/\xff"), "a_b__");
        assert_eq!(reduce(b".."), "unknown");
        assert_eq!(reduce(&[b'x'; 300]).len(), 64);
    }

    #[test]
    fn stamps_are_utc() {
        assert_eq!(stamp(1_795_302_900), "20261121T231500Z");
        assert_eq!(stamp(0), "19700101T000000Z");
        assert_eq!(stamp(u64::MAX), "00000000T000000Z");
    }
}
