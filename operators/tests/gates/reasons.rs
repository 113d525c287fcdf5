//! Gates 3 and 4: each kind of reason, from the text of a contract or schema to the code in the evidence.

use faultline_contracts::{
    document::Limits,
    evidence::{Gate, GateResult},
    validator::Findings,
};
use faultline_operators::gates::Gates;

use crate::verdict::{catalog, example, gates, judge, record};

const CATALOG: &str = "\
datasets:
  - {urn: 'urn:dp:a:contracted', topics: [contracted], producer: p, contract: 'dc:a:1'}
  - {urn: 'urn:dp:a:schemed', topics: [schemed], producer: p, schema: 'file:a.json'}
producers: [{id: p}]
";

const CONTRACT: &str = "\
apiVersion: v3.1.0
kind: DataContract
id: a
version: 1.0.0
status: active
schema:
  - name: a
    properties:
      - {name: id, logicalType: string, required: true}
      - {name: qty, logicalType: integer, logicalTypeOptions: {minimum: 1, maximum: 9007199254740993}}
      - {name: step, logicalType: number, logicalTypeOptions: {multipleOf: 0.25}}
      - name: color
        logicalType: string
        quality: [{metric: invalidValues, arguments: {validValues: [red, green]}, mustBe: 0}]
      - {name: code, logicalType: string, logicalTypeOptions: {pattern: '^[A-Z]+$'}}
      - {name: mail, logicalType: string, logicalTypeOptions: {format: email}}
      - {name: note, logicalType: string, logicalTypeOptions: {minLength: 2, maxLength: 4}}
      - name: tags
        logicalType: array
        logicalTypeOptions: {maxItems: 2, uniqueItems: true}
        items: {logicalType: string, required: true, logicalTypeOptions: {maxLength: 3}}
      - name: address
        logicalType: object
        customProperties: [{property: additionalProperties, value: false}]
        properties: [{name: city, logicalType: string, required: true}]
      - {name: free, logicalType: object, logicalTypeOptions: {maxProperties: 1}}
";

const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["id"],
  "properties": {
    "id": {"type": "string"},
    "qty": {"type": "integer", "minimum": 1, "maximum": 9007199254740993},
    "step": {"type": "number", "multipleOf": 0.25},
    "color": {"enum": ["red", "green"]},
    "code": {"type": "string", "pattern": "^[A-Z]+$"},
    "mail": {"type": "string", "format": "email"},
    "note": {"type": "string", "minLength": 2, "maxLength": 4},
    "tags": {"type": "array", "maxItems": 2, "uniqueItems": true, "items": {"type": "string", "maxLength": 3}},
    "address": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}, "additionalProperties": false},
    "free": {"type": "object", "maxProperties": 1}
  }
}"#;

