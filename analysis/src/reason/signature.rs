//! A name for a crash that is the same for the same bug on every machine.
//!
//! Built from the class, the culprit and the next two functions that are no helpers, without offsets,
//! compiler suffixes, CPU, task or addresses (docs/signature.md). Helpers are left out, so that the
//! same bug has the same name whether the oops or panic() started the capture kernel, and whatever
//! a kernel calls its helpers.

use super::blame::{self, Groups};
use super::name::normalise;
use super::{Class, Location};
use sha2::{Digest, Sha256};

/// Frames that count for the hash.
const DEPTH: usize = 3;

/// The scheme's version, as `reason.signature_version` names it. It is the first byte of what is hashed.
pub const VERSION: u8 = 2;

/// The frames that a signature is made of: those to blame, from the culprit on.
pub(super) fn frames<'f>(
    stack: &'f [&'f Location],
    culprit: Option<&'f Location>,
) -> Vec<&'f Location> {
    let Some(culprit) = culprit else {
        return Vec::new();
    };
    let start = stack
        .iter()
        .position(|frame| frame.function == culprit.function);
    let behind = stack
        .get(start.map_or(0, |at| at.saturating_add(1))..)
        .unwrap_or_default();
    let skip = Groups::ALL;
    let more = behind
        .iter()
        .copied()
        .filter(|frame| !frame.inline && !blame::is_helper(&frame.function, skip));
    std::iter::once(culprit).chain(more).take(DEPTH).collect()
}

/// `class:function:hash`. Without a stack the hash is that of `words`, numbers and addresses left out.
#[must_use]
pub(super) fn of(class: Class, frames: &[&Location], words: &str) -> String {
    let mut hash = Sha256::new();
    hash.update([VERSION]);
    hash.update(class.name());
    for frame in frames {
        hash.update(b"\0");
        hash.update(normalise(&frame.function));
        hash.update(b"\0");
        hash.update(frame.module.as_deref().unwrap_or_default());
    }
    if frames.is_empty() {
        hash.update(wording(words));
    }
    let digest = hash.finalize();
    let short: String = digest
        .iter()
        .take(3)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let first = frames
        .first()
        .map_or("-", |frame| normalise(&frame.function));
    format!("{}:{first}:{short}", class.name())
}

/// The signature of a crash that could not be read.
pub(super) fn unread(class: Class, words: &str) -> String {
    let mut hash = Sha256::new();
    hash.update([VERSION]);
    hash.update(b"unread\0");
    hash.update(words);
    let digest = hash.finalize();
    let short: String = digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}:unread:{short}", class.name())
}

/// A message without what differs from crash to crash: words with a digit in them.
fn wording(message: &str) -> String {
    let words = message.split(|c: char| !c.is_alphanumeric());
    let stable =
        words.filter(|word| !word.is_empty() && !word.contains(|c: char| c.is_ascii_digit()));
    stable.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(frames: &[&str]) -> String {
        let all: Vec<Location> = frames
            .iter()
            .filter_map(|text| Location::parse(text))
            .collect();
        let all: Vec<&Location> = all.iter().collect();
        let culprit = blame::first(all.iter().copied(), Groups::COMMON);
        of(Class::Bug, &self::frames(&all, culprit), "")
    }

    #[test]
    fn offsets_suffixes_and_helpers_do_not_count() {
        let one = sign(&["panic+0x1/0x2", "f.isra.0+0x10/0x20", "g+0x1/0x2 [m]"]);
        assert!(one.starts_with("bug:f:"), "{one}");
        assert_eq!(
            one,
            sign(&[
                "oops_end+0x1/0x2",
                "f+0x18/0x40",
                "mutex_lock+0x1/0x2",
                "g+0x9/0x9 [m]"
            ])
        );
        assert_eq!(
            one,
            sign(&["f+0x18/0x40", "g+0x9/0x9 [m]", "do_syscall_64+0x1/0x2"])
        );
        assert_ne!(one, sign(&["g+0x1/0x2 [m]"]));
    }

    #[test]
    fn the_helpers_of_old_and_new_kernels_are_one() {
        let new = sign(&["__list_del_entry_valid_or_report+0x1/0x2", "f+0x1/0x2 [m]"]);
        assert_eq!(
            new,
            sign(&["__list_del_entry_valid+0x1/0x2", "f+0x1/0x2 [m]"])
        );
        assert_eq!(
            new,
            sign(&[
                "__list_del_entry_valid_or_report.cold+0x1/0x2",
                "f+0x1/0x2 [m]"
            ])
        );
    }

    #[test]
    fn without_frames_the_words_count_without_numbers() {
        let a = of(Class::Other, &[], "device 17 died at 0xff");
        assert_eq!(a, of(Class::Other, &[], "device 3 died at 0xe1"));
        assert_ne!(a, of(Class::Other, &[], "disk 3 died"));
        assert!(a.starts_with("other:-:"));
    }
}
