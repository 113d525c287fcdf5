//! From keywords to rules.

use std::{collections::BTreeSet, sync::Arc};

use jsonschema::Draft;
use regex::Regex;
use serde_json::{Map, Value};

use super::{CompiledSchema, fallback, overlay::overlay};
use crate::validator::{
    Unsupported,
    rule::{Check, Decimal, FieldRule, JsonTypes, ObjectRule, Presence, ValueRule},
};

/// Deepest nesting of rules, references followed. What lies deeper is left to the `jsonschema` crate.
const MAX_DEPTH: usize = 64;
/// Most rules of a schema: references to references to references can stand for very many.
const MAX_RULES: usize = 20_000;

/// Keywords without a rule of their own, each left to the `jsonschema` crate. `items` and `additionalProperties` are
/// among them in some of their forms. Keywords in neither list are annotations.
const FOREIGN: [&str; 19] = [
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependentRequired",
    "dependencies",
    "prefixItems",
    "additionalItems",
    "contains",
    "minContains",
    "maxContains",
    "patternProperties",
    "propertyNames",
    "contentEncoding",
    "contentMediaType",
    "$recursiveRef",
];

/// Reduces a schema that is valid, and whose references lead somewhere, to rules.
pub(super) fn translate(schema: &Value, draft: Draft) -> CompiledSchema {
    let mut names = BTreeSet::new();
    fallback::declared_names(schema, &mut names);
    let mut translator = Translator {
        root: schema,
        draft,
        names: Arc::new(names),
        unsupported: Vec::new(),
        rules: 0,
        references: Vec::new(),
    };
    let rule = if draft == Draft::Draft4 || !fallback::can_be_taken_apart(schema) {
        translator.leave(schema.clone(), "")
    } else {
        translator.rule(schema, "", 0)
    };
    CompiledSchema { rule, unsupported: translator.unsupported }
}

struct Translator<'s> {
    root: &'s Value,
    draft: Draft,
    names: Arc<BTreeSet<String>>,
    unsupported: Vec<Unsupported>,
    rules: usize,
    /// The references that are being followed.
    references: Vec<&'s str>,
}

impl<'s> Translator<'s> {
    /// The rule for values at `path`.
    fn rule(&mut self, schema: &'s Value, path: &str, depth: usize) -> ValueRule {
        self.rules += 1;
        let keywords = match schema {
            Value::Bool(true) => return ValueRule::default(),
            Value::Object(keywords) if depth <= MAX_DEPTH && self.rules <= MAX_RULES => keywords,
            other => return self.leave(other.clone(), path),
        };
        if keywords.contains_key("unevaluatedProperties") || keywords.contains_key("unevaluatedItems") {
            // What is evaluated depends on all keywords beside it.
            return self.leave(schema.clone(), path);
        }
        let alone = self.draft <= Draft::Draft7 && keywords.contains_key("$ref");
        let mut rule = ValueRule::default();
        let mut rest = Map::new();
        if !alone {
            self.assertions(keywords, path, &mut rule, &mut rest);
            self.object(keywords, path, depth, &mut rule, &mut rest);
            self.items(keywords, path, depth, &mut rule, &mut rest);
            for keyword in FOREIGN {
                if let Some(value) = keywords.get(keyword) {
                    rest.insert(keyword.to_owned(), value.clone());
                }
            }
            if let Some(Value::Array(parts)) = keywords.get("allOf") {
                self.lay_over("allOf", parts.iter().collect(), path, depth, &mut rule, &mut rest, &keywords["allOf"]);
            }
        }
        if let Some(target @ Value::String(reference)) = keywords.get("$ref") {
            match self.follow(reference) {
                Some(found) => {
                    self.references.push(reference);
                    self.lay_over("$ref", vec![found], path, depth, &mut rule, &mut rest, target);
                    self.references.pop();
                }
                None => {
                    rest.insert("$ref".to_owned(), target.clone());
                }
            }
        }
        if !rest.is_empty() {
            rule.checks.extend(self.leave(Value::Object(rest), path).checks);
        }
        rule
    }

    /// Leaves a part to the `jsonschema` crate, or reports that it cannot be judged at all.
    fn leave(&mut self, part: Value, path: &str) -> ValueRule {
        let keyword = match &part {
            Value::Object(keywords) => keywords.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            _ => "false".to_owned(),
        };
        match fallback::compile(part, self.root, self.draft, &self.names) {
            Ok(subschema) => ValueRule { checks: vec![Check::JsonSchema(subschema)], ..ValueRule::default() },
            Err(reason) => {
                self.report(path, &keyword, reason);
                ValueRule::default()
            }
        }
    }

    fn report(&mut self, path: &str, keyword: &str, reason: String) {
        let path = if path.is_empty() { "$" } else { path };
        self.unsupported.push(Unsupported { path: path.to_owned(), keyword: keyword.to_owned(), reason });
    }

