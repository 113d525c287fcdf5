//! Avro: random schemas and values, written by the `apache-avro` crate, read by it and by ours.

use apache_avro::{Schema, from_avro_datum, to_avro_datum, types::Value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use faultline_contracts::registry::AvroSchema;
use proptest::{collection::vec, prelude::*};
use serde_json::json;

use crate::{LIMITS, text};

/// A type, from which come a schema, values of it, and what they are in JSON.
#[derive(Debug, Clone)]
enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(usize),
    Date,
    TimestampMillis,
    TimestampMicros,
    Decimal(usize),
    Array(Box<Type>),
    Map(Box<Type>),
    /// Null or it.
    Optional(Box<Type>),
    Record(Vec<Type>),
}

fn types() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        Just(Type::Null),
        Just(Type::Boolean),
        Just(Type::Int),
        Just(Type::Long),
        Just(Type::Float),
        Just(Type::Double),
        Just(Type::Bytes),
        Just(Type::String),
        (0_usize..20).prop_map(Type::Fixed),
        (1_usize..5).prop_map(Type::Enum),
        Just(Type::Date),
        Just(Type::TimestampMillis),
        Just(Type::TimestampMicros),
        (0_usize..6).prop_map(Type::Decimal),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|of| Type::Array(of.into())),
            inner.clone().prop_map(|of| Type::Map(of.into())),
            inner.clone().prop_map(|of| match of {
                Type::Null | Type::Optional(_) => of,
                of => Type::Optional(of.into()),
            }),
            vec(inner, 0..4).prop_map(Type::Record),
        ]
    })
}

/// The schema; named types get a number each.
fn schema(of: &Type, names: &mut usize) -> serde_json::Value {
    let mut name = || {
        *names += 1;
        format!("n{names}")
    };
    match of {
        Type::Null => json!("null"),
        Type::Boolean => json!("boolean"),
        Type::Int => json!("int"),
        Type::Long => json!({"type": "long"}),
        Type::Float => json!("float"),
        Type::Double => json!("double"),
        Type::Bytes => json!("bytes"),
        Type::String => json!("string"),
        Type::Fixed(size) => json!({"type": "fixed", "name": name(), "size": size}),
        Type::Enum(count) => {
            let symbols: Vec<_> = (0..*count).map(|n| format!("S{n}")).collect();
            json!({"type": "enum", "name": name(), "symbols": symbols})
        }
        Type::Date => json!({"type": "int", "logicalType": "date"}),
        Type::TimestampMillis => json!({"type": "long", "logicalType": "timestamp-millis"}),
        Type::TimestampMicros => json!({"type": "long", "logicalType": "timestamp-micros"}),
        Type::Decimal(scale) => json!({"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": scale}),
        Type::Array(of) => json!({"type": "array", "items": schema(of, names)}),
        Type::Map(of) => json!({"type": "map", "values": schema(of, names)}),
        Type::Optional(of) => json!(["null", schema(of, names)]),
        Type::Record(fields) => {
            let name = name();
            let fields: Vec<_> = fields
                .iter()
                .enumerate()
                .map(|(n, field)| json!({"name": format!("f{n}"), "type": schema(field, names)}))
                .collect();
            json!({"type": "record", "name": name, "namespace": "a.b", "fields": fields})
        }
    }
}

fn value(of: &Type) -> BoxedStrategy<Value> {
    match of {
        Type::Null => Just(Value::Null).boxed(),
        Type::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        Type::Int => any::<i32>().prop_map(Value::Int).boxed(),
        Type::Long => any::<i64>().prop_map(Value::Long).boxed(),
        Type::Float => any::<f32>().prop_map(Value::Float).boxed(),
        Type::Double => any::<f64>().prop_map(Value::Double).boxed(),
        Type::Bytes => vec(any::<u8>(), 0..20).prop_map(Value::Bytes).boxed(),
        Type::String => any::<String>().prop_map(Value::String).boxed(),
        Type::Fixed(size) => {
            let size = *size;
            vec(any::<u8>(), size..=size).prop_map(move |bytes| Value::Fixed(size, bytes)).boxed()
        }
        Type::Enum(count) => (0..*count as u32).prop_map(|n| Value::Enum(n, format!("S{n}"))).boxed(),
        Type::Date => (-700_000..2_900_000).prop_map(Value::Date).boxed(),
        Type::TimestampMillis => {
            (-62_135_596_800_000..253_402_200_000_000_i64).prop_map(Value::TimestampMillis).boxed()
        }
        Type::TimestampMicros => {
            (-62_135_596_800_000_000..253_402_200_000_000_000_i64).prop_map(Value::TimestampMicros).boxed()
        }
        // As many digits as a float holds, because these are compared as floats.
        Type::Decimal(_) => vec(any::<u8>(), 1..=6).prop_map(|bytes| Value::Decimal(bytes.into())).boxed(),
        Type::Array(of) => vec(value(of), 0..4).prop_map(Value::Array).boxed(),
        Type::Map(of) => proptest::collection::hash_map(any::<String>(), value(of), 0..4).prop_map(Value::Map).boxed(),
        Type::Optional(of) => {
            let there = value(of).prop_map(|value| Value::Union(1, value.into()));
            prop_oneof![Just(Value::Union(0, Value::Null.into())), there].boxed()
        }
        Type::Record(fields) => {
            let values: Vec<_> = fields.iter().map(value).collect();
            let named =
                |values: Vec<Value>| values.into_iter().enumerate().map(|(n, v)| (format!("f{n}"), v)).collect();
            values.prop_map(move |values| Value::Record(named(values))).boxed()
        }
    }
}

