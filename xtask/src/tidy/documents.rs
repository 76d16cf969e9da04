//! Links in Markdown lead somewhere: a relative link names a file or folder of the tree, and its anchor a heading.

use std::collections::BTreeSet;

use crate::tidy::{Source, Violation};

/// Checks every Markdown file.
pub fn check(tree: &[Source]) -> Vec<Violation> {
    tree.iter()
        .filter(|source| source.is_markdown())
        .flat_map(|source| check_file(tree, source))
        .collect()
}

fn check_file(tree: &[Source], source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (line, target) in links(&source.text) {
        let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
        if is_elsewhere {
            continue;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let Some(path) = resolve(source.folder(), file).map(|p| if file.is_empty() { source.path.clone() } else { p })
        else {
            let what = format!("the link `{target}` leads out of the project");
            violations.push(Violation::error(
                source,
                line,
                "links",
                what,
                "link to a file of this project",
            ));
            continue;
        };
        let page = tree.iter().find(|other| other.path == path);
        let is_folder = tree
            .iter()
            .any(|other| path.is_empty() || other.path.starts_with(&format!("{path}/")));
        if page.is_none() && !is_folder {
            let what = format!("the link `{target}` leads to no file: `{path}`");
            violations.push(Violation::error(
                source,
                line,
                "links",
                what,
                "correct it, or write that file",
            ));
        }
        let is_heading = |page: &&Source| !page.is_markdown() || headings(&page.text).contains(anchor);
        if !anchor.is_empty() && page.is_some() && page.filter(is_heading).is_none() {
            let what = format!("the link `{target}` leads to no heading");
            violations.push(Violation::error(
                source,
                line,
                "links",
                what,
                "correct the part behind `#`",
            ));
        }
    }
    violations
}

/// The lines of a page with their numbers, those in code fences aside.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        (!fenced && !is_fence).then_some((at + 1, line))
    })
}

/// The targets of `[text](target)` with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for (at, _) in line.match_indices("](") {
            // An odd number of backticks before it: the link stands inside code.
            if line[..at].matches('`').count() % 2 == 1 && line[at..].contains('`') {
                continue;
            }
            let rest = &line[at + 2..];
            let end = rest.find([')', ' ']).unwrap_or(rest.len());
            found.push((number, rest[..end].trim_matches(['<', '>'])));
        }
    }
    found
}

/// The path that a link in `folder` means; none if it leaves the project.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    if target.starts_with('/') {
        return None;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a page's headings, as code hosts make them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| line.trim_start_matches('#'));
    titles
        .map(|title| {
            let kept = title.trim().to_lowercase();
            kept.chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        let tree = [
            Source::new("docs/a.md", text),
            Source::new("docs/decisions/b.md", "# One, two\n"),
            Source::new("LICENSE", "x\n"),
        ];
        check(&tree)
            .into_iter()
            .map(|violation| (violation.line, violation.what))
            .collect()
    }

    #[test]
    fn a_link_to_a_missing_file_is_reported_with_its_line() {
        assert_eq!(
            found("x\n[a](c.md)\n"),
            [(2, "the link `c.md` leads to no file: `docs/c.md`".to_owned())]
        );
        assert_eq!(found("[a](../../x)\n").len(), 1);
        assert_eq!(found("[a](/x)\n").len(), 1);
    }

    #[test]
    fn a_link_to_a_missing_heading_is_reported() {
        assert_eq!(found("[a](decisions/b.md#three)\n").len(), 1);
        assert_eq!(found("# Here\n[a](#there)\n").len(), 1);
    }

    #[test]
    fn good_links_code_and_other_sites_are_left_alone() {
        let text = "# Here\n[a](decisions/b.md#one-two) [b](../LICENSE) [c](#here) [d](decisions) [e](https://x.y/z)\n\
                    ```\n[f](nowhere.md)\n```\n`[g](nowhere.md)`\n";
        assert_eq!(found(text), []);
    }
}
