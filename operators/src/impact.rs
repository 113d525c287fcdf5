//! Which of the assets that an incident can reach were hit by it.
//!
//! The root is the incident's dataset. Times are lineage event times.
//!
//! 1. The root is bad from its first failure `since` until `resolved_at`: a run that starts later reads it clean.
//! 2. A run that reads a node X, bad from t(X), and writes at or after t(X), hits its job and its outputs. A batch run
//!    writes once, at `wrote_at`. A streaming run writes all the time from its start to `wrote_at`, so it hits at
//!    t(X), or at its start where that is later; its last write alone would move with each of its events.
//! 3. What reads a bad node X directly (`CONSUMED_BY`) is hit at t(X).
//! 4. A node is bad from the earliest time it was hit: `IMPACTED`. Other reachable nodes are `AT_RISK`.
//! 5. Once the incident is resolved, a node that was never hit is `CLEARED`. A node that runs have hit is cleared when a
//!    run writes it (or, for a job, is its run) that started at or after `resolved_at` and read, of the nodes that were
//!    hit, only such as had been cleared before it started. What is hit through `CONSUMED_BY` is cleared when all bad
//!    nodes that it reads are. What is hit in both ways needs both.
//!
//! So what reads its own output, or assets that consume each other in a ring, stay `IMPACTED` until something is written
//! from clean data alone. Only nodes within the reach of the root and the budget of [`ReachOptions`] are judged, and
//! failing data travels through them alone.
//!
//! [`assess`] says so from scratch, [`standing`] maintains it: rules 1 to 4 are a fixed point of (query, node) → earliest
//! time, so that a run costs what it changes; rule 5 looks at the hit part of the queries that are resolved.

mod clearing;
mod flow;
mod index;

use differential_dataflow::{
    VecCollection,
    operators::{
        Iterate,
        arrange::{Arranged, TraceAgent},
    },
    trace::implementations::ValSpine,
};
use faultline_contracts::{
    ids::EntityId,
    impact::Impact,
    lineage::{FlowEdge, FlowKind, Run},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::{
    adjacency::Direction,
    blast_radius::{self, QueryKey, ReachOptions, ReachQuery, ReachRow},
};

use clearing::Aftermath;
use flow::{Bad, RunFlow};
pub use index::{ImpactIndex, assess};

/// An incident whose impact is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImpactQuery {
    /// Its key.
    pub key: QueryKey,
    /// The failing dataset.
    pub root: EntityId,
    /// Its first failure.
    pub since: UnixMillis,
    /// When it was good again.
    pub resolved_at: Option<UnixMillis>,
}

/// What an incident has done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeImpact {
    /// What.
    pub impact: Impact,
    /// When it was first hit, even if cleared since; `None` where it never was.
    pub since: Option<UnixMillis>,
}

/// A node that an incident can reach, and what it has done to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImpactRow {
    /// The incident's query.
    pub query: QueryKey,
    /// The node; never the root.
    pub node: EntityId,
    /// What the incident has done to it.
    pub impact: Impact,
    /// When it was first hit, even if cleared since; `None` where it never was.
    pub since: Option<UnixMillis>,
}

/// What is known of a node of a query inside the fixed point. The marker of reach sorts first, then the earliest hit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Mark {
    Reached,
    Bad(Bad),
}

/// How failing data leaves a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Way {
    Run(RunFlow),
    Consumer(EntityId),
}

/// What rule 5 needs to know of a resolved query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Fact {
    Root(EntityId, UnixMillis),
    Hit(EntityId, Bad),
    Run(RunFlow),
    Consumer(EntityId, EntityId),
}

/// Maintains the impact of each of `queries` on everything that its root can reach.
pub fn standing<'s>(
    queries: VecCollection<'s, u64, ImpactQuery>,
    edges: VecCollection<'s, u64, FlowEdge>,
    runs: VecCollection<'s, u64, Run>,
    options: ReachOptions,
) -> VecCollection<'s, u64, ImpactRow> {
    let reach = queries.clone().map(|query| ReachQuery {
        key: query.key,
        root: query.root,
        direction: Direction::Downstream,
        max_hops: u32::MAX,
    });
    let reached = blast_radius::standing(reach, edges.clone(), options).rows;
    standing_within(queries, reached, edges, runs)
}

/// [`standing`], where the downstream reach of the queries (under the same keys) is maintained already.
pub fn standing_within<'s>(
    queries: VecCollection<'s, u64, ImpactQuery>,
    reached: VecCollection<'s, u64, ReachRow>,
    edges: VecCollection<'s, u64, FlowEdge>,
    runs: VecCollection<'s, u64, Run>,
) -> VecCollection<'s, u64, ImpactRow> {
    let queries = queries.map(|ImpactQuery { key, root, since, resolved_at }| (key, (root, since, resolved_at)));
    let queries = queries.distinct();
    let flows = runs.flat_map(|run| RunFlow::of(&run));
    let readers = flows.clone().flat_map(|flow| {
        let inputs = flow.inputs.clone();
        (0..inputs.len()).map(move |at| (inputs[at].clone(), Way::Run(flow.clone())))
    });
    let consumers = edges
        .filter(|edge| edge.kind == FlowKind::ConsumedBy)
        .map(|edge| (edge.from, edge.to))
        .distinct()
        .map(|(node, consumer)| (node, Way::Consumer(consumer)));
    let ways = readers.concat(consumers).arrange_by_key_named("Ways");

    let marks = spread(queries.clone(), reached, ways.clone()).map(|((key, node), mark)| (key, (node, mark))).join_map(
        queries.clone(),
        |key, (node, mark), (root, _, resolved_at)| {
            (*key, node.clone(), mark.clone(), node == root, resolved_at.is_some())
        },
    );
    let bad_when_resolved = marks.clone().flat_map(|(key, node, mark, _, resolved)| match mark {
        Mark::Bad(bad) if resolved => Some((node, (key, bad))),
        _ => None,
    });
    let cleared = cleared(queries, bad_when_resolved, flows, ways);

    let marks =
        marks.filter(|(.., is_root, _)| !is_root).map(|(key, node, mark, _, resolved)| match (mark, resolved) {
            (Mark::Bad(bad), _) => ((key, node), (Impact::Impacted, Some(bad.since), resolved)),
            (Mark::Reached, false) => ((key, node), (Impact::AtRisk, None, resolved)),
            (Mark::Reached, true) => ((key, node), (Impact::Cleared, None, resolved)),
        });
    let settled = marks.clone().filter(|(_, (impact, _, resolved))| *impact != Impact::Impacted || !resolved);
    let hit = marks.filter(|(_, (impact, _, resolved))| *impact == Impact::Impacted && *resolved);
    let over = hit.clone().semijoin(cleared.clone());
    let still_bad = hit.antijoin(cleared);
    over.map(|(node, (_, since, resolved))| (node, (Impact::Cleared, since, resolved)))
        .concat(still_bad)
        .concat(settled)
        .map(|((query, node), (impact, since, _))| ImpactRow { query, node, impact, since })
}

