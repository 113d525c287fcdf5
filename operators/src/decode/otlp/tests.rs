use opentelemetry_proto::tonic::{
    common::v1::AnyValue,
    resource::v1::Resource,
    trace::v1::{ScopeSpans, span::Link},
};

use super::*;
use crate::decode::fixtures::{OTLP_REQUEST, shop, with};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// A span of trace `n` that starts at `n` seconds.
fn span(n: u8, kind: SpanKind, attributes: &[(&str, &str)]) -> Span {
    Span {
        trace_id: vec![n; 16],
        kind: kind as i32,
        start_time_unix_nano: u64::from(n) * 1_000_000_000,
        attributes: attributes.iter().map(|(key, value)| text(key, value)).collect(),
        ..Span::default()
    }
}

fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource { attributes: vec![text("service.name", service)], ..Resource::default() };
    let scope = ScopeSpans { spans, ..ScopeSpans::default() };
    let group = ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }
}

fn decoded(request: &ExportTraceServiceRequest) -> Decoded {
    decode(Headers::default(), &request.encode_to_vec(), &shop(), Limits::default()).unwrap()
}

fn trace(n: u8) -> TraceId {
    TraceId::from_bytes([n; 16]).unwrap()
}

fn traces(decoded: &Decoded) -> Vec<TraceId> {
    decoded.spans.iter().map(|span| span.trace_id).collect()
}

fn topic(span: Span) -> Option<Arc<str>> {
    decoded(&request("orders", vec![span])).spans[0].topic.clone()
}

#[test]
fn json_and_protobuf_say_the_same() {
    let from_json = decode(Headers::default(), OTLP_REQUEST.as_bytes(), &shop(), Limits::default()).unwrap();
    let fact = |topic: Option<&str>, ms| ServiceSpan {
        trace_id: TRACE.parse().unwrap(),
        service: "orders-svc".into(),
        version: Some("v1.2.3".into()),
        topic: topic.map(Arc::from),
        at: UnixMillis(ms),
    };
    let spans = vec![fact(None, 1_698_400_681_900), fact(Some("raw.orders.events"), 1_698_400_681_950)];
    assert_eq!(from_json, Decoded { spans, omitted: Omitted::default() });

    let request: ExportTraceServiceRequest = serde_json::from_str(OTLP_REQUEST).unwrap();
    assert_eq!(decoded(&request), from_json);
    let json = [("content-type", Some(&b"application/json"[..]))];
    assert_eq!(decode(Headers(&json), OTLP_REQUEST.as_bytes(), &shop(), Limits::default()), Ok(from_json));
    assert_eq!(decode(Headers::default(), b"", &shop(), Limits::default()), Ok(Decoded::default()), "an empty message");
}

#[test]
fn protobuf_that_starts_like_json_is_protobuf() {
    let length = |name: &str| request(name, vec![span(1, SpanKind::Internal, &[])]).resource_spans[0].encoded_len();
    let name = "s".repeat(1 + 123 - length("s"));
    let payload = request(&name, vec![span(1, SpanKind::Internal, &[])]).encode_to_vec();
    assert!(payload.starts_with(b"\n{"), "{payload:?}");
    let decoded = decode(Headers::default(), &payload, &shop(), Limits::default()).unwrap();
    assert_eq!(&*decoded.spans[0].service, name);

    let error = decode(Headers::default(), b"\n{\"resourceSpans\":[", &shop(), Limits::default()).unwrap_err();
    assert!(error.to_string().contains("in JSON"), "{error}");
}

#[test]
fn what_is_no_request_is_refused_with_a_reason() {
    let json = [("content-type", Some(&b"application/json"[..]))];
    for (headers, payload, reason) in [
        (Headers(&json), "", "in JSON"),
        (Headers::default(), "{\"resourceSpans\":7}", "in JSON"),
        (Headers::default(), "[]", "in protobuf"),
        (Headers::default(), "\n\u{7f}", "in protobuf"),
    ] {
        let error = decode(headers, payload.as_bytes(), &shop(), Limits::default()).unwrap_err().to_string();
        assert!(error.starts_with("not an ExportTraceServiceRequest") && error.contains(reason), "{payload}: {error}");
    }
    let not_hex = with(OTLP_REQUEST, TRACE, "not-a-trace-id");
    assert!(decode(Headers::default(), not_hex.as_bytes(), &shop(), Limits::default()).is_err());
}

