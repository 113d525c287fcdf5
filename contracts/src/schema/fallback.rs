//! What is left to the `jsonschema` crate.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use jsonschema::{Draft, PatternOptions, ValidationOptions, error::ValidationErrorKind};
use serde_json::{Map, Value};

use super::SchemaError;
use crate::validator::rule::{Format, Subschema};

/// The formats that the validator checks itself.
pub(super) fn native_format(name: &str) -> Option<Format> {
    Some(match name {
        "date-time" => Format::Rfc3339DateTime,
        "date" => Format::Date,
        "time" => Format::Rfc3339Time,
        "email" => Format::Email,
        "uuid" => Format::Uuid,
        "uri" => Format::Uri,
        "hostname" => Format::Hostname,
        "ipv4" => Format::Ipv4,
        "ipv6" => Format::Ipv6,
        _ => return None,
    })
}

/// Offline, formats asserted, and those that are known natively checked by the same code.
pub(super) fn options(draft: Draft) -> ValidationOptions<'static> {
    let options = jsonschema::options().with_draft(draft).offline().should_validate_formats(true);
    ["date-time", "date", "time", "email", "uuid", "uri", "hostname", "ipv4", "ipv6"].into_iter().fold(
        options,
        |options, name| match native_format(name) {
            Some(format) => options.with_format(name, move |text: &str| format.admits(text)),
            None => options,
        },
    )
}

/// Whether the `jsonschema` crate would check this format.
pub(super) fn is_known_format(draft: Draft, name: &str) -> bool {
    static OPTIONS: LazyLock<ValidationOptions<'static>> = LazyLock::new(jsonschema::options);
    OPTIONS.is_known_format(draft, name)
}

/// Compiles the whole schema once, to find references that lead nowhere. With the engine that takes all patterns,
/// because what is compiled here judges nothing.
pub(super) fn check_references(schema: &Value, draft: Draft) -> Result<(), SchemaError> {
    match options(draft).build(schema) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            ValidationErrorKind::Referencing(inner) => SchemaError::Reference(inner.to_string()),
            _ => SchemaError::Invalid { path: error.instance_path().as_str().to_owned(), message: error.to_string() },
        }),
    }
}

/// Compiles a part of a schema, or all of it, with a regex engine of linear time.
///
/// # Errors
/// Says why it cannot be.
pub(super) fn compile(
    part: Value,
    root: &Value,
    draft: Draft,
    names: &Arc<BTreeSet<String>>,
) -> Result<Arc<Subschema>, String> {
    let document = match part {
        Value::Object(keywords) => Value::Object(with_definitions(keywords, root)),
        boolean => boolean,
    };
    let validator = options(draft)
        .with_pattern_options(PatternOptions::regex())
        .build(&document)
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(Subschema { validator, names: Arc::clone(names) }))
}

/// Adds what references may lead to.
fn with_definitions(mut keywords: Map<String, Value>, root: &Value) -> Map<String, Value> {
    for definitions in ["$defs", "definitions", "$schema"] {
        if let Some(value) = root.get(definitions) {
            // References start at the root: definitions of a part's own are not what they mean.
            keywords.insert(definitions.to_owned(), value.clone());
        }
    }
    keywords
}

/// The property names that a schema declares anywhere.
pub(super) fn declared_names(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| declared_names(item, names)),
        Value::Object(keywords) => {
            if let Some(Value::Object(properties)) = keywords.get("properties") {
                names.extend(properties.keys().cloned());
            }
            keywords.values().for_each(|value| declared_names(value, names));
        }
        _ => {}
    }
}

/// Whether the parts of a schema mean the same when they are taken out of it with its definitions: its references
/// all lead into those, and nothing in it changes what references mean.
pub(super) fn can_be_taken_apart(schema: &Value) -> bool {
    fn is_plain(value: &Value, is_root: bool) -> bool {
        match value {
            Value::Array(items) => items.iter().all(|item| is_plain(item, false)),
            Value::Object(keywords) => keywords.iter().all(|(keyword, value)| {
                let moves = match (keyword.as_str(), value) {
                    ("$id" | "id", Value::String(_)) => !is_root,
                    ("$anchor" | "$dynamicAnchor" | "$dynamicRef" | "$recursiveRef" | "$recursiveAnchor", value) => {
                        !value.is_object()
                    }
                    ("$ref", Value::String(target)) => {
                        !(target.starts_with("#/$defs/") || target.starts_with("#/definitions/"))
                            || target.contains('%')
                    }
                    _ => false,
                };
                !moves && is_plain(value, false)
            }),
            _ => true,
        }
    }
    is_plain(schema, true)
}
