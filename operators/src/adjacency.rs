//! An index of lineage edges in both directions, for questions that are asked once.
//!
//! Each process keeps one, fed from the same collection of edges as [`crate::blast_radius::standing`]. Both give the
//! same answer: nodes by (hops, id), each with the smallest of its predecessors one hop nearer to the root.

mod order;

use std::hint::black_box;

use faultline_contracts::{ids::EntityId, lineage::FlowEdge};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use self::order::Order;

/// Which way to follow edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Direction {
    /// With the flow of data: what a change of the root can reach.
    Downstream,
    /// Against it: what the root is made from.
    Upstream,
}

impl Direction {
    /// The name in requests and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Downstream => "DOWNSTREAM",
            Self::Upstream => "UPSTREAM",
        }
    }
}

/// A node that can be reached from a root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReachedNode {
    /// The node.
    pub id: EntityId,
    /// Edges on a shortest path from the root, at least 1.
    pub hops: u32,
    /// The node before it on such a path: the smallest id of those one hop nearer to the root.
    pub via: EntityId,
}

/// The answer to a search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reached {
    /// The nodes by (hops, id), without the root.
    pub nodes: Vec<ReachedNode>,
    /// Whether there are more than the budget allowed.
    pub truncated: bool,
}

type Slot = u32;

/// Of how many nodes the memory is read before anything is done with them. Where a large graph is in no cache, a search
/// is as long as it waits for memory; plain reads that nothing depends on are waited for together, unlike the counting up
/// that cloning an id is.
const AT_ONCE: usize = 64;

#[derive(Debug, Default)]
struct Node {
    id: Option<EntityId>,
    /// Neighbours by slot, with how many edges lead there. A count below one holds a retraction that came first.
    downstream: Vec<(Slot, isize)>,
    upstream: Vec<(Slot, isize)>,
}

impl Node {
    fn neighbours(&self, direction: Direction) -> &[(Slot, isize)] {
        match direction {
            Direction::Downstream => &self.downstream,
            Direction::Upstream => &self.upstream,
        }
    }
}

fn count(neighbours: &mut Vec<(Slot, isize)>, to: Slot, diff: isize) {
    match neighbours.binary_search_by_key(&to, |(slot, _)| *slot) {
        Ok(at) => {
            neighbours[at].1 += diff;
            if neighbours[at].1 == 0 {
                neighbours.remove(at);
            }
        }
        Err(at) => neighbours.insert(at, (to, diff)),
    }
}

/// What a search needs to remember; reused, so that a search costs what it visits and not what there is.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The search that last visited a slot.
    visited: Vec<u32>,
    search: u32,
    frontier: Vec<Found>,
    next: Vec<Found>,
}

/// A node that a search has come to, in the order of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// Its place among all ids ([`Order::label`]).
    label: u64,
    slot: Slot,
    via: Slot,
}

impl Scratch {
    /// Begins a search over `slots` slots.
    fn begin(&mut self, slots: usize) {
        self.visited.resize(slots, 0);
        self.search = self.search.wrapping_add(1);
        if self.search == 0 {
            self.visited.fill(0);
            self.search = 1;
        }
        self.frontier.clear();
        self.next.clear();
    }

    /// Whether this is the first visit of the present search.
    fn visit(&mut self, slot: Slot) -> bool {
        let visited = &mut self.visited[slot as usize];
        std::mem::replace(visited, self.search) != self.search
    }
}

/// Lineage edges, indexed in both directions. Memory depends on the edges that are there, not on those that were.
#[derive(Debug, Default)]
pub struct AdjacencyIndex {
    slots: FxHashMap<EntityId, Slot>,
    order: Order,
    nodes: Vec<Node>,
    free: Vec<Slot>,
    scratch: Scratch,
}

impl AdjacencyIndex {
    /// Adds `diff` to the number of edges like `edge`; edges that differ in kind or `since` alone count as several.
    pub fn apply(&mut self, edge: &FlowEdge, diff: isize) {
        if diff == 0 {
            return;
        }
        let (Some(from), Some(to)) = (self.intern(&edge.from), self.intern(&edge.to)) else { return };
        count(&mut self.nodes[from as usize].downstream, to, diff);
        count(&mut self.nodes[to as usize].upstream, from, diff);
        self.release(from);
        self.release(to);
    }

    /// How many nodes have an edge.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no edge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What can be reached from `root` in at most `max_hops` hops: the first `budget` nodes by (hops, id).
    /// A root without edges reaches nothing.
    pub fn search(&mut self, root: &EntityId, direction: Direction, max_hops: u32, budget: usize) -> Reached {
        let mut scratch = std::mem::take(&mut self.scratch);
        let reached = self.search_with(&mut scratch, root, direction, max_hops, budget);
        self.scratch = scratch;
        reached
    }

