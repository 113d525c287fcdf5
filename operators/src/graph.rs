//! The graph that leaves Faultline: context from catalog and lineage, causes from incidents and their explanations.

use std::sync::Arc;

use differential_dataflow::VecCollection;
use faultline_contracts::{
    asset::{Asset, AssetKind},
    explanation::{Explanation, HypothesisKind},
    graph::{Edge, EdgeLabel, Vertex, signal_vertex},
    ids::EntityId,
    incident::Incident,
    lineage::{FlowEdge, FlowKind},
    policy::DatasetPolicy,
    time::UnixMillis,
};

/// A producer of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Producer {
    /// Its id.
    pub id: Arc<str>,
    /// The team that answers for it.
    pub team: Option<Arc<str>>,
}

/// What the graph is made from. Clone it to use it for both [`vertices`] and [`edges`].
#[derive(Clone)]
pub struct GraphInputs<'s> {
    /// The policies of all datasets.
    pub policies: VecCollection<'s, u64, DatasetPolicy>,
    /// The producers of the catalog.
    pub producers: VecCollection<'s, u64, Producer>,
    /// What is known of datasets, jobs, tables, dashboards.
    pub assets: VecCollection<'s, u64, Asset>,
    /// The lineage graph.
    pub flow: VecCollection<'s, u64, FlowEdge>,
    /// All incidents.
    pub incidents: VecCollection<'s, u64, Incident>,
    /// Their explanations.
    pub explanations: VecCollection<'s, u64, Explanation>,
}

/// The label of a lineage edge in the graph.
#[must_use]
pub fn label_of_flow(kind: FlowKind) -> EdgeLabel {
    match kind {
        FlowKind::Feeds => EdgeLabel::Feeds,
        FlowKind::Writes => EdgeLabel::Writes,
        FlowKind::ConsumedBy => EdgeLabel::ConsumedBy,
    }
}

/// All edges, one row for each edge id: with the earliest `since` and the highest confidence of those that say the same.
pub fn edges<'s>(inputs: GraphInputs<'s>) -> VecCollection<'s, u64, Edge> {
    let GraphInputs { policies, producers: _, assets: _, flow, incidents, explanations } = inputs;
    let owns = policies.flat_map(|policy| {
        let DatasetPolicy { dataset, owners, .. } = policy;
        owners.into_iter().map(move |owner| Edge {
            from: EntityId::producer(&owner),
            label: EdgeLabel::Owns,
            to: dataset.clone(),
            // What the catalog declares holds from the beginning, as its lineage does.
            since: UnixMillis(0),
            confidence: None,
        })
    });
    let flows = flow.map(|edge| {
        let label = label_of_flow(edge.kind);
        Edge { from: edge.from, label, to: edge.to, since: edge.since, confidence: None }
    });
    let observed = incidents.clone().flat_map(|incident| {
        let signal = signal_vertex(&incident.dataset_urn, incident.signal);
        let first_failure = incident.evidence_ids.first().map_or(incident.opened_at, |id| id.timestamp());
        let (signature, vertex) = (incident.signature_vertex(), incident.vertex());
        let certain = Some(1000);
        [
            Edge {
                from: signature,
                label: EdgeLabel::Caused,
                to: signal.clone(),
                since: first_failure,
                confidence: certain,
            },
            Edge {
                from: signal,
                label: EdgeLabel::Triggered,
                to: vertex,
                since: incident.opened_at,
                confidence: certain,
            },
        ]
    });
    // Only what the edges are made of, so that an incident's growing counts leave them alone.
    let effects = incidents.map(|incident| {
        let ends =
            (incident.signature_vertex(), signal_vertex(&incident.dataset_urn, incident.signal), incident.signal);
        (incident.id, ends)
    });
    let causes = explanations
        .map(|explanation| (explanation.incident, explanation.hypotheses))
        .join_map(effects, |_incident, hypotheses, (signature, signal, kind)| {
            let edge = |hypothesis: &faultline_contracts::explanation::Hypothesis| {
                let (from, label, to) = match hypothesis.kind {
                    HypothesisKind::UpstreamDataset => {
                        (signal_vertex(&hypothesis.subject, *kind), EdgeLabel::Caused, signal.clone())
                    }
                    HypothesisKind::Deployment
                    | HypothesisKind::JobRun
                    | HypothesisKind::ContractChange
                    | HypothesisKind::SchemaChange => {
                        (hypothesis.subject.clone(), EdgeLabel::Introduced, signature.clone())
                    }
                };
                Edge { from, label, to, since: hypothesis.at, confidence: Some(hypothesis.score.0) }
            };
            hypotheses.iter().map(edge).collect::<Vec<_>>()
        })
        .flat_map(|edges| edges);
    owns.concatenate([flows, observed, causes])
        .map(|edge| ((edge.from, edge.label, edge.to), (edge.since, edge.confidence)))
        .reduce_named("Edges", |_id, sayings, output| {
            let since = sayings.iter().map(|((since, _), _)| *since).min().unwrap_or_default();
            let confidence = sayings.iter().filter_map(|((_, confidence), _)| *confidence).max();
            output.push(((since, confidence), 1));
        })
        .map(|((from, label, to), (since, confidence))| Edge { from, label, to, since, confidence })
}

/// How much a source knows of a vertex: the one that knows most names it.
mod knowledge {
    pub const CATALOG: u8 = 0;
    pub const OBSERVED: u8 = 1;
    /// An edge mentions it.
    pub const MENTIONED: u8 = 2;
}