#[test]
fn spans_of_one_trace_and_topic_are_one_fact_at_the_earliest_start() {
    let spans = [7, 3, 5].map(|second| Span { trace_id: vec![1; 16], ..span(second, SpanKind::Server, &[]) });
    let decoded = decoded(&request("orders", spans.to_vec()));
    assert_eq!(decoded.spans.len(), 1);
    assert_eq!(decoded.spans[0].at, UnixMillis(3_000));
    assert_eq!(&*decoded.spans[0].service, "orders-svc", "an alias");
}

#[test]
fn topics_are_those_that_a_span_published_to() {
    let kafka = [("messaging.system", "kafka"), ("messaging.destination.name", "t")];
    assert_eq!(topic(span(1, SpanKind::Producer, &kafka)).as_deref(), Some("t"));
    assert_eq!(topic(span(1, SpanKind::Producer, &kafka[1..])).as_deref(), Some("t"), "a system is not named");
    assert_eq!(topic(span(1, SpanKind::Consumer, &kafka)), None);
    assert_eq!(topic(span(1, SpanKind::Client, &kafka)), None);
    for (operation, expected) in [("send", Some("t")), ("receive", None)] {
        let client = [kafka[0], kafka[1], ("messaging.operation.type", operation)];
        assert_eq!(topic(span(1, SpanKind::Client, &client)).as_deref(), expected, "{operation}");
    }
    let rabbit = [("messaging.system", "rabbitmq"), ("messaging.destination.name", "t")];
    assert_eq!(topic(span(1, SpanKind::Producer, &rabbit)), None);
}

#[test]
fn only_producers_correlate_the_traces_that_they_link() {
    let link = |n: u8| Link { trace_id: vec![n; 16], ..Link::default() };
    for (kind, expected) in
        [(SpanKind::Producer, vec![trace(1), trace(8), trace(9)]), (SpanKind::Consumer, vec![trace(1)])]
    {
        let batch = Span { links: vec![link(9), link(8), link(0)], ..span(1, kind, &[]) };
        let decoded = decoded(&request("orders", vec![batch]));
        assert_eq!(traces(&decoded), expected);
        assert_eq!(decoded.omitted.invalid, usize::from(kind == SpanKind::Producer), "the zero link");
    }
}

#[test]
fn what_cannot_be_correlated_is_counted() {
    let mut short = span(1, SpanKind::Server, &[]);
    short.trace_id.truncate(8);
    let mut untimed = span(2, SpanKind::Server, &[]);
    untimed.start_time_unix_nano = 0;
    let zero = Span { start_time_unix_nano: 1, ..span(0, SpanKind::Server, &[]) };
    let mixed = decoded(&request("orders", vec![short, untimed, zero, span(3, SpanKind::Server, &[])]));
    assert_eq!(traces(&mixed), [trace(3)]);
    assert_eq!(mixed.omitted, Omitted { invalid: 3, ..Omitted::default() });

    for name in ["", "unknown_service:java"] {
        let unnamed = decoded(&request(name, vec![span(1, SpanKind::Server, &[]), span(2, SpanKind::Server, &[])]));
        assert_eq!(unnamed, Decoded { spans: vec![], omitted: Omitted { unnamed: 2, ..Omitted::default() } });
    }
}

#[test]
fn facts_and_links_are_limited_and_the_rest_is_counted() {
    let links = (10..15).map(|n| Link { trace_id: vec![n; 16], ..Link::default() }).collect();
    let mut spans = vec![Span { links, ..span(1, SpanKind::Producer, &[]) }];
    spans.extend((2..6).map(|n| span(n, SpanKind::Server, &[])));
    let payload = request("orders", spans).encode_to_vec();
    let decoded = decode(Headers::default(), &payload, &shop(), Limits { facts: 4, links: 2 }).unwrap();
    assert_eq!(traces(&decoded), [trace(1), trace(2), trace(10), trace(11)]);
    assert_eq!(decoded.omitted, Omitted { links: 3, facts: 3, ..Omitted::default() });
}
