//! Whether this machine is armed, in one line: for `status` and the front page.

use crate::output;
use loader::status::{Armed, Status};

/// `yes: Linux 6.12.107 in 96 MiB at 0x2a000000, image built 2 s ago (1.4 MiB)`.
pub(crate) fn summary(status: &Status) -> String {
    let word = match status.armed {
        Armed::Yes => "yes",
        Armed::Stale => "stale",
        Armed::No => "no",
        Armed::Unknown => "unknown",
    };
    let mut text = format!("{word}: {}", status.why);
    if status.armed != Armed::Yes && status.armed != Armed::Stale {
        return text;
    }
    if let Some(bytes) = status.reservation.bytes {
        text.push_str(&format!(" in {}", output::size(bytes)));
    }
    if let Some(main) = status.reservation.main {
        text.push_str(&format!(" at {:#x}", main.start));
    }
    if let Some(image) = &status.image {
        let size = output::size(image.bytes);
        match image.age_seconds.and_then(|age| u64::try_from(age).ok()) {
            Some(age) => {
                let age = analysis::report::text::duration(age);
                text.push_str(&format!(", image of {size} loaded {age} ago"));
            }
            None => text.push_str(&format!(", image of {size}")),
        }
    }
    text
}
