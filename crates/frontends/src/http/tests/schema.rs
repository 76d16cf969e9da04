//! As much of JSON Schema as the OpenAPI document uses, to hold bodies against it.

use serde_json::Value;

use crate::http::openapi_document;

/// What is wrong with `value`, or nothing.
pub(crate) fn check(value: &Value, schema: &Value) -> Result<(), String> {
    let document = openapi_document();
    check_at("$", value, schema, &document)
}

fn check_at(at: &str, value: &Value, schema: &Value, document: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document
            .pointer(&reference[1..])
            .ok_or(format!("{reference} leads nowhere"))?;
        return check_at(at, value, target, document);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices
            .iter()
            .filter(|choice| check_at(at, value, choice, document).is_ok());
        return match fits.count() {
            1 => Ok(()),
            count => Err(format!("{at}: {count} of the choices fit {value}")),
        };
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        return Err(format!("{at}: {value} is none of {values:?}"));
    }
    let types = match &schema["type"] {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    if !types.is_empty() && !types.iter().any(|name| is_of(value, name)) {
        return Err(format!("{at}: {value} is no {types:?}"));
    }
    if let Value::Array(items) = value {
        for (index, item) in items.iter().enumerate() {
            check_at(&format!("{at}[{index}]"), item, &schema["items"], document)?;
        }
    }
    let Value::Object(fields) = value else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if !fields.contains_key(name) {
            return Err(format!("{at}: '{name}' is missing"));
        }
    }
    for (name, field) in fields {
        match schema["properties"].get(name) {
            Some(schema) => check_at(&format!("{at}.{name}"), field, schema, document)?,
            None if schema["additionalProperties"] == Value::Bool(false) => {
                return Err(format!("{at}: '{name}' is not documented"));
            }
            None => {}
        }
    }
    Ok(())
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the document uses the type {other}"),
    }
}

#[test]
fn a_document_that_does_not_fit_is_noticed() {
    use serde_json::json;
    let error = json!({ "$ref": "#/components/schemas/Error" });
    let good = json!({ "error": "busy", "message": "m", "outcome": "not_applied", "retry_after_ms": 5 });
    assert_eq!(check(&good, &error), Ok(()));
    for (name, bad) in [
        ("error", json!("bsy")),
        ("message", json!(7)),
        ("outcome", json!(null)),
        ("more", json!(1)),
        ("retry_after_ms", json!(1.5)),
    ] {
        let mut body = good.clone();
        body[name] = bad;
        assert!(check(&body, &error).is_err(), "{body}");
    }
}
