//! Gate 2: who a record is by, and how sure that is.

use faultline_contracts::evidence::{Confidence, Gate, GateResult};
use faultline_operators::gates::{Gates, HEADER_BYTES};

use crate::verdict::{Verdict, catalog, example, gates, judge, record, sent_by};

const ORDER: &str = r#"{"order_id":"O-1","customer_id":"C-1","total_amount":1,"currency":"EUR"}"#;

/// The producer by header, or without one, of an order that passes the other gates.
fn order_by(header: Option<&[u8]>) -> (String, Confidence) {
    let mut gates = gates(&example("orders"));
    let order = record("raw.orders.events", ORDER);
    let verdict = judge(&mut gates, &header.map_or(order, |name| sent_by(order, name)));
    assert_eq!(verdict.result, GateResult::Pass, "an unsure producer is no failure: {verdict:?}");
    verdict.producer
}

fn of(id: &str, confidence: Confidence) -> (String, Confidence) {
    (id.to_owned(), confidence)
}

#[test]
fn a_header_names_an_owner_by_id_or_alias() {
    for name in ["orders-svc", "orders", "orders-service"] {
        assert_eq!(order_by(Some(name.as_bytes())), of("orders-svc", Confidence::High), "{name}");
    }
}

#[test]
fn a_header_that_names_nobody_is_kept_as_sent() {
    for name in ["Orders-svc", "orders-svc ", "checkout", "unknown", "naïve\n\"x\"\u{1}☃"] {
        assert_eq!(order_by(Some(name.as_bytes())), of(name, Confidence::Low), "{name}");
    }
}

#[test]
fn without_a_header_the_only_owner_it_is() {
    assert_eq!(order_by(None), of("orders-svc", Confidence::High));
    assert_eq!(order_by(Some(b"")), of("orders-svc", Confidence::High), "an empty header names nobody");
}

#[test]
fn a_registered_producer_that_is_no_owner_is_less_sure() {
    let mut gates = gates(&example("logistics"));
    let stock = record("logistics.stock-levels", r#"{"warehouse":"BER01","sku":"A","on_hand":3,"counted_at":1}"#);
    let by = |gates: &mut Gates, name: &str| judge(gates, &sent_by(stock, name)).producer;
    assert_eq!(by(&mut gates, "carrier-hub"), of("carrier-hub", Confidence::Medium));
    assert_eq!(by(&mut gates, "carriers"), of("carrier-hub", Confidence::Medium), "by its alias, with its id");
    assert_eq!(by(&mut gates, "wms"), of("warehouse-os", Confidence::High));
}

#[test]
fn of_several_owners_a_header_must_name_one() {
    let mut gates = gates(&example("logistics"));
    let scan = record(
        "logistics.eu.shipment-status",
        r#"{"shipment_id":"SHP-AAAAAAAAAA","status":"CUSTOMS","scanned_at":"2024-01-01T00:00:00Z","parcels":[{"parcel_no":1}]}"#,
    );
    for (name, id) in [("carriers", "carrier-hub"), ("warehouse-os", "warehouse-os")] {
        let Verdict { producer, result, .. } = judge(&mut gates, &sent_by(scan, name));
        assert_eq!((producer, result), (of(id, Confidence::High), GateResult::Pass));
    }
    let nobody = judge(&mut gates, &scan);
    assert_eq!(nobody.producer, of("unknown", Confidence::None));
    assert_eq!(nobody.told(), (GateResult::Fail, &[Gate::Identity][..], vec!["UNKNOWN_PRODUCER"]));
    assert_eq!(nobody.dataset.as_deref(), Some("urn:dp:logistics:shipment_status"), "it is still of its dataset");
}

#[test]
fn without_a_dataset_there_are_no_owners() {
    let mut gates = gates(&example("orders"));
    let stray = record("raw.returns", "not even JSON");
    let nobody = judge(&mut gates, &stray);
    assert_eq!((nobody.producer.clone(), nobody.dataset.clone()), (of("unknown", Confidence::None), None));
    assert_eq!(
        nobody.told(),
        (GateResult::Fail, &[Gate::Resolution, Gate::Identity][..], vec!["UNKNOWN_PRODUCER", "UNRESOLVED_TOPIC"]),
        "what no dataset asks for is not looked at"
    );
    for (name, producer) in
        [("orders", of("orders-svc", Confidence::Medium)), ("returns", of("returns", Confidence::Low))]
    {
        let named = judge(&mut gates, &sent_by(stray, name));
        assert_eq!(named.producer, producer);
        assert_eq!(named.told(), (GateResult::Fail, &[Gate::Resolution][..], vec!["UNRESOLVED_TOPIC"]));
    }
}

#[test]
fn a_catalog_may_name_nobody_or_somebody_who_is_not_registered() {
    let mut gates = gates(&catalog(&[(
        "catalog.yaml",
        "datasets:\n  - {urn: 'urn:dp:a:free', topics: [free]}\n  - {urn: 'urn:dp:a:ghost', topics: [ghost], producer: ghost}\n",
    )]));
    let free = judge(&mut gates, &record("free", "1"));
    assert_eq!(free.told(), (GateResult::Fail, &[Gate::Identity][..], vec!["UNKNOWN_PRODUCER"]));
    assert_eq!(judge(&mut gates, &sent_by(record("free", "1"), "x")).producer, of("x", Confidence::Low));
    assert_eq!(judge(&mut gates, &record("ghost", "1")).producer, of("ghost", Confidence::High), "the catalog's word");
}

#[test]
fn bytes_that_are_no_text_are_shown_as_such() {
    assert_eq!(order_by(Some(b"orders-svc\xff")), of("orders-svc\u{fffd}", Confidence::Low));
    let (id, confidence) = order_by(Some(&[0xff; 100_000]));
    assert_eq!(confidence, Confidence::Low);
    assert!(id.len() <= HEADER_BYTES && id.chars().all(|c| c == '\u{fffd}'), "{id}");
}

#[test]
fn long_headers_are_cut_between_characters() {
    assert_eq!(order_by(Some(&[b'x'; 1_000_000])), of(&"x".repeat(256), Confidence::Low));
    let odd = format!("x{}", "é".repeat(1000));
    assert_eq!(order_by(Some(odd.as_bytes())), of(&odd[..255], Confidence::Low));
}

#[test]
fn a_long_name_is_looked_up_whole() {
    let (short, long) = ("p".repeat(HEADER_BYTES), "p".repeat(HEADER_BYTES + 1));
    let catalog = catalog(&[(
        "catalog.yaml",
        &format!("datasets: [{{urn: 'urn:dp:a:x', topics: [t], producer: {short}}}]\nproducers: [{{id: {short}}}]\n"),
    )]);
    let mut gates = gates(&catalog);
    assert_eq!(judge(&mut gates, &sent_by(record("t", "1"), &short)).producer, of(&short, Confidence::High));
    assert_eq!(
        judge(&mut gates, &sent_by(record("t", "1"), &long)).producer,
        of(&short, Confidence::Low),
        "its beginning is a registered name, and it is not"
    );
}
