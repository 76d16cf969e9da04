//! The alert rules and the dashboard that ship with the docs use only metrics and labels that a node has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::Cluster;

const ALERTS: &str = include_str!("../../../../docs/monitoring/alerts.yaml");
const DASHBOARD: &str = include_str!("../../../../docs/monitoring/dashboard.json");

/// What can be asked for, by name, with the labels that its series have.
fn metrics_of(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').expect("a name and a kind");
            let endings: &[&str] = match kind {
                "counter" if !name.ends_with("_total") => panic!("{name} counts and does not end so"),
                "counter" | "gauge" => &[""],
                "histogram" => &["_bucket", "_count", "_sum"],
                other => panic!("{name} is a {other}"),
            };
            for ending in endings {
                known.entry(format!("{name}{ending}")).or_default();
            }
        } else if let Some((name, rest)) = line.split_once('{') {
            let labels = rest.split('}').next().unwrap_or_default().split(',');
            let names = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            known.entry(name.to_owned()).or_default().extend(names);
        }
    }
    known
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Names of metrics in an expression, each with the labels that are matched in braces behind it.
fn used_in(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut used = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find("torc_") {
        let from = &rest[at..];
        let end = from.find(|c| !is_word(c)).unwrap_or(from.len());
        let (name, after) = from.split_at(end);
        let is_whole = !rest[..at].ends_with(is_word);
        let matched = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let labels = matched.map_or_else(Vec::new, |(inside, _)| {
            let names = inside.split("\",").filter_map(|part| part.split(['=', '!']).next());
            names
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect()
        });
        if is_whole {
            used.push((name.to_owned(), labels));
        }
        rest = after;
    }
    used
}

/// Every expression of both files, with where it stands.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let rules: Value = serde_norway::from_str(ALERTS).expect("alerts.yaml is YAML");
    for group in rules["groups"].as_array().expect("groups") {
        for rule in group["rules"].as_array().expect("rules") {
            let text = |name: &str| rule[name].as_str().unwrap_or_else(|| panic!("no {name}: {rule}"));
            for part in ["summary", "action"] {
                assert!(rule["annotations"][part].is_string(), "{rule}");
            }
            let severity = rule["labels"]["severity"].as_str();
            assert!(matches!(severity, Some("page" | "ticket")), "{rule}");
            found.push((text("alert").to_owned(), text("expr").to_owned()));
        }
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("dashboard.json is JSON");
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().expect("targets") {
            found.push((
                title.to_owned(),
                target["expr"].as_str().expect("an expression").to_owned(),
            ));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if let Some(query) = variable["query"]["query"].as_str() {
            found.push(("a variable".to_owned(), query.to_owned()));
        }
    }
    found
}

#[test]
fn every_metric_and_label_of_the_alerts_and_the_dashboard_exists() {
    let cluster = Cluster::of_three();
    cluster[0].ask("PUT", "/v1/kv/default/k", &[], b"v").expect(204);
    cluster[0].get("/v1/kv/default/k").expect(200);
    let known = metrics_of(&cluster[0].get("/metrics").expect(200).text());
    assert!(known.len() > 60, "{} metrics", known.len());
    let expressions = expressions();
    assert!(expressions.len() > 30, "{} expressions", expressions.len());
    let mut uses = 0;
    for (place, expression) in &expressions {
        let balance = |open: char, close: char| expression.matches(open).count() == expression.matches(close).count();
        assert!(
            balance('(', ')') && balance('{', '}') && balance('[', ']'),
            "{place}: {expression}"
        );
        for (name, labels) in used_in(expression) {
            uses += 1;
            let has = known
                .get(&name)
                .unwrap_or_else(|| panic!("{place} uses {name}, which no node has"));
            for label in labels {
                // Prometheus adds this one.
                assert!(
                    label == "instance" || has.contains(&label),
                    "{place} uses {name}{{{label}}}: {has:?}"
                );
            }
        }
    }
    assert!(uses > 40, "{uses} uses of metrics");
}

#[test]
fn a_name_that_no_node_has_and_a_label_that_no_series_has_are_seen() {
    let used = used_in("rate(torc_a_total{x=~\"1|2\",y!=\"3\"}[5m]) / torc_b > on (z) xtorc_c");
    let names: Vec<&str> = used.iter().map(|used| used.0.as_str()).collect();
    assert_eq!(names, ["torc_a_total", "torc_b"]);
    assert_eq!(used[0].1, ["x", "y"]);
}
