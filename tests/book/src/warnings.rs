//! The warnings and errors that mdBook reports while it works.
//!
//! Facts: mdBook 0.5 reports through the crate `tracing`.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Does it, and answers what was reported meanwhile.
///
/// # Errors
/// Those of `work`.
pub(crate) fn during<E>(work: impl FnOnce() -> Result<(), E>) -> Result<Vec<String>, E> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let done = tracing::subscriber::with_default(Ear(Arc::clone(&heard)), work);
    done.map(|()| std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Keeps warnings and errors.
struct Ear(Arc<Mutex<Vec<String>>>);

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(format!("{}: {}", event.metadata().level(), text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event's message.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing into a String cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
