//! Job runs as causes: those whose DAG run id failing records carry, and those that write the dataset.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::{
    evidence::FailureSample,
    explanation::{Claim, Hypothesis, HypothesisKind, Layer},
    graph::{EdgeLabel, edge_id},
    lineage::RunState,
};

use super::{
    case::Case,
    facts::RunFact,
    score::{Basis, Grounds, Share},
    wording::{clock, relation},
};

/// `BATCH_RUN`: the run that made the records, by their header or by lineage.
pub(super) fn by_run(case: &Case<'_>, unknowns: &mut Vec<String>) -> Vec<Hypothesis> {
    if case.written_by.is_empty() && !case.read && case.writers.is_empty() {
        unknowns.push(format!("no lineage event writes or reads {}", case.breach.dataset));
    }
    let mut hypotheses = by_dag_run(case, unknowns);
    hypotheses.extend(by_writing(case));
    hypotheses
}

fn by_dag_run(case: &Case<'_>, unknowns: &mut Vec<String>) -> Vec<Hypothesis> {
    let known: BTreeSet<_> = case.dag_runs.iter().filter_map(|run| run.dag_run_id.as_ref()).collect();
    let carrying = case.samples().iter().filter_map(|sample| sample.dag_run_id.as_ref());
    let missing = carrying.filter(|id| !known.contains(id)).count();
    if missing > 0 {
        unknowns.push(format!("no run for {missing} failing records with a DAG run id"));
    }
    let guilty = |run: &&&RunFact| run.failed() || case.written_by.contains(&run.job);
    // Every task of a DAG run has its id: those that had nothing to do with the dataset count where no other is known.
    let any_guilty: BTreeSet<_> = case.dag_runs.iter().filter(guilty).map(|run| &run.dag_run_id).collect();
    let (_, latest) = case.options.look_back.interval(case.first_failure());
    case.dag_runs
        .iter()
        .filter(|run| guilty(run) || !any_guilty.contains(&run.dag_run_id))
        .map(|run| {
            let records: Vec<&FailureSample> =
                case.samples().iter().filter(|sample| sample.dag_run_id == run.dag_run_id).collect();
            let grounds = Grounds {
                basis: if guilty(&run) { Basis::DagRunOfWriter } else { Basis::DagRun },
                // A run may write records with times of its past.
                distance_ms: Some(run.started_at).filter(|at| *at <= latest).map(|at| case.before_failure(at)),
                agreement: Share { part: records.len() as u64, total: case.samples().len() as u64 },
                ..grounds(case, Basis::DagRun)
            };
            let text = format!(
                "{} of {} sampled failing records carry the DAG run id of run {} of {}",
                records.len(),
                case.samples().len(),
                run.id,
                run.job,
            );
            let carried =
                Claim { text, evidence_ids: Case::cite(records), edge_ids: vec![case.introduced_by(&run.vertex())] };
            hypothesis(case, run, &grounds, vec![carried, state(case, run)])
        })
        .collect()
}

fn by_writing(case: &Case<'_>) -> Vec<Hypothesis> {
    let (_, latest) = case.options.look_back.interval(case.first_failure());
    let begun = || case.writers.iter().copied().filter(|run| run.started_at <= latest);
    let mut last_of_job = BTreeMap::new();
    for run in begun() {
        let last = last_of_job.entry(&run.job).or_insert(run);
        *last = run.max(last);
    }
    let failed = last_of_job.into_values().filter(|run| run.failed()).map(|run| {
        let since_end = case.before_failure(run.updated_at).max(0);
        let grounds = Grounds { distance_ms: Some(since_end), ..grounds(case, Basis::FailedWriter) };
        hypothesis(case, run, &grounds, vec![state(case, run)])
    });
    let last_written = begun().filter(|run| !run.failed()).filter_map(|run| run.wrote_at.map(|at| (run, at))).max();
    let written = last_written.map(|(run, wrote_at)| {
        // A run that still wrote after the first failure was writing when it happened.
        let since_written = case.before_failure(wrote_at).max(0);
        let grounds = Grounds { distance_ms: Some(since_written), ..grounds(case, Basis::LastWriter) };
        let text = format!(
            "Run {} of {} is the last that wrote {} before the first failure",
            run.id, run.job, case.breach.dataset
        );
        let last = case.introduction(&run.vertex(), text);
        hypothesis(case, run, &grounds, vec![last, state(case, run)])
    });
    failed.chain(written).collect()
}

fn grounds(case: &Case<'_>, basis: Basis) -> Grounds {
    Grounds {
        basis,
        distance_ms: None,
        recurrence: Some(case.recurrence()),
        explained: case.explained(),
        agreement: Share::ALL,
        rivals_ms: Vec::new(),
        superseded: false,
        hops: 0,
    }
}

fn hypothesis(case: &Case<'_>, run: &RunFact, grounds: &Grounds, mut claims: Vec<Claim>) -> Hypothesis {
    if case.written_by.contains(&run.job) {
        let writes = edge_id(&run.job, EdgeLabel::Writes, &case.breach.dataset);
        let text = format!("{} writes {}", run.job, case.breach.dataset);
        claims.push(Claim { text, evidence_ids: Vec::new(), edge_ids: vec![writes] });
    }
    let action = if run.failed() {
        format!("Fix {} and re-run it", run.job)
    } else {
        format!("Re-run {} once its input and code are checked", run.job)
    };
    Hypothesis {
        kind: HypothesisKind::JobRun,
        subject: run.vertex(),
        score: grounds.score(),
        layer: Layer::BatchRun,
        at: run.started_at,
        claims,
        action: Some(action),
        parent: None,
    }
}

/// `Run 4f1c… of job:airflow/orders_load started at 09:30:00, 28 minutes before the first failure, and failed: out of memory`
fn state(case: &Case<'_>, run: &RunFact) -> Claim {
    let started = clock(run.started_at, case.first_failure());
    let distance = relation(case.before_failure(run.started_at));
    let ended = match (run.state, &run.error) {
        (RunState::Fail, Some(error)) => format!(", and failed: {error}"),
        (RunState::Fail, None) => ", and failed".to_owned(),
        (RunState::Abort, _) => ", and was aborted".to_owned(),
        (RunState::Complete, _) => ", and completed".to_owned(),
        (RunState::Other | RunState::Start | RunState::Running, _) => String::new(),
    };
    let text = format!("Run {} of {} started at {started}, {distance} the first failure{ended}", run.id, run.job);
    case.introduction(&run.vertex(), text)
}
