//! Names near one that is not known: what the user probably meant.

/// Names told.
const TOLD: usize = 3;
/// Longer names are nobody's slip of the finger.
const LONGEST: usize = 64;

/// Finds the nearest names among many, one by one.
pub(crate) struct Near<'a> {
    wanted: &'a str,
    found: Vec<(usize, String)>,
}

impl<'a> Near<'a> {
    /// Nothing yet.
    pub(crate) fn new(wanted: &'a str) -> Self {
        Self {
            wanted,
            found: Vec::new(),
        }
    }

    /// Looks at one name.
    pub(crate) fn offer(&mut self, name: &str) {
        // One slip in a short name, up to three in a long one.
        let most = (self.wanted.len() / 4).clamp(1, 3);
        let Some(far) = distance(self.wanted.as_bytes(), name.as_bytes(), most) else {
            return;
        };
        if far == 0 || self.found.iter().any(|(_, known)| known == name) {
            return;
        }
        self.found.push((far, name.to_owned()));
        self.found.sort();
        self.found.truncate(TOLD);
    }

    /// `. Did you mean a, b?`, or nothing.
    pub(crate) fn words(self) -> String {
        match self.found.is_empty() {
            true => String::new(),
            false => {
                let names: Vec<String> = self.found.into_iter().map(|(_, name)| name).collect();
                format!(". Did you mean {}?", names.join(", "))
            }
        }
    }
}

/// Letters to be put in, taken out or replaced, upper and lower case being the same; `None` when more than
/// `most`.
fn distance(a: &[u8], b: &[u8], most: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > most || a.len().max(b.len()) > LONGEST {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut best = left;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let change = usize::from(!x.eq_ignore_ascii_case(y));
            let value = (diagonal + change).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = value;
            left = value;
            best = best.min(value);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        if best > most {
            return None;
        }
    }
    row.last().copied().filter(|far| *far <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first() {
        assert_eq!(distance(b"task_strct", b"task_struct", 2), Some(1));
        assert_eq!(distance(b"kitten", b"sitting", 3), Some(3));
        assert_eq!(distance(b"kitten", b"sitting", 2), None);
        assert_eq!(distance(b"PID", b"pid", 1), Some(0));
        let mut near = Near::new("task_strct");
        for name in [
            "list_head",
            "task_struct",
            "task_stroct",
            "tsk_strict",
            "task_struct",
        ] {
            near.offer(name);
        }
        assert_eq!(
            near.words(),
            ". Did you mean task_stroct, task_struct, tsk_strict?"
        );
        assert_eq!(Near::new("x").words(), "");
    }
}
