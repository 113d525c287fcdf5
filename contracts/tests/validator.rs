//! What records are told about the rules that they break.

use faultline_contracts::{
    document::{Limits, Parser},
    evidence::Gate,
    reason::ReasonCode,
    schema::{JsonSchema, SchemaError},
    validator::{
        Findings, Validator,
        rule::{Check, Decimal, FieldRule, Format, JsonTypes, ObjectRule, Presence, ValueRule},
    },
};
use serde_json::{Value, json};

fn findings(validator: &Validator, document: &str) -> Findings {
    let (mut parser, mut findings) = (Parser::new(Limits::default()), Findings::default());
    validator.check(&parser.parse(document.as_bytes()).unwrap(), &mut findings);
    findings
}

fn codes(findings: &Findings) -> Vec<&str> {
    findings.reason_codes().iter().map(ReasonCode::as_str).collect()
}

fn validator(schema: &Value) -> Validator {
    let compiled = JsonSchema::compile_value(schema).unwrap();
    assert_eq!(compiled.unsupported, []);
    Validator::compile(Some(&compiled.rule), None)
}

/// Each document with the codes that it gives, joined with blanks.
#[track_caller]
fn assert_codes(schema: Value, expected: &[(&str, &str)]) {
    let validator = validator(&schema);
    for (document, codes_of_it) in expected {
        assert_eq!(codes(&findings(&validator, document)).join(" "), *codes_of_it, "{schema} {document}");
    }
}

#[test]
fn types() {
    let integer = json!({"type": "integer"});
    let wrong = "TYPE_MISMATCH:$";
    assert_codes(integer, &[("5", ""), ("5.0", ""), ("50e-1", ""), ("5.5", wrong), ("\"5\"", wrong), ("null", wrong)]);
    assert_codes(json!({"type": "number"}), &[("1e999", ""), ("-0.5", ""), ("true", wrong)]);
    assert_codes(json!({"type": ["string", "null"]}), &[("null", ""), ("\"\"", ""), ("{}", wrong), ("[]", wrong)]);
    assert_codes(json!({"type": "boolean"}), &[("false", ""), ("0", wrong)]);
}

