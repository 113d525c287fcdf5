//! Evidence: what is written about a record, to the byte, and the trace and run that it belongs to.

use faultline_contracts::record::{GateHeaders, RawRecord};

use crate::verdict::{Verdict, catalog, example, gates, judge, record};

#[test]
fn the_order_of_the_incident() {
    let order = record("raw.orders.events", r#"{"order_id":"O-99123","total_amount":149.99,"currency":"USD"}"#);
    let headers = GateHeaders {
        producer_service: Some(b"orders"),
        traceparent: Some(b"00-ab91f0c3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01"),
        dag_run_id: Some(b"scheduled__2023-10-27"),
        ..GateHeaders::default()
    };
    let Verdict { json, .. } = judge(&mut gates(&example("orders")), &RawRecord { headers, ..order });
    assert_eq!(
        String::from_utf8(json).unwrap(),
        concat!(
            r#"{"evidence_id":"evd-01HDR93FYYP6JVW0040009ENT1","timestamp":"2023-10-27T09:58:02.113Z","#,
            r#""dataset_urn":"urn:dp:orders:created","producer":{"id":"orders-svc","confidence":"HIGH"},"#,
            r#""validation":{"result":"FAIL","failed_gates":["CONTRACT"],"reason_codes":["MISSING_FIELD:customer_id"]},"#,
            r#""source":{"topic":"raw.orders.events","partition":4,"offset":9918273},"#,
            r#""otel":{"trace_id":"ab91f0c3577b34da6a3ce929d0e0e473"},"dag_run_id":"scheduled__2023-10-27","#,
            r#""event_time":"2023-10-27T09:58:01.950Z","schema":"glue:orders.created:17","contract":"dc:orders.created:3","contract_version":"3.2.0"}"#
        )
    );
}

#[test]
fn only_a_valid_traceparent_gives_a_trace() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut gates = gates(&example("orders"));
    let mut trace = |traceparent: &[u8]| {
        let headers = GateHeaders { traceparent: Some(traceparent), ..GateHeaders::default() };
        let verdict = judge(&mut gates, &RawRecord { headers, ..record("raw.orders.events", "{}") });
        assert_eq!(verdict.evidence().get("otel").is_some(), verdict.trace_id.is_some());
        verdict.trace_id
    };
    for valid in [
        format!("00-{TRACE}-00f067aa0ba902b7-01"),
        format!("00-{TRACE}-00f067aa0ba902b7-00"),
        format!("01-{TRACE}-00f067aa0ba902b7-01-of-the-future"),
    ] {
        assert_eq!(trace(valid.as_bytes()).as_deref(), Some(TRACE), "{valid}");
    }
    for invalid in [
        String::new(),
        TRACE.to_owned(),
        format!("ff-{TRACE}-00f067aa0ba902b7-01"),
        format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
        format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
        format!("00-{TRACE}-00f067aa0ba902b7"),
        format!("00_{TRACE}_00f067aa0ba902b7_01"),
        "00-".repeat(100_000),
    ] {
        assert_eq!(trace(invalid.as_bytes()), None, "{}", &invalid[..invalid.len().min(80)]);
    }
    assert_eq!(trace(&[0xff; 55]), None);
}

#[test]
fn a_run_id_is_kept_to_a_bound() {
    let mut gates = gates(&example("orders"));
    let mut run = |id: &[u8]| {
        let headers = GateHeaders { dag_run_id: Some(id), ..GateHeaders::default() };
        judge(&mut gates, &RawRecord { headers, ..record("raw.orders.events", "{}") }).dag_run_id
    };
    assert_eq!(run(b"manual__1").as_deref(), Some("manual__1"));
    assert_eq!(run("é".repeat(200).as_bytes()), Some("é".repeat(128)));
    assert_eq!(run(format!("x{}", "é".repeat(200)).as_bytes()), Some(format!("x{}", "é".repeat(127))));
    assert_eq!(run(b""), None);
    assert_eq!(run(b"\xff"), None, "nothing could be found by it");
}

#[test]
fn a_dataset_without_schema_and_contract_names_none() {
    let files = [("catalog.yaml", "datasets: [{urn: 'urn:dp:a:\"x\\y', topics: ['.*'], producer: p}]")];
    let mut gates = gates(&catalog(&files));
    let verdict = judge(&mut gates, &record("a \"topic\"\t\u{7f}", "{}"));
    let evidence = verdict.evidence();
    assert_eq!(evidence["dataset_urn"], "urn:dp:a:\"x\\y");
    assert!(evidence.get("schema").is_none() && evidence.get("contract").is_none(), "{evidence}");
    let stray = judge(&mut gates, &record("no\nmatch", "{}")).evidence();
    assert_eq!(stray["dataset_urn"], serde_json::Value::Null);
    assert!(stray.get("schema").is_none() && stray.get("contract").is_none(), "{stray}");
}
