//! Standing blast radii: an edge comes or goes under many roots, until every answer is updated.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use differential_dataflow::input::InputSession;
use faultline_benches::{
    layered_dag::{LAYERS, edge, node, width},
    random::SplitMix64,
    worker::worker,
};
use faultline_contracts::{ids::EntityId, lineage::FlowEdge};
use faultline_operators::{
    adjacency::{AdjacencyIndex, Direction},
    blast_radius::{QueryKey, ReachOptions, ReachQuery, standing},
};
use timely::{dataflow::ProbeHandle, worker::Worker};

use crate::{
    pareto_dag::{edges, index},
    report::{MeasureError, Report, Times, resident_mb},
};

/// How much there is.
#[derive(Debug, clap::Args)]
pub struct Sizes {
    /// Nodes of the graph.
    #[arg(long, default_value_t = 1_000_000)]
    nodes: u64,
    /// Roots whose blast radius stands.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    roots: u64,
    /// The layer that the roots are in, counted from 0: those above reach more.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(..LAYERS - 1))]
    layer: u64,
    /// Edges that come and go, one after the other.
    #[arg(long, default_value_t = 2_000)]
    changes: u64,
    /// Changes after which all roots are searched anew, for comparison.
    #[arg(long, default_value_t = 20)]
    searches: u64,
}

/// The operator under a worker.
struct Stage {
    worker: Worker,
    flows: InputSession<u64, FlowEdge, isize>,
    queries: InputSession<u64, ReachQuery, isize>,
    probe: ProbeHandle<u64>,
    /// Rows of all answers.
    rows: Rc<Cell<isize>>,
    epoch: u64,
}

impl Stage {
    fn new() -> Self {
        let (mut worker, mut flows, mut queries) = (worker(), InputSession::new(), InputSession::new());
        let rows = Rc::new(Cell::new(0));
        let counted = Rc::clone(&rows);
        let probe = worker.dataflow(|scope| {
            let (queries, flows) = (queries.to_collection(scope), flows.to_collection(scope));
            let reach = standing(queries, flows, ReachOptions::default());
            reach.rows.inspect(move |(_, _, diff)| counted.set(counted.get() + diff)).probe().0
        });
        Self { worker, flows, queries, probe, rows, epoch: 0 }
    }

    /// Closes an epoch and waits for its answers.
    fn close(&mut self) -> Duration {
        let began = Instant::now();
        self.epoch += 1;
        self.flows.advance_to(self.epoch);
        self.flows.flush();
        self.queries.advance_to(self.epoch);
        self.queries.flush();
        let (probe, epoch) = (&self.probe, self.epoch);
        self.worker.step_while(|| probe.less_than(&epoch));
        began.elapsed()
    }
}

/// Searches all roots and returns how many nodes they reach.
fn search_all(index: &mut AdjacencyIndex, roots: &[EntityId]) -> usize {
    let budget = ReachOptions::default().budget;
    roots.iter().map(|root| index.search(root, Direction::Downstream, u32::MAX, budget).nodes.len()).sum()
}

