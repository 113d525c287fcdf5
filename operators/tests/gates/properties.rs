//! Whatever a record is, the gates judge it, and judge it alike wherever and after whatever they see it.

use std::sync::{Arc, LazyLock};

use faultline_contracts::{
    catalog::Catalog,
    document::Limits,
    reason::{ReasonCode, Signature},
    record::{GateHeaders, RawRecord},
};
use faultline_operators::gates::Gates;
use proptest::{collection::vec, option, prelude::*, sample};

use crate::verdict::{example, judge, record};

static CATALOGS: LazyLock<Vec<Arc<Catalog>>> =
    LazyLock::new(|| ["orders", "payments", "logistics", "clickstream"].map(example).into());

/// A catalog, a topic of it, and a record that passes there.
const VALID: [(usize, &str, &str); 4] = [
    (
        0,
        "raw.orders.events",
        r#"{"order_id":"O-1","customer_id":"C-1","total_amount":19.5,"currency":"EUR","created_at":"2023-10-27T09:58:01Z","items":[{"sku":"A","qty":1,"price":2.5}]}"#,
    ),
    (
        1,
        "payments.authorizations.v2",
        r#"{"payment_id":"0b5a7ad1-6b0e-4a8f-9d9b-1f6e2c3d4e5f","merchant":{"id":"merchant","category_code":"5411","country":"DE"},"amount":{"minor_units":100,"currency":"EUR"},"card":{"bin":"123456","last4":"1234","expiry":"12/27"},"result":"APPROVED","decline_reasons":[],"authorized_at":"2024-01-01T00:00:00Z","risk_score":0.5}"#,
    ),
    (
        2,
        "logistics.eu.shipment-status",
        r#"{"shipment_id":"SHP-AAAAAAAAAA","status":"DELIVERED","scanned_at":"2024-01-01T00:00:00Z","position":{"lat":1,"lon":2},"parcels":[{"parcel_no":1,"weight_kg":2.5,"dimensions_cm":[1,2,3]}],"recipient_email":"a@b.de"}"#,
    ),
    (
        3,
        "web.events.de",
        r#"{"event_id":"0b5a7ad1-6b0e-4a8f-9d9b-1f6e2c3d4e5f","event_type":"search","occurred_at":"2024-01-01T00:00:00.000Z","page":{"url":"https://shop.example/","status":200},"visitor":{"id":"v","ip":"10.0.0.1","consent":true},"tags":["a"],"properties":{"q":"shoes"}}"#,
    ),
];

/// What may stand in the place of any part of a record.
const PIECES: [&str; 16] = [
    "null",
    "\"\"",
    "{}",
    "[]",
    "-0",
    "1e999",
    "[[[[",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    ",",
    ":",
    "}",
    "]",
    "true",
    "\"",
    "\u{fffd}",
];

#[derive(Debug, Clone)]
struct Damage {
    at: sample::Index,
    len: usize,
    by: Vec<u8>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let by =
        prop_oneof![sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()), vec(any::<u8>(), 0..4)];
    (any::<sample::Index>(), 0..40_usize, by).prop_map(|(at, len, by)| Damage { at, len, by })
}

/// Bytes, or a record that passes with some of it replaced.
fn payloads() -> impl Strategy<Value = (usize, &'static str, Vec<u8>)> {
    let damaged = (sample::select(&VALID[..]), vec(damage(), 0..4)).prop_map(|((catalog, topic, text), all)| {
        let mut bytes = text.as_bytes().to_vec();
        for Damage { at, len, by } in all {
            let start = at.index(bytes.len() + 1);
            let end = bytes.len().min(start + len);
            bytes.splice(start..end, by);
        }
        (catalog, topic, bytes)
    });
    let strange =
        (sample::select(&VALID[..]), vec(any::<u8>(), 0..200)).prop_map(|((catalog, topic, _), b)| (catalog, topic, b));
    prop_oneof![4 => damaged, 1 => strange]
}

fn headers() -> impl Strategy<Value = [Option<Vec<u8>>; 4]> {
    let header = || {
        let known =
            sample::select(vec!["orders", "pay-gw", "wms", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]);
        option::of(prop_oneof![known.prop_map(|text| text.as_bytes().to_vec()), vec(any::<u8>(), 0..300)])
    };
    [header(), header(), header(), header()]
}

#[test]
fn what_is_valid_passes() {
    for (catalog, topic, text) in VALID {
        let headers = GateHeaders { producer_service: Some(b"x"), ..GateHeaders::default() };
        let mut gates = Gates::new(CATALOGS[catalog].clone(), Limits::default(), 64);
        let verdict = judge(&mut gates, &RawRecord { headers, ..record(topic, text) });
        assert!(verdict.codes.is_empty(), "{topic}: {:?}", verdict.codes);
    }
}

proptest! {
    #[test]
    fn fuzz_any_record_is_judged_alike(
        (catalog, topic, payload) in payloads(),
        before in vec(payloads(), 0..3),
        [producer, traceparent, dag_run, schema_id] in headers(),
        (is_null, has_key, is_stray) in (prop::bool::weighted(0.05), any::<bool>(), prop::bool::weighted(0.05)),
        max_reasons in 0..6_usize,
    ) {
        let limits = Limits { max_bytes: 600, max_depth: 6 };
        let fresh = || Gates::new(CATALOGS[catalog].clone(), limits, max_reasons);
        let headers = GateHeaders {
            producer_service: producer.as_deref(),
            traceparent: traceparent.as_deref(),
            dag_run_id: dag_run.as_deref(),
            // Most records have none, and what is in it is mostly none.
            schema_id: schema_id.as_deref().filter(|_| has_key && !is_stray && max_reasons == 0),
        };
        let topic = if is_stray { "nobody's" } else { topic };
        let payload = if is_null { None } else { Some(&payload[..]) };
        let judged = RawRecord { headers, has_key, payload, ..record(topic, "") };

        let alone = judge(&mut fresh(), &judged);
        let mut used = fresh();
        for (_, topic, payload) in &before {
            judge(&mut used, &record(topic, payload));
        }
        prop_assert_eq!(&judge(&mut used, &judged), &alone);
        prop_assert_eq!(&judge(&mut used, &judged), &alone, "and again");

        prop_assert!(alone.codes.len() <= max_reasons.max(1));
        let codes: Vec<ReasonCode> = serde_json::from_value(serde_json::json!(alone.codes)).unwrap();
        let signature = Signature::of(&codes);
        prop_assert!(alone.codes.is_empty() || signature.codes().eq(alone.codes.iter().map(String::as_str)));
    }
}
