//! Random schemas and documents, judged by the compiled validator and by the `jsonschema` crate: both must agree.
//!
//! Where they are meant to differ, the generators keep away:
//! - `format`: asserted here in all drafts, and by code of our own for the common ones.
//! - Numbers beyond 2^53 and decimal fractions: exact here, 64-bit floats there. Fractions are multiples of 1/4.
//! - References that go in circles: an error here, undefined by the standard.
//! - Names that are there twice, and numbers out of a float's range: `serde_json` cannot hold them.

use std::{cell::RefCell, collections::BTreeSet};

use faultline_contracts::{
    document::{Limits, Parser},
    schema::{JsonSchema, SchemaError},
    validator::{Findings, Validator},
};
use jsonschema::error::ValidationErrorKind;
use proptest::{prelude::*, test_runner::Config};
use serde_json::{Map, Value, json};

/// Few names, so that schemas and documents meet; one that has to be escaped, two of the same length, an empty one.
const NAMES: [&str; 7] = ["a", "b", "id", "qty", "né\n", "items", ""];

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&NAMES[..]).prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-3_i64..8).prop_map(Value::from),
        2 => (-12_i64..32).prop_map(|quarters| json!(quarters as f64 / 4.0)),
        1 => Just(json!(9_007_199_254_740_992_i64)),
        1 => Just(json!(1e15)),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(&["", "a", "ab", "abc", "b1", "10115", "é", "日本語", "x y", "\"\\"][..])
        .prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        3 => number(),
        3 => text().prop_map(Value::from),
    ]
}

/// Documents without regard to a schema.
fn document() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..5).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn type_name() -> impl Strategy<Value = Value> {
    prop::sample::select(&["null", "boolean", "integer", "number", "string", "array", "object"][..])
        .prop_map(Value::from)
}

type Keyword = (String, Value);

fn about_strings() -> BoxedStrategy<Keyword> {
    let patterns = ["^a", "b", "^[a-z]+$", "^\\d{5}$", "^.$", "\\w", "^\\S*$", "é|本"];
    prop_oneof![
        prop::sample::select(patterns.to_vec()).prop_map(|pattern| ("pattern".into(), pattern.into())),
        (0_u64..4).prop_map(|n| ("minLength".into(), n.into())),
        (0_u64..4).prop_map(|n| ("maxLength".into(), n.into())),
    ]
    .boxed()
}

fn about_numbers() -> BoxedStrategy<Keyword> {
    prop_oneof![
        number().prop_map(|n| ("minimum".into(), n)),
        number().prop_map(|n| ("maximum".into(), n)),
        number().prop_map(|n| ("exclusiveMinimum".into(), n)),
        number().prop_map(|n| ("exclusiveMaximum".into(), n)),
        prop::sample::select(vec![json!(1), json!(2), json!(3.0), json!(0.25), json!(1.5)])
            .prop_map(|n| ("multipleOf".into(), n)),
    ]
    .boxed()
}

fn about_arrays() -> BoxedStrategy<Keyword> {
    prop_oneof![
        (0_u64..4).prop_map(|n| ("minItems".into(), n.into())),
        (0_u64..4).prop_map(|n| ("maxItems".into(), n.into())),
        any::<bool>().prop_map(|unique| ("uniqueItems".into(), unique.into())),
    ]
    .boxed()
}

fn about_objects() -> BoxedStrategy<Keyword> {
    prop_oneof![
        (0_u64..4).prop_map(|n| ("minProperties".into(), n.into())),
        (0_u64..4).prop_map(|n| ("maxProperties".into(), json!(n as f64))),
        prop::collection::btree_set(name(), 0..3).prop_map(|names| ("required".into(), json!(names))),
        Just(("additionalProperties".into(), json!(false))),
    ]
    .boxed()
}

/// One keyword about the value itself.
fn assertion() -> impl Strategy<Value = Keyword> {
    prop_oneof![
        6 => type_name().prop_map(|name| ("type".into(), name)),
        2 => prop::collection::btree_set(type_name().prop_map(|name| name.to_string()), 1..3).prop_map(|names| {
            let names: Vec<Value> = names.iter().map(|name| serde_json::from_str(name).unwrap()).collect();
            ("type".into(), names.into())
        }),
        2 => prop::collection::vec(document(), 1..4).prop_map(|values| ("enum".into(), distinct(values).into())),
        1 => document().prop_map(|value| ("const".into(), value)),
        4 => about_strings(),
        5 => about_numbers(),
        3 => about_arrays(),
        4 => about_objects(),
        1 => Just(("title".into(), json!("an annotation"))),
        1 => Just(("x-unknown".into(), json!({"$ref": 1}))),
    ]
}

/// A type, and keywords that are about it.
fn bounded() -> impl Strategy<Value = Value> {
    let of_type = |name: &'static str, about: BoxedStrategy<Keyword>| {
        prop::collection::vec(about, 1..4)
            .prop_map(move |keywords| keywords.into_iter().chain([("type".to_owned(), name.into())]).collect::<Value>())
    };
    prop_oneof![
        of_type("string", about_strings()),
        of_type("number", about_numbers()),
        of_type("integer", about_numbers()),
        of_type("array", about_arrays()),
        of_type("object", about_objects()),
    ]
}

