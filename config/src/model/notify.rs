//! `[notify]`: how a crash is announced at the next boot.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::checks::{check_absolute, path_or_none, positive};
use crate::error::ValueError;
use crate::units::Time;

/// `[notify]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// Write a record to the journal for each new crash.
    ///
    /// Example: `journal = false`
    pub journal: bool,
    /// Show new crashes after login, until `afterpanic list --ack`. Needs a PAM that runs
    /// /etc/update-motd.d, as Debian's and Ubuntu's do.
    ///
    /// Example: `login_message = false`
    pub login_message: bool,
    /// Run this program for each new crash, without a shell, once the network is up. It gets report.json on
    /// stdin. See notifications.md. An empty list runs nothing.
    ///
    /// Example: `command = ["/usr/local/sbin/on-crash", "--channel", "ops"]`
    #[serde(deserialize_with = "command")]
    pub command: Vec<String>,
    /// Kill the program and its children after this time.
    ///
    /// Example: `command_deadline = "5min"`
    #[serde(deserialize_with = "positive")]
    pub command_deadline: Time,
    /// Mail the report of each new crash to this address through sendmail, once the network is up.
    /// `"none"`: no mail.
    ///
    /// Example: `mail = "root"`
    #[serde(with = "address")]
    pub mail: Option<String>,
    /// Write afterpanic.prom into this directory, which node_exporter's textfile collector reads. `"none"`:
    /// no file.
    ///
    /// Example: `metrics = "/var/lib/prometheus/node-exporter"`
    #[serde(with = "path_or_none")]
    pub metrics: Option<PathBuf>,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            journal: true,
            login_message: true,
            command: Vec::new(),
            command_deadline: Time(60),
            mail: None,
            metrics: None,
        }
    }
}

/// The word for an absent value.
const NONE: &str = "none";

fn command<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let words = Vec::<String>::deserialize(d)?;
    if let Some(program) = words.first() {
        check_absolute(program.as_ref()).map_err(serde::de::Error::custom)?;
    }
    match words.iter().any(|word| word.contains('\0')) {
        true => Err(serde::de::Error::custom("an argument holds a zero byte")),
        false => Ok(words),
    }
}

/// Whether a text can be the one address of a mail: printable ASCII without blanks, and no list.
pub(crate) fn is_address(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_graphic() && !b",;:<>()[]\\\"".contains(&c);
    !text.is_empty() && text != NONE && !text.starts_with('-') && text.bytes().all(plain)
}

/// A mail address, or `"none"`.
mod address {
    use super::{Deserialize, Deserializer, NONE, ValueError, is_address};
    use serde::Serializer;
    use serde::de::Error;

    #[allow(clippy::ref_option)] // the signature is serde's
    pub(super) fn serialize<S: Serializer>(to: &Option<String>, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(to.as_deref().unwrap_or(NONE))
    }

    /// It becomes a header of a mail.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
        let text = String::deserialize(d)?;
        match text.as_str() {
            NONE => Ok(None),
            _ if is_address(&text) => Ok(Some(text)),
            _ => Err(D::Error::custom(ValueError::NotTaken {
                value: format!("\"{text}\""),
                choices: "\"none\" or one address like \"root\" or \"ops@example.org\"",
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, Time};

    #[test]
    fn each_way_is_set_by_its_key() {
        let text = "[notify]\njournal = false\nlogin_message = false\nmail = \"ops@example.org\"\n\
                    command = [\"/usr/local/sbin/on-crash\", \"-x\"]\ncommand_deadline = \"5s\"\n\
                    metrics = \"/var/lib/prometheus/node-exporter\"\n";
        let config = Config::parse(text).unwrap();
        assert!(!config.notify.journal && !config.notify.login_message);
        assert_eq!(config.notify.mail.as_deref(), Some("ops@example.org"));
        assert_eq!(config.notify.command, ["/usr/local/sbin/on-crash", "-x"]);
        assert_eq!(config.notify.command_deadline, Time(5));
        assert!(config.notify.metrics.is_some());
        assert_eq!(Config::parse(&config.show()).unwrap(), config);
        let none = "[notify]\nmail = \"none\"\nmetrics = \"none\"\ncommand = []\n";
        assert_eq!(Config::parse(none).unwrap(), Config::default());
    }

    #[test]
    fn what_could_not_work_is_refused() {
        for wrong in [
            "mail = \"\"",
            "mail = \"a@b\\nBcc: c@d\"",
            "mail = \"a@b, c@d\"",
            "mail = \"-oQ/tmp\"",
            "command = [\"on-crash\"]",
            "command = [\"/bin/../x\"]",
            "command = \"/bin/on-crash\"",
            "command_deadline = \"0s\"",
            "metrics = \"node-exporter\"",
        ] {
            let text = format!("[notify]\n{wrong}\n");
            assert!(Config::parse(&text).is_err(), "{wrong}");
        }
    }
}
