//! Blast radius over a 16-layer random DAG: a new root by search, and an edge that comes and goes under 100 standing roots.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use differential_dataflow::input::InputSession;
use faultline_contracts::{
    ids::EntityId,
    lineage::{FlowEdge, FlowKind},
    time::UnixMillis,
};
use faultline_operators::{
    adjacency::{AdjacencyIndex, Direction},
    blast_radius::{QueryKey, ReachOptions, ReachQuery, standing},
};
use timely::{
    WorkerConfig,
    communication::{Allocator, allocator::thread::Thread},
    worker::Worker,
};

const LAYERS: u64 = 16;
const SIZES: [u64; 2] = [10_000, 100_000];
const STANDING: u64 = 100;

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): the same graph on any machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn node(layer: u64, n: u64) -> EntityId {
    format!("table:{layer:02}/{n:06}").into()
}

/// Each node but the last layer's has 1 to 3 edges into the next layer.
fn dag(nodes: u64) -> Vec<FlowEdge> {
    let (width, mut random) = (nodes / LAYERS, Random(7));
    let mut edges = Vec::new();
    for layer in 0..LAYERS - 1 {
        for n in 0..width {
            for _ in 0..=random.below(3) {
                let (from, to) = (node(layer, n), node(layer + 1, random.below(width)));
                edges.push(FlowEdge { from, to, kind: FlowKind::Feeds, since: UnixMillis(0) });
            }
        }
    }
    edges
}

fn search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("blast_radius/search_new_root");
    for size in SIZES {
        let mut index = AdjacencyIndex::default();
        dag(size).iter().for_each(|edge| index.apply(edge, 1));
        for layer in [4, 10] {
            let mut random = Random(11);
            let reach = format!("{size}_nodes_from_layer_{layer}");
            group.bench_function(BenchmarkId::from_parameter(reach), |bencher| {
                bencher.iter(|| {
                    let root = node(layer, random.below(size / LAYERS));
                    black_box(index.search(&root, Direction::Downstream, u32::MAX, 100_000).nodes.len())
                });
            });
        }
    }
    group.finish();
}

fn edge_change(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("blast_radius/edge_under_100_standing_roots");
    group.sample_size(20);
    for size in SIZES {
        // As `timely::execute_directly` does, which a `Criterion` cannot enter: it is not `Send`.
        let mut worker = Worker::new(WorkerConfig::default(), Allocator::Thread(Thread::default()), None);
        let (mut edges, mut queries) = (InputSession::new(), InputSession::new());
        let probe = worker.dataflow(|scope| {
            let (queries, edges) = (queries.to_collection(scope), edges.to_collection(scope));
            standing(queries, edges, ReachOptions::default()).rows.probe().0
        });
        dag(size).into_iter().for_each(|edge| edges.insert(edge));
        let (width, mut random) = (size / LAYERS, Random(13));
        let roots: Vec<_> = (0..STANDING).map(|_| node(9, random.below(width))).collect();
        for (key, root) in (0..).map(QueryKey).zip(&roots) {
            let (root, direction) = (root.clone(), Direction::Downstream);
            queries.insert(ReachQuery { key, root, direction, max_hops: u32::MAX });
        }
        let mut epoch = 0;
        let mut close = |edges: &mut InputSession<u64, FlowEdge, isize>| {
            epoch += 1;
            edges.advance_to(epoch);
            edges.flush();
            queries.advance_to(epoch);
            queries.flush();
            worker.step_while(|| probe.less_than(&epoch));
        };
        close(&mut edges);
        group.bench_function(BenchmarkId::from_parameter(format!("{size}_nodes_insert_and_delete")), |bencher| {
            bencher.iter(|| {
                let from = roots[random.below(STANDING) as usize].clone();
                let to = node(10, random.below(width));
                let edge = FlowEdge { from, to, kind: FlowKind::Writes, since: UnixMillis(0) };
                edges.insert(edge.clone());
                close(&mut edges);
                edges.remove(edge);
                close(&mut edges);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, search, edge_change);
criterion_main!(benches);
