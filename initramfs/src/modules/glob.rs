//! Shell patterns as module aliases use them: `*`, `?`, `[0-9]`, `[!x]`. The CLI matches symbols and types so,
//! too.
//!
//! `-` and `_` are the same outside brackets, as modprobe treats them.

/// Whether `text` matches `pattern` as a whole.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when a match fails: after the last star, one more byte eaten by it.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                p += 1;
                retry = Some((p, t));
                continue;
            }
            (Some(wanted), Some(byte)) => {
                if let Some(length) = one(*wanted, pattern.get(p..).unwrap_or_default(), *byte) {
                    p += length;
                    t += 1;
                    continue;
                }
            }
            (None, None) => return true,
            (Some(_), None) | (None, Some(_)) => {}
        }
        match retry {
            Some((star, eaten)) if eaten < text.len() => {
                p = star;
                t = eaten + 1;
                retry = Some((star, t));
            }
            _ => return false,
        }
    }
}

/// How many bytes of the pattern match this one byte, if they do.
fn one(wanted: u8, pattern: &[u8], byte: u8) -> Option<usize> {
    match wanted {
        b'?' => Some(1),
        b'[' => {
            let end = pattern.iter().skip(1).position(|b| *b == b']')? + 1;
            let set = pattern.get(1..end)?;
            let (set, negated) = match set.split_first() {
                Some((b'!' | b'^', rest)) => (rest, true),
                _ => (set, false),
            };
            (in_set(set, byte) != negated).then_some(end + 1)
        }
        b'-' | b'_' => matches!(byte, b'-' | b'_').then_some(1),
        _ => (wanted == byte).then_some(1),
    }
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let mut at = 0;
    while let Some(low) = set.get(at) {
        match (set.get(at + 1), set.get(at + 2)) {
            (Some(b'-'), Some(high)) => {
                if (*low..=*high).contains(&byte) {
                    return true;
                }
                at += 3;
            }
            _ => {
                if *low == byte {
                    return true;
                }
                at += 1;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_modprobe_does() {
        for (pattern, text, expected) in [
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4", true),
            ("virtio:d00000002v*", "virtio:d00000008v00001AF4", false),
            (
                "pci:v*d*sv*sd*bc01sc06i01*",
                "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
                true,
            ),
            (
                "pci:v*d*sv*sd*bc01sc06i01*",
                "pci:v00008086d00002922sv00001AF4sd00001100bc01sc01i80",
                false,
            ),
            (
                "usb:v*d*dc*dsc*dp*ic08isc06ip50in*",
                "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00",
                true,
            ),
            ("crypto-crc32c", "crypto_crc32c", true),
            ("a[0-3]b", "a2b", true),
            ("a[0-3]b", "a4b", false),
            ("a[!0-3]b", "a4b", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "x", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("[", "[", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
