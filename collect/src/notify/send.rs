//! A crash by the operator's command and by mail.
//!
//! Facts: sendmail's interface as every mail system has it: `-t` takes the recipients from the headers,
//! `-oi` does not end the mail at a line with a single dot; RFC 5322 (headers, lines of at most 998
//! bytes), RFC 3834 (Auto-Submitted).

use super::child::{self, ChildError};
use crate::under;
use config::Notify;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use store::manifest::{REPORT_JSON, REPORT_TXT};
use store::{Crash, CrashDir, Manifest, Store};
use vmcore::escape;

/// A report larger than this is not passed on.
const MAX_REPORT: u64 = 16 << 20;
/// A text larger than this is not mailed.
const MAX_TEXT: u64 = 256 << 10;
/// Where mail systems put it.
const SENDMAIL: [&str; 2] = ["/usr/sbin/sendmail", "/usr/lib/sendmail"];
/// For taking a mail; delivery is the mail system's.
const MAIL_DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of a line of a mail.
const MAX_LINE: usize = 900;

/// Why a crash was not announced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SendError {
    /// The directory is gone, or somebody else's.
    #[error("it is no crash directory of this machine any more")]
    Gone,
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
    /// No mail system.
    #[error(
        "mail is set in [notify], and there is no /usr/sbin/sendmail. Install a mail system, or set mail = \"none\""
    )]
    NoSendmail,
    /// The program.
    #[error(transparent)]
    Child(#[from] ChildError),
}

/// One crash and what is known of it.
pub(crate) struct Announced {
    crash: Crash,
    dir: CrashDir,
    manifest: Option<Manifest>,
}

impl Announced {
    /// Opens a crash directory that its store still calls ours.
    ///
    /// # Errors
    /// It is gone or cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self, SendError> {
        let store = Store::open(path.parent().ok_or(SendError::Gone)?)?;
        let mut crashes = store.list()?.crashes.into_iter();
        let crash = crashes
            .find(|crash| crash.path == path)
            .ok_or(SendError::Gone)?;
        let manifest = store.manifest(&crash.name()).ok();
        let dir = CrashDir::open(path)?;
        Ok(Self {
            crash,
            dir,
            manifest,
        })
    }

    fn verdict(&self) -> &str {
        self.manifest
            .as_ref()
            .map_or("unknown", |m| m.verdict.name())
    }

    fn signature(&self) -> &str {
        let signature = self.manifest.as_ref().and_then(|m| m.signature.as_deref());
        signature.unwrap_or("unknown")
    }

    /// Runs the operator's command with report.json on stdin, or with nothing without one.
    ///
    /// # Errors
    /// It does not start, fails, or takes too long.
    pub(crate) fn command(&self, settings: &Notify) -> Result<(), SendError> {
        let Some((program, arguments)) = settings.command.split_first() else {
            return Ok(());
        };
        let class = self.manifest.as_ref().and_then(|m| m.class.as_deref());
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir("/")
            .env("AFTERPANIC_PATH", &self.crash.path)
            .env("AFTERPANIC_NODE", &self.crash.node)
            .env("AFTERPANIC_TIME", &self.crash.stamp)
            .env("AFTERPANIC_VERDICT", self.verdict())
            .env("AFTERPANIC_CLASS", without_nul(class.unwrap_or("unknown")))
            .env("AFTERPANIC_SIGNATURE", without_nul(self.signature()));
        let report = self.dir.read(REPORT_JSON, MAX_REPORT).unwrap_or_default();
        child::run(command, report, settings.command_deadline.duration())?;
        Ok(())
    }

    /// Mails the report.
    ///
    /// # Errors
    /// There is no sendmail, or it does not take the mail.
    pub(crate) fn mail(&self, settings: &Notify, root: &Path) -> Result<(), SendError> {
        let Some(to) = &settings.mail else {
            return Ok(());
        };
        let mut programs = SENDMAIL.iter().map(|path| under(root, path));
        let program = programs
            .find(|path| path.exists())
            .ok_or(SendError::NoSendmail)?;
        let mut command = Command::new(program);
        command.args(["-oi", "-t"]).current_dir("/");
        let text = self.text(to);
        child::run(command, text.into_bytes(), MAIL_DEADLINE)?;
        Ok(())
    }

    /// The mail: every line of it is one of ours, whatever the report holds.
    fn text(&self, to: &str) -> String {
        let path = self.crash.path.display().to_string();
        let path = escape::line(&path);
        let (node, stamp) = (&self.crash.node, &self.crash.stamp);
        let subject = format!("{node} panicked at {stamp}: {}", self.signature());
        let mut text = String::new();
        for header in [
            format!("To: {to}"),
            format!("Subject: {}", ascii(&subject)),
            "Auto-Submitted: auto-generated".to_owned(),
            "MIME-Version: 1.0".to_owned(),
            "Content-Type: text/plain; charset=utf-8".to_owned(),
            "Content-Transfer-Encoding: 8bit".to_owned(),
            String::new(),
            format!(
                "{node} panicked at {stamp}. Saved ({}) in {path}.",
                self.verdict()
            ),
            format!("More: afterpanic report {path}"),
            String::new(),
        ] {
            push(&mut text, &header);
        }
        let report = self.dir.read(REPORT_TXT, MAX_TEXT);
        match report {
            Ok(report) => String::from_utf8_lossy(&report)
                .lines()
                .for_each(|line| push(&mut text, &escape::line(line))),
            Err(_) => push(
                &mut text,
                "There is no report.txt that can be read as text.",
            ),
        }
        text
    }
}

/// A line of a mail, cut where it is too long for one.
fn push(text: &mut String, line: &str) {
    let end = line.floor_char_boundary(MAX_LINE);
    let (line, rest) = line.split_at_checked(end).unwrap_or((line, ""));
    let more = if rest.is_empty() { "" } else { " …" };
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{line}{more}");
}

/// A header's text: printable ASCII.
fn ascii(text: &str) -> String {
    let printable = |c: char| c == ' ' || c.is_ascii_graphic();
    text.chars()
        .map(|c| if printable(c) { c } else { '?' })
        .collect()
}

/// The environment ends a value at a zero byte, and refuses one inside.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}
