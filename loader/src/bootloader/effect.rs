//! What the boot loader will hand to the kernel, and whether a value takes effect there.
//!
//! Facts: the kernel takes the last `crashkernel=` of each form, and a plain one switches `,high`, `,low` and
//! `,cma` off (kernel/crash_reserve.c, Linux 5.10 to 7.2).

use crate::crashkernel;

/// One way in which this system can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// What the operator finds it by: a file, or a file and a title.
    pub(super) name: String,
    /// The kernel's command line, as far as the configuration holds it.
    pub(super) cmdline: String,
}

/// What the next boot will have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The next boot has the value.
    Taken,
    /// It has not, for this reason.
    NotTaken(String),
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// Whether a kernel with this command line takes the value: the last of its form, and no plain value
/// beside `,high`, `,low` or `,cma` (the kernel prefers the plain one).
pub(super) fn took(cmdline: &str, value: &str) -> bool {
    let form = |v: &str| {
        [",high", ",low", ",cma"]
            .into_iter()
            .find(|f| v.ends_with(f))
    };
    let all = crashkernel::parameters(cmdline);
    let last = all.iter().rfind(|v| form(v) == form(value));
    let plain = all.iter().any(|v| form(v).is_none());
    last.is_some_and(|last| last == value) && (form(value).is_none() || !plain)
}

/// Judges the entries: all of them must have the value.
pub(super) fn judge(entries: Result<Vec<Entry>, String>, value: &str) -> Effect {
    let entries = match entries {
        Ok(entries) => entries,
        Err(why) => return Effect::Unknown(why),
    };
    if entries.is_empty() {
        return Effect::Unknown("no boot entry of this system was found".to_owned());
    }
    match entries.iter().find(|entry| !took(&entry.cmdline, value)) {
        None => Effect::Taken,
        Some(entry) => {
            let all = crashkernel::parameters(&entry.cmdline);
            let has = if all.is_empty() {
                format!("no crashkernel={value}")
            } else {
                format!("crashkernel={}", all.join(" and crashkernel="))
            };
            Effect::NotTaken(format!("{} has {has}", entry.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_choice_among_several() {
        assert!(took("a crashkernel=1M crashkernel=96M b", "96M"));
        assert!(!took("a crashkernel=96M crashkernel=1M", "96M"));
        assert!(took("crashkernel=1G,high crashkernel=64M,low", "1G,high"));
        assert!(!took("crashkernel=1G,high crashkernel=64M", "1G,high"));
        assert!(!took("-- crashkernel=96M", "96M"));
    }

    #[test]
    fn every_entry_must_have_it() {
        let entry = |name: &str, cmdline: &str| Entry {
            name: name.to_owned(),
            cmdline: cmdline.to_owned(),
        };
        let both = vec![entry("a", "crashkernel=96M"), entry("b", "quiet")];
        assert_eq!(
            judge(Ok(both.clone()), "96M"),
            Effect::NotTaken("b has no crashkernel=96M".to_owned())
        );
        assert_eq!(judge(Ok(both[..1].to_vec()), "96M"), Effect::Taken);
        assert!(matches!(judge(Ok(Vec::new()), "96M"), Effect::Unknown(_)));
    }
}