fn distinct(values: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

/// One keyword that holds other schemas.
fn applicator(schema: BoxedStrategy<Value>) -> impl Strategy<Value = (String, Value)> {
    let several = prop::collection::vec(schema.clone(), 1..3);
    let by_name = prop::collection::btree_map(name(), schema.clone(), 0..5).prop_map(|named| json!(named));
    prop_oneof![
        8 => by_name.prop_map(|named| ("properties".into(), named)),
        4 => schema.clone().prop_map(|schema| ("items".into(), schema)),
        2 => several.clone().prop_map(|parts| ("allOf".into(), parts.into())),
        1 => several.clone().prop_map(|parts| ("anyOf".into(), parts.into())),
        1 => several.clone().prop_map(|parts| ("oneOf".into(), parts.into())),
        1 => schema.clone().prop_map(|schema| ("not".into(), schema)),
        1 => schema.clone().prop_map(|schema| ("if".into(), schema)),
        1 => schema.clone().prop_map(|schema| ("then".into(), schema)),
        1 => schema.clone().prop_map(|schema| ("else".into(), schema)),
        1 => schema.clone().prop_map(|schema| ("contains".into(), schema)),
        1 => schema.clone().prop_map(|schema| ("propertyNames".into(), schema)),
        1 => schema.clone().prop_map(|schema| ("additionalProperties".into(), schema)),
        1 => schema.clone().prop_map(|schema| ("patternProperties".into(), json!({"^i": schema}))),
        1 => several.prop_map(|parts| ("prefixItems".into(), parts.into())),
        1 => schema.clone().prop_map(|schema| ("additionalItems".into(), schema)),
        1 => Just(("dependentRequired".into(), json!({"a": ["b"]}))),
        1 => Just(("dependencies".into(), json!({"a": ["b"]}))),
        1 => schema.prop_map(|schema| ("unevaluatedProperties".into(), schema)),
        3 => prop::sample::select(&["#/$defs/x", "#/$defs/y", "#/definitions/z"][..])
            .prop_map(|reference| ("$ref".into(), reference.into())),
    ]
}

fn schema() -> BoxedStrategy<Value> {
    let keywords = |members: Vec<(String, Value)>| Value::Object(members.into_iter().collect::<Map<_, _>>());
    let leaf = prop_oneof![
        20 => bounded(),
        10 => prop::collection::vec(assertion(), 0..4).prop_map(keywords),
        1 => any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        let inner = inner.boxed();
        (prop::collection::vec(assertion(), 0..3), prop::collection::vec(applicator(inner), 1..4))
            .prop_map(move |(assertions, applicators)| keywords(assertions.into_iter().chain(applicators).collect()))
    })
    .boxed()
}

/// A whole schema of one of two drafts, whose `x` and `y` refer to one another.
fn root() -> impl Strategy<Value = Value> {
    (schema(), schema(), schema(), schema(), any::<bool>()).prop_map(|(root, x, y, z, old)| {
        let mut root = match root {
            Value::Object(keywords) => keywords,
            boolean => Map::from_iter([("not".to_owned(), json!({"not": boolean}))]),
        };
        let draft = if old {
            "http://json-schema.org/draft-07/schema#"
        } else {
            "https://json-schema.org/draft/2020-12/schema"
        };
        root.insert("$schema".into(), draft.into());
        root.insert("$defs".into(), json!({"x": x, "y": y}));
        root.insert("definitions".into(), json!({"z": z}));
        Value::Object(root)
    })
}

/// A document that keeps much of the schema: `choices` decide where the schema leaves room and where it is broken.
fn instance(schema: &Value, root: &Value, choices: &mut impl Iterator<Item = u8>, depth: usize) -> Value {
    let choice = choices.next().unwrap_or(0);
    let Value::Object(keywords) = schema else { return json!(choice % 4) };
    if choice >= 240 || depth > 4 {
        return [json!(null), json!("é"), json!(1.5), json!([]), json!({"extra": 1})][choice as usize % 5].clone();
    }
    if let Some(target) = keywords.get("$ref").and_then(Value::as_str).and_then(|target| root.pointer(&target[1..])) {
        return instance(target, root, choices, depth + 1);
    }
    if let Some(value) = keywords.get("const") {
        return value.clone();
    }
    if let Some(values) = keywords.get("enum").and_then(Value::as_array) {
        return values[choice as usize % values.len()].clone();
    }
    let types = keywords.get("type");
    let named =
        types.and_then(|types| types.as_str().or_else(|| types[choice as usize % types.as_array()?.len()].as_str()));
    let guessed =
        if keywords.contains_key("items") || keywords.contains_key("prefixItems") { "array" } else { "object" };
    match named.unwrap_or(guessed) {
        "null" => Value::Null,
        "boolean" => json!(choice % 2 == 0),
        "integer" => json!(i64::from(choice % 12) - 3),
        "number" => json!(f64::from(choice % 44) / 4.0 - 3.0),
        "string" => json!(["a", "ab", "abc", "10115", "b1", "", "日本語", "é"][choice as usize % 8]),
        "array" => {
            let items = keywords.get("items").filter(|items| items.is_object()).unwrap_or(&Value::Null);
            let length = choices.next().unwrap_or(0) % 5;
            (0..length).map(|_| instance(items, root, choices, depth + 1)).collect()
        }
        _ => {
            let properties = keywords.get("properties").and_then(Value::as_object);
            let declared = properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema));
            let required = keywords.get("required").and_then(Value::as_array).into_iter().flatten();
            let all: BTreeSet<&str> =
                declared.clone().map(|(name, _)| name).chain(required.filter_map(Value::as_str)).collect();
            let mut members = Map::new();
            let extra = ["", "id", "qty"].get(choice as usize % 12);
            for name in all.into_iter().chain(extra.copied()) {
                if choices.next().unwrap_or(0) < 220 {
                    let schema = properties.and_then(|properties| properties.get(name)).unwrap_or(&Value::Null);
                    members.insert(name.to_owned(), instance(schema, root, choices, depth + 1));
                }
            }
            Value::Object(members)
        }
    }
}