/// Measures it.
///
/// # Errors
/// What is maintained is not what a search finds.
pub fn measure(sizes: &Sizes) -> Result<Report, MeasureError> {
    let edges = edges(sizes.nodes);
    let mut report = Report::new(format!(
        "Standing blast radius: 16-layer DAG of {} nodes and {} edges, {} roots, 1 worker",
        sizes.nodes,
        edges.len(),
        sizes.roots
    ));
    let (width, mut random) = (width(sizes.nodes), SplitMix64(13));
    let roots: Vec<EntityId> = (0..sizes.roots).map(|_| node(sizes.layer, random.below(width))).collect();
    let mut index = index(&edges);
    let before = resident_mb()?;

    let mut stage = Stage::new();
    edges.into_iter().for_each(|edge| stage.flows.insert(edge));
    let loaded = stage.close();
    let graph = resident_mb()?.saturating_sub(before);
    for (key, root) in (0..).map(QueryKey).zip(&roots) {
        let (root, direction) = (root.clone(), Direction::Downstream);
        stage.queries.insert(ReachQuery { key, root, direction, max_hops: u32::MAX });
    }
    let stood = stage.close();
    let all = resident_mb()?.saturating_sub(before);
    let reached = search_all(&mut index, &roots);
    report.remark(format!("graph loaded in {loaded:.1?} ({graph} MB), roots in {stood:.1?} ({all} MB with them)"));
    let cut = roots
        .iter()
        .filter(|root| index.search(root, Direction::Downstream, u32::MAX, ReachOptions::default().budget).truncated);
    let cut = cut.count();
    report.remark(format!(
        "roots in layer {} reach {reached} nodes together; {cut} are cut off at {} nodes",
        sizes.layer,
        ReachOptions::default().budget
    ));

    let (mut inserts, mut deletes, mut searches) = (Times::default(), Times::default(), Times::default());
    let changed_rows = Rc::clone(&stage.rows);
    let mut changes = Vec::new();
    for change in 0..sizes.changes {
        let added = hit(&mut index, &roots, width, &mut random);
        let before = changed_rows.get();
        stage.flows.insert(added.clone());
        let time = stage.close();
        inserts.record(time);
        changes.push((time, changed_rows.get().abs_diff(before)));
        if change < sizes.searches {
            index.apply(&added, 1);
            let began = Instant::now();
            let found = search_all(&mut index, &roots);
            searches.record(began.elapsed());
            index.apply(&added, -1);
            agree(stage.rows.get(), found)?;
        }
        stage.flows.remove(added);
        deletes.record(stage.close());
    }
    agree(stage.rows.get(), search_all(&mut index, &roots))?;

    let mean = changes.iter().map(|(_, rows)| rows).sum::<usize>() / changes.len().max(1);
    changes.sort_unstable();
    let slowest = changes.iter().rev().take(5).map(|(time, rows)| format!("{time:.1?} with {rows}"));
    let slowest: Vec<String> = slowest.collect();
    report.remark(format!("the slowest edges that come, with nodes that come with them: {}", slowest.join(", ")));
    report.row("an edge comes", &inserts, format!("{mean} nodes more on average"));
    report.row("an edge goes", &deletes, "");
    let ratio = searches.quantile(0.5).as_secs_f64() / inserts.quantile(0.5).as_secs_f64();
    report.row("all roots searched anew", &searches, format!("{ratio:.0} × an edge that comes, by p50"));
    Ok(report)
}

/// A new edge out of a node that a root reaches, or out of a root.
fn hit(index: &mut AdjacencyIndex, roots: &[EntityId], width: u64, random: &mut SplitMix64) -> FlowEdge {
    let root = &roots[random.below(roots.len() as u64) as usize];
    let reached = index.search(root, Direction::Downstream, u32::MAX, usize::MAX).nodes;
    // Nodes of the last layer have no edges.
    let inner: Vec<(u64, u64)> = reached
        .iter()
        .map(|node| &node.id)
        .chain([root])
        .filter_map(place)
        .filter(|(layer, _)| *layer < LAYERS - 1)
        .collect();
    let (layer, n) = random.of(&inner);
    edge(layer, n, random.below(width))
}

/// Layer and number of a node, as [`node`] names it.
fn place(id: &EntityId) -> Option<(u64, u64)> {
    let (layer, n) = id.as_str().split_once(':')?.1.split_once('/')?;
    Some((layer.parse().ok()?, n.parse().ok()?))
}

fn agree(maintained: isize, searched: usize) -> Result<(), MeasureError> {
    if usize::try_from(maintained) == Ok(searched) {
        return Ok(());
    }
    Err(MeasureError::Wrong(format!("{maintained} rows are maintained, {searched} are found by search")))
}
