//! Standing blast radii: what can be reached from a root, maintained as edges and questions change.
//!
//! ```text
//!  queries ─► distinct searches ─► fixed point over edges ─► nodes a level ─► budget ─► rows, by query
//!             (root, direction,    least (hops, via) for     quotas                     truncated
//!              max_hops)           each (search, node)
//! ```
//!
//! An edge change costs what it changes under each root, a new root costs a fixed point: so watchers and open incidents
//! stand here, and questions that are asked once are searched ([`crate::adjacency`]). Both agree to the row. The budget
//! bounds what leaves, not what the fixed point visits: before promoting a question from a client, search it with a
//! budget.

use differential_dataflow::{VecCollection, operators::Iterate};
use faultline_contracts::{
    ids::{EntityId, IncidentId},
    lineage::FlowEdge,
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::adjacency::Direction;

/// What tells standing questions apart; the caller's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueryKey(pub u64);

impl QueryKey {
    /// The key of what an incident's dataset reaches. Incident ids have 40 bits, so no search has this key.
    #[must_use]
    pub fn of_incident(incident: IncidentId) -> Self {
        Self(incident.0)
    }

    /// The incident, where the question is what its dataset reaches.
    #[must_use]
    pub fn incident(self) -> Option<IncidentId> {
        (self.0 >> 63 == 0).then_some(IncidentId(self.0))
    }

    /// The key of a search that somebody watches; equal searches have equal keys.
    #[must_use]
    pub fn of_search(root: &EntityId, direction: Direction, max_hops: u32) -> Self {
        let search = format!("{}\u{0}{max_hops}\u{0}{root}", direction.as_str());
        Self(1 << 63 | xxh3_64(search.as_bytes()) >> 1)
    }
}

/// A standing question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReachQuery {
    /// Its key.
    pub key: QueryKey,
    /// Where to start.
    pub root: EntityId,
    /// Which way.
    pub direction: Direction,
    /// How far.
    pub max_hops: u32,
}

/// A node in the answer to a standing question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReachRow {
    /// The question.
    pub query: QueryKey,
    /// The node; never the root.
    pub node: EntityId,
    /// Edges on a shortest path from the root, at least 1.
    pub hops: u32,
    /// The smallest of its predecessors one hop nearer to the root.
    pub via: EntityId,
}

/// Limits of standing questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReachOptions {
    /// The most nodes in an answer: the first by (hops, id).
    pub budget: usize,
}

impl Default for ReachOptions {
    fn default() -> Self {
        Self { budget: 10_000 }
    }
}

/// The answers to standing questions.
pub struct StandingReach<'s> {
    /// The nodes.
    pub rows: VecCollection<'s, u64, ReachRow>,
    /// The questions whose answer is cut off by the budget.
    pub truncated: VecCollection<'s, u64, QueryKey>,
}

/// What questions share when they ask the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Search {
    root: EntityId,
    direction: Direction,
    max_hops: u32,
}

/// How many nodes a search may have in a level, where it has enough for all.
const ALL: usize = usize::MAX;

/// What meets where a level is cut: how many nodes it may have, before its nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum InCut {
    Quota(usize),
    Node(EntityId, EntityId),
}

