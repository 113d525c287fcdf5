//! Each option and each trap of the standard, from YAML to rule.

use std::path::Path;

use super::*;
use crate::{
    diagnostic::Severity,
    validator::rule::{Check, FieldRule, Format, JsonTypes, Presence, ValueRule},
};

const HEAD: &str = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\n";

fn contract(body: &str) -> Contract {
    let parsed = parse(&format!("{HEAD}{body}"), Path::new("x.odcs.yaml"));
    assert!(parsed.diagnostics.is_empty(), "{}", texts(&parsed).join("\n"));
    parsed.contract.unwrap()
}

fn texts(parsed: &Parsed) -> Vec<String> {
    parsed.diagnostics.iter().map(ToString::to_string).collect()
}

/// The findings about a contract whose body this is, each as `line: severity[code]`, the head being 5 lines.
fn findings(body: &str) -> Vec<String> {
    let parsed = parse(&format!("{HEAD}{body}"), Path::new("x.odcs.yaml"));
    let one = |d: &crate::diagnostic::Diagnostic| format!("{}: {}[{}]", d.line, d.severity.as_str(), d.code);
    let has_error = parsed.diagnostics.iter().any(|d| d.severity == Severity::Error);
    assert_eq!(has_error, parsed.contract.is_none());
    parsed.diagnostics.iter().map(one).collect()
}

/// The rule of one property, given in flow style without braces.
fn property(yaml: &str) -> (FieldRule, Vec<RuleCoverage>) {
    let contract = contract(&format!("schema:\n  - name: t\n    properties:\n      - {{name: p, {yaml}}}\n"));
    let (rule, coverage) = compile(&contract.objects[0]);
    (rule.object.unwrap().fields.remove(0), coverage)
}

fn checks(yaml: &str) -> String {
    format!("{:?}", property(yaml).0.value.checks)
}

fn options(logical_type: &str, options: &str) -> String {
    checks(&format!("logicalType: {logical_type}, logicalTypeOptions: {{{options}}}"))
}

fn covered(coverage: &[RuleCoverage]) -> Vec<(String, Coverage)> {
    coverage.iter().map(|c| (format!("{}:{}", c.path, c.rule), c.coverage)).collect()
}

#[test]
fn every_type_is_a_json_type() {
    let expected = [
        ("string", JsonTypes::STRING),
        ("date", JsonTypes::STRING),
        ("timestamp", JsonTypes::STRING),
        ("time", JsonTypes::STRING),
        ("number", JsonTypes::NUMBER),
        ("integer", JsonTypes::INTEGER),
        ("object", JsonTypes::OBJECT),
        ("array", JsonTypes::ARRAY),
        ("boolean", JsonTypes::BOOLEAN),
    ];
    for (name, types) in expected {
        assert_eq!(property(&format!("logicalType: {name}")).0.value.types, types, "{name}");
    }
    assert_eq!(property("physicalType: varchar").0.value.types, JsonTypes::default(), "nobody said");
}

#[test]
fn a_timestamp_is_a_text_unless_its_physical_type_counts() {
    assert_eq!(checks("logicalType: timestamp"), "[Format(DateTime)]");
    assert_eq!(checks("logicalType: timestamp, physicalType: LONGTEXT"), "[Format(DateTime)]");
    for physical in ["long", "BIGINT", "epoch_millis", "timestamp-millis", "int64"] {
        let (field, _) = property(&format!("logicalType: timestamp, physicalType: {physical}"));
        assert_eq!(field.value.types, JsonTypes::INTEGER, "{physical}");
        assert!(field.value.checks.is_empty(), "{physical}");
    }
    assert_eq!(
        checks("logicalType: timestamp, physicalType: long, logicalTypeOptions: {minimum: 1577836800000}"),
        r#"[Minimum(Decimal("1577836800000"))]"#
    );
}