    /// [`AdjacencyIndex::search`] for readers that share the index: each brings its own scratch.
    #[must_use]
    pub fn search_with(
        &self,
        scratch: &mut Scratch,
        root: &EntityId,
        direction: Direction,
        max_hops: u32,
        budget: usize,
    ) -> Reached {
        let mut reached = Reached::default();
        let Some(&root) = self.slots.get(root) else { return reached };
        scratch.begin(self.nodes.len());
        scratch.visit(root);
        scratch.frontier.push(Found { label: self.order.label(root), slot: root, via: root });
        for hops in 1..=max_hops {
            // The frontier is in the order of ids, so the first to find a node is the smallest of its predecessors.
            let frontier = std::mem::take(&mut scratch.frontier);
            for few in frontier.chunks(AT_ONCE) {
                let first = |found: &Found| self.nodes[found.slot as usize].neighbours(direction).first().copied();
                few.iter().for_each(|found| _ = black_box(first(found)));
                for &Found { slot: via, .. } in few {
                    for &(slot, edges) in self.nodes[via as usize].neighbours(direction) {
                        if edges > 0 && scratch.visit(slot) {
                            scratch.next.push(Found { label: self.order.label(slot), slot, via });
                        }
                    }
                }
            }
            scratch.frontier = frontier;
            if scratch.next.is_empty() {
                break;
            }
            let room = budget - reached.nodes.len();
            if scratch.next.len() > room {
                reached.truncated = true;
                if room > 0 {
                    scratch.next.select_nth_unstable(room - 1);
                }
                scratch.next.truncate(room);
            }
            scratch.next.sort_unstable();
            for few in scratch.next.chunks(AT_ONCE) {
                let first_byte = |slot| self.id(slot)?.as_str().bytes().next();
                few.iter().for_each(|found| _ = black_box((first_byte(found.slot), first_byte(found.via))));
                reached.nodes.extend(few.iter().filter_map(|&Found { slot, via, .. }| {
                    Some(ReachedNode { id: self.id(slot)?.clone(), hops, via: self.id(via)?.clone() })
                }));
            }
            if reached.truncated {
                break;
            }
            std::mem::swap(&mut scratch.frontier, &mut scratch.next);
            scratch.next.clear();
        }
        reached
    }

    fn id(&self, slot: Slot) -> Option<&EntityId> {
        self.nodes[slot as usize].id.as_ref()
    }

    /// The slot of a node; `None` when 2^32 nodes are there already.
    fn intern(&mut self, id: &EntityId) -> Option<Slot> {
        if let Some(&slot) = self.slots.get(id) {
            return Some(slot);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = Slot::try_from(self.nodes.len()).ok()?;
                self.nodes.push(Node::default());
                slot
            }
        };
        self.nodes[slot as usize].id = Some(id.clone());
        self.order.insert(id, slot);
        self.slots.insert(id.clone(), slot);
        Some(slot)
    }

    fn release(&mut self, slot: Slot) {
        let node = &mut self.nodes[slot as usize];
        if node.downstream.is_empty()
            && node.upstream.is_empty()
            && let Some(id) = node.id.take()
        {
            *node = Node::default();
            self.slots.remove(&id);
            self.order.remove(&id);
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use faultline_contracts::{lineage::FlowKind, time::UnixMillis};

    use super::*;

    fn edge(from: &str, to: &str) -> FlowEdge {
        FlowEdge { from: from.into(), to: to.into(), kind: FlowKind::Feeds, since: UnixMillis(0) }
    }

    fn index(edges: &[(&str, &str)]) -> AdjacencyIndex {
        let mut index = AdjacencyIndex::default();
        for (from, to) in edges {
            index.apply(&edge(from, to), 1);
        }
        index
    }

    fn rows(reached: &Reached) -> Vec<(&str, u32, &str)> {
        reached.nodes.iter().map(|node| (node.id.as_str(), node.hops, node.via.as_str())).collect()
    }

    #[test]
    fn ties_go_to_the_smallest_predecessor_and_the_root_is_left_out() {
        let mut index = index(&[("r", "c"), ("r", "b"), ("c", "d"), ("b", "d"), ("d", "r"), ("d", "d")]);
        let down = index.search(&"r".into(), Direction::Downstream, u32::MAX, 10);
        assert_eq!(rows(&down), [("b", 1, "r"), ("c", 1, "r"), ("d", 2, "b")]);
        let up = index.search(&"d".into(), Direction::Upstream, 1, 10);
        assert_eq!(rows(&up), [("b", 1, "d"), ("c", 1, "d")]);
        assert!(!down.truncated && !up.truncated);
    }

    #[test]
    fn a_budget_keeps_the_first_and_says_so_only_when_something_is_left_out() {
        let mut index = index(&[("r", "c"), ("r", "b"), ("b", "a")]);
        let all = index.search(&"r".into(), Direction::Downstream, u32::MAX, 3);
        assert!(!all.truncated && all.nodes.len() == 3);
        let two = index.search(&"r".into(), Direction::Downstream, u32::MAX, 2);
        assert!(two.truncated && rows(&two) == [("b", 1, "r"), ("c", 1, "r")]);
        assert!(!index.search(&"r".into(), Direction::Downstream, 1, 2).truncated, "the third is out of reach anyway");
        assert!(index.search(&"r".into(), Direction::Downstream, 9, 0).truncated);
        assert_eq!(index.search(&"r".into(), Direction::Downstream, 0, 9), Reached::default());
    }

    #[test]
    fn edges_are_counted_and_slots_are_used_again() {
        let mut index = index(&[("a", "b"), ("a", "b")]);
        index.apply(&edge("a", "b"), -1);
        assert_eq!(index.search(&"a".into(), Direction::Downstream, 9, 9).nodes.len(), 1);
        index.apply(&edge("a", "b"), -1);
        assert!(index.is_empty());
        for round in 0..100 {
            let name = format!("n{round}");
            index.apply(&edge(&name, "x"), -1);
            assert!(index.search(&name.as_str().into(), Direction::Downstream, 9, 9).nodes.is_empty());
            index.apply(&edge(&name, "x"), 1);
        }
        assert!(index.is_empty() && index.nodes.len() == 2);
    }

    #[test]
    fn a_scratch_outlives_the_end_of_its_counter() {
        let mut index = index(&[("a", "b")]);
        index.scratch.search = u32::MAX - 1;
        for _ in 0..4 {
            assert_eq!(index.search(&"a".into(), Direction::Downstream, 9, 9).nodes.len(), 1);
        }
    }
}
