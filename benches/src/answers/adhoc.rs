//! Ad-hoc blast radius over gRPC, against the same search in this process, over the same graph.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use faultline_contracts::{ids::EntityId, lineage::FlowEdge};
use faultline_operators::adjacency::{AdjacencyIndex, Direction, Reached};
use faultline_proto::v1::{GetBlastRadiusRequest, GetBlastRadiusResponse, MinAsOf, PartitionOffset};
use tokio::runtime::Runtime;

use super::{
    cadence::Cadence,
    connection::{Client, channel, client},
    error::{AnswersError, Result, call},
    lineage_events,
    records::window,
    surroundings::{CALM, Surroundings},
    table::{PERCENTILES, Table, percentiles},
};
use crate::{
    layered_dag::{LAYERS, edges, node, width},
    orders::CATALOG,
    random::SplitMix64,
    times::Times,
    wire::clients::runtime,
};

/// How long the service may take to read the graph.
const READ_WITHIN: Duration = Duration::from_secs(300);
/// How many roots are looked at for each reach.
const TRIES: usize = 20_000;
/// As many hops as a search of the service follows by default, which is more than the graph has layers.
const MAX_HOPS: u32 = 32;
/// Nodes to a page: the default, and the most.
const PAGES: [i32; 2] = [100, 1_000];

/// How much there is.
#[derive(Debug, Clone, clap::Args)]
pub struct Sizes {
    /// Nodes of the graph.
    #[arg(long, default_value_t = 20_000)]
    nodes: u64,
    /// How many nodes a root reaches, give or take a quarter; several by commas, each within `blast_radius.budget`.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 5_000])]
    reach: Vec<usize>,
    /// Roots that are looked for, for each reach.
    #[arg(long, default_value_t = 50)]
    roots: usize,
    /// How often each is asked for, for each size of page.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Questions a second.
    #[arg(long, default_value_t = 20)]
    rate: u64,
}

/// Measures it.
///
/// # Errors
/// The broker or the service fails, an answer is wrong, or no root reaches as many as asked for.
pub fn measure(surroundings: &Surroundings, sizes: &Sizes) -> Result<Table> {
    let edges = edges(sizes.nodes);
    let mut index = AdjacencyIndex::default();
    edges.iter().for_each(|edge| index.apply(edge, 1));
    let kafka = surroundings.broker(&[], 1)?;
    let jobs = lineage_events::publish(&kafka, &edges, window())?;
    let service = surroundings.service(&kafka, Path::new(CATALOG))?;
    let runtime = runtime()?;
    let mut client = runtime.block_on(async { Ok::<_, AnswersError>(client(channel(service.grpc()).await?)) })?;
    let read = wait_for_graph(&runtime, &mut client, &edges, jobs)?;
    std::thread::sleep(CALM);

    let mut table = Table::new(
        format!(
            "Ad-hoc blast radius: a DAG of {} nodes and {} edges, {} questions a second, --workers {}",
            sizes.nodes,
            edges.len(),
            sizes.rate,
            surroundings.workers
        ),
        ["answer"].into_iter().chain(PERCENTILES).chain(["nodes, on average"]),
    );
    for &reach in &sizes.reach {
        let roots = roots_reaching(&mut index, sizes, reach);
        if roots.is_empty() {
            return Err(AnswersError::Sizes(format!("no root reaches about {reach} nodes")));
        }
        let mean = roots.iter().map(|(_, reached)| reached.nodes.len()).sum::<usize>() / roots.len();
        let mut row = |what: String, times: &Times| {
            table.row([what].into_iter().chain(percentiles(times)).chain([mean.to_string()]));
        };
        row(format!("reach {reach}: search in process"), &in_process(&mut index, &roots, sizes.rounds));
        for page in PAGES {
            let times = over_grpc(&runtime, &mut client, &roots, (sizes, page))?;
            row(format!("reach {reach}: `GetBlastRadius`, page of {page}"), &times);
        }
    }
    table.remark(format!("{jobs} jobs of the graph were there after {:.1} s", read.as_secs_f64()));
    service.stop()?;
    Ok(table)
}