type Known = (EntityId, (u8, Arc<str>, Vec<(Arc<str>, Arc<str>)>));

/// All vertices, one row for each id: every end of every edge of [`edges`] among them. Where several sources describe
/// one, the label is of the source that knows most, and each property of the first that has it.
pub fn vertices<'s>(inputs: GraphInputs<'s>) -> VecCollection<'s, u64, Vertex> {
    let GraphInputs { policies, producers, assets, flow, incidents, explanations } = inputs;
    let owners = policies
        .clone()
        .flat_map(|policy| policy.owners)
        .map(|id| known(EntityId::producer(&id), knowledge::MENTIONED, "Producer", [("id", Some(id))]));
    let datasets = policies.map(|policy| {
        let properties =
            [("contract", policy.contract), ("schema", policy.schema), ("tier", Some(policy.tier.to_string().into()))];
        known(policy.dataset, knowledge::CATALOG, "Dataset", properties)
    });
    let producers = producers.map(|producer| {
        let properties = [("id", Some(Arc::clone(&producer.id))), ("team", producer.team)];
        known(EntityId::producer(&producer.id), knowledge::CATALOG, "Producer", properties)
    });
    let assets = assets.map(|asset| {
        let tier = asset.tier.map(|tier| tier.to_string().into());
        let properties = [("name", Some(asset.name)), ("owner", asset.owner), ("tier", tier)];
        known(asset.id, knowledge::OBSERVED, label_of_asset(asset.kind), properties)
    });
    let mentioned = flow.flat_map(|edge| {
        let (from, to) = match edge.kind {
            FlowKind::Feeds => ("Table", "Job"),
            FlowKind::Writes => ("Job", "Table"),
            FlowKind::ConsumedBy => ("Table", label_of_consumer(edge.to.as_str())),
        };
        [(edge.from, from), (edge.to, to)].map(|(id, label)| known(id, knowledge::MENTIONED, label, []))
    });
    let observed = incidents.flat_map(|incident| {
        let dataset: Arc<str> = incident.dataset_urn.as_str().into();
        let of_signature =
            [("dataset", Some(Arc::clone(&dataset))), ("signature", Some(incident.failure_signature.as_str().into()))];
        let of_signal = [("dataset", Some(Arc::clone(&dataset))), ("kind", Some(incident.signal.as_str().into()))];
        let of_incident = [
            ("dataset", Some(dataset)),
            ("opened_at", Some(incident.opened_at.to_string().into())),
            ("severity", Some(incident.severity.as_str().into())),
            ("status", Some(incident.status.as_str().into())),
            ("title", Some(incident.title.as_str().into())),
        ];
        let signal = signal_vertex(&incident.dataset_urn, incident.signal);
        [
            known(incident.signature_vertex(), knowledge::OBSERVED, "FailureSignature", of_signature),
            known(signal, knowledge::OBSERVED, "Signal", of_signal),
            known(incident.vertex(), knowledge::OBSERVED, "Incident", of_incident),
        ]
    });
    let blamed = explanations.flat_map(|explanation| explanation.hypotheses).flat_map(|hypothesis| {
        let label = match hypothesis.kind {
            HypothesisKind::Deployment => "Deployment",
            HypothesisKind::JobRun => "Run",
            HypothesisKind::ContractChange => "Contract",
            HypothesisKind::SchemaChange => "Schema",
            // Datasets with a breach of their own have a policy, and their signal an incident.
            HypothesisKind::UpstreamDataset => return None,
        };
        let at = hypothesis.at.to_string().into();
        Some(known(hypothesis.subject, knowledge::OBSERVED, label, [("at", Some(at))]))
    });
    datasets
        .concatenate([owners, producers, assets, mentioned, observed, blamed])
        .reduce_named("Vertices", |_id, sources, output| {
            let Some(((_, label, _), _)) = sources.first() else { return };
            let mut properties: Vec<(Arc<str>, Arc<str>)> = Vec::new();
            for ((_, _, known), _) in sources {
                for (name, value) in known {
                    if let Err(place) = properties.binary_search_by(|(have, _)| have.cmp(name)) {
                        properties.insert(place, (Arc::clone(name), Arc::clone(value)));
                    }
                }
            }
            output.push(((Arc::clone(label), properties), 1));
        })
        .map(|(id, (label, properties))| Vertex { id, label, properties })
}

/// One source's word on a vertex.
fn known<const N: usize>(id: EntityId, by: u8, label: &str, properties: [(&str, Option<Arc<str>>); N]) -> Known {
    let properties = properties.into_iter().filter_map(|(name, value)| value.map(|value| (name.into(), value)));
    (id, (by, label.into(), properties.collect()))
}

fn label_of_asset(kind: AssetKind) -> &'static str {
    match kind {
        AssetKind::Dataset => "Dataset",
        AssetKind::Job => "Job",
        AssetKind::Table => "Table",
        AssetKind::Dashboard => "Dashboard",
        AssetKind::Report => "Report",
        AssetKind::Model => "Model",
        AssetKind::Service => "Service",
    }
}

/// Of a consumer that nothing else describes, its id's prefix tells the kind.
fn label_of_consumer(id: &str) -> &'static str {
    match id.split_once(':') {
        Some(("report", _)) => "Report",
        Some(("model", _)) => "Model",
        Some(("service", _)) => "Service",
        _ => "Dashboard",
    }
}
