//! Protobuf: random bytes that are mostly messages, read by `prost-reflect` and by ours.

use std::sync::LazyLock;

use faultline_contracts::{
    document::{Limits, Parser},
    registry::{DecodeLimits, ProtobufSchema, ProtobufScratch},
};
use proptest::{collection::vec, prelude::*};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

/// Each kind of field in each shape, under low numbers, so that random bytes meet them.
const PROTO: &str = r#"syntax = "proto3"; package t;
import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
message All {
    int32 int32 = 1; sint64 sint64 = 2; string text = 3; double d = 4; fixed32 fixed = 5;
    repeated int64 longs = 6; repeated string texts = 7; All inner = 8; repeated All list = 9; map<string, All> by_text = 10;
    map<bool, sint32> by_bool = 11; optional uint64 maybe = 12; E e = 13; repeated E es = 14 [packed = false];
    oneof one { int32 left = 15; string middle = 16; All right = 17; }
    google.protobuf.Timestamp at = 18; google.protobuf.Duration took = 19; google.protobuf.Value free = 20;
    google.protobuf.Int64Value wrapped = 21; bytes raw = 22; bool b = 23; repeated float floats = 24; sfixed64 sf = 25;
    uint32 u = 26; repeated google.protobuf.StringValue notes = 27; Old old = 28; map<int32, E> by_number = 29;
}
message Old { int32 a = 1; All all = 2; }
enum E { ZERO = 0; ONE = 1; MINUS = -1; }"#;

static OURS: LazyLock<ProtobufSchema> = LazyLock::new(|| ProtobufSchema::compile(PROTO, &[]).unwrap());

static THEIRS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    struct Here;
    impl protox::file::FileResolver for Here {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            match name {
                "here.proto" => protox::file::File::from_source(name, PROTO),
                other => protox::file::GoogleFileResolver::new().open_file(other),
            }
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(Here);
    compiler.open_file("here.proto").unwrap();
    compiler.descriptor_pool()
});

/// One field on the wire: its number, wire type and value, which mostly fit each other.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let number = 1_u8..30;
    let leaf = (number.clone(), 0_u8..3, vec(prop_oneof![3 => 0_u8..4, 1 => any::<u8>()], 0..10)).prop_map(
        |(number, kind, bytes)| {
            let mut out = Vec::new();
            match kind {
                0 => {
                    tag(number, 0, &mut out);
                    out.push(bytes.first().copied().unwrap_or(0) & 0x7f);
                }
                1 => {
                    tag(number, 2, &mut out);
                    out.push(bytes.len() as u8);
                    out.extend(bytes);
                }
                _ => {
                    let (wire, size) = if matches!(number, 4 | 25) { (1, 8) } else { (5, 4) };
                    tag(number, wire, &mut out);
                    out.extend(bytes.iter().copied().chain(std::iter::repeat(0)).take(size));
                }
            }
            out
        },
    );
    leaf.prop_recursive(4, 40, 5, move |inner| {
        (number.clone(), vec(inner, 0..5)).prop_map(|(number, fields)| {
            let body = fields.concat();
            let mut out = Vec::new();
            // Up to 127 bytes are one byte of length.
            let body = &body[..body.len().min(127)];
            tag(number, 2, &mut out);
            out.push(body.len() as u8);
            out.extend(body);
            out
        })
    })
}

fn tag(number: u8, wire: u8, out: &mut Vec<u8>) {
    // `prost-reflect` reads a map's entry whatever its wire type is, and ours does not.
    let wire = if matches!(number, 10 | 11 | 29) { 2 } else { wire };
    let tag = u16::from(number) << 3 | u16::from(wire);
    if tag < 0x80 {
        out.push(tag as u8);
    } else {
        out.extend([tag as u8 & 0x7f | 0x80, (tag >> 7) as u8]);
    }
}

/// What theirs makes of a record: its JSON, where it reads and can be shown.
fn theirs(record: &[u8]) -> Option<serde_json::Value> {
    let descriptor = THEIRS.get_message_by_name("t.All").unwrap();
    let message = DynamicMessage::decode(descriptor, record).ok()?;
    let options =
        SerializeOptions::new().stringify_64_bit_integers(false).use_proto_field_name(true).skip_default_fields(false);
    let mut out = Vec::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut out), &options).ok()?;
    Some(whole(serde_json::from_slice(&out).unwrap()))
}

/// Whole floats as integers, which JSON does not tell apart, and short numbers as the single-precision float that they are
/// read back as: of two texts of the same length that stand equally near to one, either may be written.
fn whole(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) if float.fract() == 0.0 && float.abs() < 9e18 => Value::from(float as i64),
            Some(float) if number.to_string().bytes().filter(u8::is_ascii_digit).count() <= 12 => {
                Value::from(f64::from(float as f32))
            }
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, whole(value))).collect(),
        other => other,
    }
}

fn ours(record: &[u8]) -> Option<serde_json::Value> {
    let limits = DecodeLimits { max_text: 1 << 20, max_depth: 200 };
    let mut out = Vec::new();
    OURS.decode_message("t.All", record, limits, &mut ProtobufScratch::default(), &mut out).ok()?;
    Parser::new(Limits { max_depth: 512, ..Limits::default() }).parse(&out).unwrap();
    Some(whole(serde_json::from_slice(&out).unwrap()))
}

proptest! {
    #[test]
    fn fuzz_protobuf_agrees_with_prost_reflect(fields in vec(field(), 0..8)) {
        let record = fields.concat();
        if let Some(theirs) = theirs(&record) {
            let ours = ours(&record);
            // In the map of a `Struct`, too, `prost-reflect` reads an entry whatever its wire type is.
            if ours.is_some() || !theirs.to_string().contains("\"free\":") {
                prop_assert_eq!(ours, Some(theirs), "{:02x?}", record);
            }
        }
    }

    #[test]
    fn fuzz_protobuf_bytes(record in vec(prop_oneof![3 => 0_u8..0x40, 1 => any::<u8>()], 0..80)) {
        // Here and there one reads what the other refuses: what both read is the same.
        if let (Some(ours), Some(theirs)) = (ours(&record), theirs(&record)) {
            prop_assert_eq!(ours, theirs, "{:02x?}", record);
        }
    }
}

#[test]
fn the_oracle_reads_what_the_tests_make() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let (mut runner, strategy) = (TestRunner::deterministic(), vec(field(), 0..8));
    let mut records = || strategy.new_tree(&mut runner).unwrap().current().concat();
    let read = (0..2_000).filter(|_| theirs(&records()).is_some()).count();
    assert!(read > 200, "{read} of 2000: else the comparison says little");
}
