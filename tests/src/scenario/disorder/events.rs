//! Deployments and job runs among the records.

use faultline_contracts::time::UnixMillis;
use serde_json::{Value, json};

use super::{Disorder, EU, Offsets, US};
use crate::envelope::Envelope;
use crate::scenario::orders::{deployments, lineage};
use crate::scenario::random::Random;

/// Clusters from one run of a job to the next.
const EVERY: u32 = 10;

/// The run of `mirror` that wrote the records of this cluster.
pub(super) fn mirror_run(cluster: u32) -> String {
    format!("mirror-{}", cluster / EVERY)
}

/// What happens at this cluster beside records.
pub(super) fn of_cluster(
    disorder: Disorder,
    cluster: u32,
    offsets: &mut Offsets,
    random: &mut Random,
) -> Vec<Envelope> {
    let at = disorder.time(cluster);
    let mut events = Vec::new();
    let mut event = |topic: &str, headers: &[&str], value: &Value, random: &mut Random| {
        events.push(Envelope {
            offset: offsets.next(topic, 0, random),
            headers: headers.iter().map(|part| Some((*part).to_owned())).collect(),
            ..Envelope::text(topic, at, None, value.to_string())
        });
    };
    let deployed: Option<(&str, u32)> = match cluster * 30 / disorder.clusters.max(1) {
        _ if cluster * 30 % disorder.clusters.max(1) >= 30 => None,
        9 => Some(("shop-eu", 2)),
        12 => Some(("shop-us", 5)),
        20 => Some(("shop-eu", 3)),
        share if share % 7 == 0 => Some(("shop-us", share)),
        _ => None,
    };
    if let Some((service, version)) = deployed {
        let structured = ["content-type", "application/cloudevents+json"];
        event(deployments::TOPIC, &structured, &deployment(service, version, at), random);
    }
    if cluster % EVERY == 3 {
        event(deployments::TOPIC, &[], &json!({"no": "deployment"}), random);
    }
    let jobs = [
        ("mirror", mirror_run(cluster), ("kafka://broker-1:9092", EU), ("kafka://broker-1:9092", US)),
        ("gold", format!("gold-{}", cluster / EVERY), ("kafka://broker-1:9092", US), ("s3://lake", "gold/shop")),
    ];
    for (number, (job, run, input, output)) in (0..).zip(jobs) {
        let kind = match cluster % EVERY {
            phase if phase == number => "START",
            phase if phase == 6 + number => "COMPLETE",
            _ => continue,
        };
        event(lineage::TOPIC, &[], &run_event(job, &run, kind, input, output, at), random);
    }
    events
}

fn deployment(service: &str, version: u32, at: i64) -> Value {
    let at = UnixMillis(at).to_string();
    let kind = "dev.cdevents.service.deployed.0.3.0";
    let id = format!("{service}-{version}-{at}");
    json!({
        "specversion": "1.0", "id": id, "source": "/argo-cd", "type": kind, "time": at,
        "datacontenttype": "application/json",
        "data": {
            "context": {"specversion": "0.5.1", "id": id, "source": "/argo-cd", "type": kind, "timestamp": at},
            "subject": {
                "id": service,
                "content": {"environment": {"id": "production"}, "artifactId": format!("pkg:oci/{service}@v{version}")},
            },
        },
    })
}

fn run_event(job: &str, run: &str, kind: &str, input: (&str, &str), output: (&str, &str), at: i64) -> Value {
    json!({
        "eventTime": UnixMillis(at).to_string(),
        "eventType": kind,
        "producer": "https://faultline.example",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run},
        "job": {"namespace": "airflow", "name": job},
        "inputs": [{"namespace": input.0, "name": input.1}],
        "outputs": [{"namespace": output.0, "name": output.1}],
    })
}
