//! The paths that a Rust file names: its `use` declarations, spelt out, and paths written in place.

use crate::tidy::source::Source;

/// A path and the line that names it, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Full path: `std::time::Instant`. A relative one is resolved to `crate::…`; a glob ends in `::*`.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
}

impl Named {
    /// Whether the path is `prefix` or lies below it.
    pub fn is_under(&self, prefix: &str) -> bool {
        self.path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }
}

/// Every path that the file imports.
pub fn imports(source: &Source) -> Vec<Named> {
    let module = module_of(&source.path);
    let mut found = Vec::new();
    let mut offset = 0;
    while let Some(start) = next_use(&source.code, offset) {
        let body = &source.code[start..];
        let end = body.find(';').unwrap_or(body.len());
        expand(&source.code, start, start + end, "", &module, &mut found);
        offset = start + end;
    }
    found
}

/// Every path with at least two parts that stands anywhere in the code, imports aside.
pub fn paths_in_place(source: &Source) -> Vec<Named> {
    let module = module_of(&source.path);
    let mut found = Vec::new();
    for (at, line) in source.code.lines().enumerate() {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for word in line.split(|c| !is_part(c)).filter(|word| word.contains("::")) {
            let path = resolve(word.trim_start_matches("::").trim_end_matches(':'), &module);
            found.push(Named { path, line: at + 1 });
        }
    }
    found
}

/// The offset behind the next `use ` that starts a declaration.
fn next_use(code: &str, from: usize) -> Option<usize> {
    let mut offset = from;
    loop {
        let found = offset + code[offset..].find("use ")?;
        let line_start = code[..found].rfind('\n').map_or(0, |at| at + 1);
        let before = code[line_start..found].trim();
        if before.is_empty() || before.ends_with(['{', ';', '}']) || before.starts_with("pub") {
            return Some(found + 4);
        }
        offset = found + 4;
    }
}

/// Spells out `a::{b, c::{d, e as f}}` between two offsets.
fn expand(code: &str, start: usize, end: usize, prefix: &str, module: &[String], found: &mut Vec<Named>) {
    let mut depth = 0;
    let mut piece = start;
    for (at, character) in code[start..end]
        .char_indices()
        .map(|(at, c)| (start + at, c))
        .chain([(end, ',')])
    {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand_one(code, piece, at, prefix, module, found);
                piece = at + 1;
            }
            _ => {}
        }
    }
}

/// Spells out one branch, which may have braces of its own.
fn expand_one(code: &str, start: usize, end: usize, prefix: &str, module: &[String], found: &mut Vec<Named>) {
    let text = &code[start..end];
    if text.trim().is_empty() {
        return;
    }
    if let Some(open) = text.find('{') {
        let inner_prefix = format!("{prefix}{}", text[..open].split_whitespace().collect::<String>());
        let close = text.rfind('}').unwrap_or(text.len());
        return expand(code, start + open + 1, start + close, &inner_prefix, module, found);
    }
    let name = text
        .split(" as ")
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect::<String>();
    let full = format!("{prefix}{name}");
    let full = full.strip_suffix("::self").unwrap_or(&full);
    let first_letter = start + text.len() - text.trim_start().len();
    let line = code[..first_letter].matches('\n').count() + 1;
    found.push(Named {
        path: resolve(full.trim_start_matches("::"), module),
        line,
    });
}

/// The module that a file is, below the crate: `crates/core/src/hints/deliver.rs` is `["hints", "deliver"]`.
fn module_of(path: &str) -> Vec<String> {
    let Some((_, inside)) = path.split_once("src/") else {
        return Vec::new();
    };
    let mut parts: Vec<String> = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts
        .last()
        .is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main"))
    {
        parts.pop();
    }
    parts
}

/// Turns `self::` and `super::` into `crate::`.
fn resolve(path: &str, module: &[String]) -> String {
    let mut rest = path;
    let mut depth = module.len();
    let mut relative = false;
    loop {
        if let Some(after) = rest.strip_prefix("super::") {
            depth = depth.saturating_sub(1);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("self::") {
            rest = after;
        } else {
            break;
        }
        relative = true;
    }
    if !relative {
        return rest.to_owned();
    }
    let parents = module[..depth]
        .iter()
        .map(|part| format!("{part}::"))
        .collect::<String>();
    format!("crate::{parents}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(path: &str, text: &str) -> Vec<(String, usize)> {
        imports(&Source::new(path, text))
            .into_iter()
            .map(|named| (named.path, named.line))
            .collect()
    }

    #[test]
    fn nested_imports_are_spelt_out_with_their_lines() {
        let text = "use std::{\n    collections::{BTreeMap, HashMap as Map},\n    io::{self, Read},\n};\npub(crate) use a::*;\n";
        let expected = [
            ("std::collections::BTreeMap", 2),
            ("std::collections::HashMap", 2),
            ("std::io", 3),
            ("std::io::Read", 3),
            ("a::*", 5),
        ];
        assert_eq!(
            paths("crates/core/src/lib.rs", text),
            expected.map(|(path, line)| (path.to_owned(), line))
        );
    }

    #[test]
    fn relative_paths_become_absolute() {
        let path = "crates/core/src/hints/deliver.rs";
        assert_eq!(
            paths(path, "use super::super::replica::Replica;")[0].0,
            "crate::replica::Replica"
        );
        assert_eq!(paths(path, "use super::Hint;")[0].0, "crate::hints::Hint");
        let source = Source::new(path, "fn a() { super::super::replica::b(std::fs::read(c)) }");
        let found: Vec<String> = paths_in_place(&source).into_iter().map(|named| named.path).collect();
        assert_eq!(found, ["crate::replica::b", "std::fs::read"]);
    }
}
