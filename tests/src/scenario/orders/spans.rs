//! What v3.17 reported to the OpenTelemetry collector about failing orders, in OTLP JSON.

use serde_json::{Value, json};

use super::{ScenarioError, json_text, records};
use crate::envelope::Envelope;

/// The topic.
pub const TOPIC: &str = "signal_factory.spans";

/// How many failing traces are reported, from the first on, and how many at most in one export.
const TRACES: usize = 30;
const BATCH: usize = 8;

/// How long after its last span the collector exports a batch.
const EXPORT_DELAY_MS: i64 = 1_200;

/// `SPAN_KIND_PRODUCER`
const PRODUCER: u8 = 4;

/// Exports about the first failing orders that are traced.
pub fn exports(orders: &[Envelope]) -> Result<Vec<Envelope>, ScenarioError> {
    let failing = orders.iter().filter(|order| order.payload.as_deref().is_some_and(|p| !p.contains("customer_id")));
    let traced: Vec<(&Envelope, &str)> =
        failing.filter_map(|order| Some((order, order.header("traceparent")?))).take(TRACES).collect();
    (0..)
        .zip(traced.chunks(BATCH))
        .map(|(number, batch)| {
            let spans: Vec<Value> = batch.iter().map(|(order, traceparent)| span(order, traceparent)).collect();
            let last = batch.iter().map(|(order, _)| order.ts).max().unwrap_or_default();
            let batch = Envelope::text(TOPIC, last + EXPORT_DELAY_MS, None, json_text(export(&spans))?);
            Ok(Envelope { offset: 7_310_544 + number, ..batch })
        })
        .collect()
}

fn export(spans: &[Value]) -> Value {
    json!({
        "resourceSpans": [{
            "resource": {
                "attributes": [
                    text("service.name", "orders-svc"),
                    text("service.version", "v3.17"),
                    text("deployment.environment.name", "production"),
                    text("telemetry.sdk.language", "java"),
                ],
            },
            "scopeSpans": [{"scope": {"name": "io.opentelemetry.kafka-clients-2.6"}, "spans": spans}],
        }],
    })
}

/// The span that sent the order: the one that the record's `traceparent` names.
fn span(order: &Envelope, traceparent: &str) -> Value {
    let mut parts = traceparent.split('-').skip(1);
    let (trace_id, span_id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    json!({
        "traceId": trace_id,
        "spanId": span_id,
        "name": format!("send {}", records::TOPIC),
        "kind": PRODUCER,
        "startTimeUnixNano": nanos(order.ts - 3),
        "endTimeUnixNano": nanos(order.ts),
        "attributes": [
            text("messaging.system", "kafka"),
            text("messaging.operation.name", "send"),
            text("messaging.operation.type", "send"),
            text("messaging.destination.name", records::TOPIC),
            text("messaging.destination.partition.id", &order.partition.to_string()),
            json!({"key": "messaging.kafka.offset", "value": {"intValue": order.offset.to_string()}}),
            text("messaging.kafka.message.key", order.key.as_deref().unwrap_or_default()),
        ],
        "status": {},
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// OTLP JSON carries 64-bit integers as text.
fn nanos(millis: i64) -> String {
    format!("{}", i128::from(millis) * 1_000_000)
}
