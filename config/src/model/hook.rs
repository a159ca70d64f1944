//! `[[hook]]`: programs that run in the capture kernel, and `rescue` of `[after]`.

use std::path::PathBuf;

use plan::{LONGEST_HOOK, LONGEST_RESCUE, MOST_HOOKS, When};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::checks::{absolute, positive};
use crate::units::Time;

/// One `[[hook]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// When it runs: `"pre"`, before the targets are mounted; `"post"`, after the core; `"failure"`, at the
    /// end, if not everything was saved. See hooks.md.
    ///
    /// Example: `when = "post"`
    pub when: When,
    /// The program. The image gets it with the libraries that it needs, or with the interpreter of a
    /// script.
    ///
    /// Example: `program = "/usr/local/sbin/tell"`
    #[serde(deserialize_with = "absolute")]
    pub program: PathBuf,
    /// The program's arguments.
    ///
    /// Example: `args = ["--channel", "ops"]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Kill the program after this time, at most 10 minutes.
    ///
    /// Example: `deadline = "2min"`
    #[serde(default = "half_a_minute", deserialize_with = "hook_deadline")]
    pub deadline: Time,
}

impl Hook {
    /// A hook with the default deadline and no arguments.
    #[must_use]
    pub(crate) fn new(when: When, program: PathBuf) -> Self {
        Self {
            when,
            program,
            args: Vec::new(),
            deadline: half_a_minute(),
        }
    }
}

fn half_a_minute() -> Time {
    Time(30)
}

fn hook_deadline<'de, D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
    at_most(positive(d)?, LONGEST_HOOK)
}

/// The deadline of the rescue console.
pub(super) fn rescue_deadline<'de, D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
    at_most(positive(d)?, LONGEST_RESCUE)
}

fn at_most<E: Error>(time: Time, longest: u64) -> Result<Time, E> {
    if time.0 > longest {
        let longest = Time(longest);
        return Err(E::custom(format!(
            "a deadline of {time} is too long; at most {longest}"
        )));
    }
    Ok(time)
}

/// The hooks, which are not many.
pub(super) fn hooks<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Hook>, D::Error> {
    let hooks = Vec::<Hook>::deserialize(d)?;
    if hooks.len() > MOST_HOOKS {
        return Err(D::Error::custom(format!(
            "more than {MOST_HOOKS} hooks; let one of them start the others"
        )));
    }
    Ok(hooks)
}

/// `"off"`, or the path of a shell.
pub(super) mod rescue {
    use std::path::PathBuf;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    // serde wants a reference to the member.
    #[allow(clippy::ref_option)]
    pub(in super::super) fn serialize<S: Serializer>(
        shell: &Option<PathBuf>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match shell {
            None => s.serialize_str("off"),
            Some(shell) => s.collect_str(&shell.display()),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        let word = String::deserialize(d)?;
        match word.as_str() {
            "off" => Ok(None),
            path if path.starts_with('/') && !path.split('/').any(|part| part == "..") => {
                Ok(Some(PathBuf::from(path)))
            }
            _ => Err(D::Error::custom(format!(
                "\"{word}\" must be \"off\" or the absolute path of a shell, like \"/bin/sh\""
            ))),
        }
    }
}
