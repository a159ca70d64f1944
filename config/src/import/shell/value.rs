//! What an assignment puts into its variable.

/// The longest value in bytes. A script can double a value with each line.
const LONGEST: usize = 8 << 10;

/// More pieces than any config has.
const MOST: usize = 64;

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This text.
    Text(String),
    /// What the shell computes by this.
    Computed(String),
}

/// A value as its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pieces: Vec<Piece>,
    /// Bytes of all pieces.
    size: usize,
}

impl Value {
    /// A value that only the shell knows.
    pub(crate) fn computed(how: impl Into<String>) -> Self {
        let how = how.into();
        Self {
            size: how.len(),
            pieces: vec![Piece::Computed(how)],
        }
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The text, where nothing is computed.
    pub(crate) fn text(&self) -> Option<String> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Computed(_) => None,
            })
            .collect()
    }

    /// Whether it is empty for certain.
    pub(crate) fn is_empty(&self) -> bool {
        self.text().is_some_and(|text| text.is_empty())
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.pieces.last_mut() {
            Some(Piece::Text(before)) => before.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
        self.grown_by(text.len());
    }

    pub(crate) fn push_computed(&mut self, how: impl Into<String>) {
        let how = how.into();
        let length = how.len();
        self.pieces.push(Piece::Computed(how));
        self.grown_by(length);
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        for piece in &other.pieces {
            match piece {
                Piece::Text(text) => self.push_text(text),
                Piece::Computed(how) => self.push_computed(how.clone()),
            }
        }
    }

    /// Keeps what a script can make of a value within bounds.
    fn grown_by(&mut self, bytes: usize) {
        self.size = self.size.saturating_add(bytes);
        if self.size > LONGEST || self.pieces.len() > MOST {
            *self = Self::computed("a value that is too long");
        }
    }

    /// The fixed directory above a part that a date names: `/var/crash` of ``/var/crash/`date` ``.
    /// `None` where anything else is computed, or nothing but `/` is left.
    pub(crate) fn dated_directory(&self) -> Option<String> {
        let [Piece::Text(fixed), rest @ ..] = self.pieces.as_slice() else {
            return None;
        };
        let is_date = |piece: &Piece| match piece {
            Piece::Text(text) => !text.contains('/'),
            Piece::Computed(how) => {
                let inner = how
                    .trim_start_matches("$(")
                    .trim_start_matches('`')
                    .trim_start();
                let behind = inner.strip_prefix("date");
                behind.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '`', ')']))
            }
        };
        let (directory, _) = fixed.rsplit_once('/')?;
        let dated = !rest.is_empty() && rest.iter().all(is_date);
        (dated && directory.starts_with('/')).then(|| directory.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_an_end() {
        let mut value = Value::default();
        value.push_text("x");
        for _ in 0..64 {
            let before = value.clone();
            value.extend(&before);
        }
        assert_eq!(value.text(), None);
    }
}
