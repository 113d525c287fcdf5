//! Impact: the rules by example, and the maintained form against the one from scratch.

use std::collections::BTreeMap;

use faultline_contracts::{
    ids::EntityId,
    impact::Impact,
    lineage::{FlowEdge, FlowKind, Run, RunState},
    time::UnixMillis,
};
use faultline_operators::{
    blast_radius::{QueryKey, ReachOptions},
    impact::{ImpactIndex, ImpactQuery, ImpactRow, NodeImpact, assess, standing},
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    harness::{self, Contents, edge},
    reach::toggled,
};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Input {
    Edge(FlowEdge),
    Run(Run),
    Query(ImpactQuery),
}

fn run(id: &str, job: &str, [started_at, wrote_at]: [i64; 2], inputs: &[&str], outputs: &[&str]) -> Run {
    let ids = |names: &[&str]| names.iter().map(|name| EntityId::from(*name)).collect();
    Run {
        id: id.into(),
        job: job.into(),
        state: RunState::Complete,
        started_at: UnixMillis(started_at),
        updated_at: UnixMillis(wrote_at),
        wrote_at: Some(UnixMillis(wrote_at)),
        inputs: ids(inputs),
        outputs: ids(outputs),
        dag_run_id: None,
        parent_job: None,
        error: None,
    }
}

fn query(root: &str, since: i64, resolved_at: Option<i64>) -> ImpactQuery {
    let key = QueryKey(since as u64 * 1_000 + resolved_at.unwrap_or(999) as u64 * 1_000_000);
    ImpactQuery { key, root: root.into(), since: UnixMillis(since), resolved_at: resolved_at.map(UnixMillis) }
}

/// The edges that a run implies.
fn edges_of(run: &Run) -> Vec<FlowEdge> {
    let feeds = run.inputs.iter().map(|input| edge(input.as_str(), run.job.as_str(), FlowKind::Feeds));
    let writes = run.outputs.iter().map(|output| edge(run.job.as_str(), output.as_str(), FlowKind::Writes));
    feeds.chain(writes).collect()
}

fn maintained(workers: usize, epochs: &[Vec<(Input, isize)>], budget: usize) -> Vec<Contents<ImpactRow>> {
    harness::run(workers, epochs, move |inputs| {
        let edges = inputs.clone().flat_map(|input| if let Input::Edge(edge) = input { Some(edge) } else { None });
        let runs = inputs.clone().flat_map(|input| if let Input::Run(run) = input { Some(run) } else { None });
        let queries = inputs.flat_map(|input| if let Input::Query(query) = input { Some(query) } else { None });
        standing(queries, edges, runs, ReachOptions { budget })
    })
}

fn assessed(epochs: &[Vec<(Input, isize)>], budget: usize) -> Vec<Contents<ImpactRow>> {
    let mut index = ImpactIndex::default();
    let mut queries = BTreeMap::new();
    let answer = |changes: &Vec<(Input, isize)>| {
        for (input, diff) in changes {
            match input {
                Input::Edge(edge) => index.apply_edge(edge, *diff),
                Input::Run(run) => index.apply_run(run, *diff),
                Input::Query(query) => *queries.entry(query.clone()).or_insert(0) += diff,
            }
        }
        let mut contents = Contents::new();
        for query in queries.iter().filter(|(_, there)| **there > 0).map(|(query, _)| query) {
            for (node, NodeImpact { impact, since }) in assess(&index, query, ReachOptions { budget }) {
                contents.insert(ImpactRow { query: query.key, node, impact, since }, 1);
            }
        }
        contents
    };
    epochs.iter().map(answer).collect()
}

/// What both forms say of a query over `runs` and `extra` edges, as (node, impact, since).
fn verdicts(runs: &[Run], extra: &[FlowEdge], query: ImpactQuery) -> Vec<(String, Impact, Option<i64>)> {
    let mut edges: Vec<_> = runs.iter().flat_map(edges_of).chain(extra.iter().cloned()).collect();
    edges.sort();
    edges.dedup();
    let inputs = runs.iter().cloned().map(Input::Run).chain(edges.into_iter().map(Input::Edge));
    let epochs = [inputs.chain([Input::Query(query)]).map(|input| (input, 1)).collect()];
    let contents = maintained(1, &epochs, 100);
    assert_eq!(contents, assessed(&epochs, 100));
    contents[0].keys().map(|row| (row.node.to_string(), row.impact, row.since.map(|at| at.0))).collect()
}