#[test]
fn strings() {
    assert_eq!(options("string", "minLength: 2, maxLength: 8"), "[MinLength(2), MaxLength(8)]");
    assert_eq!(options("string", "pattern: '^O-[0-9]+$'"), r#"[Pattern(Regex("^O-[0-9]+$"))]"#);
    let formats = [
        ("email", "Email"),
        ("uuid", "Uuid"),
        ("uri", "Uri"),
        ("hostname", "Hostname"),
        ("ipv4", "Ipv4"),
        ("ipv6", "Ipv6"),
        ("byte", "Base64"),
    ];
    for (name, format) in formats {
        assert_eq!(options("string", &format!("format: {name}")), format!("[Format({format})]"));
    }
    for name in ["binary", "password", "iban"] {
        let (field, coverage) = property(&format!("logicalType: string, logicalTypeOptions: {{format: {name}}}"));
        assert!(field.value.checks.is_empty());
        assert_eq!(covered(&coverage), [("p:format".into(), Coverage::Unsupported)], "{name} is reported");
    }
}

#[test]
fn a_pattern_beyond_a_linear_engine_is_reported() {
    let (field, coverage) = property("logicalType: string, logicalTypeOptions: {pattern: '^(?!A)B'}");
    assert!(field.value.checks.is_empty());
    assert_eq!(covered(&coverage), [("p:pattern".into(), Coverage::Unsupported)]);
    assert_eq!((coverage[0].at.line, coverage[0].at.column > 1), (9, true));
}

#[test]
fn numbers_keep_their_text() {
    assert_eq!(options("number", "minimum: 0, maximum: 9.90"), r#"[Minimum(Decimal("0")), Maximum(Decimal("9.90"))]"#);
    assert_eq!(
        options("integer", "maximum: 18446744073709551617"),
        r#"[Maximum(Decimal("18446744073709551617"))]"#,
        "beyond 2^64"
    );
    assert_eq!(options("number", "multipleOf: 0.01"), r#"[MultipleOf(Decimal("0.01"))]"#);
}

#[test]
fn exclusive_bounds_of_both_versions() {
    let exclusive = r#"[ExclusiveMinimum(Decimal("0")), ExclusiveMaximum(Decimal("5"))]"#;
    assert_eq!(options("number", "minimum: 0, exclusiveMinimum: true, maximum: 5, exclusiveMaximum: true"), exclusive);
    assert_eq!(options("number", "exclusiveMinimum: 0, exclusiveMaximum: 5"), exclusive);
    assert_eq!(options("number", "minimum: 0, exclusiveMinimum: false"), r#"[Minimum(Decimal("0"))]"#);
    assert_eq!(
        options("number", "minimum: 1, exclusiveMinimum: 0"),
        r#"[Minimum(Decimal("1")), ExclusiveMinimum(Decimal("0"))]"#
    );
    let body = "schema: [{name: t, properties: [{name: p, logicalType: number, logicalTypeOptions: {exclusiveMinimum: true}}]}]";
    assert_eq!(findings(body), ["6: warning[odcs-exclusive-without-bound]"]);
}

#[test]
fn only_a_written_numeric_format_counts() {
    assert_eq!(options("number", "minimum: 0.5"), r#"[Minimum(Decimal("0.5"))]"#, "no i32 by default");
    assert_eq!(options("integer", "format: u8"), "[Format(Integer { bits: 8, signed: false })]");
    assert_eq!(options("integer", "format: i64"), "[Format(Integer { bits: 64, signed: true })]");
    assert_eq!(options("number", "format: f32"), "[Format(Float32)]");
    assert_eq!(options("number", "format: f64"), "[]");
}

#[test]
fn dates_times_and_their_bounds() {
    assert_eq!(
        options("date", "minimum: 2020-01-01, exclusiveMaximum: 2030-01-01"),
        r#"[Format(Date), NotBefore(Date, "2020-01-01"), Before(Date, "2030-01-01")]"#
    );
    assert_eq!(
        options("timestamp", "exclusiveMinimum: '2020-01-01T00:00:00Z', maximum: '2030-01-01T00:00:00'"),
        r#"[Format(DateTime), After(DateTime, "2020-01-01T00:00:00Z"), NotAfter(DateTime, "2030-01-01T00:00:00")]"#
    );
    assert_eq!(options("time", "maximum: '18:00:00'"), r#"[Format(Time), NotAfter(Time, "18:00:00")]"#);
    assert_eq!(options("date", "format: dd.MM.yyyy"), r#"[Format(JdkPattern("dd.MM.yyyy"))]"#);
    assert_eq!(
        options("date", "format: dd.MM.yyyy, minimum: 01.01.2020"),
        r#"[Format(JdkPattern("dd.MM.yyyy")), NotBefore(JdkPattern("dd.MM.yyyy"), "01.01.2020")]"#
    );
    let (_, coverage) =
        property("logicalType: timestamp, logicalTypeOptions: {timezone: true, defaultTimezone: Europe/Paris}");
    assert_eq!(
        covered(&coverage),
        [("p:timezone".into(), Coverage::Unsupported), ("p:defaultTimezone".into(), Coverage::Unsupported)]
    );
    assert_eq!(options("timestamp", "defaultTimezone: Etc/UTC"), "[Format(DateTime)]");
}

#[test]
fn arrays_and_objects() {
    assert_eq!(
        options("array", "minItems: 1, maxItems: 9, uniqueItems: true"),
        "[MinItems(1), MaxItems(9), UniqueItems]"
    );
    assert_eq!(options("array", "uniqueItems: false"), "[]");
    assert_eq!(options("object", "minProperties: 1, maxProperties: 3"), "[MinProperties(1), MaxProperties(3)]");
    let (field, _) = property(
        "logicalType: object, logicalTypeOptions: {required: [a, z]}, properties: [{name: a, physicalName: A}, {name: b}]",
    );
    let fields = field.value.object.unwrap().fields;
    let presence: Vec<_> = fields.iter().map(|f| (f.name.as_str(), f.presence)).collect();
    assert_eq!(
        presence,
        [("A", Presence::RequiredNotNull), ("b", Presence::OptionalOrNull), ("z", Presence::RequiredNotNull)]
    );
}

#[test]
fn items_may_be_null_unless_required() {
    let item = |yaml: &str| -> ValueRule {
        *property(&format!("logicalType: array, items: {{logicalType: string{yaml}}}")).0.value.items.unwrap()
    };
    assert_eq!(item("").types, JsonTypes::STRING.or(JsonTypes::NULL));
    assert_eq!(item(", required: true").types, JsonTypes::STRING);
    let untyped = *property("logicalType: array, items: {required: true}").0.value.items.unwrap();
    assert!(!untyped.types.contains(JsonTypes::NULL) && untyped.types.contains(JsonTypes::NUMBER));
    let valid = ", quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [a]}}]";
    assert_eq!(format!("{:?}", item(valid).checks), r#"[OneOf([String("a"), Null])]"#);
}

#[test]
fn presence() {
    let presence = |yaml: &str| property(yaml).0.presence;
    assert_eq!(presence("logicalType: string"), Presence::OptionalOrNull);
    assert_eq!(presence("required: true"), Presence::RequiredNotNull);
    assert_eq!(presence("quality: [{metric: nullValues, mustBe: 0}]"), Presence::OptionalNotNull);
    assert_eq!(presence("quality: [{metric: nullValues, mustBe: 0, unit: percent}]"), Presence::OptionalNotNull);
    assert_eq!(presence("quality: [{metric: nullValues, mustBeLessThan: 1}]"), Presence::OptionalNotNull);
    assert_eq!(presence("quality: [{metric: nullValues, mustBeLessThan: 1, unit: percent}]"), Presence::OptionalOrNull);
    assert_eq!(presence("required: true, quality: [{metric: nullValues, mustBe: 0}]"), Presence::RequiredNotNull);
}

#[test]
fn quality_of_single_records() {
    let valid =
        "quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [EUR, NO], pattern: '^[A-Z]+$'}}]";
    let (field, coverage) = property(valid);
    assert_eq!(
        format!("{:?}", field.value.checks),
        r#"[OneOf([String("EUR"), String("NO")]), Pattern(Regex("^[A-Z]+$"))]"#
    );
    assert_eq!(covered(&coverage), [("p:quality.invalidValues".into(), Coverage::Record)]);
    let (field, _) =
        property("quality: [{metric: missingValues, mustBe: 0, arguments: {missingValues: ['', N/A, null]}}]");
    assert_eq!(format!("{:?}", field.value.checks), r#"[NoneOf([String(""), String("N/A")])]"#);
    assert_eq!(field.presence, Presence::OptionalNotNull, "null is one of the missing values");
}

#[test]
fn valid_values_take_the_type_of_their_property() {
    let rule = "quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [1, '2']}}]";
    assert_eq!(checks(&format!("logicalType: string, {rule}")), r#"[OneOf([String("1"), String("2")])]"#);
    assert_eq!(checks(&format!("logicalType: integer, {rule}")), "[OneOf([Number(1), Number(2)])]");
}

#[test]
fn the_rules_of_3_0_have_other_names() {
    assert_eq!(checks("quality: [{rule: validValues, validValues: [a, b]}]"), r#"[OneOf([String("a"), String("b")])]"#);
    let (_, coverage) = property("quality: [{rule: duplicateCount, mustBeLessThan: 10, unit: rows}]");
    assert_eq!(covered(&coverage), [("p:quality.duplicateValues".into(), Coverage::Window)]);
}

#[test]
fn what_a_record_cannot_show_is_reported() {
    let (_, coverage) = property(
        "unique: true, primaryKey: true, relationships: [{to: a.b}], quality: [{metric: duplicateValues, mustBe: 0}, \
         {metric: nullValues, mustBeLessThan: 5, unit: percent}, {type: text, description: d}, \
         {type: sql, query: q, mustBe: 0}, {type: custom, engine: soda, implementation: i}, {metric: median, mustBe: 1}]",
    );
    assert_eq!(
        covered(&coverage),
        [
            ("p:unique".into(), Coverage::Window),
            ("p:primaryKey".into(), Coverage::Window),
            ("p:relationships".into(), Coverage::Unsupported),
            ("p:quality.duplicateValues".into(), Coverage::Window),
            ("p:quality.nullValues".into(), Coverage::Window),
            ("p:quality.text".into(), Coverage::Unsupported),
            ("p:quality.sql".into(), Coverage::Unsupported),
            ("p:quality.custom".into(), Coverage::Unsupported),
            ("p:quality.median".into(), Coverage::Unsupported),
        ]
    );
    assert!(coverage.iter().all(|c| c.at.line == 9 && !c.reason.is_empty()));
    let object = contract("schema:\n  - name: t\n    quality:\n      - {metric: rowCount, mustBeGreaterThan: 1}\n");
    assert_eq!(covered(&compile(&object.objects[0]).1), [(":quality.rowCount".into(), Coverage::Window)]);
}

#[test]
fn undeclared_fields_are_allowed_unless_the_contract_closes() {
    let closed = |custom: &str, object: &str, nested: &str| {
        let nested = format!("{{name: o, logicalType: object{nested}, properties: [{{name: a}}]}}");
        let body = format!("{custom}schema:\n  - name: t\n{object}    properties: [{nested}]\n");
        let (rule, _) = compile(&contract(&body).objects[0]);
        let object = rule.object.unwrap();
        (object.closed, object.fields[0].value.object.as_ref().unwrap().closed)
    };
    let close = "customProperties: [{property: additionalProperties, value: false}]";
    assert_eq!(closed("", "", ""), (false, false));
    assert_eq!(closed(&format!("{close}\n"), "", ""), (true, true));
    assert_eq!(closed("", &format!("    {close}\n"), ""), (true, true));
    assert_eq!(closed("", "", &format!(", {close}")), (false, true));
    let open = ", customProperties: [{property: additionalProperties, value: true}]";
    assert_eq!(closed(&format!("{close}\n"), "", open), (true, false));
}

#[test]
fn owner_tier_support_and_servers() {
    let c = contract(
        "name: Orders\ndomain: sales\ndescription: {purpose: sell}\n\
         customProperties: [{property: tier, value: 2}]\n\
         team: {name: core, members: [{username: old, role: Owner, dateOut: 2024-01-01}, {username: new, role: owner}]}\n\
         support: [{channel: '#orders', tool: slack}]\n\
         servers: [{server: prod, type: kafka, host: 'b:9092'}, {server: lake, type: s3, location: l}]\n\
         schema: [{name: t, physicalName: raw.t}]\n",
    );
    assert_eq!((c.owner().map(|o| &**o), c.tier, c.objects[0].topic()), (Some("new"), Some(2), "raw.t"));
    assert_eq!((c.servers.len(), &*c.servers[0].format, &*c.support[0].channel), (1, "json", "#orders"));
    let bare = contract("team: [{username: ann, role: owner}]\nschema: [{name: t}]\n");
    assert_eq!(bare.owner().map(|o| &**o), Some("ann"));
    let named = contract("team: {name: core}\nschema: [{name: t}]\n");
    assert_eq!(named.owner().map(|o| &**o), Some("core"));
}

#[test]
fn slas_have_units_and_coverage() {
    let c = contract(
        "schema: [{name: t}]\nslaProperties: [{property: Latency, value: 15, unit: m}, {property: freshness, value: 1}, \
         {property: re, value: 1, unit: y}, {property: availability, value: 99.9, unit: percent}, {property: magic, value: 1}]\n",
    );
    let millis: Vec<_> = c.sla.iter().map(|s| s.millis).collect();
    assert_eq!(millis, [Some(900_000), Some(86_400_000), Some(31_536_000_000), None, None]);
    assert_eq!((c.sla[0].kind, c.sla[1].kind), (SlaKind::Latency, SlaKind::Latency));
    let coverage: Vec<_> = sla_coverage(&c).iter().map(|c| c.coverage).collect();
    use Coverage::{Unsupported, Window};
    assert_eq!(coverage, [Window, Window, Unsupported, Window, Unsupported]);
}

#[test]
fn every_mistake_has_its_line() {
    let body = "shema: []\n\
                schema:\n\
                \x20 - name: t\n\
                \x20   properties:\n\
                \x20     - name: a\n\
                \x20       logicalType: varchar\n\
                \x20     - name: b\n\
                \x20       requird: true\n\
                \x20     - logicalType: string\n\
                \x20     - name: b\n\
                \x20     - name: c\n\
                \x20       logicalType: integer\n\
                \x20       logicalTypeOptions:\n\
                \x20         minLength: 3\n\
                \x20         minimum: '1'\n\
                \x20     - name: d\n\
                \x20       logicalType: string\n\
                \x20       logicalTypeOptions: {pattern: '(x'}\n\
                \x20       quality:\n\
                \x20         - {metric: invalidValues, mustBe: 0}\n\
                \x20         - {metric: nullValues}\n\
                \x20         - {type: magic}\n\
                slaProperties:\n\
                \x20 - {property: latency, value: 3, unit: fortnight}\n";
    assert_eq!(
        findings(body),
        [
            "6: error[odcs-unknown-key]",
            "11: error[odcs-unknown-type]",
            "13: warning[odcs-unknown-key]",
            "14: error[odcs-missing-key]",
            "15: error[odcs-duplicate-property]",
            "19: error[odcs-unknown-key]",
            "20: error[odcs-wrong-type]",
            "23: error[odcs-bad-pattern]",
            "25: error[odcs-quality-arguments]",
            "26: error[odcs-quality-operator]",
            "27: error[odcs-unknown-quality-type]",
            "29: error[odcs-bad-unit]",
        ]
    );
}

#[test]
fn roots_of_other_kinds() {
    let one = |text: &str| texts(&parse(text, Path::new("f.yaml")));
    assert_eq!(one("- a"), ["f.yaml:1:1: error[odcs-wrong-type]: the contract must be a map, not a list"]);
    assert_eq!(one("").len(), 1);
    let old = one("apiVersion: v2.2.0\nkind: DataContract\nid: x\nversion: 1\nstatus: a\n");
    assert!(old[0].starts_with("f.yaml:1:1: error[odcs-unsupported-version]"), "{old:?}");
    let missing = parse("id: x\nversion: 1.10\n", Path::new("f.yaml"));
    assert_eq!(missing.identity, Some(("x".into(), "1.10".into())), "the version as written");
    assert_eq!(missing.diagnostics.iter().filter(|d| d.code == "odcs-missing-key").count(), 3);
    let newer = parse(&HEAD.replace("v3.1.0", "v3.4.0"), Path::new("f.yaml"));
    assert!(newer.contract.is_some());
}

proptest::proptest! {
    /// A contract with lines lost, doubled, moved in or turned into noise is read or reported, and nothing panics.
    #[test]
    fn fuzz_mangled_contracts_are_findings(
        edits in proptest::collection::vec((0..200_usize, 0..5_u8, "[ -~]{0,12}"), 1..6),
    ) {
        let text = include_str!("../../examples/payments/authorized.odcs.yaml");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (at, edit, noise) in edits {
            let at = at % lines.len();
            match edit {
                0 => { lines.remove(at); }
                1 => lines.insert(at, lines[at].clone()),
                2 => lines[at] = format!("  {}", lines[at]),
                3 => lines[at] = format!("{}{noise}", lines[at].split(':').next().unwrap_or_default()),
                _ => { let key = lines[at].split(':').next().unwrap_or_default(); lines[at] = format!("{key}: {noise}"); }
            }
        }
        let parsed = parse(&lines.join("\n"), Path::new("x.odcs.yaml"));
        let error = parsed.diagnostics.iter().any(|d| d.severity == Severity::Error);
        proptest::prop_assert_eq!(parsed.contract.is_none(), error);
        for object in parsed.contract.iter().flat_map(|contract| &contract.objects) {
            let (rule, coverage) = compile(object);
            proptest::prop_assert!(rule.object.is_some());
            proptest::prop_assert!(coverage.iter().all(|c| c.at.line > 0));
        }
    }
}

#[test]
fn majors() {
    for version in ["3", "3.2.0", "v3.2.0", "3-rc1"] {
        assert_eq!(major(version), "3", "{version}");
    }
}

#[test]
fn checks_are_those_of_the_tree() {
    let (field, _) = property("logicalType: string, logicalTypeOptions: {format: uuid}");
    assert!(matches!(field.value.checks[..], [Check::Format(Format::Uuid)]));
}
