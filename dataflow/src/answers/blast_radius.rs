//! Blast radii: what a root reaches, and what of it a breach has hit.
//!
//! The nodes come from a standing query where there is one, else from a search; both agree to the row. What has happened
//! to them comes from the incident of the root: the one that is not resolved, else the latest, because what it hit stays
//! hit until it is written anew.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use faultline_contracts::{
    asset::{Asset, AssetKind},
    catalog::Catalog,
    ids::EntityId,
    impact::Impact,
    incident::{Incident, IncidentStatus},
    names::EntityNames,
};
use faultline_operators::{
    adjacency::{Direction, Reached, ReachedNode, Scratch},
    blast_radius::QueryKey,
};
use faultline_proto::v1;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Refusal, as_of, choices,
    page::{PageRequest, filters_of},
    rows, timestamp,
};
use crate::view::View;

/// The server's limits on a blast radius.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most nodes that are looked at.
    pub budget: usize,
    /// The most hops that are followed.
    pub max_hops: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        let crate::config::BlastRadius { budget, max_hops } = crate::config::BlastRadius::default();
        Self { budget, max_hops }
    }
}

/// What is asked of lineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Where to start; aliases of the catalog are resolved.
    pub root: EntityId,
    /// Which way.
    pub direction: Direction,
    /// How far, at most the server's limit.
    pub max_hops: u32,
    /// Nodes of this tier or a more critical one; 0 is any.
    min_tier: u32,
    kinds: BTreeSet<AssetKind>,
}

impl Question {
    fn new(
        (root, direction, max_hops): (&str, i32, u32),
        (min_tier, kinds): (u32, &[i32]),
        catalog: &Catalog,
        bounds: Bounds,
    ) -> Result<Self, Refusal> {
        if root.is_empty() {
            return Err(Refusal::invalid("root", "it is required: the id of a dataset, table, job or asset"));
        }
        let direction = match v1::blast_radius::Direction::try_from(direction) {
            Ok(v1::blast_radius::Direction::Unspecified | v1::blast_radius::Direction::Downstream) => {
                Direction::Downstream
            }
            Ok(v1::blast_radius::Direction::Upstream) => Direction::Upstream,
            Err(_) => return Err(Refusal::invalid("direction", "it is DOWNSTREAM or UPSTREAM")),
        };
        let kinds = choices("kinds", kinds, |kind| match kind {
            v1::node::Kind::Unspecified => None,
            v1::node::Kind::Dataset => Some(AssetKind::Dataset),
            v1::node::Kind::Job => Some(AssetKind::Job),
            v1::node::Kind::Table => Some(AssetKind::Table),
            v1::node::Kind::Dashboard => Some(AssetKind::Dashboard),
            v1::node::Kind::Report => Some(AssetKind::Report),
            v1::node::Kind::Model => Some(AssetKind::Model),
            v1::node::Kind::Service => Some(AssetKind::Service),
        })?;
        let max_hops = if max_hops == 0 { bounds.max_hops } else { max_hops.min(bounds.max_hops) };
        let root = catalog.alias(root).unwrap_or_else(|| root.into());
        Ok(Self { root, direction, max_hops, min_tier, kinds })
    }

    /// The question of a watch.
    ///
    /// # Errors
    /// A field means nothing.
    pub fn of_watch(request: &v1::WatchBlastRadiusRequest, catalog: &Catalog, bounds: Bounds) -> Result<Self, Refusal> {
        let filter = (request.min_tier, request.kinds.as_slice());
        Self::new((&request.root, request.direction, request.max_hops), filter, catalog, bounds)
    }

    /// The key under which it stands: the same for the same search. Keys of incidents are below 2^40.
    #[must_use]
    pub fn key(&self) -> QueryKey {
        let Self { root, direction, max_hops, min_tier: _, kinds: _ } = self;
        QueryKey(xxh3_64(format!("{root}\u{0}{}\u{0}{max_hops}", direction.as_str()).as_bytes()) | 1 << 63)
    }

    fn wants(&self, node: &FoundNode<'_>) -> bool {
        let tier = self.min_tier == 0 || node.tier().is_some_and(|tier| u32::from(tier) <= self.min_tier);
        tier && (self.kinds.is_empty() || self.kinds.contains(&node.kind()))
    }
}

/// The answer to a question. Of thousands of nodes a page is shown, so that only those become messages.
#[derive(Debug)]
pub struct Found<'v> {
    view: &'v View,
    root: &'v EntityId,
    incident: Option<&'v Incident>,
    /// The nodes that are wanted, by (hops, id).
    pub nodes: Vec<FoundNode<'v>>,
    /// Whether the search ended at a limit.
    pub truncated: bool,
}

