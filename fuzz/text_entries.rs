//! What the fuzz target of text logs runs: shared by the target and by the test that replays the corpus.
//!
//! No input may panic, hang, or take memory that its own size does not justify.

use analysis::report::{self, Options, Section, text};

/// A text that holds a kernel's log: its report, as JSON's model and in words.
pub(crate) fn text_log(data: &[u8]) {
    let options = Options {
        log_tail: 50,
        sections: &Section::ALL,
    };
    let Ok(report) = report::from_text(&mut &*data, "fuzz", options) else {
        return;
    };
    let mut words = String::new();
    let _ = text::write(&report, &mut words);
    assert!(!words.is_empty());
    let reason = &report.reason;
    assert!(reason.signature.len() < 1000, "{}", reason.signature);
    // The signature is one word for scripts and databases.
    let raw = reason.signature.chars().find(|c| c.is_control());
    assert_eq!(raw, None, "{:?}", reason.signature);
    let _ = (text::headline(reason), text::stacks(reason));
}
