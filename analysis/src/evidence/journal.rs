//! Messages inside the records of log collectors: `journalctl -o json` and `-o export`, and the JSON lines of
//! container runtimes.
//!
//! Source of the fields: systemd.journal-fields(7), Journal Export Formats (systemd 247 to 258).

use serde_json::{Map, Value};
use std::borrow::Cow;

/// The kernel message of a record on one line, `text` itself where it is no record. `None` for a record
/// of another program, and for other fields than the message.
pub(super) fn message(text: &str) -> Option<Cow<'_, str>> {
    if let Some(message) = text.strip_prefix("MESSAGE=") {
        return Some(Cow::Borrowed(message));
    }
    if is_field(text) {
        return None;
    }
    if !(text.starts_with('{') && text.ends_with('}')) {
        return Some(Cow::Borrowed(text));
    }
    let Ok(Value::Object(record)) = serde_json::from_str(text) else {
        return Some(Cow::Borrowed(text));
    };
    let string = |key: &str| record.get(key).and_then(Value::as_str);
    if string("_TRANSPORT").is_some_and(|transport| transport != "kernel") {
        return None;
    }
    Some(of_record(&record).map_or(Cow::Borrowed(text), Cow::Owned))
}

/// Whether a line is a field of the export format: `_TRANSPORT=kernel`, `PRIORITY=4`.
fn is_field(text: &str) -> bool {
    const OTHERS: [&str; 3] = ["PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER"];
    let Some((name, _)) = text.split_once('=') else {
        return false;
    };
    let own = name.strip_prefix('_').is_some_and(|rest| {
        let letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        !rest.is_empty() && rest.bytes().all(letter)
    });
    own || OTHERS.contains(&name)
}

fn of_record(record: &Map<String, Value>) -> Option<String> {
    let string = |key: &str| record.get(key).and_then(Value::as_str);
    if let Some(line) = string("log") {
        return Some(line.trim_end_matches('\n').to_string());
    }
    let message = match record.get("MESSAGE")? {
        Value::String(message) => message.clone(),
        // journald writes a message that is no UTF-8 as an array of bytes.
        Value::Array(bytes) => {
            let byte = |value: &Value| u8::try_from(value.as_u64()?).ok();
            let bytes: Vec<u8> = bytes.iter().filter_map(byte).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => return None,
    };
    // Microseconds since boot: when the kernel printed it, else when journald took it.
    let usec = string("_SOURCE_MONOTONIC_TIMESTAMP").or_else(|| string("__MONOTONIC_TIMESTAMP"));
    let usec = usec.and_then(|usec| usec.parse::<u64>().ok());
    Some(match usec {
        Some(usec) => format!("[{}.{:06}] {message}", usec / 1_000_000, usec % 1_000_000),
        None => message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_give_their_message() {
        for (record, said) in [
            ("MESSAGE=acme: gone", "acme: gone"),
            (
                r#"{"MESSAGE":"acme: gone","_TRANSPORT":"kernel","_SOURCE_MONOTONIC_TIMESTAMP":"301000002"}"#,
                "[301.000002] acme: gone",
            ),
            (r#"{"MESSAGE":[97,98],"PRIORITY":"3"}"#, "ab"),
            (
                r#"{"log":"[  301.000002] acme: gone\n","stream":"stdout"}"#,
                "[  301.000002] acme: gone",
            ),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("{broken}", "{broken}"),
            ("", ""),
        ] {
            assert_eq!(message(record).as_deref(), Some(said), "{record}");
        }
        for other in [
            r#"{"MESSAGE":"session opened","_TRANSPORT":"syslog"}"#,
            "_TRANSPORT=kernel",
            "__REALTIME_TIMESTAMP=1764410401123456",
            "PRIORITY=4",
        ] {
            assert_eq!(message(other), None, "{other}");
        }
        assert!(message("HOME=/ TERM=linux").is_some(), "init's environment");
    }
}
