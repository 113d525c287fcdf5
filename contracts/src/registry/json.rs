//! JSON Schemas with references to other registered ones: put together into one document.

use serde_json::{Map, Value};

use super::ReferencedSchema;

/// Keywords whose values are data, not schemas.
const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];

/// Keywords whose values are schemas by name: the names are no keywords, whatever they are.
const NAMED: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// A referenced document.
struct Referenced<'a> {
    name: &'a str,
    /// What it calls itself.
    id: Option<String>,
    /// Where it goes in the bundle, as a JSON Pointer.
    place: String,
}

/// The schema with all that it refers to under its `$defs`, and references that lead there.
///
/// # Errors
/// One of the texts is not JSON.
pub(super) fn bundle(text: &str, references: &[ReferencedSchema]) -> Result<Value, String> {
    let mut root: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    if references.is_empty() {
        return Ok(root);
    }
    let mut documents = Vec::with_capacity(references.len());
    let mut known = Vec::with_capacity(references.len());
    for (index, reference) in references.iter().enumerate() {
        let document: Value = serde_json::from_str(&reference.text)
            .map_err(|error| format!("the schema that is referred to as '{}' is not JSON: {error}", reference.name))?;
        let id = document.get("$id").and_then(Value::as_str).map(|id| id.trim_end_matches('#').to_owned());
        known.push(Referenced { name: &reference.name, id, place: format!("/$defs/referenced-{index}") });
        documents.push(document);
    }
    redirect(&mut root, "", &known);
    for (document, at) in documents.iter_mut().zip(&known) {
        redirect(document, &at.place, &known);
        if let Value::Object(keywords) = document {
            // It is a part now: what it calls itself would move its references elsewhere.
            ["$id", "$schema"].iter().for_each(|keyword| _ = keywords.remove(*keyword));
        }
    }
    let Value::Object(keywords) = &mut root else { return Ok(root) };
    let definitions = keywords.entry("$defs").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(definitions) = definitions {
        for (index, document) in documents.into_iter().enumerate() {
            definitions.insert(format!("referenced-{index}"), document);
        }
    }
    Ok(root)
}

/// Turns the references of a schema, or of an array of them, in a document that now lies at `place`.
fn redirect(value: &mut Value, place: &str, known: &[Referenced<'_>]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| redirect(item, place, known)),
        Value::Object(keywords) => {
            for (keyword, value) in keywords {
                match value {
                    Value::String(target) if keyword == "$ref" => {
                        if let Some(turned) = turned(target, place, known) {
                            *target = turned;
                        }
                    }
                    _ if DATA.contains(&keyword.as_str()) => {}
                    Value::Object(schemas) if NAMED.contains(&keyword.as_str()) => {
                        schemas.values_mut().for_each(|schema| redirect(schema, place, known));
                    }
                    value => redirect(value, place, known),
                }
            }
        }
        _ => {}
    }
}

