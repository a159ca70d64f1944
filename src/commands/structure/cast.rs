//! A cast as in C: `(struct task_struct *)ADDR`, `((struct task_struct *)ADDR)->mm`.

use anyhow::bail;

/// The parts of a cast.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cast<'a> {
    /// The type that is pointed to.
    pub(super) name: &'a str,
    /// The address: hex, or a symbol with an optional +offset.
    pub(super) at: &'a str,
    /// Members behind it.
    pub(super) path: Option<&'a str>,
}

/// Reads a word that begins with a parenthesis.
pub(super) fn parse(text: &str) -> anyhow::Result<Cast<'_>> {
    let text = text.trim();
    let whole = match text.strip_prefix('(') {
        // The outer ones are those around the cast.
        Some(inner) if inner.trim_start().starts_with('(') => inner.rsplit_once(')'),
        _ => Some((text, "")),
    };
    let parts = whole.and_then(|(cast, path)| {
        let (name, at) = cast.trim().strip_prefix('(')?.split_once(')')?;
        let name = name.trim().strip_suffix('*')?.trim();
        let path = path.trim().trim_start_matches("->").trim_start_matches('.');
        let is_plain = |text: &str| !text.is_empty() && !text.contains(['(', ')', '*']);
        (is_plain(name) && is_plain(at.trim())).then(|| Cast {
            name,
            at: at.trim(),
            path: Some(path).filter(|path| !path.is_empty()),
        })
    });
    match parts {
        Some(parts) if !parts.at.contains("->") => Ok(parts),
        _ => bail!(
            "{text:?} is no cast that is read here. Write (struct task_struct *)ADDR, or \
             ((struct task_struct *)ADDR)->member"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cast, parse};

    #[test]
    fn casts_are_those_of_c() {
        let cast = |name, at, path| Cast { name, at, path };
        for (text, expected) in [
            ("(struct rq *)ffff1000", cast("struct rq", "ffff1000", None)),
            (
                "( struct rq* ) init_task+0x8",
                cast("struct rq", "init_task+0x8", None),
            ),
            (
                "((struct rq *)ffff1000)->curr->comm",
                cast("struct rq", "ffff1000", Some("curr->comm")),
            ),
            (
                "((struct rq *)x).clock",
                cast("struct rq", "x", Some("clock")),
            ),
            ("((unsigned long *)x)", cast("unsigned long", "x", None)),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for text in [
            "(struct rq)x",
            "(struct rq **)x",
            "(struct rq *)",
            "(*)x",
            "(struct rq *)x->y",
            "(",
            "()",
            "((struct rq *)x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