/// A node of an answer.
#[derive(Debug)]
pub struct FoundNode<'v> {
    reached: ReachedNode,
    asset: Option<&'v Asset>,
}

impl FoundNode<'_> {
    /// The place among the nodes of an answer.
    #[must_use]
    pub fn key(&self) -> (u32, EntityId) {
        (self.reached.hops, self.reached.id.clone())
    }

    fn kind(&self) -> AssetKind {
        kind(&self.reached.id, self.asset)
    }

    fn tier(&self) -> Option<u8> {
        self.asset.and_then(|asset| asset.tier)
    }
}

impl Found<'_> {
    /// How many nodes there are of each kind.
    #[must_use]
    pub fn counts_by_kind(&self) -> BTreeMap<String, u32> {
        count(self.nodes.iter().map(FoundNode::kind), |kind| rows::node_kind(kind).as_str_name().to_owned())
    }

    /// How many nodes there are of each tier.
    #[must_use]
    pub fn counts_by_tier(&self) -> BTreeMap<String, u32> {
        count(self.nodes.iter().map(FoundNode::tier), |tier| {
            tier.map_or_else(|| "unknown".to_owned(), |tier| tier.to_string())
        })
    }

    /// How many nodes there are.
    #[must_use]
    pub fn total(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// The root as a message.
    #[must_use]
    pub fn root(&self) -> v1::Node {
        let mut node = described(self.root, self.view.assets.get(self.root));
        let failing = self.incident.filter(|incident| incident.status != IncidentStatus::Resolved);
        if let Some(breach) = failing.and_then(|incident| self.view.breaches.get(&incident.id)) {
            node.impact = rows::impact(Impact::Impacted).into();
            node.impacted_since = Some(timestamp(breach.first_failure_at()));
        }
        node
    }

    /// One of the nodes as a message.
    #[must_use]
    pub fn node(&self, FoundNode { reached, asset }: &FoundNode<'_>) -> v1::Node {
        let mut node = described(&reached.id, *asset);
        node.hops = reached.hops;
        node.via = reached.via.to_string();
        if let Some(incident) = self.incident {
            let impacts = self.view.impacts.get(&QueryKey::of_incident(incident.id));
            let row = impacts.and_then(|impacts| impacts.get(&reached.id));
            // Beyond the budget of the incident's query nothing is known but that it can be reached.
            let (impact, since) = row.map_or((Impact::AtRisk, None), |row| (row.impact, row.since));
            node.impact = rows::impact(impact).into();
            node.impacted_since = since.filter(|_| impact == Impact::Impacted).map(timestamp);
        }
        node
    }

    /// As a message with the first `limit` nodes.
    #[must_use]
    pub fn message(&self, limit: usize) -> v1::BlastRadius {
        v1::BlastRadius {
            root: Some(self.root()),
            nodes: self.nodes.iter().take(limit).map(|node| self.node(node)).collect(),
            counts_by_kind: self.counts_by_kind(),
            counts_by_tier: self.counts_by_tier(),
            total: self.total(),
            truncated: self.truncated,
        }
    }
}

/// Counts what there are few different ones of, and names them in the end.
fn count<T: PartialEq + Copy>(all: impl Iterator<Item = T>, name: impl Fn(T) -> String) -> BTreeMap<String, u32> {
    let mut counts: Vec<(T, u32)> = Vec::new();
    for one in all {
        match counts.iter_mut().find(|(known, _)| *known == one) {
            Some((_, count)) => *count += 1,
            None => counts.push((one, 1)),
        }
    }
    counts.into_iter().map(|(one, count)| (name(one), count)).collect()
}

/// Searches lineage.
#[must_use]
pub fn search(view: &View, root: &EntityId, direction: Direction, max_hops: u32, budget: usize) -> Reached {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|scratch| view.adjacency.search_with(scratch, root, direction, max_hops, budget))
}

/// Whether lineage or the catalog know a node.
#[must_use]
pub fn is_known(view: &View, catalog: &Catalog, id: &EntityId) -> bool {
    let has_edge = |direction| {
        let reached = search(view, id, direction, 1, 1);
        reached.truncated || !reached.nodes.is_empty()
    };
    view.assets.contains_key(id)
        || catalog.dataset(id.as_str()).is_some()
        || catalog.assets().binary_search_by(|asset| asset.id.cmp(id)).is_ok()
        || has_edge(Direction::Downstream)
        || has_edge(Direction::Upstream)
}

