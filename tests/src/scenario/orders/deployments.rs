//! Deployments, as CDEvents in both CloudEvents modes of Kafka and in the vocabulary's present and earlier form.

use serde_json::{Value, json};

use super::{ScenarioError, json_text, millis};
use crate::envelope::Envelope;

/// The topic.
pub const TOPIC: &str = "signal_factory.deployments";

const SOURCE: &str = "/argo-cd/production";
const DEPLOYED: &str = "dev.cdevents.service.deployed.0.3.0";
const DEPLOYED_EARLIER: &str = "dev.cdevents.service.deployed.0.2.0";

/// What is deployed in the story.
pub fn deployments() -> Result<Vec<Envelope>, ScenarioError> {
    let v3_16 = cd_event(
        "3d6f1a52-8c0e-4b77-9a41-5e2f70c9b316",
        "2023-10-26T14:12:03Z",
        "orders-svc",
        "pkg:oci/orders-svc@sha256:5c1b9e07d24a8f36e0b7c4d18a92f5e3610d7b84c9fa23e65d08b1f47a3c9e62?repository_url=registry.shop.example/orders-svc&tag=v3.16",
    );
    let payments = earlier_cd_event(
        "b1f0c9d4-2e5a-4a0c-8d13-6f7be2a91c40",
        "2023-10-27T08:31:20Z",
        "payments-svc",
        "pkg:oci/payments-svc@sha256%3A0f4e2d9ab36c8175e4d0a7b92c58f1e36d7a09b4c2e8f5160d93a7be48c1f205?repository_url=registry.shop.example/payments-svc&tag=v8.2",
    );
    let v3_17 = cd_event(
        "7e90b2c8-41df-4f6a-b5d3-0c8a19e7f317",
        "2023-10-27T09:57:45Z",
        "orders-svc",
        "pkg:oci/orders-svc@sha256:e83a5f12c9d40b7e6a1f98d3c50b24e7f6138a9d0c5b72e4f19d6a83b0e7c254?repository_url=registry.shop.example/orders-svc&tag=v3.17",
    );
    Ok(vec![structured(211, DEPLOYED, &v3_16)?, structured(212, DEPLOYED_EARLIER, &payments)?, binary(213, &v3_17)?])
}

/// CDEvents 0.5: `context.specversion`, no subject type.
fn cd_event(id: &str, time: &str, service: &str, artifact: &str) -> Value {
    json!({
        "context": {
            "specversion": "0.5.1",
            "id": id,
            "source": SOURCE,
            "type": DEPLOYED,
            "timestamp": time,
        },
        "subject": {
            "id": service,
            "source": SOURCE,
            "content": {
                "environment": {"id": "production", "source": SOURCE},
                "artifactId": artifact,
            },
        },
    })
}

/// CDEvents 0.4: `context.version`, a subject type.
fn earlier_cd_event(id: &str, time: &str, service: &str, artifact: &str) -> Value {
    let mut event = cd_event(id, time, service, artifact);
    event["context"] = json!({
        "version": "0.4.1",
        "id": id,
        "source": SOURCE,
        "type": DEPLOYED_EARLIER,
        "timestamp": time,
    });
    event["subject"]["type"] = json!("service");
    event
}

/// Structured mode: the value is the whole CloudEvent.
fn structured(offset: i64, kind: &str, event: &Value) -> Result<Envelope, ScenarioError> {
    let cloud_event = json!({
        "specversion": "1.0",
        "id": event["context"]["id"],
        "source": event["context"]["source"],
        "type": kind,
        "subject": event["subject"]["id"],
        "time": event["context"]["timestamp"],
        "datacontenttype": "application/json",
        "data": event,
    });
    let headers = [("content-type", "application/cloudevents+json; charset=UTF-8")];
    envelope(offset, event, &headers, &cloud_event)
}

/// Binary mode: attributes are headers, the value is the CDEvent.
fn binary(offset: i64, event: &Value) -> Result<Envelope, ScenarioError> {
    let text = |part: &Value| part.as_str().unwrap_or_default().to_owned();
    let context = &event["context"];
    let (id, source, time) = (text(&context["id"]), text(&context["source"]), text(&context["timestamp"]));
    let (kind, subject) = (text(&context["type"]), text(&event["subject"]["id"]));
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_source", &source),
        ("ce_type", &kind),
        ("ce_subject", &subject),
        ("ce_time", &time),
        ("content-type", "application/json"),
    ];
    envelope(offset, event, &headers, event)
}

fn envelope(offset: i64, event: &Value, headers: &[(&str, &str)], value: &Value) -> Result<Envelope, ScenarioError> {
    let ts = millis(event["context"]["timestamp"].as_str().unwrap_or_default())?;
    let headers = headers.iter().flat_map(|(k, v)| [Some((*k).to_owned()), Some((*v).to_owned())]).collect();
    let key = event["subject"]["id"].as_str().map(str::to_owned);
    Ok(Envelope { offset, headers, ..Envelope::text(TOPIC, ts, key, json_text(value.clone())?) })
}