/// The keywords whose failures both judges report as such wherever they stand, as kinds of reason codes.
fn kind(error: &ValidationErrorKind) -> Option<&'static str> {
    use ValidationErrorKind as Kind;
    Some(match error {
        Kind::Required { .. } => "MISSING_FIELD",
        Kind::Type { .. } => "TYPE_MISMATCH",
        Kind::Enum { .. } | Kind::Constant { .. } => "ENUM_VIOLATION",
        Kind::Pattern { .. } => "PATTERN_MISMATCH",
        Kind::MinLength { .. } | Kind::MaxLength { .. } => "LENGTH_VIOLATION",
        Kind::Minimum { .. }
        | Kind::Maximum { .. }
        | Kind::ExclusiveMinimum { .. }
        | Kind::ExclusiveMaximum { .. }
        | Kind::MultipleOf { .. } => "OUT_OF_RANGE",
        Kind::MinItems { .. } | Kind::MaxItems { .. } | Kind::UniqueItems => "ITEMS_VIOLATION",
        _ => return None,
    })
}

thread_local! {
    /// How many documents passed and failed: a test in which one side never comes up proves nothing.
    static SEEN: RefCell<[u32; 2]> = const { RefCell::new([0; 2]) };
}

fn compare(schema: &Value, documents: &[Value]) -> Result<(), TestCaseError> {
    let oracle = jsonschema::options().offline().should_validate_formats(true).build(schema);
    let oracle = oracle.map_err(|error| TestCaseError::fail(error.to_string()))?;
    let compiled = match JsonSchema::compile_value(schema) {
        Ok(compiled) => compiled,
        Err(SchemaError::Circular(_)) => return Ok(()),
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
    };
    prop_assert!(compiled.unsupported.is_empty(), "{:?}", compiled.unsupported);
    let validator = Validator::compile(Some(&compiled.rule), None);
    let (mut parser, mut findings) = (Parser::new(Limits::default()), Findings::new(1_000));
    for document in documents {
        let text = document.to_string();
        findings.clear();
        validator.check(&parser.parse(text.as_bytes()).unwrap(), &mut findings);
        let valid = oracle.is_valid(document);
        prop_assert_eq!(findings.is_empty(), valid, "{}\n{}\n{:?}", schema, text, findings.reason_codes());
        let ours: BTreeSet<&str> = findings.reason_codes().iter().map(|code| code.kind()).collect();
        // The crate lists a required name as missing where it is there and `additionalProperties: false` forbids it.
        let is_true = |error: &jsonschema::ValidationError<'_>| match error.kind() {
            ValidationErrorKind::Required { property } => error.instance().get(property.as_str().unwrap()).is_none(),
            _ => true,
        };
        let errors = oracle.iter_errors(document).filter(is_true);
        let theirs: BTreeSet<&str> = errors.filter_map(|error| kind(error.kind())).collect();
        prop_assert!(ours.is_superset(&theirs), "{}\n{}\n{:?} {:?}", schema, text, ours, theirs);
        SEEN.with_borrow_mut(|seen| seen[usize::from(valid)] += 1);
    }
    Ok(())
}

#[test]
fn the_validator_agrees_with_the_jsonschema_crate() {
    let config = Config { cases: 1_500, failure_persistence: None, ..Config::default() };
    let strategy = (root(), prop::collection::vec(any::<u8>(), 120), document());
    let result = proptest::test_runner::TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    )
    .run(&strategy, |(schema, choices, random)| {
        let mut choices = choices.into_iter();
        let near: Vec<Value> = (0..4).map(|_| instance(&schema, &schema, &mut choices, 0)).chain([random]).collect();
        compare(&schema, &near)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let [failed, passed] = SEEN.take();
    assert!(failed > 1_000 && passed > 1_000, "{failed} failed, {passed} passed");
}
