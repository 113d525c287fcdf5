//! Breaches upstream: reverse reachability from the breached datasets along lineage.

use differential_dataflow::{VecCollection, operators::Iterate};
use faultline_contracts::{
    graph::edge_id,
    ids::{EntityId, IncidentId},
    lineage::FlowEdge,
    signal::SignalKind,
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::facts::UpstreamBreach;
use crate::graph::label_of_flow;

/// What upstream correlation has to know of a breach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct BreachSpan {
    pub first_failure: UnixMillis,
    pub incident: IncidentId,
    pub resolved_at: Option<UnixMillis>,
    pub kind: SignalKind,
}

/// For each breach, every breach of a dataset at most `max_hops` edges upstream that began earlier and was not over
/// when this one began. Of two that began at once the one with the lesser id counts as earlier, so there are no cycles.
pub(super) fn upstream_breaches<'s>(
    breaches: VecCollection<'s, u64, (EntityId, BreachSpan)>,
    edges: VecCollection<'s, u64, FlowEdge>,
    max_hops: u8,
) -> VecCollection<'s, u64, (IncidentId, UpstreamBreach)> {
    let into = edges.map(|edge| {
        let id = edge_id(&edge.from, label_of_flow(edge.kind), &edge.to);
        (edge.to, (edge.from, id))
    });
    // ((breached dataset, dataset or job upstream), edges between them): the shortest way, the least in text of several.
    let start = breaches.clone().map(|(dataset, _)| ((dataset.clone(), dataset), Vec::new())).distinct();
    let reached = start.clone().iterate(|scope, reached| {
        let (into, start) = (into.enter(scope), start.enter(scope));
        reached
            .filter(move |(_, path): &(_, Vec<EntityId>)| path.len() < usize::from(max_hops))
            .map(|((root, node), path)| (node, (root, path)))
            .join_map(into, |_node, (root, path), (from, edge)| {
                let mut path = path.clone();
                path.push(edge.clone());
                ((root.clone(), from.clone()), path)
            })
            .concat(start)
            .reduce_named("Upstream: shortest way", |_ends, paths, output| {
                if let Some((path, _)) = paths.iter().min_by_key(|(path, _)| (path.len(), *path)) {
                    output.push(((*path).clone(), 1));
                }
            })
    });
    reached
        .filter(|((root, node), _)| root != node)
        .map(|((root, node), path)| (node, (root, path)))
        .join_map(breaches.clone(), |node, (root, path), breach| {
            (root.clone(), (node.clone(), path.clone(), breach.clone()))
        })
        .join_map(breaches, |_root, (node, path, up), down| {
            let earlier = (up.first_failure, up.incident) < (down.first_failure, down.incident);
            let alive = up.resolved_at.is_none_or(|over| over > down.first_failure);
            (earlier && alive).then(|| {
                let breach = UpstreamBreach {
                    first_failure: up.first_failure,
                    incident: up.incident,
                    dataset: node.clone(),
                    kind: up.kind,
                    path: path.clone(),
                };
                (down.incident, breach)
            })
        })
        .flat_map(|found| found)
}
