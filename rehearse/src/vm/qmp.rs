//! QMP, QEMU's control protocol: JSON lines over a unix socket.
//!
//! Source of the facts: QEMU's docs/interop/qmp-spec and qapi/run-state.json (6.0 and later). We
//! listen and QEMU connects, so there is no moment at which the socket does not exist yet. Only
//! what the runner needs: the handshake, commands without a look at their answer, events.

use super::{Event, VmError};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The writing side of a QMP connection.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
}

impl Qmp {
    /// Waits until QEMU has connected to `listener` at `path`, or `alive` says it is gone.
    ///
    /// # Errors
    /// No connection within `patience`, or what `alive` or the socket said.
    pub(crate) fn accept(
        listener: &UnixListener,
        path: &Path,
        patience: Duration,
        alive: &mut dyn FnMut() -> Result<(), VmError>,
    ) -> Result<Qmp, VmError> {
        let start = Instant::now();
        listener
            .set_nonblocking(true)
            .map_err(VmError::io("listen on", path))?;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream
                        .set_nonblocking(false)
                        .map_err(VmError::io("use", path))?;
                    let mut qmp = Qmp { stream };
                    qmp.execute("qmp_capabilities", &Value::Null)
                        .map_err(VmError::io("write to", path))?;
                    return Ok(qmp);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(VmError::io("accept on", path)(error)),
            }
            alive()?;
            if start.elapsed() > patience {
                return Err(VmError::NoQmp(patience));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a command; its answer is not waited for.
    ///
    /// # Errors
    /// When QEMU is gone.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> std::io::Result<()> {
        let mut message = json!({ "execute": command });
        if !arguments.is_null()
            && let Some(object) = message.as_object_mut()
        {
            object.insert("arguments".into(), arguments.clone());
        }
        writeln!(self.stream, "{message}")
    }

    pub(crate) fn reader(&self) -> std::io::Result<UnixStream> {
        self.stream.try_clone()
    }
}

/// Reads events from the connection until it closes.
pub(crate) fn pump(stream: UnixStream, event: &mut dyn FnMut(Event)) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        if let Some(found) = parse_event(&line) {
            event(found);
        }
    }
}

/// The event in a line, or nothing for greetings, answers and what is not JSON.
fn parse_event(line: &str) -> Option<Event> {
    let mut message: Value = serde_json::from_str(line).ok()?;
    let name = message.get("event")?.as_str()?.to_owned();
    let data = message.get_mut("data").map(Value::take).unwrap_or_default();
    Some(Event::Qmp { name, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_from_the_rest() {
        let reset = r#"{"timestamp":{"seconds":1,"microseconds":2},"event":"RESET","data":{"guest":true,"reason":"guest-reset"}}"#;
        let Some(Event::Qmp { name, data }) = parse_event(reset) else {
            panic!("no event")
        };
        assert_eq!(name, "RESET");
        assert_eq!(data["reason"], "guest-reset");
        for other in [
            r#"{"QMP":{"version":{}}}"#,
            r#"{"return":{}}"#,
            "",
            "{",
            r#"{"event":3}"#,
        ] {
            assert_eq!(parse_event(other), None, "{other}");
        }
    }
}