/// The answer to a question. A root that is not known reaches nothing.
#[must_use]
pub fn find<'v>(view: &'v View, question: &'v Question, bounds: Bounds) -> Found<'v> {
    let reached = standing(view, question.key())
        .unwrap_or_else(|| search(view, &question.root, question.direction, question.max_hops, bounds.budget));
    let incident = match question.direction {
        Direction::Downstream => incident_of_root(view, &question.root),
        Direction::Upstream => None,
    };
    let mut found = describe(view, &question.root, incident, reached);
    found.nodes.retain(|node| question.wants(node));
    found
}

/// What an incident's dataset reaches: by its standing query, else by a search.
#[must_use]
pub fn of_incident<'v>(view: &'v View, incident: &'v Incident, bounds: Bounds) -> Found<'v> {
    let root = &incident.dataset_urn;
    let reached = standing(view, QueryKey::of_incident(incident.id))
        .unwrap_or_else(|| search(view, root, Direction::Downstream, bounds.max_hops, bounds.budget));
    describe(view, root, Some(incident), reached)
}

fn describe<'v>(
    view: &'v View,
    root: &'v EntityId,
    incident: Option<&'v Incident>,
    Reached { nodes, truncated }: Reached,
) -> Found<'v> {
    let nodes = nodes.into_iter().map(|reached| FoundNode { asset: view.assets.get(&reached.id), reached });
    Found { view, root, incident, nodes: nodes.collect(), truncated }
}

/// The rows of a standing query. None where it does not stand (yet), or reaches nothing, which a search finds out too.
fn standing(view: &View, key: QueryKey) -> Option<Reached> {
    let rows = view.reach.get(&key)?.values();
    let mut nodes: Vec<_> =
        rows.map(|row| ReachedNode { id: row.node.clone(), hops: row.hops, via: row.via.clone() }).collect();
    nodes.sort_unstable_by(|one, other| (one.hops, &one.id).cmp(&(other.hops, &other.id)));
    Some(Reached { nodes, truncated: view.truncated.contains(&key) })
}

/// The incident by which nodes downstream of a root are judged.
#[must_use]
pub fn incident_of_root<'a>(view: &'a View, root: &EntityId) -> Option<&'a Incident> {
    let of_root = view.incidents.values().filter(|incident| incident.dataset_urn == *root);
    of_root
        .min_by_key(|incident| (incident.status == IncidentStatus::Resolved, Reverse(incident.opened_at), incident.id))
}

/// What nobody describes is what its id looks like.
fn kind(id: &EntityId, asset: Option<&Asset>) -> AssetKind {
    let looks_like = || if id.as_str().starts_with("job:") { AssetKind::Job } else { AssetKind::Table };
    asset.map_or_else(looks_like, |asset| asset.kind)
}

/// A node without its place in a blast radius.
fn described(id: &EntityId, asset: Option<&Asset>) -> v1::Node {
    let text = id.as_str();
    let looks_like = || text.rsplit('/').next().unwrap_or(text);
    v1::Node {
        id: text.to_owned(),
        kind: rows::node_kind(kind(id, asset)).into(),
        name: asset.map_or_else(looks_like, |asset| &*asset.name).to_owned(),
        tier: asset.and_then(|asset| asset.tier).map(u32::from),
        owner: asset.and_then(|asset| asset.owner.as_deref()).unwrap_or_default().to_owned(),
        ..v1::Node::default()
    }
}

