//! A layered lineage graph in which a few nodes are read by very many: fan-out by Pareto's law.

use faultline_benches::{
    layered_dag::{LAYERS, edge, node, width},
    random::SplitMix64,
};
use faultline_contracts::{ids::EntityId, lineage::FlowEdge};
use faultline_operators::adjacency::{AdjacencyIndex, Direction};

/// The law's exponent: with it a node has three edges on average.
const EXPONENT: f64 = 1.41;

/// Any 53 bits, as a share of one.
const UNIT: u64 = 1 << 53;

/// The edges of a graph of this many nodes: each node but the last layer's has at least one into the next layer.
pub fn edges(nodes: u64) -> Vec<FlowEdge> {
    let (width, mut random) = (width(nodes), SplitMix64(7));
    let mut edges = Vec::new();
    for layer in 0..LAYERS - 1 {
        for n in 0..width {
            let share = (random.below(UNIT) + 1) as f64 / UNIT as f64;
            let fan_out = share.powf(-1.0 / EXPONENT) as u64;
            edges.extend((0..fan_out.min(width)).map(|_| edge(layer, n, random.below(width))));
        }
    }
    edges
}

/// An index over these edges.
pub fn index(edges: &[FlowEdge]) -> AdjacencyIndex {
    let mut index = AdjacencyIndex::default();
    edges.iter().for_each(|edge| index.apply(edge, 1));
    index
}

/// Up to `count` roots anywhere in the graph that reach `reach` nodes, give or take a quarter. Gives up after `tries`.
pub fn roots_reaching(index: &mut AdjacencyIndex, nodes: u64, reach: usize, count: usize, tries: u32) -> Vec<EntityId> {
    let (width, mut random) = (width(nodes), SplitMix64(23));
    let (least, most) = (reach - reach / 4, reach + reach / 4);
    let mut roots = Vec::new();
    for _ in 0..tries {
        if roots.len() == count {
            break;
        }
        let root = node(random.below(LAYERS - 1), random.below(width));
        let found = index.search(&root, Direction::Downstream, u32::MAX, most);
        if !found.truncated && found.nodes.len() >= least {
            roots.push(root);
        }
    }
    roots
}
