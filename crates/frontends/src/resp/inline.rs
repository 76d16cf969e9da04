//! Inline commands: words between blanks, with double quotes (escapes) and single quotes, as Redis splits them.

/// The words of a line; `None` if a quote is not closed, or is followed by something other than a blank.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|&byte| is_blank(byte)) {
            at += 1;
        }
        if at >= line.len() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let Some(&byte) = line.get(at) {
            match byte {
                b'"' => {
                    at = double_quoted(line, at + 1, &mut word)?;
                    break;
                }
                b'\'' => {
                    at = single_quoted(line, at + 1, &mut word)?;
                    break;
                }
                byte if is_blank(byte) => break,
                byte => {
                    word.push(byte);
                    at += 1;
                }
            }
        }
        words.push(word);
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0)
}

/// Reads up to the closing quote; the offset after it.
fn double_quoted(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *line.get(at)? {
            b'"' => return ends_word(line, at + 1),
            b'\\' => {
                let escaped = *line.get(at + 1)?;
                let hex = (escaped == b'x')
                    .then(|| Some((digit(*line.get(at + 2)?)?, digit(*line.get(at + 3)?)?)))
                    .flatten();
                if let Some((high, low)) = hex {
                    word.push(high * 16 + low);
                    at += 4;
                    continue;
                }
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                at += 2;
            }
            byte => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

fn single_quoted(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *line.get(at)? {
            b'\'' => return ends_word(line, at + 1),
            b'\\' if line.get(at + 1) == Some(&b'\'') => {
                word.push(b'\'');
                at += 2;
            }
            byte => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

fn ends_word(line: &[u8], at: usize) -> Option<usize> {
    line.get(at).is_none_or(|&byte| is_blank(byte)).then_some(at)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split(line.as_bytes())?;
        Some(words.iter().map(|word| word.escape_ascii().to_string()).collect())
    }

    #[test]
    fn blanks_part_words_and_quotes_join_them() {
        let some = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(words("  set  k\tv "), some(&["set", "k", "v"]));
        assert_eq!(words(r#"a "b c" 'd e' """#), some(&["a", "b c", "d e", ""]));
        assert_eq!(words(r#""\x41\n\"\xzz" 'i\'s'"#), some(&["A\\n\\\"xzz", "i\\\'s"]));
        assert_eq!(words(""), some(&[]));
    }

    #[test]
    fn an_open_quote_or_one_glued_to_a_word_is_refused() {
        for line in [r#""a"#, "'a", r#""a"b"#, "'a'b", r#""a\"#] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