/// One page of a blast radius.
///
/// # Errors
/// A field, the page's size or its token means nothing, or nobody knows the root.
pub fn get(
    view: &View,
    catalog: &Catalog,
    bounds: Bounds,
    request: &v1::GetBlastRadiusRequest,
) -> Result<v1::GetBlastRadiusResponse, Refusal> {
    let page = PageRequest::read(request.page_size, &request.page_token, &filters_of!(request, GetBlastRadiusRequest))?;
    let filter = (request.min_tier, request.kinds.as_slice());
    let question = Question::new((&request.root, request.direction, request.max_hops), filter, catalog, bounds)?;
    if !is_known(view, catalog, &question.root) {
        return Err(Refusal::not_found("node", &request.root));
    }
    let found = find(view, &question, bounds);
    let page = page.cut(found.nodes.iter().map(|node| (node.key(), node)).collect());
    Ok(v1::GetBlastRadiusResponse {
        nodes: page.rows.into_iter().map(|node| found.node(node)).collect(),
        next_page_token: page.next_page_token,
        total_size: page.total_size,
        root: Some(found.root()),
        counts_by_kind: found.counts_by_kind(),
        counts_by_tier: found.counts_by_tier(),
        truncated: found.truncated,
        as_of: Some(as_of(view)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::fixture;

    fn request(root: &str) -> v1::GetBlastRadiusRequest {
        v1::GetBlastRadiusRequest { root: root.into(), ..v1::GetBlastRadiusRequest::default() }
    }

    fn ids(answer: &v1::GetBlastRadiusResponse) -> Vec<(&str, u32, &str)> {
        answer.nodes.iter().map(|node| (node.id.as_str(), node.hops, node.impact().as_str_name())).collect()
    }

    #[test]
    fn what_orders_reach() {
        let (view, catalog) = (fixture::view(), fixture::catalog());
        let answer = get(&view, &catalog, Bounds::default(), &request(fixture::ORDERS)).unwrap();
        let expected = [
            ("job:airflow/orders_daily_agg", 1, "IMPACTED"),
            ("delta:orders_gold_daily", 2, "IMPACTED"),
            ("dashboard:exec_orders", 3, "IMPACTED"),
            ("job:airflow/finance", 3, "AT_RISK"),
        ];
        assert_eq!(ids(&answer), expected);
        assert_eq!(answer.counts_by_kind, [("DASHBOARD".into(), 1), ("JOB".into(), 2), ("TABLE".into(), 1)].into());
        assert_eq!(answer.counts_by_tier, [("1".into(), 2), ("unknown".into(), 2)].into());
        let job = &answer.nodes[0];
        assert_eq!((job.name.as_str(), job.kind(), job.tier), ("orders_daily_agg", v1::node::Kind::Job, None));
        assert!(job.impacted_since.is_some() && answer.nodes[3].impacted_since.is_none());
        assert_eq!(answer.root.unwrap().impact(), v1::node::Impact::Impacted);
    }

    #[test]
    fn filters_pages_and_directions() {
        let (view, catalog) = (fixture::view(), fixture::catalog());
        let get = |request| get(&view, &catalog, Bounds::default(), &request);
        let tier1 = get(v1::GetBlastRadiusRequest { min_tier: 1, page_size: 1, ..request(fixture::ORDERS) }).unwrap();
        assert_eq!((ids(&tier1), tier1.total_size), (vec![("delta:orders_gold_daily", 2, "IMPACTED")], 2));
        let page_token = tier1.next_page_token;
        let next = v1::GetBlastRadiusRequest { min_tier: 1, page_size: 1, page_token, ..request(fixture::ORDERS) };
        assert_eq!(ids(&get(next).unwrap())[0].0, "dashboard:exec_orders");
        let kinds = vec![v1::node::Kind::Dashboard.into()];
        assert_eq!(get(v1::GetBlastRadiusRequest { kinds, ..request(fixture::ORDERS) }).unwrap().total_size, 1);
        let direction = v1::blast_radius::Direction::Upstream.into();
        let up = get(v1::GetBlastRadiusRequest { direction, max_hops: 2, ..request("dashboard:exec_orders") }).unwrap();
        assert_eq!(ids(&up)[1], ("job:airflow/orders_daily_agg", 2, "IMPACT_UNSPECIFIED"));
        let alias = get(request("s3://lake/gold/orders_daily")).unwrap();
        assert_eq!(alias.root.unwrap().id, "delta:orders_gold_daily", "an alias stands for its asset");
        assert!(matches!(get(request("nobody")), Err(Refusal::NotFound { .. })));
        assert!(matches!(get(request("")), Err(Refusal::Invalid { field: "root", .. })));
    }

    #[test]
    fn a_budget_is_told() {
        let (view, catalog) = (fixture::view(), fixture::catalog());
        let bounds = Bounds { budget: 2, max_hops: 9 };
        let answer = get(&view, &catalog, bounds, &request(fixture::ORDERS)).unwrap();
        assert!(answer.truncated && answer.total_size == 2);
    }

    #[test]
    fn keys_tell_searches_apart_and_not_filters() {
        let catalog = fixture::catalog();
        let key = |max_hops, min_tier| {
            let request = v1::WatchBlastRadiusRequest {
                root: fixture::ORDERS.into(),
                max_hops,
                min_tier,
                ..v1::WatchBlastRadiusRequest::default()
            };
            Question::of_watch(&request, &catalog, Bounds::default()).unwrap().key()
        };
        assert_eq!(key(3, 0), key(3, 1));
        assert_ne!(key(3, 0), key(2, 0));
        assert_eq!(key(0, 0), key(u32::MAX, 0), "the server's limit");
    }
}
