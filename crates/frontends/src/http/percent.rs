//! Percent-encoding of key bytes (RFC 3986, RULINGS 33): decoded exactly once, any byte allowed, `+` is itself; encoded
//! outside of the unreserved characters, in upper-case hex.

use bytes::Bytes;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// A `%` that two hex digits do not follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'%' at byte {at} is not followed by two hex digits; a literal '%' is written %25")]
pub struct BadEscape {
    /// Where the `%` stands.
    pub at: usize,
}

/// The bytes that `text` spells.
///
/// # Errors
/// [`BadEscape`] at the first `%` without two hex digits.
pub fn decode(text: &str) -> Result<Bytes, BadEscape> {
    let text = text.as_bytes();
    let Some(first) = memchr::memchr(b'%', text) else {
        return Ok(Bytes::copy_from_slice(text));
    };
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(&text[..first]);
    let mut at = first;
    while at < text.len() {
        if text[at] == b'%' {
            let digits = text.get(at + 1).zip(text.get(at + 2));
            let byte = digits.and_then(|(&high, &low)| Some(digit(high)? << 4 | digit(low)?));
            out.push(byte.ok_or(BadEscape { at })?);
            at += 3;
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    Ok(Bytes::from(out))
}

/// Appends `bytes`, percent-encoded.
pub fn encode_into(bytes: &[u8], out: &mut String) {
    out.reserve(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        let mut out = String::new();
        encode_into(bytes, &mut out);
        out
    }

    #[test]
    fn a_plus_is_itself_and_an_escape_is_decoded_once() {
        assert_eq!(decode("a+b%20c%2520").expect("legal"), &b"a+b c%20"[..]);
        assert_eq!(decode("%00%ff%FF/..").expect("legal"), &b"\0\xff\xff/.."[..]);
    }

    #[test]
    fn a_percent_sign_without_two_digits_is_refused_with_its_place() {
        for (text, at) in [("%", 0), ("a%4", 1), ("%zz", 0), ("ok%20%4g", 5), ("%+1", 0)] {
            assert_eq!(decode(text), Err(BadEscape { at }), "{text}");
        }
    }

    #[test]
    fn only_unreserved_characters_stay_and_hex_is_upper_case() {
        assert_eq!(encoded(b"aZ9-._~ /+%\xab"), "aZ9-._~%20%2F%2B%25%AB");
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(&encoded(&bytes)).expect("what we encode is legal"), &bytes[..]);
        }

        #[test]
        fn no_text_panics(text in "[%0-9a-zA-Z\\PC]{0,40}") {
            let _ = decode(&text);
        }
    }
}
