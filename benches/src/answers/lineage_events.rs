//! A lineage graph as OpenLineage: one JobEvent for each job, which names what it reads and writes.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::{
    lineage::{FlowEdge, FlowKind},
    time::UnixMillis,
};
use faultline_tests::{envelope::Envelope, servers::KafkaServer};
use serde_json::{Value, json};

use super::error::Result;

const TOPIC: &str = "signal_factory.lineage";
const PRODUCER: &str = "https://faultline.example/answers";
const JOB_EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/JobEvent";

/// What a job reads and writes.
#[derive(Default)]
struct Flows<'a> {
    inputs: BTreeSet<&'a str>,
    outputs: BTreeSet<&'a str>,
}

/// Publishes the jobs of these edges, as they are at this time; says how many there are.
///
/// # Errors
/// The broker does not take them.
pub fn publish(kafka: &KafkaServer, edges: &[FlowEdge], at: UnixMillis) -> Result<usize> {
    let events: Vec<_> = jobs(edges).iter().map(|(job, flows)| event(job, flows, at)).collect();
    Ok(kafka.publish(&events)?)
}

fn jobs(edges: &[FlowEdge]) -> BTreeMap<&str, Flows<'_>> {
    let mut jobs: BTreeMap<&str, Flows<'_>> = BTreeMap::new();
    for FlowEdge { from, to, kind, since: _ } in edges {
        let (from, to) = (from.as_str(), to.as_str());
        match kind {
            FlowKind::Writes => jobs.entry(from).or_default().outputs.insert(to),
            _ => jobs.entry(to).or_default().inputs.insert(from),
        };
    }
    jobs
}

fn event(job: &str, flows: &Flows<'_>, at: UnixMillis) -> Envelope {
    let Flows { inputs, outputs } = flows;
    let names = |ids: &BTreeSet<&str>| -> Vec<Value> { ids.iter().map(|id| named(id)).collect() };
    let value = json!({
        "eventTime": at.to_string(),
        "producer": PRODUCER,
        "schemaURL": JOB_EVENT,
        "job": named(job.trim_start_matches("job:")),
        "inputs": names(inputs),
        "outputs": names(outputs),
    });
    Envelope::text(TOPIC, at.0, Some(job.to_owned()), value.to_string())
}

/// `<namespace>/<name>` as OpenLineage has it.
fn named(id: &str) -> Value {
    let (namespace, name) = id.split_once('/').unwrap_or(("", id));
    json!({"namespace": namespace, "name": name})
}

#[cfg(test)]
mod tests {
    use faultline_contracts::catalog::Catalog;
    use faultline_operators::decode::openlineage::{Limits, decode};

    use super::*;
    use crate::layered_dag;

    #[test]
    fn events_decode_to_the_ids_of_the_graph() {
        let edges = layered_dag::edges(160);
        let (mut found, mut expected) = (BTreeSet::new(), BTreeSet::new());
        for (job, flows) in jobs(&edges) {
            let payload = event(job, &flows, UnixMillis(0)).payload.unwrap();
            let decoded = decode(payload.as_bytes(), &Catalog::default(), Limits::default()).unwrap();
            let event = decoded.event.unwrap();
            found.extend(event.inputs.iter().map(|input| (input.to_string(), event.job.to_string())));
            found.extend(event.outputs.iter().map(|output| (event.job.to_string(), output.to_string())));
        }
        expected.extend(edges.iter().map(|edge| (edge.from.to_string(), edge.to.to_string())));
        assert_eq!(found, expected);
    }
}