/// A record, its reason by the contract and its reason by the schema.
const CASES: [(&str, &str, &str); 22] = [
    (r#"{}"#, "MISSING_FIELD:id", "MISSING_FIELD:id"),
    (r#"{"id":null}"#, "NULL_FIELD:id", "TYPE_MISMATCH:id"),
    (r#"{"id":1}"#, "TYPE_MISMATCH:id", "TYPE_MISMATCH:id"),
    (r#"["id"]"#, "TYPE_MISMATCH:$", "TYPE_MISMATCH:$"),
    (r#"{"id":"1","qty":1.5}"#, "TYPE_MISMATCH:qty", "TYPE_MISMATCH:qty"),
    (r#"{"id":"1","color":"blue"}"#, "ENUM_VIOLATION:color", "ENUM_VIOLATION:color"),
    (r#"{"id":"1","code":"Ab"}"#, "PATTERN_MISMATCH:code", "PATTERN_MISMATCH:code"),
    (r#"{"id":"1","mail":"at"}"#, "FORMAT_MISMATCH:mail", "FORMAT_MISMATCH:mail"),
    (r#"{"id":"1","note":"é"}"#, "LENGTH_VIOLATION:note", "LENGTH_VIOLATION:note"),
    (r#"{"id":"1","note":"ééééé"}"#, "LENGTH_VIOLATION:note", "LENGTH_VIOLATION:note"),
    (r#"{"id":"1","qty":0}"#, "OUT_OF_RANGE:qty", "OUT_OF_RANGE:qty"),
    (r#"{"id":"1","qty":9007199254740994}"#, "OUT_OF_RANGE:qty", "OUT_OF_RANGE:qty"),
    (r#"{"id":"1","step":0.3}"#, "OUT_OF_RANGE:step", "OUT_OF_RANGE:step"),
    (r#"{"id":"1","tags":["a","b","c"]}"#, "ITEMS_VIOLATION:tags", "ITEMS_VIOLATION:tags"),
    (r#"{"id":"1","tags":["a","\u0061"]}"#, "ITEMS_VIOLATION:tags", "ITEMS_VIOLATION:tags"),
    (r#"{"id":"1","tags":["a",7]}"#, "TYPE_MISMATCH:tags[]", "TYPE_MISMATCH:tags[]"),
    (r#"{"id":"1","tags":["a","four"]}"#, "LENGTH_VIOLATION:tags[]", "LENGTH_VIOLATION:tags[]"),
    (r#"{"id":"1","address":{}}"#, "MISSING_FIELD:address.city", "MISSING_FIELD:address.city"),
    (r#"{"id":"1","address":{"city":"B","zip":"1"}}"#, "UNDECLARED_FIELD", "UNDECLARED_FIELD"),
    (
        r#"{"id":"1","free":{"a":1,"b":2}}"#,
        "SCHEMA_VIOLATION:maxProperties:free",
        "SCHEMA_VIOLATION:maxProperties:free",
    ),
    (r#"{"id":"1""#, "UNPARSEABLE", "UNPARSEABLE"),
    (r#"{"id":"1"} {}"#, "UNPARSEABLE", "UNPARSEABLE"),
];

#[test]
fn each_kind_by_contract_and_by_schema() {
    let mut gates = gates(&catalog(&[("catalog.yaml", CATALOG), ("a.odcs.yaml", CONTRACT), ("a.json", SCHEMA)]));
    let good = r#"{"id":"1","qty":9007199254740993,"step":0.75,"color":"red","code":"A","mail":"a@b.de","note":"éééé",
                   "tags":["a","b"],"address":{"city":"B"},"free":{"x":1},"more":true}"#;
    for topic in ["contracted", "schemed"] {
        assert_eq!(judge(&mut gates, &record(topic, good)).told(), (GateResult::Pass, &[][..], vec![]), "{topic}");
    }
    for (payload, by_contract, by_schema) in CASES {
        for (topic, code, gate) in [("contracted", by_contract, Gate::Contract), ("schemed", by_schema, Gate::Schema)] {
            let gate = if code == "UNPARSEABLE" { Gate::Schema } else { gate };
            let verdict = judge(&mut gates, &record(topic, payload));
            assert_eq!(verdict.told(), (GateResult::Fail, &[gate][..], vec![code]), "{topic} {payload}");
            let details: &[&str] = if code == "UNDECLARED_FIELD" { &["zip"] } else { &[] };
            if code != "UNPARSEABLE" {
                assert_eq!(verdict.details, details, "{payload}");
            }
        }
    }
}

#[test]
fn keywords_without_a_code_of_their_own_are_named() {
    let schema = r#"{"type": "object", "minProperties": 1, "properties": {
        "way": {"oneOf": [{"required": ["air"]}, {"required": ["sea"]}]},
        "size": {"type": "object", "additionalProperties": {"not": {"type": "string"}}},
        "list": {"contains": {"const": 1}}}}"#;
    let files = [
        ("catalog.yaml", "datasets: [{urn: 'urn:dp:a:x', topics: [t], producer: p, schema: 'file:s.json'}]"),
        ("s.json", schema),
    ];
    let mut gates = gates(&catalog(&files));
    for (payload, code) in [
        ("{}", "SCHEMA_VIOLATION:minProperties:$"),
        (r#"{"way":{}}"#, "SCHEMA_VIOLATION:oneOf:way"),
        (r#"{"size":{"whatever the record calls it":"L"}}"#, "SCHEMA_VIOLATION:not:size.*"),
        (r#"{"list":[2]}"#, "SCHEMA_VIOLATION:contains:list"),
    ] {
        let verdict = judge(&mut gates, &record("t", payload));
        assert_eq!(verdict.told(), (GateResult::Fail, &[Gate::Schema][..], vec![code]), "{payload}");
    }
}

#[test]
fn a_settlement_with_everything_wrong() {
    let mut gates = gates(&example("payments"));
    let payload = r#"{"settlement_id":"","payment_id":"no-uuid","acquirer":"stripe","gross":0.005,"fee":"none",
                      "value_date":"2019-12-31","surprise":1,"more":2}"#;
    let verdict = judge(&mut gates, &record("payments.settlements", payload));
    assert_eq!(
        verdict.told(),
        (
            GateResult::Fail,
            &[Gate::Schema, Gate::Contract][..],
            vec![
                "ENUM_VIOLATION:acquirer",
                "FORMAT_MISMATCH:payment_id",
                "LENGTH_VIOLATION:settlement_id",
                "OUT_OF_RANGE:gross",
                "OUT_OF_RANGE:value_date",
                "TYPE_MISMATCH:fee",
                "UNDECLARED_FIELD",
            ]
        )
    );
    assert_eq!(verdict.details, ["surprise", "more"], "in the order of the document");
}

#[test]
fn more_reasons_than_are_kept() {
    let catalog = example("payments");
    let mut gates = Gates::new(catalog, Limits::default(), 2);
    let names: Vec<String> = (0..20).map(|n| format!(r#""n{n:02}":0"#)).collect();
    let payload = format!("{{{}}}", names.join(","));
    let verdict = judge(&mut gates, &record("payments.settlements", &payload));
    assert_eq!(verdict.codes, ["MISSING_FIELD:acquirer", "MISSING_FIELD:gross"]);
    assert_eq!(verdict.failed_gates, [Gate::Schema, Gate::Contract], "also those whose reasons are left out");
    let (names, note) = verdict.details.split_at(Findings::MAX_DETAILS);
    assert_eq!(names, ["n00", "n01", "n02", "n03", "n04", "n05", "n06", "n07"]);
    assert_eq!(note, ["more than 2 reasons, of which the first are shown"]);
    let good = r#"{"settlement_id":"s","payment_id":"0b5a7ad1-6b0e-4a8f-9d9b-1f6e2c3d4e5f","acquirer":"nets","gross":1,
                   "value_date":"2024-02-29"}"#;
    let next = judge(&mut gates, &record("payments.settlements", good));
    assert_eq!((next.result, next.details.len()), (GateResult::Pass, 0), "nothing stays behind for the next record");
}

#[test]
fn a_tombstone_or_a_stray_leaves_nothing_behind() {
    let mut gates = gates(&example("orders"));
    judge(&mut gates, &record("raw.orders.events", "{}"));
    let stray = judge(&mut gates, &record("elsewhere", "{}"));
    assert_eq!(stray.told().2, ["UNKNOWN_PRODUCER", "UNRESOLVED_TOPIC"]);
    let good = r#"{"order_id":"O-1","customer_id":"C-1","total_amount":1,"currency":"EUR"}"#;
    assert_eq!(judge(&mut gates, &record("raw.orders.events", good)).result, GateResult::Pass);
}
