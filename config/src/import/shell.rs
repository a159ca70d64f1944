//! Shell assignments and words, as far as a config file of kdump uses them. Nothing is executed.

/// Whether a word is the name of an upper-case variable.
pub(super) fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
}

/// The words of a line: white space separates, quotes of either kind keep it inside a word.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '"' || c == '\'' => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            None if c.is_whitespace() => out.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    out
}

/// What an assignment puts into its variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// This text.
    Set(String),
    /// The old value, a space and this text: `X="$X more"`.
    Append(String),
    /// The shell computes it; the text is not known here.
    Computed,
}

/// The value on the right of `key=`.
pub(super) fn value(key: &str, text: &str) -> Value {
    let literal = text.trim_start().starts_with('\'');
    let text = unquote(text);
    let rest = [format!("${key}"), format!("${{{key}}}")]
        .iter()
        .find_map(|own| text.strip_prefix(own.as_str()).map(str::to_owned))
        .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
    match rest {
        _ if literal => Value::Set(text),
        Some(rest) if !rest.contains(['$', '`']) => Value::Append(rest.trim().to_owned()),
        _ if text.contains(['$', '`']) => Value::Computed,
        _ => Value::Set(text),
    }
}

/// The directory of a path that ends in a date which the shell computes: `/var/crash` of
/// `"/var/crash/$(date)"`. `None` where anything else is computed, or nothing but `/` is left.
pub(super) fn dated_directory(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('"');
    let (fixed, computed) = text.split_at(text.find(['$', '`'])?);
    let count = |what| computed.matches(what).count();
    let date = (computed.starts_with("`date") && (count('`'), count('$')) == (2, 0))
        || (computed.starts_with("$(date") && (count('`'), count('$')) == (0, 1));
    let (directory, _) = fixed.rsplit_once('/')?;
    (date && directory.starts_with('/')).then(|| directory.to_owned())
}

/// A shell word without its quotes and without a comment behind it.
fn unquote(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.split(quote).next().unwrap_or_default().to_owned();
        }
    }
    value
        .split([' ', '\t', '#'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(words("a \"b c\" 'd  e'f \"\""), ["a", "b c", "d  ef", ""]);
        assert_eq!(words("  "), [""; 0]);
    }

    #[test]
    fn a_path_with_a_date_has_a_fixed_directory() {
        let found = |text| dated_directory(text);
        assert_eq!(
            found("\"/var/crash/`date +\"%F\"`\"").as_deref(),
            Some("/var/crash")
        );
        assert_eq!(found("/srv/x-$(date +%F)").as_deref(), Some("/srv"));
        for text in [
            "$DIR/crash",
            "/$(date)",
            "/srv/$(hostname)",
            "/srv/$(date)/$HOST",
            "crash/$(date)",
            "/srv",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn a_value_is_set_appended_or_computed() {
        assert_eq!(value("A", "\"x y\" # c"), Value::Set("x y".into()));
        assert_eq!(value("A", "\"$A x\""), Value::Append("x".into()));
        assert_eq!(value("A", "\"${A} x\""), Value::Append("x".into()));
        assert_eq!(value("A", "\"$AB x\""), Value::Computed);
        assert_eq!(value("A", "$(hostname)"), Value::Computed);
        assert_eq!(value("A", "'$A'"), Value::Set("$A".into()));
    }
}