    /// Where a reference leads, unless it is being followed already: then it is recursive, and no finite rule is its
    /// equal.
    fn follow(&self, reference: &str) -> Option<&'s Value> {
        if self.references.contains(&reference) {
            return None;
        }
        self.root.pointer(reference.strip_prefix('#')?)
    }

    /// Lays the rules of `parts` over `rule`, or leaves the keyword that they are of.
    #[allow(clippy::too_many_arguments)]
    fn lay_over(
        &mut self,
        keyword: &str,
        parts: Vec<&'s Value>,
        path: &str,
        depth: usize,
        rule: &mut ValueRule,
        rest: &mut Map<String, Value>,
        value: &Value,
    ) {
        let reported = self.unsupported.len();
        let laid = parts.into_iter().try_fold(rule.clone(), |below, part| {
            let above = self.rule(part, path, depth + 1);
            overlay(&below, &above)
        });
        match laid {
            Some(laid) => *rule = laid,
            None => {
                self.unsupported.truncate(reported);
                rest.insert(keyword.to_owned(), value.clone());
            }
        }
    }

    /// The keywords that say something about the value itself.
    fn assertions(
        &mut self,
        keywords: &'s Map<String, Value>,
        path: &str,
        rule: &mut ValueRule,
        rest: &mut Map<String, Value>,
    ) {
        for (keyword, value) in keywords {
            let bound = || Decimal(value.to_string());
            let check = match keyword.as_str() {
                "type" => {
                    rule.types = types(value);
                    continue;
                }
                "enum" => Check::OneOf(value.as_array().cloned().unwrap_or_default()),
                "const" => Check::OneOf(vec![value.clone()]),
                "pattern" => match pattern(value.as_str().unwrap_or_default()) {
                    Ok(pattern) => Check::Pattern(pattern),
                    Err(reason) => {
                        self.report(path, keyword, reason);
                        continue;
                    }
                },
                "format" => {
                    let name = value.as_str().unwrap_or_default();
                    match fallback::native_format(name) {
                        Some(format) => Check::Format(format),
                        None => {
                            if fallback::is_known_format(self.draft, name) {
                                rest.insert(keyword.clone(), value.clone());
                            }
                            continue;
                        }
                    }
                }
                "minLength" => Check::MinLength(count(value)),
                "maxLength" => Check::MaxLength(count(value)),
                "minimum" => Check::Minimum(bound()),
                "maximum" => Check::Maximum(bound()),
                "exclusiveMinimum" => Check::ExclusiveMinimum(bound()),
                "exclusiveMaximum" => Check::ExclusiveMaximum(bound()),
                "multipleOf" => Check::MultipleOf(bound()),
                "minItems" => Check::MinItems(count(value)),
                "maxItems" => Check::MaxItems(count(value)),
                "uniqueItems" if *value == Value::Bool(true) => Check::UniqueItems,
                "minProperties" => Check::MinProperties(count(value)),
                "maxProperties" => Check::MaxProperties(count(value)),
                _ => continue,
            };
            rule.checks.push(check);
        }
    }

    fn object(
        &mut self,
        keywords: &'s Map<String, Value>,
        path: &str,
        depth: usize,
        rule: &mut ValueRule,
        rest: &mut Map<String, Value>,
    ) {
        let mut object = ObjectRule::default();
        let properties = keywords.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let value = self.rule(schema, &path, depth + 1);
            object.fields.push(FieldRule { name: name.clone(), presence: Presence::Optional, value });
        }
        let mut declares_all = true;
        for name in keywords.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            match object.fields.iter_mut().find(|field| field.name == name) {
                Some(field) => field.presence = Presence::Required,
                None => {
                    declares_all = false;
                    let (name, value) = (name.to_owned(), ValueRule::default());
                    object.fields.push(FieldRule { name, presence: Presence::Required, value });
                }
            }
        }
        match keywords.get("additionalProperties") {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) if declares_all && !keywords.contains_key("patternProperties") => {
                object.closed = true;
            }
            Some(schema) => {
                // It is about the properties that are not declared, so it must know which are.
                let names = properties.into_iter().flatten().map(|(name, _)| (name.clone(), Value::Bool(true)));
                rest.insert("properties".to_owned(), Value::Object(names.collect()));
                rest.insert("additionalProperties".to_owned(), schema.clone());
            }
        }
        if object.closed || !object.fields.is_empty() {
            rule.object = Some(object);
        }
    }

    fn items(
        &mut self,
        keywords: &'s Map<String, Value>,
        path: &str,
        depth: usize,
        rule: &mut ValueRule,
        rest: &mut Map<String, Value>,
    ) {
        let Some(schema) = keywords.get("items") else { return };
        let is_tuple = schema.is_array() || keywords.contains_key("prefixItems") && self.draft >= Draft::Draft202012;
        if is_tuple {
            rest.insert("items".to_owned(), schema.clone());
        } else if *schema != Value::Bool(true) {
            rule.items = Some(Box::new(self.rule(schema, &format!("{path}[]"), depth + 1)));
        }
    }
}

fn types(value: &Value) -> JsonTypes {
    let names = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    names.iter().filter_map(Value::as_str).fold(JsonTypes::default(), |types, name| {
        types.or(match name {
            "null" => JsonTypes::NULL,
            "boolean" => JsonTypes::BOOLEAN,
            "integer" => JsonTypes::INTEGER,
            "number" => JsonTypes::NUMBER,
            "string" => JsonTypes::STRING,
            "array" => JsonTypes::ARRAY,
            "object" => JsonTypes::OBJECT,
            _ => JsonTypes::default(),
        })
    })
}

/// A length: an integer that is not negative, which may be written `2.0`.
fn count(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_f64().map(|float| float as u64)).unwrap_or(0)
}

/// An ECMA-262 pattern for the `regex` crate.
///
/// # Errors
/// Says that it needs an engine that goes back.
fn pattern(pattern: &str) -> Result<Regex, String> {
    let translated =
        jsonschema_regex::to_rust_regex(pattern).map_err(|()| format!("'{pattern}' is not a pattern of ECMA-262"))?;
    Regex::new(&translated).map_err(|_| {
        format!("'{pattern}' cannot be matched in linear time (look-around, back-reference) or is too large")
    })
}