fn verdict(verdicts: &[(String, Impact, Option<i64>)], node: &str) -> (Impact, Option<i64>) {
    let (_, impact, since) = verdicts.iter().find(|(id, ..)| id == node).unwrap_or_else(|| panic!("no {node}"));
    (*impact, *since)
}

#[test]
fn failing_data_goes_as_far_as_runs_have_carried_it() {
    let runs = [
        run("1", "job:early", [0, 9], &["root"], &["early"]),
        run("2", "job:silver", [8, 12], &["root"], &["silver"]),
        run("3", "job:gold", [10, 11], &["silver"], &["gold"]),
        run("4", "job:gold", [14, 15], &["silver"], &["gold"]),
        run("5", "job:later", [10, 14], &["gold"], &["later"]),
    ];
    let extra = [
        edge("gold", "dash", FlowKind::ConsumedBy),
        edge("root", "report", FlowKind::ConsumedBy),
        edge("later", "model", FlowKind::ConsumedBy),
    ];
    let found = verdicts(&runs, &extra, query("root", 10, None));
    for (node, impact, since) in [
        ("early", Impact::AtRisk, None),
        ("job:silver", Impact::Impacted, Some(12)),
        ("silver", Impact::Impacted, Some(12)),
        ("gold", Impact::Impacted, Some(15)),
        ("dash", Impact::Impacted, Some(15)),
        ("report", Impact::Impacted, Some(10)),
        ("job:later", Impact::AtRisk, None),
        ("later", Impact::AtRisk, None),
        ("model", Impact::AtRisk, None),
    ] {
        assert_eq!(verdict(&found, node), (impact, since), "{node}");
    }
    assert_eq!(found.len(), 11, "the root is left out: {found:?}");
}

#[test]
fn a_streaming_run_hits_when_its_input_goes_bad_however_often_it_reports() {
    let streaming = Run { state: RunState::Running, ..run("1", "job:stream", [0, 500], &["root"], &["out"]) };
    let found = verdicts(std::slice::from_ref(&streaming), &[], query("root", 10, None));
    assert_eq!(verdict(&found, "out"), (Impact::Impacted, Some(10)));
    let found = verdicts(&[Run { wrote_at: None, ..streaming }], &[], query("root", 10, None));
    assert_eq!(verdict(&found, "out"), (Impact::AtRisk, None), "nothing written yet");
}

#[test]
fn clean_runs_clear_in_the_order_of_the_flow() {
    let mut runs = vec![
        run("1", "job:silver", [10, 12], &["root"], &["silver"]),
        run("2", "job:gold", [13, 15], &["silver"], &["gold"]),
        run("3", "job:never", [0, 1], &["gold"], &["never"]),
        // Started clean, but read silver before silver was written anew.
        run("4", "job:gold", [21, 22], &["silver"], &["gold"]),
    ];
    let extra = [edge("gold", "dash", FlowKind::ConsumedBy), edge("root", "report", FlowKind::ConsumedBy)];
    let impacts = |runs: &[Run]| {
        let found = verdicts(runs, &extra, query("root", 10, Some(20)));
        ["silver", "gold", "job:gold", "dash", "report", "never"].map(|node| verdict(&found, node))
    };
    use Impact::{Cleared, Impacted};
    assert_eq!(
        impacts(&runs),
        [
            (Impacted, Some(12)),
            (Impacted, Some(15)),
            (Impacted, Some(15)),
            (Impacted, Some(15)),
            (Cleared, Some(10)),
            (Cleared, None)
        ]
    );
    runs.push(run("5", "job:silver", [21, 25], &["root"], &["silver"]));
    assert_eq!(impacts(&runs).map(|(impact, _)| impact), [Cleared, Impacted, Impacted, Impacted, Cleared, Cleared]);
    runs.push(run("6", "job:gold", [26, 27], &["silver"], &["gold"]));
    assert_eq!(impacts(&runs).map(|(impact, _)| impact), [Cleared; 6]);
}