#[test]
fn literals_are_compared_by_value() {
    let wrong = "ENUM_VIOLATION:$";
    assert_codes(json!({"const": 1.0}), &[("1", ""), ("1.0", ""), ("10e-1", ""), ("2", wrong), ("true", wrong)]);
    let big = json!({"enum": [9_007_199_254_740_993_u64, u64::MAX, "a", "b", null]});
    let expected = [
        ("9007199254740993", ""),
        ("9007199254740993.0", ""),
        ("9007199254740992", wrong),
        ("18446744073709551615", ""),
        ("18446744073709551616", wrong),
        ("\"b\"", ""),
        ("\"\\u0062\"", ""),
        ("\"c\"", wrong),
        ("null", ""),
    ];
    assert_codes(big, &expected);
    let object = json!({"const": {"a": [1, {"b": 2}]}});
    assert_codes(object, &[(r#"{"a": [1.0, {"b": 3, "b": 2}]}"#, ""), (r#"{"a": [1, {}]}"#, wrong), ("{}", wrong)]);
}

#[test]
fn strings() {
    let length = json!({"minLength": 2, "maxLength": 3.0});
    let wrong = "LENGTH_VIOLATION:$";
    assert_codes(
        length,
        &[("\"日本\"", ""), ("\"日本語\"", ""), ("\"日\"", wrong), ("\"日本語日\"", wrong), ("1", "")],
    );
    let pattern = json!({"pattern": "^\\d{2}"});
    let wrong = "PATTERN_MISMATCH:$";
    // Digits are ASCII in ECMA-262, and patterns are not anchored.
    assert_codes(pattern, &[("\"12x\"", ""), ("\"x12\"", wrong), ("\"١٢\"", wrong)]);
}

#[test]
fn formats_are_asserted_in_every_draft() {
    for draft in ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"] {
        for (format, good, bad) in [
            ("date-time", "2023-10-27T09:57:45Z", "2023-10-27 09:57:45"),
            ("date", "2024-02-29", "2023-02-29"),
            ("time", "09:57:45+02:00", "09:57:45"),
            ("email", "a@b.c", "a"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000"),
            ("uri", "https://a.b/c", "/c"),
            ("hostname", "a.b", "-a"),
            ("ipv4", "127.0.0.1", "127.0.0.01"),
            ("ipv6", "::1", ":::"),
            ("json-pointer", "/a", "a"),
        ] {
            let wrong = "FORMAT_MISMATCH:$";
            let (good, bad) = (json!(good).to_string(), json!(bad).to_string());
            let schema = json!({"$schema": draft, "format": format});
            assert_codes(schema, &[(&good, ""), (&bad, wrong), ("1", "")]);
            let inside = json!({"$schema": draft, "if": true, "then": {"format": format}});
            assert_codes(inside, &[(&good, ""), (&bad, wrong)]);
        }
    }
    assert_codes(json!({"format": "unheard-of"}), &[("\"x\"", "")]);
}

#[test]
fn numbers_are_compared_without_loss() {
    let wrong = "OUT_OF_RANGE:$";
    let range = json!({"minimum": 0, "exclusiveMaximum": 9_007_199_254_740_993_u64});
    let expected = [
        ("0", ""),
        ("-0.0", ""),
        ("-1e-999", wrong),
        ("9007199254740992.9", ""),
        ("9007199254740993", wrong),
        ("1e999", wrong),
        ("123456789012345678901234567890", wrong),
    ];
    assert_codes(range, &expected);
    assert_codes(json!({"maximum": 10, "exclusiveMinimum": 1.5}), &[("10.0", ""), ("10.01", wrong), ("1.50", wrong)]);
    assert_codes(json!({"multipleOf": 0.01}), &[("19.99", ""), ("0.07", ""), ("19.995", wrong), ("1e999", "")]);
}

#[test]
fn arrays_and_sizes() {
    let wrong = "ITEMS_VIOLATION:$";
    assert_codes(json!({"minItems": 1, "maxItems": 2}), &[("[1]", ""), ("[]", wrong), ("[1,2,3]", wrong)]);
    let unique = json!({"uniqueItems": true});
    let expected = [
        ("[1, \"1\", [1], {\"a\": 1}, true, null]", ""),
        ("[1, 1.0]", wrong),
        (r#"[{"a": 1, "b": 2}, {"b": 2, "a": 1.0}]"#, wrong),
        (r#"[{"a": 1, "a": 2}, {"a": 2}]"#, wrong),
        ("[9007199254740993, 9007199254740992]", ""),
    ];
    assert_codes(unique, &expected);
    let sizes = json!({"minProperties": 1, "maxProperties": 1});
    let expected = [
        (r#"{"a": 1, "a": 2}"#, ""),
        ("{}", "SCHEMA_VIOLATION:minProperties:$"),
        (r#"{"a": 1, "b": 2}"#, "SCHEMA_VIOLATION:maxProperties:$"),
    ];
    assert_codes(sizes, &expected);
}

#[test]
fn paths_are_the_schemas() {
    let schema = json!({
        "type": "object",
        "required": ["order_id", "items"],
        "properties": {
            "order_id": {"type": "string"},
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
            "matrix": {"items": {"items": {"type": "integer"}}},
        },
        "$defs": {"item": {"required": ["qty"], "properties": {"qty": {"type": "integer", "minimum": 1}}}},
    });
    let expected = [
        ("{}", "MISSING_FIELD:items MISSING_FIELD:order_id"),
        (r#"{"order_id": null, "items": []}"#, "TYPE_MISMATCH:order_id"),
        (
            r#"{"order_id": "", "items": [{"qty": 0}, {}, {"qty": 0}, {"qty": "1"}]}"#,
            "MISSING_FIELD:items[].qty OUT_OF_RANGE:items[].qty TYPE_MISMATCH:items[].qty",
        ),
        (r#"{"order_id": "", "items": [], "matrix": [[1], ["x"]]}"#, "TYPE_MISMATCH:matrix[][]"),
        // The last of two members counts.
        (r#"{"order_id": 1, "items": [], "order_id": "x"}"#, ""),
        (r#"{"order_id": "x", "items": [], "order_id": 1}"#, "TYPE_MISMATCH:order_id"),
        ("[]", "TYPE_MISMATCH:$"),
    ];
    assert_codes(schema, &expected);
    assert_codes(json!({"items": {"required": ["a"]}}), &[("[{}]", "MISSING_FIELD:[].a")]);
}

#[test]
fn closed_objects_name_what_they_do_not_declare() {
    let schema =
        json!({"properties": {"a": true, "né": {"additionalProperties": false}}, "additionalProperties": false});
    let validator = validator(&schema);
    assert!(findings(&validator, r#"{"a": 1, "n\u00e9": {}}"#).is_empty());
    let long = "x".repeat(127) + "é";
    let many: String = (0..20).map(|n| format!(r#", "f{n}": 1"#)).collect();
    let found = findings(&validator, &format!(r#"{{"{long}": 1, "b": 2, "b": 3, "né": {{"c": 1}}{many}}}"#));
    assert_eq!(codes(&found), ["UNDECLARED_FIELD"]);
    let details = found.details();
    assert_eq!(details.len(), Findings::MAX_DETAILS);
    assert_eq!(details[0], "x".repeat(127), "cut at 128 bytes, between characters");
    assert_eq!(details[1..3], ["b".to_owned(), "f0".to_owned()]);
}

#[test]
fn other_keywords_are_judged_where_they_stand() {
    let schema = json!({
        "properties": {
            "pay": {"oneOf": [{"required": ["card"]}, {"required": ["iban"]}]},
            "map": {"additionalProperties": {"type": "integer"}},
            "pair": {"prefixItems": [{"type": "string"}], "items": false},
            "ship": {"if": {"properties": {"to": {"const": "US"}}}, "then": {"required": ["zip"]}},
            "tree": {"$ref": "#/$defs/tree"},
            "never": false,
        },
        "patternProperties": {"^n_": {"type": "number"}},
        "$defs": {"tree": {"properties": {"left": {"$ref": "#/$defs/tree"}, "n": {"maximum": 3}}}},
    });
    let expected = [
        (r#"{"pay": {"card": 1}, "map": {"x": 1}, "pair": ["a"], "ship": {"to": "US", "zip": 1}, "n_a": 1}"#, ""),
        (r#"{"pay": {}}"#, "SCHEMA_VIOLATION:oneOf:pay"),
        // Names that the schema does not declare stay out of paths.
        (r#"{"map": {"secret": "x", "other": "y"}}"#, "TYPE_MISMATCH:map.*"),
        (r#"{"n_secret": "x"}"#, "TYPE_MISMATCH:*"),
        (r#"{"pair": [1]}"#, "TYPE_MISMATCH:pair[]"),
        (r#"{"pair": ["a", 1]}"#, "SCHEMA_VIOLATION:falseSchema:pair[]"),
        (r#"{"ship": {"to": "US"}}"#, "MISSING_FIELD:ship.zip"),
        (r#"{"tree": {"left": {"left": {"n": 4}}}}"#, "OUT_OF_RANGE:tree.left.left.n"),
        (r#"{"never": 1}"#, "SCHEMA_VIOLATION:falseSchema:never"),
    ];
    assert_codes(schema, &expected);
    assert_codes(
        json!({"allOf": [{"properties": {"a": {"type": "string"}}}], "unevaluatedProperties": false}),
        &[(r#"{"a": ""}"#, ""), (r#"{"a": "", "b": 1}"#, "UNDECLARED_FIELD")],
    );
    assert_codes(
        json!({"type": "object", "properties": {"child": {"$ref": "#"}}}),
        &[(r#"{"child": {"child": 1}}"#, "TYPE_MISMATCH:child.child")],
    );
}

#[test]
fn drafts_differ() {
    let old =
        |draft: u8| json!({"$schema": format!("http://json-schema.org/draft-0{draft}/schema#"), "type": "integer"});
    assert_codes(old(4), &[("5", ""), ("5.0", "TYPE_MISMATCH:$")]);
    assert_codes(old(7), &[("5.0", "")]);
    // Before 2019-09, nothing beside `$ref` counts.
    let mut beside = json!({"$ref": "#/definitions/a", "maximum": 1, "definitions": {"a": {"type": "number"}}});
    assert_codes(beside.clone(), &[("2", "OUT_OF_RANGE:$")]);
    beside["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    assert_codes(beside, &[("2", ""), ("null", "TYPE_MISMATCH:$")]);
}

#[test]
fn what_is_no_schema() {
    let compile = |schema: Value| JsonSchema::compile_value(&schema).unwrap_err();
    assert!(matches!(JsonSchema::compile("{"), Err(SchemaError::Json(_))));
    assert!(matches!(compile(json!({"$schema": "urn:x"})), SchemaError::Dialect(uri) if uri == "urn:x"));
    assert!(
        matches!(compile(json!({"properties": {"a": {"minLength": -1}}})), SchemaError::Invalid { path, .. } if path == "/properties/a/minLength")
    );
    assert!(matches!(compile(json!({"$ref": "#/$defs/none"})), SchemaError::Reference(_)));
    for remote in ["https://example.com/s.json", "file:///etc/passwd", "other.json"] {
        assert!(matches!(compile(json!({"items": {"$ref": remote}})), SchemaError::Reference(_)), "{remote}");
    }
    let circle = json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}});
    assert!(matches!(compile(circle), SchemaError::Circular(_)));
}

#[test]
fn patterns_that_need_backtracking_are_reported() {
    for schema in [
        json!({"properties": {"a": {"pattern": "^(?!x)", "type": "string"}}}),
        json!({"properties": {"a": {"not": {"pattern": "(a)\\1"}, "type": "string"}}}),
    ] {
        let compiled = JsonSchema::compile_value(&schema).unwrap();
        let [unsupported] = &compiled.unsupported[..] else { panic!("{:?}", compiled.unsupported) };
        assert_eq!(unsupported.path, "a");
        let validator = Validator::compile(Some(&compiled.rule), None);
        // The rest is judged.
        assert_eq!(codes(&findings(&validator, r#"{"a": 1}"#)), ["TYPE_MISMATCH:a"]);
    }
    let hostile = validator(&json!({"pattern": "^(a+)+$"}));
    let text = format!("\"{}b\"", "a".repeat(100_000));
    assert_eq!(codes(&findings(&hostile, &text)), ["PATTERN_MISMATCH:$"]);
}

#[test]
fn references_that_multiply_stay_bounded() {
    let mut definitions = serde_json::Map::new();
    for level in 0..40 {
        let next = format!("#/$defs/l{}", level + 1);
        definitions.insert(format!("l{level}"), json!({"properties": {"a": {"$ref": next}, "b": {"$ref": next}}}));
    }
    definitions.insert("l40".into(), json!({"type": "integer"}));
    let validator = validator(&json!({"$ref": "#/$defs/l0", "$defs": definitions}));
    let nested = |leaf: &str| r#"{"b":"#.repeat(40) + leaf + &"}".repeat(40);
    assert!(findings(&validator, &nested("1")).is_empty());
    assert_eq!(codes(&findings(&validator, &nested("\"\""))), [format!("TYPE_MISMATCH:{}", ["b"; 40].join("."))]);
}

fn field(name: &str, presence: Presence, types: JsonTypes) -> FieldRule {
    FieldRule { name: name.into(), presence, value: ValueRule { types, ..ValueRule::default() } }
}

fn object(fields: Vec<FieldRule>, closed: bool) -> ValueRule {
    ValueRule { types: JsonTypes::OBJECT, object: Some(ObjectRule { fields, closed }), ..ValueRule::default() }
}

#[test]
fn absence_and_null() {
    let contract = object(
        vec![
            field("optional", Presence::Optional, JsonTypes::STRING),
            field("nullable", Presence::OptionalOrNull, JsonTypes::STRING),
            field("required", Presence::Required, JsonTypes::STRING),
            field("filled", Presence::RequiredNotNull, JsonTypes::STRING),
        ],
        false,
    );
    let validator = Validator::compile(None, Some(&contract));
    assert_eq!(codes(&findings(&validator, "{}")), ["MISSING_FIELD:filled", "MISSING_FIELD:required"]);
    let nulls = findings(&validator, r#"{"optional": null, "nullable": null, "required": null, "filled": null}"#);
    assert_eq!(codes(&nulls), ["NULL_FIELD:filled", "TYPE_MISMATCH:optional", "TYPE_MISMATCH:required"]);
    assert!(nulls.failed_gates().iter().eq([Gate::Contract]));
}

#[test]
fn each_gate_keeps_its_own_verdict() {
    let schema = object(
        vec![field("a", Presence::Required, JsonTypes::STRING), field("b", Presence::Optional, JsonTypes::ANY)],
        true,
    );
    let contract = object(
        vec![field("a", Presence::RequiredNotNull, JsonTypes::INTEGER), field("c", Presence::Optional, JsonTypes::ANY)],
        true,
    );
    let validator = Validator::compile(Some(&schema), Some(&contract));
    let of =
        |document: &str, gate| findings(&validator, document).of(gate).map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(of(r#"{"a": "x"}"#, Gate::Schema), [""; 0]);
    assert_eq!(of(r#"{"a": "x"}"#, Gate::Contract), ["TYPE_MISMATCH:a"]);
    assert_eq!(of(r#"{"a": null}"#, Gate::Schema), ["TYPE_MISMATCH:a"]);
    assert_eq!(of(r#"{"a": null}"#, Gate::Contract), ["NULL_FIELD:a"]);
    assert_eq!(of(r#"{"a": "x", "c": 1}"#, Gate::Schema), ["UNDECLARED_FIELD"]);
    assert_eq!(of(r#"{"a": 1, "b": 1}"#, Gate::Contract), ["UNDECLARED_FIELD"]);
    let both = findings(&validator, "{}");
    assert_eq!(codes(&both), ["MISSING_FIELD:a"]);
    assert!(both.failed_gates().iter().eq([Gate::Schema, Gate::Contract]));
}

#[test]
fn reasons_are_capped_in_order_and_buffers_used_again() {
    let names: Vec<String> = (0..100).map(|n| format!("f{n:03}")).collect();
    let contract =
        object(names.iter().rev().map(|name| field(name, Presence::Required, JsonTypes::ANY)).collect(), false);
    let validator = Validator::compile(None, Some(&contract));
    let (mut parser, mut findings) = (Parser::new(Limits::default()), Findings::new(3));
    validator.check(&parser.parse(b"{}").unwrap(), &mut findings);
    assert_eq!(codes(&findings), ["MISSING_FIELD:f000", "MISSING_FIELD:f001", "MISSING_FIELD:f002"]);
    assert!(findings.is_truncated());
    findings.clear();
    let whole: Value = names.iter().map(|name| (name.clone(), Value::Null)).collect();
    validator.check(&parser.parse(whole.to_string().as_bytes()).unwrap(), &mut findings);
    assert!(findings.is_empty() && !findings.is_truncated() && findings.failed_gates().is_empty());
    findings.add(Gate::Identity, ReasonCode::unknown_producer());
    validator.check(&parser.parse(b"1").unwrap(), &mut findings);
    assert_eq!(codes(&findings), ["TYPE_MISMATCH:$", "UNKNOWN_PRODUCER"]);
}

#[test]
fn checks_of_contracts() {
    let day = Format::JdkPattern("dd.MM.yyyy".into());
    for (check, good, bad, code) in [
        (Check::NoneOf(vec![json!(""), json!(0)]), "1", "0.0", "ENUM_VIOLATION:$"),
        (Check::Format(Format::Integer { bits: 8, signed: true }), "-128", "128", "FORMAT_MISMATCH:$"),
        (
            Check::Format(Format::Integer { bits: 128, signed: false }),
            "340282366920938463463374607431768211455",
            "340282366920938463463374607431768211456",
            "FORMAT_MISMATCH:$",
        ),
        (Check::Format(Format::Float32), "3.4e38", "1e39", "FORMAT_MISMATCH:$"),
        (Check::Format(Format::Base64), "\"YQ==\"", "\"YQ=\"", "FORMAT_MISMATCH:$"),
        (Check::Format(day.clone()), "\"29.02.2024\"", "\"2024-02-29\"", "FORMAT_MISMATCH:$"),
        (Check::NotBefore(day.clone(), "02.01.2024".into()), "\"02.01.2024\"", "\"31.12.2023\"", "OUT_OF_RANGE:$"),
        (Check::NotAfter(Format::Date, "2024-01-02".into()), "\"2024-01-02\"", "\"2024-01-03\"", "OUT_OF_RANGE:$"),
        (
            Check::After(Format::DateTime, "2024-01-02T00:00:00Z".into()),
            "\"2024-01-02T00:00:01\"",
            "\"2024-01-02T01:00:00+01:00\"",
            "OUT_OF_RANGE:$",
        ),
        (Check::Before(Format::Time, "12:00".into()), "\"11:59\"", "\"12:00\"", "OUT_OF_RANGE:$"),
        (Check::Minimum(Decimal("1e400".into())), "2e400", "9e399", "OUT_OF_RANGE:$"),
    ] {
        let rule = ValueRule { checks: vec![check], ..ValueRule::default() };
        let validator = Validator::compile(None, Some(&rule));
        assert_eq!(validator.unsupported(), [], "{rule:?}");
        assert!(findings(&validator, good).is_empty(), "{rule:?} {good}");
        assert_eq!(codes(&findings(&validator, bad)), [code], "{rule:?} {bad}");
    }
}

#[test]
fn rules_that_cannot_be_judged_are_reported() {
    for check in [
        Check::Minimum(Decimal("many".into())),
        Check::Format(Format::JdkPattern("VV".into())),
        Check::Format(Format::Integer { bits: 0, signed: true }),
        Check::NotBefore(Format::Date, "soon".into()),
    ] {
        let rule = object(
            vec![FieldRule {
                value: ValueRule { checks: vec![check], ..ValueRule::default() },
                ..field("a", Presence::Optional, JsonTypes::ANY)
            }],
            false,
        );
        let validator = Validator::compile(None, Some(&rule));
        assert_eq!(validator.unsupported().len(), 1, "{rule:?}");
        assert_eq!(validator.unsupported()[0].path, "a");
    }
}
