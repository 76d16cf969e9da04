//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^a]` and `\` to escape. Never recurses: the last star is remembered, so a
//! hostile pattern costs pattern × text at most.

/// True if all of `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at_pattern) == Some(&b'*') {
            star = Some((at_pattern + 1, at_text));
            at_pattern += 1;
            continue;
        }
        match (at_pattern < pattern.len(), text.get(at_text)) {
            (false, None) => return true,
            (true, Some(&byte)) => {
                if let Some(next) = one(pattern, at_pattern, byte) {
                    at_pattern = next;
                    at_text += 1;
                    continue;
                }
            }
            (true, None) | (false, Some(_)) => {}
        }
        match star {
            Some((after_star, from)) if from < text.len() => {
                star = Some((after_star, from + 1));
                at_pattern = after_star;
                at_text = from + 1;
            }
            Some(_) | None => return false,
        }
    }
}

/// Where the pattern goes on if its next element matches the byte.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern[at] {
        b'?' => Some(at + 1),
        b'[' => class(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        literal => (literal == byte).then_some(at + 1),
    }
}

fn class(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let is_negated = pattern.get(at) == Some(&b'^');
    at += usize::from(is_negated);
    let mut is_in = false;
    loop {
        match pattern[at..] {
            // As Redis: a class that does not end, ends with the pattern.
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                is_in |= escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                is_in |= (from.min(to)..=from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                is_in |= literal == byte;
                at += 1;
            }
        }
    }
    (is_in != is_negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("h?llo", "hallo", true),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("foo\\*", "foo*", true),
            ("foo\\*", "foobar", false),
            ("a*b*c", "a12b34c", true),
            ("a*b*c", "a12b34", false),
            ("[", "a", false),
            ("a\\", "a\\", true),
            ("", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let pattern = [b"*a".repeat(100), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &[b'a'; 5_000]));
    }
}