#[test]
fn a_run_after_the_resolution_reads_the_root_clean() {
    let runs = [run("1", "job:new", [21, 22], &["root"], &["out"]), run("2", "job:old", [19, 23], &["root"], &["old"])];
    let found = verdicts(&runs, &[], query("root", 10, Some(20)));
    assert_eq!(verdict(&found, "out"), (Impact::Cleared, None));
    assert_eq!(verdict(&found, "old"), (Impact::Impacted, Some(23)));
}

#[test]
fn what_is_written_and_consumes_needs_both_cleared() {
    let mut runs = vec![run("1", "job:train", [10, 12], &["root"], &["model"])];
    let extra = [edge("root", "model", FlowKind::ConsumedBy), edge("model", "model", FlowKind::ConsumedBy)];
    let found = verdicts(&runs, &extra, query("root", 10, Some(20)));
    assert_eq!(verdict(&found, "model"), (Impact::Impacted, Some(10)));
    runs.push(run("2", "job:train", [20, 21], &["root"], &["model"]));
    let found = verdicts(&runs, &extra, query("root", 10, Some(20)));
    assert_eq!(verdict(&found, "model"), (Impact::Cleared, Some(10)));
}

/// Runs that bring their edges, edges of consumers, and incidents, over a few nodes and times.
fn histories() -> impl Strategy<Value = Vec<Vec<(Input, isize)>>> {
    let nodes = || prop::collection::vec((0..6_u8).prop_map(|n| format!("t{n}")), 0..3);
    let runs = (0..30_u8, 0..5_u8, 0..20_i64, 0..6_i64, nodes(), nodes(), any::<bool>()).prop_map(
        |(id, job, started, took, inputs, outputs, complete)| {
            let mut ids = [inputs, outputs].map(|mut names| {
                names.sort();
                names.dedup();
                names.into_iter().map(EntityId::from).collect()
            });
            Run {
                state: if complete { RunState::Complete } else { RunState::Running },
                inputs: std::mem::take(&mut ids[0]),
                outputs: std::mem::take(&mut ids[1]),
                ..run(&format!("r{id}"), &format!("job:{job}"), [started, started + took], &[], &[])
            }
        },
    );
    let runs =
        runs.prop_map(|run| edges_of(&run).into_iter().map(Input::Edge).chain([Input::Run(run.clone())]).collect());
    let consumers = (0..6_u8, 0..4_u8)
        .prop_map(|(from, to)| vec![Input::Edge(edge(&format!("t{from}"), &format!("d{to}"), FlowKind::ConsumedBy))]);
    let rings = (0..4_u8, 0..4_u8)
        .prop_map(|(from, to)| vec![Input::Edge(edge(&format!("d{from}"), &format!("d{to}"), FlowKind::ConsumedBy))]);
    let queries = (0..3_i64, prop::option::of(4..12_i64))
        .prop_map(|(root, resolved_at)| vec![Input::Query(query(&format!("t{root}"), root + 1, resolved_at))]);
    let step = prop_oneof![8 => runs, 2 => consumers, 1 => rings, 2 => queries];
    let epoch = prop::collection::vec(step, 0..8).prop_map(|steps: Vec<Vec<Input>>| steps.concat());
    // Some of what is there goes again: half of the epochs repeat an earlier one, which toggles it off.
    (prop::collection::vec(epoch, 1..4), prop::collection::vec(any::<bool>(), 3)).prop_map(|(epochs, undo)| {
        let undone: Vec<_> =
            epochs.iter().zip(undo).filter(|(_, undo)| *undo).map(|(epoch, _)| epoch.clone()).collect();
        toggled(epochs.into_iter().chain(undone).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn standing_is_the_assessment(epochs in histories(), budget in prop_oneof![Just(100_usize), 0..8_usize]) {
        let expected = assessed(&epochs, budget);
        prop_assert_eq!(&maintained(1, &epochs, budget), &expected);
        prop_assert_eq!(&maintained(2, &epochs, budget), &expected);
    }
}
