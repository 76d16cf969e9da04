//! One file of the tree as the rules see it.
//!
//! Rules about code must not trip over words in comments or strings, so a Rust file is kept three times with the same
//! line breaks: as written, without comments, and without comments and the insides of strings.

use std::path::Path;

/// A text file: where it is and what is in it.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the root of the project, with forward slashes.
    pub path: String,
    /// The text as written.
    pub text: String,
    /// The text with comments blanked; empty for anything but Rust.
    pub without_comments: String,
    /// The text with comments, strings and character literals blanked; empty for anything but Rust.
    pub code: String,
}

impl Source {
    /// Reads `text` as the file at `path`.
    pub fn new(path: &str, text: &str) -> Source {
        let (without_comments, code) = if path.ends_with(".rs") {
            blank(text)
        } else {
            Default::default()
        };
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            without_comments,
            code,
        }
    }

    /// Whether this is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether this is Markdown.
    pub fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// The name without its folder.
    pub fn name(&self) -> &str {
        Path::new(&self.path)
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or(&self.path)
    }

    /// The folder, empty for the root.
    pub fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The line (from 0) at which the file's test module starts; the number of lines if there is none.
    ///
    /// Tests stand last, so all that follows is tests.
    pub fn tests_start(&self) -> usize {
        let lines: Vec<&str> = self.code.lines().collect();
        let is_gate = |line: &str| line.trim() == "#[cfg(test)]";
        let opens_module = |line: &&str| line.trim_start().starts_with("mod ") && line.trim_end().ends_with('{');
        lines
            .iter()
            .enumerate()
            .position(|(at, line)| {
                // Other attributes, such as `#[allow(…)]`, may stand between the gate and the module.
                let next = lines[at + 1..].iter().find(|line| !line.trim_start().starts_with("#["));
                is_gate(line) && next.is_some_and(opens_module)
            })
            .unwrap_or(lines.len())
    }
}

/// Where the scanner stands.
#[derive(Clone, Copy, PartialEq)]
enum Region {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Text,
    RawText { hashes: usize },
}

/// Blanks comments, and comments with strings, keeping every line break where it is.
fn blank(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut without_comments, mut code) = (String::with_capacity(text.len()), String::with_capacity(text.len()));
    let mut region = Region::Code;
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let (length, next) = match region {
            Region::Code => enter(&chars, at),
            Region::LineComment if rest[0] == '\n' => (1, Region::Code),
            Region::LineComment => (1, region),
            Region::BlockComment { depth } if rest.starts_with(&['/', '*']) => {
                (2, Region::BlockComment { depth: depth + 1 })
            }
            Region::BlockComment { depth } if rest.starts_with(&['*', '/']) => (
                2,
                if depth == 1 {
                    Region::Code
                } else {
                    Region::BlockComment { depth: depth - 1 }
                },
            ),
            Region::BlockComment { .. } => (1, region),
            Region::Text if rest[0] == '\\' => (2, region),
            Region::Text if rest[0] == '"' => (1, Region::Code),
            Region::Text => (1, region),
            Region::RawText { hashes } if closes_raw(rest, hashes) => (1 + hashes, Region::Code),
            Region::RawText { .. } => (1, region),
        };
        let in_comment = |region| matches!(region, Region::LineComment | Region::BlockComment { .. });
        for &character in rest.iter().take(length) {
            let comment = in_comment(region) || in_comment(next);
            let both_code = region == Region::Code && next == Region::Code;
            // A character literal comes as one piece of several characters; its inside is no code.
            let literal = both_code && length > 1;
            let blank = if character == '\n' { '\n' } else { ' ' };
            without_comments.push(if comment { blank } else { character });
            code.push(if both_code && !literal { character } else { blank });
        }
        at += length;
        region = next;
    }
    (without_comments, code)
}

/// What starts at `at` in code: how many characters it takes and where the scanner then stands.
fn enter(chars: &[char], at: usize) -> (usize, Region) {
    let rest = &chars[at..];
    let after_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match rest[0] {
        '/' if rest.get(1) == Some(&'/') => (2, Region::LineComment),
        '/' if rest.get(1) == Some(&'*') => (2, Region::BlockComment { depth: 1 }),
        '"' => (1, Region::Text),
        'r' | 'b' | 'c' if !after_word => {
            let prefix = rest.iter().take(2).take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
            let hashes = rest[prefix..].iter().take_while(|&&c| c == '#').count();
            let is_raw = rest[..prefix].contains(&'r') && rest.get(prefix + hashes) == Some(&'"');
            if is_raw {
                (prefix + hashes + 1, Region::RawText { hashes })
            } else {
                (1, Region::Code)
            }
        }
        // A quote opens a character literal or a lifetime; only the literal is closed right after.
        '\'' if rest.get(1) == Some(&'\\') => {
            let end = rest
                .iter()
                .skip(3)
                .position(|&c| c == '\'')
                .map_or(1, |found| found + 4);
            (end, Region::Code)
        }
        '\'' if rest.get(2) == Some(&'\'') => (3, Region::Code),
        _ => (1, Region::Code),
    }
}

/// Whether a raw string with this many hashes ends here.
fn closes_raw(rest: &[char], hashes: usize) -> bool {
    rest[0] == '"' && rest.iter().skip(1).take(hashes).filter(|&&c| c == '#').count() == hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let text =
            "let a = \"b // c\"; // d\n/* e\n/* f */ g */ let h = 'i';\nfn k<'l>() {}\nlet m = r#\"n \"o\" p\"#; q";
        let source = Source::new("a.rs", text);
        let code: Vec<String> = source
            .code
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(code, ["leta=;", "", "leth=;", "fnk<'l>(){}", "letm=;q"]);
        assert!(source.without_comments.contains("\"b // c\""));
        assert!(!source.without_comments.contains('d'));
        assert_eq!(source.code.lines().count(), text.lines().count());
    }

    #[test]
    fn escaped_quotes_do_not_end_a_string_or_a_character() {
        let source = Source::new("a.rs", r#"let a = "\"b\\"; let c = '\''; let d = '"'; e"#);
        assert_eq!(
            source.code.split_whitespace().collect::<String>(),
            "leta=;letc=;letd=;e"
        );
    }

    #[test]
    fn the_test_module_is_found_behind_other_attributes() {
        let source = Source::new(
            "a.rs",
            "fn a() {}\n#[cfg(test)]\nfn b() {}\n#[cfg(test)]\n#[allow(c)]\nmod tests {\n}\n",
        );
        assert_eq!(source.tests_start(), 3);
        assert_eq!(Source::new("a.rs", "fn a() {}\n").tests_start(), 1);
    }
}
