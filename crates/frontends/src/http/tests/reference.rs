//! docs/http.md against the table and the schemas: what there is stands in it, and its examples are legal.

use serde_json::{Value, json};

use crate::http::openapi_document;
use crate::http::problem::Code;
use crate::http::table::RESOURCES;
use crate::http::tests::schema;

const REFERENCE: &str = include_str!("../../../../../docs/http.md");

#[test]
fn every_path_parameter_header_and_error_stands_in_the_reference() {
    for resource in RESOURCES {
        let path = resource.prefix.trim_end_matches('/');
        assert!(REFERENCE.contains(path), "{path}");
        for operation in resource.operations {
            for parameter in operation.parameters {
                let name = parameter.name();
                let is_there = REFERENCE.contains(&format!("`{name}`"));
                assert!(is_there, "the parameter {name}");
            }
        }
    }
    for code in Code::ALL {
        let row = format!("| {} | `{}` |", code.status().as_u16(), code.text());
        assert!(REFERENCE.contains(&row), "{row}");
    }
    let document = openapi_document().to_string();
    for name in [
        "Torc-Context",
        "Torc-Answered",
        "Torc-Sloppy",
        "Torc-Expires",
        "Torc-Request-Id",
        "Retry-After",
    ] {
        assert!(
            REFERENCE.contains(&format!("`{name}")) && document.contains(name),
            "{name}"
        );
    }
}

#[test]
fn every_example_of_the_reference_fits_a_schema() {
    let document = openapi_document();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let mut used = Vec::new();
    for example in REFERENCE.split("```json\n").skip(1) {
        let text = example.split("```").next().expect("the end of the example");
        let body: Value = serde_json::from_str(text).expect(text);
        let fits = |name: &&String| {
            // Any object is a document, so that one says nothing.
            let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
            *name != "Document" && schema::check(&body, &schema).is_ok()
        };
        match schemas.keys().find(fits) {
            Some(name) => used.push(name.clone()),
            None => panic!("this fits nothing: {text}"),
        }
    }
    for name in [
        "Siblings",
        "SortKeysPage",
        "KeysPage",
        "BatchRequest",
        "BatchResults",
        "Error",
        "Bucket",
        "Cluster",
        "Ring",
        "Status",
        "Inspected",
        "ContextParts",
        "Faults",
        "PaceChange",
    ] {
        assert!(used.iter().any(|known| known == name), "no example of {name}");
    }
}
