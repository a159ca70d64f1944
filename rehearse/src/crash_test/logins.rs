//! Who is logged in: systemd-logind's sessions, and utmp for those that it does not know.
//!
//! Facts: the files of /run/systemd/sessions are lines KEY=VALUE (sd-login(3) reads them; beside them
//! lie FIFOs `*.ref`, which must not be opened); struct utmp is 384 bytes on x86-64 (utmp(5), glibc).

use serde::Serialize;
use std::fs;
use std::path::Path;

/// Someone's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The terminal, if there is one.
    pub terminal: Option<String>,
    /// The machine it comes from.
    pub from: Option<String>,
}

const RECORD: usize = 384;
const USER_PROCESS: [u8; 2] = [7, 0];

/// Everyone who is logged in, by terminal.
pub(super) fn read(root: &Path) -> Vec<Login> {
    let mut logins = Vec::new();
    let sessions = fs::read_dir(root.join("run/systemd/sessions"));
    for entry in sessions.into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            logins.extend(session(&text));
        }
    }
    let utmp = fs::read(root.join("run/utmp")).unwrap_or_default();
    for record in utmp.chunks_exact(RECORD) {
        let login = entry(record);
        logins.extend(login.filter(|new| logins.iter().all(|l| l.terminal != new.terminal)));
    }
    logins.sort_by(|a, b| (&a.terminal, &a.user).cmp(&(&b.terminal, &b.user)));
    logins
}

fn session(text: &str) -> Option<Login> {
    let value = |key: &str| {
        let found = text
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        found.filter(|v| !v.is_empty()).map(str::to_owned)
    };
    let people = value("CLASS").is_none_or(|class| class.starts_with("user"));
    let leaving = value("STATE").is_some_and(|state| state == "closing");
    // The manager of a user's services is no person at a terminal.
    let manager = value("CLASS").is_some_and(|class| class == "manager");
    (people && !leaving && !manager).then_some(Login {
        user: value("USER").or_else(|| value("UID"))?,
        terminal: value("TTY"),
        from: value("REMOTE_HOST"),
    })
}

fn entry(record: &[u8]) -> Option<Login> {
    let string = |at: usize, len: usize| {
        let bytes = record.get(at..at.checked_add(len)?)?;
        let text = bytes.split(|b| *b == 0).next()?;
        let text = String::from_utf8_lossy(text);
        // What a login wrote there goes to a terminal.
        let clean: String = text.chars().filter(|c| !c.is_control()).collect();
        (!clean.is_empty()).then_some(clean)
    };
    (record.get(..2)? == USER_PROCESS).then_some(())?;
    Some(Login {
        user: string(44, 32)?,
        terminal: string(8, 32),
        from: string(76, 256),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_and_utmp_are_one_list() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = dir.path().join("run/systemd/sessions");
        fs::create_dir_all(&sessions).unwrap();
        for (name, text) in [
            (
                "3",
                "UID=1000\nUSER=ada\nSTATE=active\nCLASS=user\nTTY=pts/0\nREMOTE_HOST=10.0.0.9\n",
            ),
            (
                "4",
                "UID=0\nUSER=root\nSTATE=closing\nCLASS=user\nTTY=pts/7\n",
            ),
            ("5", "UID=33\nUSER=www\nSTATE=active\nCLASS=background\n"),
            ("6", "UID=0\nUSER=root\nSTATE=active\nCLASS=manager\n"),
        ] {
            fs::write(sessions.join(name), text).unwrap();
        }
        let mut utmp = Vec::new();
        for (kind, line, user) in [
            (7u8, "pts/0", "ada"),
            (7, "tty1", "gr\x1bace"),
            (8, "tty2", "x"),
        ] {
            let mut record = [0u8; 384];
            record[0] = kind;
            record[8..8 + line.len()].copy_from_slice(line.as_bytes());
            record[44..44 + user.len()].copy_from_slice(user.as_bytes());
            utmp.extend(record);
        }
        utmp.extend([7, 0, 0]);
        fs::write(dir.path().join("run/utmp"), utmp).unwrap();
        let got = read(dir.path());
        let short: Vec<_> = got
            .iter()
            .map(|l| (l.user.as_str(), l.terminal.as_deref(), l.from.as_deref()))
            .collect();
        let want = [
            ("ada", Some("pts/0"), Some("10.0.0.9")),
            ("grace", Some("tty1"), None),
        ];
        assert_eq!(short, want);
        assert_eq!(read(&dir.path().join("nothing")), []);
    }
}
