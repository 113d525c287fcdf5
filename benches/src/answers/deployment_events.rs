//! Deployments of generated services, as CDEvents in structured CloudEvents.

use faultline_contracts::time::UnixMillis;
use faultline_tests::{envelope::Envelope, servers::KafkaServer};
use serde_json::json;

use super::{error::Result, generated::service};

const TOPIC: &str = "signal_factory.deployments";
const KIND: &str = "dev.cdevents.service.deployed.0.3.0";
const SOURCE: &str = "/answers/production";
const VERSION: &str = "v2";

/// The cause that is to be found for an incident of a dataset.
#[must_use]
pub fn cause(dataset: usize) -> String {
    format!("deployment:{}:{VERSION}", service(dataset))
}

/// Publishes one deployment, at this time, of each dataset's service.
///
/// # Errors
/// The broker does not take them.
pub fn publish(kafka: &KafkaServer, datasets: impl IntoIterator<Item = usize>, at: UnixMillis) -> Result<()> {
    let events: Vec<_> = datasets.into_iter().map(|dataset| event(dataset, at)).collect();
    kafka.publish(&events)?;
    Ok(())
}

fn event(dataset: usize, at: UnixMillis) -> Envelope {
    let (service, id, time) = (service(dataset), format!("deployment-{dataset:05}"), at.to_string());
    let artifact = format!("pkg:oci/{service}@{VERSION}");
    let event = json!({
        "context": {"specversion": "0.5.1", "id": id, "source": SOURCE, "type": KIND, "timestamp": time},
        "subject": {
            "id": service,
            "source": SOURCE,
            "content": {"environment": {"id": "production", "source": SOURCE}, "artifactId": artifact},
        },
    });
    let value = json!({
        "specversion": "1.0",
        "id": id,
        "source": SOURCE,
        "type": KIND,
        "subject": service,
        "time": time,
        "datacontenttype": "application/json",
        "data": event,
    });
    let headers = ["content-type", "application/cloudevents+json; charset=UTF-8"];
    let headers = headers.map(|text| Some(text.to_owned())).into();
    Envelope { headers, ..Envelope::text(TOPIC, at.0, Some(service), value.to_string()) }
}
