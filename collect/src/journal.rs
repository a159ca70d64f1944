//! One record for the systemd journal, in its native protocol: a datagram of `NAME=value` lines.
//!
//! Facts: systemd's "Native Journal Protocol" (the socket is /run/systemd/journal/socket; a value
//! with a newline in it is sent as name, newline, 64-bit little-endian length, value, newline).
//! A machine without journald has no such socket, which is no error.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use vmcore::escape;

/// The record about one crash: `journalctl MESSAGE_ID=8f1e0a66c5f24f6b9d0b3e6c5a7d4e21`.
pub(crate) const CRASH_SAVED: &str = "8f1e0a66c5f24f6b9d0b3e6c5a7d4e21";
/// Critical, as syslog(3) counts.
const PRIORITY: &str = "2";

/// Sends a record; whether there was a journal.
///
/// # Errors
/// There is a journal, and it does not take the record.
pub(crate) fn send(socket: &Path, message: &str, fields: &[(&str, &str)]) -> io::Result<bool> {
    if !socket.exists() {
        return Ok(false);
    }
    // One line for people, without control characters; the fields keep every byte.
    let message = escape::line(message);
    let always = [
        ("MESSAGE", message.as_ref()),
        ("MESSAGE_ID", CRASH_SAVED),
        ("PRIORITY", PRIORITY),
        ("SYSLOG_IDENTIFIER", "afterpanic"),
    ];
    let mut datagram = Vec::new();
    for (name, value) in always.iter().chain(fields) {
        datagram.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            datagram.push(b'\n');
            datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            datagram.push(b'=');
        }
        datagram.extend_from_slice(value.as_bytes());
        datagram.push(b'\n');
    }
    UnixDatagram::unbound()?.send_to(&datagram, socket)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_lines_and_a_newline_in_a_value_is_framed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        assert!(!send(&path, "nobody listens", &[]).unwrap());
        let journal = UnixDatagram::bind(&path).unwrap();
        let hostile = "web-03 panicked\nMESSAGE=all is well\u{1b}]52;c;eA==\u{7}";
        assert!(send(&path, hostile, &[("CRASH_DIR", "/a\nb")]).unwrap());
        let mut buf = [0; 512];
        let n = journal.recv(&mut buf).unwrap();
        let text = String::from_utf8_lossy(&buf[..n]).into_owned();
        assert!(
            text.starts_with(
                "MESSAGE=web-03 panicked\\nMESSAGE=all is well\\x1b]52;c;eA==\\x07\nMESSAGE_ID="
            ),
            "{text}"
        );
        assert!(
            text.ends_with("CRASH_DIR\n\u{4}\0\0\0\0\0\0\0/a\nb\n"),
            "{text:?}"
        );
    }
}
