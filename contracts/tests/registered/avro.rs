//! Avro: the specification's examples, the forms of values, and hostile bytes.

use std::{fmt::Write as _, sync::LazyLock};

use faultline_contracts::{
    document::ParseError,
    registry::{AvroSchema, DecodeLimits},
    validator::rule::{FieldRule, JsonTypes, ObjectRule, Presence, ValueRule},
};
use proptest::prelude::*;

use crate::{LIMITS, message, text};

fn schema(json: &str) -> AvroSchema {
    AvroSchema::compile(json, &[]).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn decode(schema: &AvroSchema, record: &[u8]) -> Result<String, ParseError> {
    text(|out| schema.decode(record, LIMITS, out))
}

/// The bytes are those that the Avro 1.11 specification gives for these values.
#[test]
fn the_specifications_examples() {
    for (json, bytes, value) in [
        (r#""long""#, &b"\x00"[..], "0"),
        (r#""long""#, b"\x01", "-1"),
        (r#""long""#, b"\x02", "1"),
        (r#""long""#, b"\x7f", "-64"),
        (r#""long""#, b"\x80\x01", "64"),
        (r#""string""#, b"\x06foo", r#""foo""#),
        (
            r#"{"type": "record", "name": "test", "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}]}"#,
            b"\x36\x06foo",
            r#"{"a":27,"b":"foo"}"#,
        ),
        (r#"{"type": "array", "items": "long"}"#, b"\x04\x06\x36\x00", "[3,27]"),
        (r#"["null", "string"]"#, b"\x00", "null"),
        (r#"["null", "string"]"#, b"\x02\x02a", r#""a""#),
        (r#"{"type": "enum", "name": "Foo", "symbols": ["A", "B", "C", "D"]}"#, b"\x06", r#""D""#),
    ] {
        assert_eq!(decode(&schema(json), bytes).unwrap(), value, "{json}");
    }
}

#[test]
fn every_type() {
    let all = schema(
        r#"{"type": "record", "name": "all", "namespace": "a.b", "fields": [
            {"name": "yes", "type": "boolean"}, {"name": "int", "type": {"type": "int"}}, {"name": "f", "type": "float"},
            {"name": "d", "type": "double"}, {"name": "raw", "type": "bytes"},
            {"name": "four", "type": {"type": "fixed", "name": "Four", "size": 4}}, {"name": "again", "type": "Four"},
            {"name": "m", "type": {"type": "map", "values": ["int", "null"]}},
            {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
            {"name": "big", "type": {"type": "bytes", "logicalType": "big-decimal"}},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "noon", "type": {"type": "int", "logicalType": "time-millis"}},
            {"name": "id", "type": {"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"}},
            {"name": "for", "type": {"type": "fixed", "name": "For", "size": 12, "logicalType": "duration"}},
            {"name": "odd \"one\"", "type": {"type": "string", "logicalType": "nobody knows"}}]}"#,
    );
    let mut record = b"\x01\x01".to_vec();
    record.extend(0.5_f32.to_le_bytes());
    record.extend(f64::NAN.to_le_bytes());
    record.extend(b"\x02\xff\x01\x02\x03\x04\x05\x06\x07\x08");
    record.extend(b"\x03\x0c\x02a\x00\x0e\x02b\x02\x00"); // a block of −2 with its size: {"a": 7, "b": null}
    record.extend(b"\x04\x04\xd2\x08\x04\x04\xd2\x06");
    record.extend(b"\x92\xb3\x02"); // 2023-10-27
    record.extend(b"\xbc\xff\x8d\x89\xee\x62"); // 2023-10-27T09:58:01.950Z
    record.extend(b"\x80\xb8\x99\x29"); // 12:00
    record.extend([0xab; 16]);
    record.extend([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
    record.extend(b"\x02x");
    let expected = r#"{"yes":true,"int":-1,"f":0.5,"d":"NaN","raw":"/w==","four":"AQIDBA==","again":"BQYHCA==","m":{"a":7,"b":null},"price":12.34,"big":1234e-3,"day":"2023-10-27","at":"2023-10-27T09:58:01.950Z","noon":"12:00:00.000","id":"abababab-abab-abab-abab-abababababab","for":"P1M2DT0.003S","odd \"one\"":"x"}"#;
    assert_eq!(decode(&all, &record).unwrap(), expected);
    for cut in 0..record.len() {
        assert!(decode(&all, &record[..cut]).is_err(), "{cut}");
    }
    let longer = [&record[..], b"\0"].concat();
    assert_eq!(
        message(decode(&all, &longer).unwrap_err()),
        format!("Avro, byte {}: the record ends here, and 1 bytes follow", record.len())
    );
}

#[test]
fn a_contract_that_speaks_of_numbers_gets_times_as_numbers() {
    let event = schema(
        r#"{"type": "record", "name": "Event", "fields": [
            {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
            {"name": "seen", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "next", "type": ["null", "Event"]}]}"#,
    );
    let field = |name: &str, types| FieldRule {
        name: name.into(),
        presence: Presence::default(),
        value: ValueRule { types, ..ValueRule::default() },
    };
    let rule = |fields| ValueRule { object: Some(ObjectRule { fields, closed: false }), ..ValueRule::default() };
    assert!(event.specialised(&rule(vec![field("at", JsonTypes::STRING)])).is_none());
    let contract = rule(vec![field("at", JsonTypes::INTEGER.or(JsonTypes::NULL)), field("seen", JsonTypes::STRING)]);
    let event = event.specialised(&contract).unwrap();
    let record = b"\x02\x02\x02\x02\x02\x02\x02\x00";
    let millisecond = r#""1970-01-01T00:00:00.001Z""#;
    assert_eq!(
        decode(&event, record).unwrap(),
        format!(r#"{{"at":1,"seen":{millisecond},"next":{{"at":{millisecond},"seen":{millisecond},"next":null}}}}"#),
        "the contract says nothing of what is inside 'next'"
    );
}

#[test]
fn references_and_names() {
    let address =
        r#"{"type": "record", "name": "Address", "namespace": "a", "fields": [{"name": "zip", "type": "Zip"}]}"#;
    let zip = r#"{"type": "fixed", "name": "a.Zip", "size": 1}"#;
    let order = r#"{"type": "record", "name": "a.Order", "fields": [{"name": "to", "type": "Address"}, {"name": "from", "type": "a.Address"}]}"#;
    for references in [[address, zip], [zip, address]] {
        let order = AvroSchema::compile(order, &references).unwrap();
        assert_eq!(decode(&order, b"\x00\xff").unwrap(), r#"{"to":{"zip":"AA=="},"from":{"zip":"/w=="}}"#);
    }
    assert_eq!(AvroSchema::compile(order, &[zip]).unwrap_err(), "field 'to' of 'a.Order': 'a.Address' is not defined");
}

/// A type that a referenced schema defines inside may be used before that schema itself.
#[test]
fn names_within_references() {
    let money = r#"{"type": "record", "name": "com.acme.Money", "fields": [
        {"name": "cents", "type": "int"},
        {"name": "currency", "type": ["null", {"type": "enum", "name": "Currency", "symbols": ["EUR"]}]},
        {"name": "notes", "type": {"type": "array", "items": {"type": "map", "values": {"type": "fixed", "name": "b.Note", "size": 1}}}}]}"#;
    // Nobody uses it, so nobody minds.
    let broken = r#"{"type": "record", "name": "com.acme.A", "fields": [{"name": "a", "type": "Nowhere"}]}"#;
    let order = |types: [&str; 3]| {
        let fields: Vec<String> =
            types.iter().enumerate().map(|(at, of)| format!(r#"{{"name": "f{at}", "type": "{of}"}}"#)).collect();
        format!(r#"{{"type": "record", "name": "com.acme.Order", "fields": [{}]}}"#, fields.join(","))
    };
    let used = AvroSchema::compile(&order(["com.acme.Currency", "Money", "b.Note"]), &[broken, money]).unwrap();
    let json = r#"{"f0":"EUR","f1":{"cents":1,"currency":"EUR","notes":[]},"f2":"/w=="}"#;
    assert_eq!(decode(&used, b"\x00\x02\x02\x00\x00\xff").unwrap(), json);
    let used = AvroSchema::compile(&order(["b.Note", "Currency", "com.acme.Money"]), &[money]).unwrap();
    let json = r#"{"f0":"/w==","f1":"EUR","f2":{"cents":1,"currency":null,"notes":[]}}"#;
    assert_eq!(decode(&used, b"\xff\x00\x02\x00\x00").unwrap(), json);
    // A schema of its own goes before one of the same name inside another.
    let currency = r#"{"type": "enum", "name": "com.acme.Currency", "symbols": ["USD"]}"#;
    let alone = AvroSchema::compile("\"com.acme.Currency\"", &[money, currency]).unwrap();
    assert_eq!(decode(&alone, b"\x00").unwrap(), "\"USD\"");
    let list = format!(r#"{{"type": "array", "items": {currency}}}"#);
    let inside = AvroSchema::compile("\"com.acme.Currency\"", &[&list]).unwrap();
    assert_eq!(decode(&inside, b"\x00").unwrap(), "\"USD\"");
    for (types, error) in [
        (["Note", "Money", "Money"], "field 'f0' of 'com.acme.Order': 'com.acme.Note' is not defined"),
        (["A", "Money", "Money"], "field 'a' of 'com.acme.A': 'com.acme.Nowhere' is not defined"),
    ] {
        assert_eq!(AvroSchema::compile(&order(types), &[broken, money]).unwrap_err(), error);
    }
}

#[test]
fn texts_that_are_no_schema() {
    let deep = format!("{}\"int\"{}", r#"{"type": "array", "items": "#.repeat(100), "}".repeat(100));
    assert!(AvroSchema::compile(&deep, &[]).is_ok());
    let chain: Vec<String> = (0..300)
        .map(|n| format!(r#"{{"type": "record", "name": "r{n}", "fields": [{{"name": "n", "type": "r{}"}}]}}"#, n + 1))
        .collect();
    let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
    assert!(AvroSchema::compile("\"r0\"", &chain).unwrap_err().contains("nested deeper than"));
    for (json, error) in [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("7", "a schema is a string"),
        ("\"text\"", "'text' is not defined"),
        ("{}", "a type is missing"),
        (r#"[["int"]]"#, "a union directly in a union"),
        (r#"{"type": "record", "name": "", "fields": []}"#, "has no name"),
        (r#"{"type": "record", "name": "a"}"#, "record 'a' has no fields"),
        (
            r#"{"type": "record", "name": "a", "fields": [{"name": "x", "type": "int"}, {"name": "x", "type": "int"}]}"#,
            "is there twice",
        ),
        (
            r#"{"type": "record", "name": "a", "fields": [{"name": "x", "type": {"type": "fixed", "name": "a", "size": 1}}]}"#,
            "'a' is defined twice",
        ),
        (r#"{"type": "enum", "name": "a", "symbols": [1]}"#, "is no string"),
        (r#"{"type": "fixed", "name": "a", "size": -1}"#, "has no size"),
        (r#"{"type": "array"}"#, "no 'items'"),
        (r#"{"type": "map"}"#, "no 'values'"),
        (
            r#"{"type": "bytes", "logicalType": "decimal", "precision": 1000000000, "scale": 1000000000}"#,
            "a decimal's scale",
        ),
    ] {
        let told = AvroSchema::compile(json, &[]).unwrap_err();
        assert!(told.contains(error), "{json}: {told}");
    }
}

/// Bombs: a few bytes that ask for much.
#[test]
fn a_few_bytes_cannot_ask_for_much() {
    let many = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"; // the largest count
    let nulls = schema(r#"{"type": "array", "items": "null"}"#);
    assert!(message(decode(&nulls, many).unwrap_err()).contains("too many items that take no bytes"));
    let empty = schema(r#"{"type": "array", "items": {"type": "record", "name": "e", "fields": []}}"#);
    assert!(message(decode(&empty, many).unwrap_err()).contains("too many items"));
    let lowest = [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..], b"\x00"].concat();
    assert!(decode(&nulls, &lowest).is_err(), "a count of −2^63 has no positive");
    let ints = schema(r#"{"type": "array", "items": "int"}"#);
    assert!(message(decode(&ints, many).unwrap_err()).contains("ends within a value"));
    let text = schema("\"string\"");
    assert!(message(decode(&text, many).unwrap_err()).contains("ends within a value"));
    assert!(message(decode(&text, b"\x01").unwrap_err()).contains("negative"));
    assert!(message(decode(&text, b"\x02\xff").unwrap_err()).contains("UTF-8"));
    let fixed = schema(r#"{"type": "fixed", "name": "f", "size": 9000000000000000000}"#);
    assert!(decode(&fixed, b"x").is_err());

    let itself = schema(r#"{"type": "record", "name": "r", "fields": [{"name": "r", "type": "r"}]}"#);
    assert_eq!(decode(&itself, b"").unwrap_err(), ParseError::TooDeep { limit: 64 });
    let list = schema(r#"{"type": "record", "name": "r", "fields": [{"name": "r", "type": ["null", "r"]}]}"#);
    assert_eq!(decode(&list, &[2; 100]).unwrap_err(), ParseError::TooDeep { limit: 64 });
    assert!(decode(&list, &[&[2; 63][..], b"\0"].concat()).is_ok());

    let mut wide = r#"{"type": "array", "items": {"type": "record", "name": "w", "fields": ["#.to_owned();
    for n in 0..1_000 {
        _ = write!(wide, r#"{}{{"name": "{n:0100}", "type": "null"}}"#, if n > 0 { "," } else { "" });
    }
    let wide = schema(&(wide + "]}}"));
    let mut out = Vec::new();
    let limits = DecodeLimits { max_text: 50_000, max_depth: 64 };
    assert!(matches!(wide.decode(many, limits, &mut out), Err(ParseError::TooLarge { limit: 50_000, .. })));
    assert!(out.len() < 51_000 && out.capacity() < 200_000);
}

const RECURSIVE: &str = r#"{"type": "record", "name": "n", "fields": [
    {"name": "kind", "type": {"type": "enum", "name": "k", "symbols": ["a", "b"]}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "sum", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 5}},
    {"name": "big", "type": ["null", {"type": "bytes", "logicalType": "big-decimal"}]},
    {"name": "children", "type": {"type": "array", "items": ["null", "n", "string", "double"]}},
    {"name": "tags", "type": {"type": "map", "values": ["bytes", {"type": "map", "values": "boolean"}]}}]}"#;

static NODES: LazyLock<AvroSchema> = LazyLock::new(|| schema(RECURSIVE));

proptest! {
    /// Bytes that mean something to a decoder more often than plain noise does.
    #[test]
    fn fuzz_avro_bytes(record in proptest::collection::vec(prop_oneof![4 => 0_u8..8, 1 => any::<u8>()], 0..120)) {
        let limits = DecodeLimits { max_text: 4_096, max_depth: 12 };
        let mut out = Vec::new();
        let decoded = NODES.decode(&record, limits, &mut out);
        prop_assert!(out.len() <= 4_096 + 6 * record.len() + 200, "{}", out.len());
        if decoded.is_ok() {
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert!(value.is_object());
        }
    }

    /// Texts out of the words of schemas.
    #[test]
    fn fuzz_avro_schemas(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"type\"", "\"name\"", "\"fields\"", "\"items\"", "\"values\"", "\"symbols\"",
            "\"size\"", "\"record\"", "\"enum\"", "\"fixed\"", "\"array\"", "\"map\"", "\"int\"", "\"bytes\"", "\"a\"",
            "\"a.b\"", "\"\"", "\".\"", "7", "-1", "null", "\"logicalType\"", "\"decimal\"", "\"precision\"", "\"scale\"",
            "\"namespace\"", "{\"type\":\"record\",\"name\":\"a\",\"fields\":[", "{\"name\":\"x\",\"type\":", "]}",
        ]),
        0..24,
    )) {
        if let Ok(schema) = AvroSchema::compile(&words.concat(), &[&words.join(" ")]) {
            let _ = schema.decode(b"\x02\x02\x02\x02", DecodeLimits { max_text: 4_096, max_depth: 12 }, &mut Vec::new());
        }
    }
}
