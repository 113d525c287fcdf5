//! A lineage graph without cycles: layers of tables and of the jobs between them, in turn.

use faultline_contracts::{
    ids::EntityId,
    lineage::{FlowEdge, FlowKind},
    time::UnixMillis,
};

use crate::random::SplitMix64;

/// How many layers there are. The first is of tables, the last of jobs.
pub const LAYERS: u64 = 16;

/// How many nodes a layer has.
#[must_use]
pub fn width(nodes: u64) -> u64 {
    nodes / LAYERS
}

/// A layer's n-th node: a table in even layers, a job in odd ones.
#[must_use]
pub fn node(layer: u64, n: u64) -> EntityId {
    let kind = if is_job(layer) { "job" } else { "table" };
    format!("{kind}:{layer:02}/{n:06}").into()
}

/// The edges of a graph of this many nodes: each node but the last layer's has 1 to 3 into the next layer.
#[must_use]
pub fn edges(nodes: u64) -> Vec<FlowEdge> {
    let (width, mut random) = (width(nodes), SplitMix64(7));
    let mut edges = Vec::new();
    for layer in 0..LAYERS - 1 {
        for n in 0..width {
            for _ in 0..=random.below(3) {
                edges.push(edge(layer, n, random.below(width)));
            }
        }
    }
    edges
}

/// The edge from a layer's node `from` to the next layer's node `to`.
#[must_use]
pub fn edge(layer: u64, from: u64, to: u64) -> FlowEdge {
    let kind = if is_job(layer) { FlowKind::Writes } else { FlowKind::Feeds };
    FlowEdge { from: node(layer, from), to: node(layer + 1, to), kind, since: UnixMillis(0) }
}

fn is_job(layer: u64) -> bool {
    !layer.is_multiple_of(2)
}
