//! Protobuf: the encoding guide's examples, message indexes of both registries, the forms of values, hostile bytes.

use faultline_contracts::{
    document::ParseError,
    registry::{DecodeLimits, Place, ProtobufSchema, ProtobufScratch, ReferencedSchema},
};
use proptest::prelude::*;

use crate::{LIMITS, message, text};

fn schema(proto: &str) -> ProtobufSchema {
    ProtobufSchema::compile(proto, &[]).unwrap_or_else(|error| panic!("{proto}: {error}"))
}

fn decode(schema: &ProtobufSchema, record: &[u8], place: Place<'_>) -> Result<String, ParseError> {
    text(|out| schema.decode(record, place, LIMITS, &mut ProtobufScratch::default(), out))
}

/// Of the first message, which a zero in front says.
fn first(schema: &ProtobufSchema, body: &[u8]) -> Result<String, ParseError> {
    decode(schema, &[b"\0", body].concat(), Place::Confluent)
}

/// A message inside so many others, each with these tags around it, the innermost first.
fn nested(innermost: &[u8], tags: &[u8], levels: usize) -> Vec<u8> {
    let mut backwards: Vec<u8> = innermost.iter().rev().copied().collect();
    for tag in std::iter::repeat_n(tags, levels).flatten() {
        let mut length = vec![];
        let mut rest = backwards.len();
        while rest >= 0x80 {
            length.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        length.push(rest as u8);
        backwards.extend(length.iter().rev());
        backwards.push(*tag);
    }
    backwards.reverse();
    backwards
}

/// The bytes are those of Protobuf's encoding guide.
#[test]
fn the_encoding_guides_examples() {
    let guide = schema(
        r#"syntax = "proto2";
        message Test3 { optional Test1 c = 3; optional string b = 2; repeated int32 e = 5; repeated int32 f = 6 [packed = true]; }
        message Test1 { optional int32 a = 1; }"#,
    );
    for (body, json) in [
        (&b"\x1a\x03\x08\x96\x01"[..], r#"{"c":{"a":150},"e":[],"f":[]}"#),
        (b"\x12\x07testing", r#"{"b":"testing","e":[],"f":[]}"#),
        (b"\x32\x06\x03\x8e\x02\x9e\xa7\x05", r#"{"e":[],"f":[3,270,86942]}"#),
        (b"\x28\x01\x28\x02\x30\x07\x2a\x01\x03", r#"{"e":[1,2,3],"f":[7]}"#),
        (b"\x1a\x02\x08\x01\x12\x01a\x12\x01b\x1a\x02\x08\x02", r#"{"c":{"a":2},"b":"b","e":[],"f":[]}"#),
    ] {
        assert_eq!(first(&guide, body).unwrap(), json);
    }
}

/// Confluent's documentation: `message-indexes` of `[1, 0]` and the like, `[0]` shortened to a zero.
#[test]
fn the_places_of_messages() {
    let file = schema(
        r#"syntax = "proto3"; package test.package;
        message MessageA { int32 a = 1; message MessageB { int32 b = 1; message MessageC { int32 c = 1; } } message MessageD { int32 d = 1; } }
        message MessageH { int32 h = 1; message MessageI { int32 i = 1; map<string, int32> m = 2; } }"#,
    );
    for (indexes, name) in [
        (&b"\x00"[..], "a"),
        (b"\x02\x00", "a"),
        (b"\x04\x00\x00", "b"),
        (b"\x06\x00\x00\x00", "c"),
        (b"\x04\x00\x02", "d"),
        (b"\x02\x02", "h"),
        (b"\x04\x02\x00", "i"),
    ] {
        let record = [indexes, b"\x08\x07"].concat();
        let json = decode(&file, &record, Place::Confluent).unwrap();
        assert!(json.starts_with(&format!(r#"{{"{name}":7"#)), "{indexes:?} {json}");
        assert_eq!(decode(&file, b"\x08\x07", Place::ConfluentHeader(indexes)).unwrap(), json);
    }
    // A, A.B, A.B.C, A.D, H, H.I, H.I.MEntry: in the order of full names, as Glue counts.
    for (index, name) in ["a", "b", "c", "d", "h", "i", "key"].into_iter().enumerate() {
        let body: &[u8] = if name == "key" { b"\x10\x07" } else { b"\x08\x07" };
        let json = decode(&file, &[&[index as u8], body].concat(), Place::Glue).unwrap();
        assert!(json.starts_with(&format!(r#"{{"{name}":"#)), "{index} {json}");
    }
    for (record, place) in [
        (&b"\x07\x08\x07"[..], Place::Glue),
        (b"", Place::Glue),
        (b"\x80", Place::Glue),
        (b"", Place::Confluent),
        (b"\x02", Place::Confluent),
        (b"\x02\x04", Place::Confluent),
        (b"\x01", Place::Confluent),
        (b"\x02\x01", Place::Confluent),
        (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", Place::Confluent),
    ] {
        assert!(message(decode(&file, record, place).unwrap_err()).contains("index"), "{record:?}");
    }
}

#[test]
fn forms_of_values() {
    let all = schema(
        r#"syntax = "proto3";
        import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto";
        import "google/protobuf/wrappers.proto"; import "google/protobuf/struct.proto";
        message All {
            string camelCase_and_more = 1; bytes raw = 2; Colour colour = 3; double d = 4; fixed64 f = 5; sint32 s = 6; bool b = 7;
            google.protobuf.Timestamp at = 8; google.protobuf.Duration took = 9; google.protobuf.StringValue note = 10;
            google.protobuf.Struct free = 11; map<int64, Colour> by_number = 12; optional int32 maybe = 13;
            oneof either { int32 left = 14; All right = 15; }
        }
        enum Colour { NONE = 0; RED = 1; }"#,
    );
    let empty = r#"{"camelCase_and_more":"","raw":"","colour":"NONE","d":0,"f":0,"s":0,"b":false,"by_number":{}}"#;
    assert_eq!(first(&all, b"").unwrap(), empty, "fields without presence have defaults");
    let mut body = b"\x0a\x01x\x12\x01\xff\x18\x01\x21".to_vec();
    body.extend(f64::NEG_INFINITY.to_le_bytes());
    body.extend(b"\x29\xff\xff\xff\xff\xff\xff\xff\xff\x30\x01\x38\x01");
    body.extend(b"\x42\x0c\x08\xa9\x93\xee\xa9\x06\x10\x80\xb3\xff\xc4\x03"); // 1698400681 s, 950 ms
    body.extend(b"\x4a\x0d\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x00"); // −1 s
    body.extend(b"\x52\x03\x0a\x01n");
    body.extend(b"\x5a\x0d\x0a\x0b\x0a\x01\x6b\x12\x06\x32\x04\x0a\x02\x08\x00"); // {"k": [null]}
    body.extend(b"\x62\x04\x08\x07\x10\x01\x62\x04\x08\x08\x10\x63"); // {7: RED, 8: 99}
    body.extend(b"\x68\x00\x70\x05\x7a\x00");
    let json: serde_json::Value = serde_json::from_str(&first(&all, &body).unwrap()).unwrap();
    let inner: serde_json::Value = serde_json::from_str(empty).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "camelCase_and_more": "x", "raw": "/w==", "colour": "RED", "d": "-Infinity", "f": u64::MAX, "s": -1, "b": true,
            "at": "2023-10-27T09:58:01.950Z", "took": "-1s", "note": "n", "free": {"k": [null]},
            "by_number": {"7": "RED", "8": 99}, "maybe": 0, "right": inner,
        }),
        "of the oneof, the last"
    );
}

#[test]
fn required_fields_and_groups() {
    let old = schema(
        r#"syntax = "proto2"; message Old { required int32 id = 1; optional group Part = 2 { repeated string name = 3; } }"#,
    );
    assert_eq!(message(first(&old, b"").unwrap_err()), "Protobuf: a required field is missing");
    assert_eq!(first(&old, b"\x08\x01").unwrap(), r#"{"id":1}"#);
    let group = b"\x08\x01\x13\x1a\x01a\x1a\x01b\x14";
    assert_eq!(first(&old, group).unwrap(), r#"{"id":1,"part":{"name":["a","b"]}}"#);
    let unknown = b"\x08\x01\xfb\x01\x08\x01\xfc\x01";
    assert_eq!(first(&old, unknown).unwrap(), r#"{"id":1}"#, "a group that nobody knows is skipped");
    for bad in [&b"\x08\x01\x13"[..], b"\x08\x01\x13\x1c", b"\x08\x01\x14", b"\x08\x01\x13\x1a\x05a\x14"] {
        assert!(first(&old, bad).is_err(), "{bad:?}");
    }
}

#[test]
fn imports() {
    let reference = |name: &str, text: &str| ReferencedSchema { name: name.into(), text: text.into() };
    let references = [
        reference("shop/money.proto", r#"syntax = "proto3"; package shop; message Money { int64 cents = 1; }"#),
        reference("other.proto", r#"syntax = "proto3"; import public "shop/money.proto";"#),
    ];
    let order = r#"syntax = "proto3"; import "other.proto"; message Order { shop.Money total = 1; }"#;
    let schema = ProtobufSchema::compile(order, &references).unwrap();
    assert_eq!(first(&schema, b"\x0a\x02\x08\x05").unwrap(), r#"{"total":{"cents":5}}"#);
    for (proto, error) in [
        (order, "not found"),
        ("syntax = \"proto3\";", "no message"),
        ("message A { int32 a = 1 }", "expected"),
        ("syntax = \"proto3\"; message A { B b = 1; }", "B"),
        ("import \"faultline/registered.proto\"; message A {}", "cycle"),
    ] {
        let told = ProtobufSchema::compile(proto, &[]).unwrap_err();
        assert!(told.contains(error), "{proto}: {told}");
    }
    let deep = format!("{}{}", "message A { ".repeat(50_000), "}".repeat(50_000));
    assert!(ProtobufSchema::compile(&deep, &[]).is_err());
}

#[test]
fn a_few_bytes_cannot_ask_for_much() {
    let list = schema(
        r#"syntax = "proto3"; message L { L next = 1; repeated Wide w = 2; }
        message Wide { int32 a_field_with_a_long_name_1 = 1; int32 a_field_with_a_long_name_2 = 2; }"#,
    );
    assert_eq!(first(&list, &nested(b"", &[0x0a], 100)).unwrap_err(), ParseError::TooDeep { limit: 64 });
    assert_eq!(first(&list, &[0x1b; 100]).unwrap_err(), ParseError::TooDeep { limit: 64 }, "groups nobody knows");
    let mut out = Vec::new();
    let limits = DecodeLimits { max_text: 20_000, max_depth: 64 };
    let wide = [&b"\0"[..], &b"\x12\x00".repeat(10_000)].concat();
    let refused = list.decode(&wide, Place::Confluent, limits, &mut ProtobufScratch::default(), &mut out);
    assert!(matches!(refused, Err(ParseError::TooLarge { limit: 20_000, .. })));
    assert!(out.len() < 20_100);
    let many = b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert!(message(first(&list, many).unwrap_err()).contains("ends within a field"));
}

/// `Value`s count as deep as their text is, up to the last level.
#[test]
fn values_may_be_as_deep_as_their_text() {
    let any = schema(
        r#"syntax = "proto3"; import "google/protobuf/struct.proto"; message Any { google.protobuf.Value v = 1; }"#,
    );
    // `Any`, and lists of lists of null; `Any`, and objects of objects of null.
    let lists = |levels| nested(&nested(b"\x08\x00", &[0x0a, 0x32], levels), &[0x0a], 1);
    let objects = |levels| nested(&nested(b"\x08\x00", &[0x12, 0x0a, 0x2a], levels), &[0x0a], 1);
    let json = |open: &str, close: &str| format!(r#"{{"v":{}null{}}}"#, open.repeat(63), close.repeat(63));
    assert_eq!(first(&any, &lists(63)).unwrap(), json("[", "]"));
    assert_eq!(first(&any, &objects(63)).unwrap(), json(r#"{"":"#, "}"));
    for body in [lists(64), objects(64), lists(50_000), objects(50_000)] {
        assert_eq!(first(&any, &body).unwrap_err(), ParseError::TooDeep { limit: 64 });
    }
}

/// Files may declare messages with the names of Google's. What is written without a container of its own must not be
/// able to contain itself.
#[test]
fn messages_that_only_call_themselves_well_known() {
    let deep = nested(b"", &[0x0a], 100_000);
    for declared in [
        "message BytesValue { BytesValue value = 1; }",
        "message ListValue { ListValue values = 1; }",
        "message Struct { Struct fields = 1; }",
        "message Value { oneof kind { Value value = 1; string string_value = 3; } }",
        "message Value { oneof kind { NullValue null_value = 2; Value value = 1; } } enum NullValue { NULL_VALUE = 0; }",
        "message Value { oneof kind { NullValue null_value = 2; Struct value = 1; } } enum NullValue { NULL_VALUE = 0; }
         message Struct { Value fields = 1; }",
    ] {
        let fake = schema(&format!(r#"syntax = "proto3"; package google.protobuf; {declared}"#));
        assert_eq!(first(&fake, &deep).unwrap_err(), ParseError::TooDeep { limit: 64 }, "{declared}");
    }
    for (declared, body, json) in [
        ("message BytesValue { BytesValue value = 1; }", &b"\x0a\x00"[..], r#"{"value":{}}"#),
        ("message StringValue { string value = 1; int32 more = 2; }", b"\x0a\x01a", r#"{"value":"a","more":0}"#),
        ("message Int32Value { string value = 1; }", b"\x0a\x01a", r#"{"value":"a"}"#),
        ("message Timestamp { string text = 1; }", b"\x0a\x01a", r#"{"text":"a"}"#),
        ("message Value { string text = 1; }", b"\x0a\x01a", r#"{"text":"a"}"#),
        ("message BytesValue { bytes value = 1; }", b"\x0a\x01a", r#""YQ==""#),
    ] {
        let fake = schema(&format!(r#"syntax = "proto3"; package google.protobuf; {declared}"#));
        assert_eq!(first(&fake, body).unwrap(), json, "{declared}");
    }
}

proptest! {
    /// Texts out of the words of `.proto` files.
    #[test]
    fn fuzz_protobuf_schemas(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "syntax = \"proto3\";", "syntax = \"proto2\";", "edition = \"2023\";", "package a;", "message", "enum", "A", "B", "{", "}",
            "int32", "repeated", "optional", "required", "group", "map<string, A>", "oneof", "x", "=", "1", "2", "-1", ";",
            "import \"other.proto\";", "import \"google/protobuf/struct.proto\";", "extend", "reserved", "option", "[", "]",
            "packed = true", "default = 7", "google.protobuf.Value", "message A { A a = 1; }", "enum B { C = 0; }", "\"", "/*", "//",
        ]),
        0..20,
    )) {
        let other = ReferencedSchema { name: "other.proto".into(), text: words.concat() };
        if let Ok(schema) = ProtobufSchema::compile(&words.join(" "), &[other]) {
            let _ = first(&schema, b"\x0a\x02\x08\x05\x08\x01");
        }
    }
}