type Ways<'s> = Arranged<'s, TraceAgent<ValSpine<EntityId, Way, u64, isize>>>;

/// A query's root, first failure and resolution, by its key.
type Incident = (EntityId, UnixMillis, Option<UnixMillis>);

/// Rules 1 to 4: what each query knows of its root and of each node within its reach.
fn spread<'s>(
    queries: VecCollection<'s, u64, (QueryKey, Incident)>,
    reached: VecCollection<'s, u64, ReachRow>,
    ways: Ways<'s>,
) -> VecCollection<'s, u64, ((QueryKey, EntityId), Mark)> {
    let roots = queries.flat_map(|(key, (root, since, until))| {
        [((key, root.clone()), Mark::Reached), ((key, root), Mark::Bad(Bad { since, until }))]
    });
    let start = reached.map(|row| ((row.query, row.node), Mark::Reached)).concat(roots);
    start.clone().iterate(|scope, marks| {
        marks
            .flat_map(|((key, node), mark)| match mark {
                Mark::Bad(bad) => Some((node, (key, bad))),
                Mark::Reached => None,
            })
            .arrange_by_key_named("Bad")
            .join_core(ways.enter(scope), |_, (key, bad), way| {
                let (hit_at, targets) = match way {
                    Way::Run(run) => (run.hit_by(*bad), run.targets.clone()),
                    Way::Consumer(consumer) => (Some(bad.since), [consumer.clone()].into()),
                };
                let key = *key;
                hit_at.into_iter().flat_map(move |since| {
                    let targets = targets.clone();
                    (0..targets.len())
                        .map(move |at| ((key, targets[at].clone()), Mark::Bad(Bad { since, until: None })))
                })
            })
            .concat(start.enter(scope))
            .reduce_named("EarliestHit", |_, marks, known| {
                // Without the marker the node is out of reach; with it, the earliest hit counts.
                if let Some((Mark::Reached, _)) = marks.first() {
                    known.extend(marks.iter().take(2).next_back().map(|(mark, _)| ((*mark).clone(), 1_isize)));
                }
            })
    })
}

/// Rule 5: the nodes of resolved queries that were hit and are good again.
fn cleared<'s>(
    queries: VecCollection<'s, u64, (QueryKey, Incident)>,
    bad: VecCollection<'s, u64, (EntityId, (QueryKey, Bad))>,
    flows: VecCollection<'s, u64, RunFlow>,
    ways: Ways<'s>,
) -> VecCollection<'s, u64, (QueryKey, EntityId)> {
    let writers = flows.flat_map(|flow| {
        let targets = flow.targets.clone();
        (0..targets.len()).map(move |at| (targets[at].clone(), flow.clone()))
    });
    let hits = bad.clone().map(|(node, (key, bad))| (key, Fact::Hit(node, bad)));
    let bad = bad.arrange_by_key_named("BadWhenResolved");
    let on_the_way = bad.clone().join_core(ways, |node, (key, _), way| {
        let fact = match way {
            Way::Run(run) => Fact::Run(run.clone()),
            Way::Consumer(consumer) => Fact::Consumer(node.clone(), consumer.clone()),
        };
        Some((*key, fact))
    });
    let writing =
        bad.join_core(writers.arrange_by_key_named("Writers"), |_, (key, _), run| Some((*key, Fact::Run(run.clone()))));
    let incidents = queries
        .flat_map(|(key, (root, _, resolved_at))| resolved_at.map(|resolved_at| (key, Fact::Root(root, resolved_at))));
    incidents.concat(hits).concat(on_the_way).concat(writing).reduce_named("Aftermath", |_, facts, cleared| {
        let mut aftermath = Aftermath::default();
        let mut incident = None;
        for (fact, _) in facts {
            match fact {
                Fact::Root(root, resolved_at) => incident = Some((root, *resolved_at)),
                Fact::Hit(node, bad) => aftermath.bad.extend([(node, *bad)]),
                Fact::Run(run) => aftermath.runs.extend([run]),
                Fact::Consumer(node, consumer) => aftermath.consumers.extend([(node, consumer)]),
            }
        }
        if let Some((root, resolved_at)) = incident {
            cleared.extend(aftermath.cleared(root, resolved_at).into_iter().map(|node| (node.clone(), 1_isize)));
        }
    })
}
