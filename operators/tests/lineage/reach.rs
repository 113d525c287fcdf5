//! Standing blast radii agree with the search, row for row.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::lineage::{FlowEdge, FlowKind};
use faultline_operators::{
    adjacency::{AdjacencyIndex, Direction},
    blast_radius::{QueryKey, ReachOptions, ReachQuery, ReachRow, standing},
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::harness::{self, Contents, edge};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Input {
    Edge(FlowEdge),
    Query(ReachQuery),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Output {
    Row(ReachRow),
    Truncated(QueryKey),
}

fn maintained(workers: usize, epochs: &[Vec<(Input, isize)>], budget: usize) -> Vec<Contents<Output>> {
    harness::run(workers, epochs, move |inputs| {
        let edges = inputs.clone().flat_map(|input| if let Input::Edge(edge) = input { Some(edge) } else { None });
        let queries = inputs.flat_map(|input| if let Input::Query(query) = input { Some(query) } else { None });
        let reach = standing(queries, edges, ReachOptions { budget });
        reach.rows.map(Output::Row).concat(reach.truncated.map(Output::Truncated))
    })
}

fn searched(epochs: &[Vec<(Input, isize)>], budget: usize) -> Vec<Contents<Output>> {
    let mut index = AdjacencyIndex::default();
    let mut queries = BTreeSet::new();
    let answer =
        |changes: &Vec<(Input, isize)>| {
            for (input, diff) in changes {
                match input {
                    Input::Edge(edge) => index.apply(edge, *diff),
                    Input::Query(query) if *diff > 0 => assert!(queries.insert(query.clone())),
                    Input::Query(query) => assert!(queries.remove(query)),
                }
            }
            let mut contents = Contents::new();
            for ReachQuery { key, root, direction, max_hops } in &queries {
                let reached = index.search(root, *direction, *max_hops, budget);
                contents.extend(reached.truncated.then_some((Output::Truncated(*key), 1)));
                contents.extend(reached.nodes.into_iter().map(|node| {
                    (Output::Row(ReachRow { query: *key, node: node.id, hops: node.hops, via: node.via }), 1)
                }));
            }
            contents
        };
    epochs.iter().map(answer).collect()
}

/// Edges among a few nodes, each toggled on and off, self-edges, cycles and parallel edges among them; and queries.
fn histories() -> impl Strategy<Value = Vec<Vec<(Input, isize)>>> {
    let link = (0..9_u8, 0..9_u8, prop_oneof![Just(FlowKind::Feeds), Just(FlowKind::Writes)])
        .prop_map(|(from, to, kind)| Input::Edge(edge(&format!("n{from}"), &format!("n{to}"), kind)));
    let query = (0..9_u8, any::<bool>(), prop_oneof![Just(u32::MAX), 0..4_u32]).prop_map(|(root, down, max_hops)| {
        let direction = if down { Direction::Downstream } else { Direction::Upstream };
        let key = QueryKey(u64::from(root) << 40 | u64::from(down) << 32 | u64::from(max_hops));
        Input::Query(ReachQuery { key, root: format!("n{root}").into(), direction, max_hops })
    });
    let epoch = prop::collection::vec(prop_oneof![4 => link, 1 => query], 0..16);
    prop::collection::vec(epoch, 1..6).prop_map(toggled)
}

/// Makes a change of each mention: there, gone, there again.
pub fn toggled<T: Ord + Clone>(epochs: Vec<Vec<T>>) -> Vec<Vec<(T, isize)>> {
    let mut there = BTreeMap::<T, bool>::new();
    let mut toggle = |thing: T| {
        let now = there.entry(thing.clone()).or_default();
        *now = !*now;
        (thing, if *now { 1 } else { -1 })
    };
    epochs.into_iter().map(|epoch| epoch.into_iter().map(&mut toggle).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn standing_is_the_search(epochs in histories(), budget in prop_oneof![Just(100_usize), 0..6_usize]) {
        let expected = searched(&epochs, budget);
        prop_assert_eq!(&maintained(1, &epochs, budget), &expected);
        prop_assert_eq!(&maintained(2, &epochs, budget), &expected);
    }
}

#[test]
fn a_query_twice_is_answered_once_and_equal_roots_share_their_answer() {
    let query = |key| {
        Input::Query(ReachQuery { key: QueryKey(key), root: "a".into(), direction: Direction::Downstream, max_hops: 9 })
    };
    let epoch = vec![(Input::Edge(edge("a", "b", FlowKind::Feeds)), 1), (query(1), 2), (query(2), 1)];
    let row = |key| (Output::Row(ReachRow { query: QueryKey(key), node: "b".into(), hops: 1, via: "a".into() }), 1);
    assert_eq!(maintained(1, &[epoch], 10), [Contents::from([row(1), row(2)])]);
}
