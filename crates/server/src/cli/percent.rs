//! Keys in paths and answers: percent-encoded outside RFC 3986 unreserved, upper-case hex (RULINGS 33).

/// Encodes bytes for a path or a query.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The query string of the pairs that have a value, with its `?`; empty if none has.
pub fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let Some(value) = value else { continue };
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.push_str(&encode(value.as_bytes()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_unreserved_is_encoded_in_upper_case() {
        assert_eq!(encode(b"a-Z_0.~"), "a-Z_0.~");
        assert_eq!(encode(b"a/b c+\xff\0"), "a%2Fb%20c%2B%FF%00");
    }

    #[test]
    fn a_query_holds_only_what_was_given() {
        assert_eq!(
            query(&[("a", None), ("b", Some("1&2".into())), ("c", Some(String::new()))]),
            "?b=1%262&c="
        );
        assert_eq!(query(&[("a", None)]), "");
    }
}