/// What a value is in JSON, said once more and with other means.
fn expected(of: &Type, value: &Value) -> serde_json::Value {
    // The text is the shortest of its width. Whole ones are written without a point, and `serde_json` tells integers and
    // floats apart.
    let float = |float: f64, text: String| match text.strip_suffix(".0") {
        _ if float.is_nan() => json!("NaN"),
        _ if float.is_infinite() => json!(if float > 0.0 { "Infinity" } else { "-Infinity" }),
        Some(whole) => serde_json::from_str(whole).unwrap(),
        _ => serde_json::from_str(&text).unwrap(),
    };
    match (of, value) {
        (_, Value::Null) => json!(null),
        (_, Value::Boolean(value)) => json!(value),
        (_, Value::Int(value)) => json!(value),
        (_, Value::Long(value)) => json!(value),
        (_, Value::Float(value)) => float(f64::from(*value), format!("{value:?}")),
        (_, Value::Double(value)) => float(*value, format!("{value:?}")),
        (_, Value::Bytes(bytes) | Value::Fixed(_, bytes)) => json!(STANDARD.encode(bytes)),
        (_, Value::String(text) | Value::Enum(_, text)) => json!(text),
        (_, Value::Date(days)) => {
            let epoch = jiff::civil::date(1970, 1, 1);
            json!(epoch.checked_add(jiff::Span::new().days(i64::from(*days))).unwrap().to_string())
        }
        (_, Value::TimestampMillis(at)) => json!(format!("{:.3}", jiff::Timestamp::from_millisecond(*at).unwrap())),
        (_, Value::TimestampMicros(at)) => json!(format!("{:.6}", jiff::Timestamp::from_microsecond(*at).unwrap())),
        (Type::Decimal(scale), Value::Decimal(decimal)) => {
            let bytes: Vec<u8> = decimal.try_into().unwrap();
            let mut wide = [if bytes[0] >= 0x80 { 0xff } else { 0 }; 16];
            wide[16 - bytes.len()..].copy_from_slice(&bytes);
            let exponent = if *scale == 0 { String::new() } else { format!("e-{scale}") };
            serde_json::from_str(&format!("{}{exponent}", i128::from_be_bytes(wide))).unwrap()
        }
        (Type::Array(of), Value::Array(items)) => items.iter().map(|item| expected(of, item)).collect(),
        (Type::Map(of), Value::Map(entries)) => {
            entries.iter().map(|(name, value)| (name.clone(), expected(of, value))).collect()
        }
        (Type::Optional(of), Value::Union(_, value)) => expected(of, value),
        (Type::Record(fields), Value::Record(values)) => {
            fields.iter().zip(values).map(|(of, (name, value))| (name.clone(), expected(of, value))).collect()
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn fuzz_avro_agrees_with_apache_avro((of, value) in types().prop_flat_map(|of| {
        let value = value(&of);
        (Just(of), value)
    })) {
        let json = schema(&of, &mut 0).to_string();
        let theirs = Schema::parse_str(&json).unwrap();
        let record = to_avro_datum(&theirs, value).unwrap();
        let read = from_avro_datum(&theirs, &mut &record[..], None).unwrap();
        let ours = AvroSchema::compile(&json, &[]).unwrap();
        let decoded = text(|out| ours.decode(&record, LIMITS, out)).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&decoded).unwrap(), expected(&of, &read), "{}", json);
    }
}
