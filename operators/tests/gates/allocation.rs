//! A record that passes costs no allocation once its topic has been seen and the buffers have grown.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use faultline_contracts::{
    evidence::GateResult,
    ids::EvidenceId,
    record::{GateHeaders, RawRecord},
    registry::{RegisteredSchema, SchemaFormat},
};
use faultline_operators::gates::Carried;

use crate::{
    registered::{CONFLUENT, GLUE, avro, behind_confluent, behind_glue, known, orders, proto},
    verdict::{EVENT_TIME, example, gates, record},
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn passing_records_and_their_evidence_allocate_nothing() {
    let mut gates = gates(&example("orders"));
    let headers = GateHeaders {
        producer_service: Some(b"orders"),
        traceparent: Some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        dag_run_id: Some(b"scheduled__2023-10-27"),
        schema_id: None,
    };
    let order = r#"{"order_id":"O-1","customer_id":"caf\u00e9","total_amount":12.50,"currency":"EUR","note":"n",
        "created_at":"2023-10-27T09:58:01Z","items":[{"sku":"A","qty":2,"price":2.5},{"sku":"B","qty":1,"price":7.5}]}"#;
    let order = RawRecord { headers, ..record("raw.orders.events", order) };
    let strange = RawRecord { headers: GateHeaders { producer_service: Some(b"strangers"), ..headers }, ..order };
    let mut json = Vec::new();
    let mut judge = |record: &RawRecord<'_>| {
        let judgement = gates.judge(record);
        json.clear();
        judgement
            .evidence(EvidenceId::of(record.at, EVENT_TIME), record.at, EVENT_TIME, EVENT_TIME)
            .write_json(&mut json);
        judgement.result == GateResult::Pass
    };
    assert!(judge(&order) && judge(&strange), "both pass");
    let before = ALLOCATIONS.get();
    let all_passed = (0..100).all(|_| judge(&order) && judge(&strange));
    let after = ALLOCATIONS.get();
    assert!(all_passed);
    assert_eq!(after - before, 0);
}

#[test]
fn passing_records_behind_wire_headers_allocate_nothing() {
    let mut gates = gates(&orders());
    let records = [
        ("json", behind_confluent(br#"{"id":"1","qty":1}"#), known(CONFLUENT, SchemaFormat::Json, "json", "5")),
        ("counted", behind_glue(&avro(Some("1"), 1)), known(GLUE, SchemaFormat::Avro, "avro", "5")),
        ("timed", behind_glue(&avro(Some("1"), 1)), known(GLUE, SchemaFormat::Avro, "avro", "5")),
        (
            "proto",
            behind_confluent(&[b"\x02\x02", &proto(Some("1"), 1)[..]].concat()),
            known(CONFLUENT, SchemaFormat::Protobuf, "proto", "5"),
        ),
    ];
    let mut json = Vec::new();
    let mut judge = |(topic, payload, schema): &(&str, Vec<u8>, Arc<RegisteredSchema>)| {
        let record = record(topic, payload);
        let is_asked_for = gates.schema_id(&record) == Some(schema.id());
        let judgement = gates.judge_by(&record, Carried::Known(schema));
        json.clear();
        judgement
            .evidence(EvidenceId::of(record.at, EVENT_TIME), record.at, EVENT_TIME, EVENT_TIME)
            .write_json(&mut json);
        is_asked_for && judgement.result == GateResult::Pass && judgement.schema_drifts
    };
    assert!(records.iter().all(&mut judge), "all pass");
    let before = ALLOCATIONS.get();
    let all_passed = (0..100).all(|_| records.iter().all(&mut judge));
    let after = ALLOCATIONS.get();
    assert!(all_passed);
    assert_eq!(after - before, 0);
}
