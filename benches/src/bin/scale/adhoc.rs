//! Blast radius of a root that nobody watches: a search over the adjacency index.

use std::time::Instant;

use faultline_operators::adjacency::Direction;

use crate::{
    pareto_dag::{edges, index, roots_reaching},
    report::{MeasureError, Report, Times, resident_mb},
};

/// How much there is.
#[derive(Debug, clap::Args)]
pub struct Sizes {
    /// Nodes of the graph.
    #[arg(long, default_value_t = 1_000_000)]
    nodes: u64,
    /// How many nodes a root reaches, give or take a quarter; several by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 5_000, 100_000])]
    reach: Vec<usize>,
    /// Roots that are looked for, for each reach.
    #[arg(long, default_value_t = 200)]
    roots: usize,
    /// How often each is searched.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

/// Measures it.
///
/// # Errors
/// No root reaches as many as asked for.
pub fn measure(sizes: &Sizes) -> Result<Report, MeasureError> {
    let edges = edges(sizes.nodes);
    let mut report = Report::new(format!(
        "Ad-hoc blast radius: 16-layer DAG of {} nodes and {} edges, in process",
        sizes.nodes,
        edges.len()
    ));
    let before = resident_mb()?;
    let began = Instant::now();
    let mut index = index(&edges);
    let built = began.elapsed();
    report.remark(format!("the index: built in {built:.1?}, {} MB", resident_mb()?.saturating_sub(before)));
    for &reach in &sizes.reach {
        let roots = roots_reaching(&mut index, sizes.nodes, reach, sizes.roots, 100_000);
        if roots.is_empty() {
            return Err(MeasureError::Sizes(format!("no root reaches about {reach} nodes")));
        }
        let (mut times, mut reached) = (Times::default(), 0);
        for _ in 0..sizes.rounds {
            for root in &roots {
                let began = Instant::now();
                let found = index.search(root, Direction::Downstream, u32::MAX, usize::MAX);
                times.record(began.elapsed());
                reached += found.nodes.len();
            }
        }
        let mean = reached / (roots.len() * sizes.rounds.max(1) as usize);
        report.row(format!("reach {reach}"), &times, format!("{} roots, {mean} nodes on average", roots.len()));
    }
    Ok(report)
}