/// Waits until the service has read all jobs and answers for the whole graph; says how long that took.
fn wait_for_graph(runtime: &Runtime, client: &mut Client, edges: &[FlowEdge], jobs: usize) -> Result<Duration> {
    let begin = Instant::now();
    let Some(edge) = edges.first() else {
        return Err(AnswersError::Sizes(format!("a graph of fewer than {LAYERS} nodes has no edges")));
    };
    let last = PartitionOffset {
        topic: "signal_factory.lineage".to_owned(),
        partition: 0,
        offset: i64::try_from(jobs).unwrap_or(i64::MAX) - 1,
    };
    let asked = GetBlastRadiusRequest {
        root: edge.from.to_string(),
        min_as_of: Some(MinAsOf { epoch: 0, offsets: vec![last] }),
        ..Default::default()
    };
    loop {
        match runtime.block_on(client.get_blast_radius(asked.clone())) {
            Ok(_) => return Ok(begin.elapsed()),
            Err(status) if begin.elapsed() > READ_WITHIN => return Err(call("GetBlastRadius")(status)),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Roots that reach `reach` nodes, give or take a quarter, and what they reach.
fn roots_reaching(index: &mut AdjacencyIndex, sizes: &Sizes, reach: usize) -> Vec<(EntityId, Reached)> {
    let (width, mut random) = (width(sizes.nodes), SplitMix64(23));
    let (least, most) = (reach - reach / 4, reach + reach / 4);
    let candidates = (0..TRIES).map(|_| node(random.below(LAYERS - 1), random.below(width)));
    let reached = candidates.map(|root| {
        let found = index.search(&root, Direction::Downstream, MAX_HOPS, most);
        (root, found)
    });
    reached.filter(|(_, found)| !found.truncated && found.nodes.len() >= least).take(sizes.roots).collect()
}

fn in_process(index: &mut AdjacencyIndex, roots: &[(EntityId, Reached)], rounds: usize) -> Times {
    let mut times = Times::default();
    for _ in 0..rounds {
        for (root, _) in roots {
            let begin = Instant::now();
            let found = index.search(root, Direction::Downstream, MAX_HOPS, usize::MAX);
            times.record(begin.elapsed());
            std::hint::black_box(found);
        }
    }
    times
}

/// Asks for each root in each round, for one page of so many nodes.
fn over_grpc(
    runtime: &Runtime,
    client: &mut Client,
    roots: &[(EntityId, Reached)],
    (sizes, page_size): (&Sizes, i32),
) -> Result<Times> {
    let mut times = Times::default();
    let mut cadence = Cadence::new(sizes.rate);
    for _ in 0..sizes.rounds {
        for (root, reached) in roots {
            let request = GetBlastRadiusRequest { root: root.to_string(), page_size, ..Default::default() };
            let due = cadence.wait();
            let answer = runtime.block_on(client.get_blast_radius(request)).map_err(call("GetBlastRadius"))?;
            times.record(due.elapsed());
            check(root, reached, &answer.into_inner(), page_size)?;
        }
    }
    Ok(times)
}

/// An answer is the search's: as many nodes, and on the page the nearest of them with their distances.
fn check(root: &EntityId, reached: &Reached, answer: &GetBlastRadiusResponse, page_size: i32) -> Result<()> {
    let page = usize::try_from(page_size).unwrap_or_default().min(reached.nodes.len());
    let nodes = answer.nodes.iter().map(|node| (node.id.as_str(), node.hops, node.via.as_str()));
    let expected = reached.nodes.iter().take(page).map(|node| (node.id.as_str(), node.hops, node.via.as_str()));
    let size = answer.total_size as usize == reached.nodes.len() && !answer.truncated;
    if size && nodes.eq(expected) {
        return Ok(());
    }
    Err(AnswersError::Wrong(format!("{root} reaches {} nodes, not {}", answer.total_size, reached.nodes.len())))
}