/// Maintains the answer to each of `queries` over `edges`.
pub fn standing<'s>(
    queries: VecCollection<'s, u64, ReachQuery>,
    edges: VecCollection<'s, u64, FlowEdge>,
    options: ReachOptions,
) -> StandingReach<'s> {
    let ReachOptions { budget } = options;
    let askers = queries
        .map(|ReachQuery { key, root, direction, max_hops }| (Search { root, direction, max_hops }, key))
        .distinct()
        .arrange_by_key_named("Askers");
    let searches = askers.clone().as_collection(|search, _| search.clone()).distinct();
    let levels = reach(searches, edges).map(|((search, node), (hops, via))| ((search, hops), (node, via)));

    let quotas = levels.clone().map(|(level, _)| level).count().map(|((search, hops), nodes)| (search, (hops, nodes)));
    let quotas = quotas.reduce_named("Quotas", move |_, levels, quotas| {
        let mut room = budget;
        for ((hops, nodes), _) in levels {
            let nodes = usize::try_from(*nodes).unwrap_or(0);
            quotas.push(((*hops, if nodes > room { room } else { ALL }), 1_isize));
            if nodes > room {
                break;
            }
            room -= nodes;
        }
    });
    let truncated = quotas.clone().filter(|(_, (_, quota))| *quota != ALL).map(|(search, _)| (search, ()));
    let truncated = truncated.arrange_by_key_named("Truncated").join_core(askers.clone(), |_, (), key| Some(*key));

    let quotas = quotas.map(|(search, (hops, quota))| ((search, hops), quota));
    // Only whether a level is whole goes to its nodes: a level that is cut often changes its quota, and seldom its nodes.
    let allowed = levels
        .join_map(quotas.clone().map(|(level, quota)| (level, quota == ALL)), |level, (node, via), whole| {
            (level.clone(), (node.clone(), via.clone()), *whole)
        });
    let whole = allowed.clone().filter(|(.., whole)| *whole);
    let whole = whole.map(|((search, hops), (node, via), _)| (search, (node, hops, via)));
    let cut = allowed.filter(|(.., whole)| !whole).map(|(level, (node, via), _)| (level, InCut::Node(node, via)));
    let quotas = quotas.filter(|(_, quota)| *quota != ALL).map(|(level, quota)| (level, InCut::Quota(quota)));
    let cut = cut.concat(quotas).reduce_named("Cut", |_, entries, first| {
        let Some(((InCut::Quota(quota), _), nodes)) = entries.split_first() else { return };
        first.extend(nodes.iter().take(*quota).filter_map(|(entry, _)| match entry {
            InCut::Node(node, via) => Some(((node.clone(), via.clone()), 1_isize)),
            InCut::Quota(_) => None,
        }));
    });
    let cut = cut.map(|((search, hops), (node, via))| (search, (node, hops, via)));
    let rows = whole.concat(cut).arrange_by_key_named("Reached").join_core(askers, |_, (node, hops, via), query| {
        Some(ReachRow { query: *query, node: node.clone(), hops: *hops, via: via.clone() })
    });
    StandingReach { rows, truncated }
}

/// A node of a search.
type SearchNode = (Search, EntityId);

/// How near a node is to its search's root: hops, and the node before it.
type Nearest = (u32, EntityId);

/// The least (hops, via) of each node that a search reaches, without its root.
fn reach<'s>(
    searches: VecCollection<'s, u64, Search>,
    edges: VecCollection<'s, u64, FlowEdge>,
) -> VecCollection<'s, u64, (SearchNode, Nearest)> {
    let links = edges.flat_map(|FlowEdge { from, to, .. }| {
        [((Direction::Downstream, from.clone()), to.clone()), ((Direction::Upstream, to), from)]
    });
    let links = links.arrange_by_key_named("Links");
    let roots = searches.map(|search| ((search.clone(), search.root.clone()), (0, search.root)));
    let reached = roots.clone().iterate(|scope, reached| {
        reached
            .filter(|((search, _), (hops, _))| *hops < search.max_hops)
            .map(|((search, node), (hops, _))| ((search.direction, node), (search, hops)))
            .arrange_by_key_named("Frontier")
            .join_core(links.enter(scope), |(_, via), (search, hops), node| {
                Some(((search.clone(), node.clone()), (hops + 1, via.clone())))
            })
            .concat(roots.enter(scope))
            .reduce_named("Nearest", |_, candidates, nearest| {
                nearest.extend(candidates.first().map(|(candidate, _)| ((*candidate).clone(), 1_isize)));
            })
    });
    reached.filter(|((search, node), _)| search.root != *node)
}
