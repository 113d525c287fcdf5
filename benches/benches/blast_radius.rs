//! Blast radius over a 16-layer random DAG: a new root by search, and an edge that comes and goes under 100 standing roots.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use differential_dataflow::input::InputSession;
use faultline_benches::{
    layered_dag::{edge, edges, node, width},
    random::SplitMix64,
    worker::worker,
};
use faultline_contracts::lineage::FlowEdge;
use faultline_operators::{
    adjacency::{AdjacencyIndex, Direction},
    blast_radius::{QueryKey, ReachOptions, ReachQuery, standing},
};

const SIZES: [u64; 2] = [10_000, 100_000];
const STANDING: u64 = 100;

fn search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("blast_radius/search_new_root");
    for size in SIZES {
        let mut index = AdjacencyIndex::default();
        edges(size).iter().for_each(|edge| index.apply(edge, 1));
        for layer in [4, 10] {
            let mut random = SplitMix64(11);
            let reach = format!("{size}_nodes_from_layer_{layer}");
            group.bench_function(BenchmarkId::from_parameter(reach), |bencher| {
                bencher.iter(|| {
                    let root = node(layer, random.below(width(size)));
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
        let mut worker = worker();
        let (mut flows, mut queries) = (InputSession::new(), InputSession::new());
        let probe = worker.dataflow(|scope| {
            let (queries, flows) = (queries.to_collection(scope), flows.to_collection(scope));
            standing(queries, flows, ReachOptions::default()).rows.probe().0
        });
        edges(size).into_iter().for_each(|edge| flows.insert(edge));
        let (width, mut random) = (width(size), SplitMix64(13));
        let roots: Vec<_> = (0..STANDING).map(|_| random.below(width)).collect();
        for (key, root) in (0..).map(QueryKey).zip(&roots) {
            let (root, direction) = (node(9, *root), Direction::Downstream);
            queries.insert(ReachQuery { key, root, direction, max_hops: u32::MAX });
        }
        let mut epoch = 0;
        let mut close = |flows: &mut InputSession<u64, FlowEdge, isize>| {
            epoch += 1;
            flows.advance_to(epoch);
            flows.flush();
            queries.advance_to(epoch);
            queries.flush();
            worker.step_while(|| probe.less_than(&epoch));
        };
        close(&mut flows);
        group.bench_function(BenchmarkId::from_parameter(format!("{size}_nodes_insert_and_delete")), |bencher| {
            bencher.iter(|| {
                let added = edge(9, random.of(&roots), random.below(width));
                flows.insert(added.clone());
                close(&mut flows);
                flows.remove(added);
                close(&mut flows);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, search, edge_change);
criterion_main!(benches);
