//! Impact from scratch, for questions that are asked once.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::{
    ids::EntityId,
    impact::Impact,
    lineage::{FlowEdge, FlowKind, Run},
};

use super::{
    ImpactQuery, NodeImpact,
    clearing::Aftermath,
    flow::{Bad, RunFlow},
};
use crate::{
    adjacency::{AdjacencyIndex, Direction, Scratch},
    blast_radius::ReachOptions,
};

/// A multiset of things by node; counts below one hold retractions that came first.
type Counted<T> = BTreeMap<EntityId, BTreeMap<T, isize>>;

fn count<T: Ord>(by_node: &mut Counted<T>, node: &EntityId, thing: T, diff: isize) {
    let things = by_node.entry(node.clone()).or_default();
    let n = things.entry(thing).or_default();
    *n += diff;
    if *n == 0 {
        things.retain(|_, n| *n != 0);
        if things.is_empty() {
            by_node.remove(node);
        }
    }
}

fn at<'a, T>(by_node: &'a Counted<T>, node: &EntityId) -> impl Iterator<Item = &'a T> + use<'a, T> {
    by_node.get(node).into_iter().flatten().filter(|(_, n)| **n > 0).map(|(thing, _)| thing)
}

/// Runs and edges, indexed for [`assess`].
#[derive(Debug, Default)]
pub struct ImpactIndex {
    graph: AdjacencyIndex,
    readers: Counted<RunFlow>,
    writers: Counted<RunFlow>,
    consumers: Counted<EntityId>,
}

impl ImpactIndex {
    /// Adds `diff` to the number of edges like `edge`.
    pub fn apply_edge(&mut self, edge: &FlowEdge, diff: isize) {
        self.graph.apply(edge, diff);
        if edge.kind == FlowKind::ConsumedBy {
            count(&mut self.consumers, &edge.from, edge.to.clone(), diff);
        }
    }

    /// Adds `diff` to the number of runs like `run`.
    pub fn apply_run(&mut self, run: &Run, diff: isize) {
        let Some(flow) = RunFlow::of(run) else { return };
        for input in flow.inputs.iter() {
            count(&mut self.readers, input, flow.clone(), diff);
        }
        for target in flow.targets.iter() {
            count(&mut self.writers, target, flow.clone(), diff);
        }
    }

    /// The edges alone.
    #[must_use]
    pub fn graph(&self) -> &AdjacencyIndex {
        &self.graph
    }

    /// Rules 1 to 4: when each of `reached`, and the root, went bad.
    fn bad<'a>(&'a self, query: &'a ImpactQuery, reached: &BTreeSet<&'a EntityId>) -> BTreeMap<&'a EntityId, Bad> {
        let mut bad = BTreeMap::new();
        // Hits are never earlier than what causes them, so taking the earliest first settles each node once.
        let mut waiting =
            BTreeSet::from([(query.since, &query.root, Bad { since: query.since, until: query.resolved_at })]);
        while let Some((since, node, state)) = waiting.pop_first() {
            if bad.contains_key(node) {
                continue;
            }
            bad.insert(node, state);
            let by_runs = at(&self.readers, node)
                .filter_map(|run| Some((run.hit_by(state)?, run)))
                .flat_map(|(hit_at, run)| run.targets.iter().map(move |target| (hit_at, target)));
            let by_consuming = at(&self.consumers, node).map(|consumer| (since, consumer));
            for (hit_at, target) in by_runs.chain(by_consuming) {
                if let Some(target) = reached.get(target).filter(|target| !bad.contains_key(**target)) {
                    waiting.insert((hit_at, target, Bad { since: hit_at, until: None }));
                }
            }
        }
        bad
    }
}

/// What the incident of `query` has done to everything that its root can reach; see the module's page for the rules.
#[must_use]
pub fn assess(index: &ImpactIndex, query: &ImpactQuery, options: ReachOptions) -> BTreeMap<EntityId, NodeImpact> {
    let ReachOptions { budget } = options;
    let reached =
        index.graph.search_with(&mut Scratch::default(), &query.root, Direction::Downstream, u32::MAX, budget);
    let reached: BTreeSet<_> = reached.nodes.iter().map(|node| &node.id).collect();
    let bad = index.bad(query, &reached);
    let cleared = query.resolved_at.map(|resolved_at| {
        let nodes = bad.keys().copied();
        let mut aftermath = Aftermath { bad: bad.clone(), ..Aftermath::default() };
        for node in nodes {
            aftermath.runs.extend(at(&index.readers, node).chain(at(&index.writers, node)));
            aftermath.consumers.extend(at(&index.consumers, node).map(|consumer| (node, consumer)));
        }
        aftermath.cleared(&query.root, resolved_at)
    });
    let judge = |node: &EntityId| {
        let since = bad.get(node).map(|bad| bad.since);
        let impact = match (&cleared, since) {
            (None, Some(_)) => Impact::Impacted,
            (None, None) => Impact::AtRisk,
            (Some(cleared), Some(_)) if !cleared.contains(node) => Impact::Impacted,
            (Some(_), _) => Impact::Cleared,
        };
        NodeImpact { impact, since }
    };
    reached.into_iter().map(|node| (node.clone(), judge(node))).collect()
}