fn turned(target: &str, place: &str, known: &[Referenced<'_>]) -> Option<String> {
    let (uri, fragment) = target.split_once('#').unwrap_or((target, ""));
    if uri.is_empty() {
        return Some(format!("#{place}{fragment}"));
    }
    // By name, by what it calls itself, or by the last part of either, as relative references have it.
    let tail = |name: &str| name.strip_suffix(uri).is_some_and(|before| before.ends_with('/'));
    let exact = known.iter().find(|one| one.name == uri || one.id.as_deref() == Some(uri));
    let found = exact.or_else(|| known.iter().find(|one| tail(one.name) || one.id.as_deref().is_some_and(tail)));
    found.map(|found| format!("#{}{fragment}", found.place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{Limits, Parser},
        schema::JsonSchema,
        validator::{Findings, Validator},
    };

    fn reference(name: &str, text: &str) -> ReferencedSchema {
        ReferencedSchema { name: name.into(), text: text.into() }
    }

    #[test]
    fn references_lead_to_other_documents_and_within_them() {
        let root = r##"{"$id": "https://a.example/order.json", "properties": {
            "to": {"$ref": "address.json"}, "sum": {"$ref": "https://b.example/money.json#/$defs/sum"},
            "note": {"const": {"$ref": "address.json"}}, "self": {"$ref": "#/$defs/short"}},
            "$defs": {"short": {"maxLength": 2}}}"##;
        let references = [
            reference(
                "address.json",
                r#"{"$id": "https://a.example/address.json", "required": ["zip"],
                "properties": {"zip": {"$ref": "zip.json"}}}"#,
            ),
            reference("zip.json", r##"{"$ref": "#/definitions/zip", "definitions": {"zip": {"type": "string"}}}"##),
            reference("money", r#"{"$id": "https://b.example/money.json", "$defs": {"sum": {"minimum": 0}}}"#),
        ];
        let schema = JsonSchema::compile_value(&bundle(root, &references).unwrap()).unwrap();
        let validator = Validator::compile(Some(&schema.rule), None);
        let mut parser = Parser::new(Limits::default());
        let mut codes = |record: &str| {
            let mut findings = Findings::default();
            validator.check(&parser.parse(record.as_bytes()).unwrap(), &mut findings);
            findings.reason_codes().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(codes(r#"{"to": {"zip": "1"}, "sum": 1, "self": "ab", "note": {"$ref": "address.json"}}"#).is_empty());
        assert_eq!(codes(r#"{"to": {}}"#), ["MISSING_FIELD:to.zip"]);
        assert_eq!(codes(r#"{"to": {"zip": 1}, "sum": -1}"#), ["OUT_OF_RANGE:sum", "TYPE_MISMATCH:to.zip"]);
        assert_eq!(codes(r#"{"self": "abc"}"#), ["LENGTH_VIOLATION:self"]);
    }

    /// Properties may be called as keywords are: `default`, `$ref`, `properties`.
    #[test]
    fn names_are_no_keywords() {
        let reference = |text: &str| reference("part.json", text);
        for named in NAMED {
            for name in ["default", "const", "enum", "examples", "$ref", "properties", "any"] {
                let part =
                    format!(r##"{{"{named}": {{"{name}": {{"$ref": "#/$defs/x", "default": {{"$ref": "#/a"}}}}}}}}"##);
                let bundled = bundle(r##"{"$defs": {"x": {}}}"##, &[reference(&part)]).unwrap();
                let schema = &bundled["$defs"]["referenced-0"][named][name];
                assert_eq!(schema["$ref"], "#/$defs/referenced-0/$defs/x", "{named} {name}");
                assert_eq!(schema["default"]["$ref"], "#/a", "{named} {name}");
            }
        }
        // Strings among names are no references, and arrays of names no schemas.
        let part = r##"{"dependencies": {"$ref": ["#/a"], "a": ["b"]}, "items": [{"$ref": "#/b"}],
            "properties": {"$ref": "#/a", "properties": {"properties": {"$ref": {"$ref": "#"}}}}}"##;
        let bundled = bundle("{}", &[reference(part)]).unwrap();
        let expected: Value = serde_json::from_str(
            r##"{"dependencies": {"$ref": ["#/a"], "a": ["b"]}, "items": [{"$ref": "#/$defs/referenced-0/b"}],
            "properties": {"$ref": "#/a", "properties": {"properties": {"$ref": {"$ref": "#/$defs/referenced-0"}}}}}"##,
        )
        .unwrap();
        assert_eq!(bundled["$defs"]["referenced-0"], expected);
    }

    #[test]
    fn a_property_called_default_is_judged_by_its_own_document() {
        let root = r##"{"properties": {"default": {"$ref": "part.json"}}, "$defs": {"x": {"type": "string"}}}"##;
        let part = r##"{"properties": {"const": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "integer"}}}"##;
        let bundled = bundle(root, &[reference("part.json", part)]).unwrap();
        let schema = JsonSchema::compile_value(&bundled).unwrap();
        let validator = Validator::compile(Some(&schema.rule), None);
        let mut findings = Findings::default();
        let mut parser = Parser::new(Limits::default());
        validator.check(&parser.parse(br#"{"default": {"const": "text"}}"#).unwrap(), &mut findings);
        let codes: Vec<String> = findings.reason_codes().iter().map(ToString::to_string).collect();
        assert_eq!(codes, ["TYPE_MISMATCH:default.const"]);
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        let root = r#"{"$ref": "elsewhere.json"}"#;
        let bundled = bundle(root, &[reference("other.json", "{}")]).unwrap();
        assert!(JsonSchema::compile_value(&bundled).is_err());
        assert!(bundle("{", &[]).is_err());
        assert!(bundle("{}", &[reference("a", "{")]).unwrap_err().contains("'a'"));
    }
}
