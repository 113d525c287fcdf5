//! Bad input is normal input: no decoder panics or exceeds its limits, whatever it is given.

use faultline_contracts::deployment::Deployment;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::{prelude::*, sample::Index};
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    DecodeError, Headers, MAX_REASON_BYTES, cdevents,
    fixtures::{
        AIRFLOW_TASK_COMPLETE, CDEVENTS_0_3_DEPLOYED, CDEVENTS_0_4_UPGRADED, CDEVENTS_0_5_DEPLOYED_STRUCTURED,
        OTLP_REQUEST, SPARK_COMPLETE, shop,
    },
    kcat, openlineage, otlp,
};

const EVENTS: [&str; 6] = [
    AIRFLOW_TASK_COMPLETE,
    SPARK_COMPLETE,
    CDEVENTS_0_3_DEPLOYED,
    CDEVENTS_0_4_UPGRADED,
    CDEVENTS_0_5_DEPLOYED_STRUCTURED,
    OTLP_REQUEST,
];

/// Gives a payload to every decoder and holds each to what it promises.
fn decode_with_all(headers: Headers<'_>, payload: &[u8]) {
    let names = shop();
    if let Some(Some(Deployment { service, .. })) = accepted(cdevents::decode(headers, payload, &names)) {
        assert!(!service.is_empty() && !service.contains('/'), "{service}");
    }

    let limits = openlineage::Limits { inputs: 1, outputs: 1, columns: 2 };
    if let Some(openlineage::Decoded { event: Some(event), .. }) =
        accepted(openlineage::decode(payload, &names, limits))
    {
        assert!(event.inputs.len() <= 1 && event.outputs.len() <= 1 && event.columns.len() <= 2);
        assert!(event.columns.iter().all(|column| event.outputs.contains(&column.output)));
        assert!(event.run.and_then(|run| run.error).is_none_or(|error| error.len() <= 256));
    }

    if let Some(decoded) = accepted(otlp::decode(headers, payload, &names, otlp::Limits { facts: 1, links: 1 })) {
        assert!(decoded.spans.len() <= 1);
    }

    let head = accepted(kcat::locate(payload));
    if let Some(record) = accepted(kcat::decode(payload)) {
        assert_eq!(Some(&record.head), head.as_ref(), "what decodes can be located");
        assert_eq!(kcat::decode(&record.to_line()).unwrap().payload, record.payload);
    }
}

fn accepted<T>(result: Result<T, DecodeError>) -> Option<T> {
    result
        .map_err(|error| match error {
            DecodeError::Syntax { reason, .. } | DecodeError::Invalid { reason, .. } => {
                assert!(reason.len() <= MAX_REASON_BYTES, "{reason}");
            }
            DecodeError::Missing { .. } => {}
        })
        .ok()
}

/// Valid payloads: the events, the spans in protobuf, and an event in an envelope as text and as a value.
fn valid() -> impl Strategy<Value = Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = EVENTS.iter().map(|event| event.as_bytes().to_vec()).collect();
    let request: ExportTraceServiceRequest = serde_json::from_str(OTLP_REQUEST).unwrap();
    payloads.push(request.encode_to_vec());
    let event: Value = serde_json::from_str(CDEVENTS_0_4_UPGRADED).unwrap();
    for payload in [Value::String(CDEVENTS_0_4_UPGRADED.to_owned()), event] {
        let envelope = json!({"topic": "t", "partition": 0, "offset": 1, "tstype": "create", "ts": 5,
            "headers": ["content-type", "application/json"], "key": "k", "payload": payload});
        payloads.push(envelope.to_string().into_bytes());
    }
    prop::sample::select(payloads)
}

#[derive(Debug, Clone)]
enum Damage {
    Truncate(Index),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    // Bytes that mean something in JSON do more harm than others.
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\0-en\n\xff".to_vec())];
    prop_oneof![
        any::<Index>().prop_map(Damage::Truncate),
        (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), prop::collection::vec(byte, 1..8)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        any::<(Index, Index)>().prop_map(|(a, b)| Damage::Remove(a, b)),
        any::<(Index, Index)>().prop_map(|(a, b)| Damage::Repeat(a, b)),
    ]
}

fn apply(damage: &Damage, payload: &mut Vec<u8>) {
    let size = payload.len() + 1;
    let range = |a: &Index, b: &Index| {
        let (a, b) = (a.index(size), b.index(size));
        a.min(b)..a.max(b)
    };
    match damage {
        Damage::Truncate(at) => payload.truncate(at.index(size)),
        Damage::Set(at, byte) => {
            if !payload.is_empty() {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
        }
        Damage::Insert(at, bytes) => {
            let at = at.index(size);
            payload.splice(at..at, bytes.iter().copied());
        }
        Damage::Remove(a, b) => drop(payload.drain(range(a, b))),
        Damage::Repeat(a, b) => payload.extend_from_within(range(a, b)),
    }
}

/// Puts `replacement` in the place of the `n`th value of a document, in depth-first order.
fn replace(document: &mut Value, n: &mut usize, replacement: &Value) {
    if *n == 0 {
        document.clone_from(replacement);
    }
    *n = n.wrapping_sub(1);
    match document {
        Value::Array(members) => members.iter_mut().for_each(|member| replace(member, n, replacement)),
        Value::Object(members) => members.values_mut().for_each(|member| replace(member, n, replacement)),
        _ => {}
    }
}

fn count(document: &Value) -> usize {
    1 + match document {
        Value::Array(members) => members.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    let odd = json!([
        null, true, -1, 1.5, u64::MAX, "", " ", "/", "@", "pkg:", "pkg:a@%", "pkg:a@?tag=", "é".repeat(3_000),
        [], {}, [[]], [null], {"": null}, "2023-10-27T09:58:00Z", "-9999-01-01T00:00:00Z", "kafka://", "\u{0}"
    ]);
    prop_oneof![
        prop::sample::select(odd.as_array().unwrap().clone()),
        any::<String>().prop_map(Value::String),
        any::<i64>().prop_map(Value::from),
    ]
}

/// So many cases, or as many as `PROPTEST_CASES` asks for.
fn at_least(cases: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig { cases: asked.cases.max(cases), ..asked }
}

proptest! {
    #![proptest_config(at_least(3_000))]

    #[test]
    fn fuzz_control_bytes(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_with_all(Headers::default(), &payload);
    }

    #[test]
    fn fuzz_control_headers(
        payload in valid(),
        values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..30)), 3),
    ) {
        let keys = ["content-type", "ce_type", "ce_specversion"];
        let pairs: Vec<_> = keys.into_iter().zip(values.iter().map(Option::as_deref)).collect();
        decode_with_all(Headers(&pairs), &payload);
    }

    #[test]
    fn fuzz_damaged_events(mut payload in valid(), damages in prop::collection::vec(damage(), 1..4)) {
        for damage in &damages {
            apply(damage, &mut payload);
        }
        decode_with_all(Headers::default(), &payload);
    }

    #[test]
    fn fuzz_events_with_odd_values(
        event in prop::sample::select(EVENTS.to_vec()),
        changes in prop::collection::vec((any::<Index>(), odd_value()), 1..4),
    ) {
        let mut document: Value = serde_json::from_str(event).unwrap();
        for (at, value) in &changes {
            let mut n = at.index(count(&document));
            replace(&mut document, &mut n, value);
        }
        decode_with_all(Headers::default(), document.to_string().as_bytes());
    }
}
