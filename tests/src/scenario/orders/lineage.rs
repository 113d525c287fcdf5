//! Job runs, as OpenLineage events of Airflow DAG runs on the Kafka transport, at the grain of DAGs: each event
//! names the inputs and outputs of the DAG's tasks together.

use serde_json::{Value, json};

use super::{ScenarioError, json_text, millis};
use crate::envelope::Envelope;

/// The topic.
pub const TOPIC: &str = "signal_factory.lineage";

const PRODUCER: &str = "https://github.com/apache/airflow/tree/providers-openlineage/2.2.0";
const RUN_EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const BASE_FACET: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/BaseFacet";
const NAMESPACE: &str = "airflow";

const TOPIC_ORDERS: Dataset = Dataset { namespace: "kafka://broker-1:9092", name: "raw.orders.events" };
const GOLD: Dataset = Dataset { namespace: "s3://lake", name: "gold/orders_daily" };
const FINANCE: Dataset = Dataset { namespace: "s3://lake", name: "finance/daily_snapshot" };
const FEATURES: Dataset = Dataset { namespace: "s3://lake", name: "ml/orders_features" };
const REPORT: Dataset = Dataset { namespace: "s3://lake", name: "reports/orders" };

struct Dataset {
    namespace: &'static str,
    name: &'static str,
}

/// One DAG run, from its first to its last event.
struct DagRun {
    dag: &'static str,
    run_id: &'static str,
    scheduled_for: &'static str,
    start: &'static str,
    complete: &'static str,
    /// Index in [`RUNS`] of the run that triggered it, and the task of that run that did.
    triggered_by: Option<(usize, &'static str, &'static str)>,
    input: Dataset,
    output: Dataset,
    tasks: &'static [&'static str],
}

const RUNS: [DagRun; 6] = [
    DagRun {
        dag: "orders_daily_agg",
        run_id: "018b6f80-4380-7c1d-9e52-3f60a7d8b412",
        scheduled_for: "2023-10-27T05:00:00Z",
        start: "2023-10-27T05:00:00Z",
        complete: "2023-10-27T05:02:41Z",
        triggered_by: None,
        input: TOPIC_ORDERS,
        output: GOLD,
        tasks: &["aggregate", "trigger_finance"],
    },
    DagRun {
        dag: "finance_daily_snapshot",
        run_id: "018b6f84-0ca0-7a44-8b07-d15e2c93f6a0",
        scheduled_for: "2023-10-27T05:02:38Z",
        start: "2023-10-27T05:03:10Z",
        complete: "2023-10-27T05:04:22Z",
        triggered_by: Some((0, "trigger_finance", "018b6f82-c8a8-7f31-a6d9-7b42e05c18f3")),
        input: GOLD,
        output: FINANCE,
        tasks: &["snapshot"],
    },
    DagRun {
        dag: "orders_features",
        run_id: "018b6fc0-5bc0-7e86-b1f4-92c07d3ea518",
        scheduled_for: "2023-10-27T06:10:00Z",
        start: "2023-10-27T06:10:00Z",
        complete: "2023-10-27T06:13:12Z",
        triggered_by: None,
        input: GOLD,
        output: FEATURES,
        tasks: &["build_features"],
    },
    DagRun {
        dag: "orders_report",
        run_id: "018b6fc9-8380-7b60-94ea-2d81c6f0357b",
        scheduled_for: "2023-10-27T06:20:00Z",
        start: "2023-10-27T06:20:00Z",
        complete: "2023-10-27T06:21:05Z",
        triggered_by: None,
        input: GOLD,
        output: REPORT,
        tasks: &["render"],
    },
    DagRun {
        dag: "orders_daily_agg",
        run_id: "018b7093-d5e0-7d29-8c3b-a60f4e1792d5",
        scheduled_for: "2023-10-27T10:00:00Z",
        start: "2023-10-27T10:01:00Z",
        complete: "2023-10-27T10:03:30Z",
        triggered_by: None,
        input: TOPIC_ORDERS,
        output: GOLD,
        tasks: &["aggregate", "trigger_finance"],
    },
    DagRun {
        dag: "finance_daily_snapshot",
        run_id: "018b7096-9500-78f2-b54d-0e93c7a81f66",
        scheduled_for: "2023-10-27T10:03:27Z",
        start: "2023-10-27T10:04:00Z",
        complete: "2023-10-27T10:05:10Z",
        triggered_by: Some((4, "trigger_finance", "018b7096-1fd0-7c05-9aa1-f3284be6d70c")),
        input: GOLD,
        output: FINANCE,
        tasks: &["snapshot"],
    },
];

/// Start and end of each run, in time order.
pub fn job_runs() -> Result<Vec<Envelope>, ScenarioError> {
    let mut envelopes = Vec::with_capacity(RUNS.len() * 2);
    for (offset, run) in (0..).step_by(2).zip(&RUNS) {
        envelopes.push(envelope(40_816 + offset, run, run.start, &start(run))?);
        envelopes.push(envelope(40_817 + offset, run, run.complete, &complete(run))?);
    }
    Ok(envelopes)
}

fn start(run: &DagRun) -> Value {
    event(run, "START", run.start, facets(run))
}

fn complete(run: &DagRun) -> Value {
    let mut facets = facets(run);
    facets["airflowState"] = json!({
        "_producer": PRODUCER,
        "_schemaURL": BASE_FACET,
        "dagRunState": "success",
        "tasksState": run.tasks.iter().map(|task| ((*task).to_owned(), json!("success"))).collect::<Value>(),
    });
    event(run, "COMPLETE", run.complete, facets)
}

fn event(run: &DagRun, kind: &str, time: &str, facets: Value) -> Value {
    json!({
        "eventTime": time,
        "eventType": kind,
        "producer": PRODUCER,
        "schemaURL": RUN_EVENT,
        "run": {"runId": run.run_id, "facets": facets},
        "job": {
            "namespace": NAMESPACE,
            "name": run.dag,
            "facets": {
                "jobType": {
                    "_producer": PRODUCER,
                    "_schemaURL": "https://openlineage.io/spec/facets/2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
                    "integration": "AIRFLOW",
                    "jobType": "DAG",
                    "processingType": "BATCH",
                },
                "ownership": {
                    "_producer": PRODUCER,
                    "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/OwnershipJobFacet.json#/$defs/OwnershipJobFacet",
                    "owners": [{"name": "data-platform"}],
                },
            },
        },
        "inputs": [{"namespace": run.input.namespace, "name": run.input.name, "facets": {}}],
        "outputs": [{"namespace": run.output.namespace, "name": run.output.name, "facets": {}}],
    })
}

fn facets(run: &DagRun) -> Value {
    let run_type = if run.triggered_by.is_some() { "manual" } else { "scheduled" };
    let mut facets = json!({
        "airflowDagRun": {
            "_producer": PRODUCER,
            "_schemaURL": BASE_FACET,
            "dag": {"dag_id": run.dag, "owner": "data-platform", "tags": ["orders"], "timetable": {}},
            "dagRun": {
                "conf": {},
                "dag_id": run.dag,
                "data_interval_start": run.scheduled_for,
                "data_interval_end": run.scheduled_for,
                "logical_date": run.scheduled_for,
                "run_id": format!("{run_type}__{}", run.scheduled_for.replace('Z', "+00:00")),
                "run_type": run_type,
                "start_date": run.start,
            },
        },
        "nominalTime": {
            "_producer": PRODUCER,
            "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/NominalTimeRunFacet.json#/$defs/NominalTimeRunFacet",
            "nominalStartTime": run.scheduled_for,
            "nominalEndTime": run.scheduled_for,
        },
        "processing_engine": {
            "_producer": PRODUCER,
            "_schemaURL": "https://openlineage.io/spec/facets/1-1-1/ProcessingEngineRunFacet.json#/$defs/ProcessingEngineRunFacet",
            "name": "Airflow",
            "version": "2.10.5",
            "openlineageAdapterVersion": "2.2.0",
        },
    });
    if let Some((index, task, task_run_id)) = run.triggered_by {
        let trigger = &RUNS[index];
        facets["parent"] = json!({
            "_producer": PRODUCER,
            "_schemaURL": "https://openlineage.io/spec/facets/1-1-0/ParentRunFacet.json#/$defs/ParentRunFacet",
            "run": {"runId": task_run_id},
            "job": {"namespace": NAMESPACE, "name": format!("{}.{task}", trigger.dag)},
            "root": {
                "run": {"runId": trigger.run_id},
                "job": {"namespace": NAMESPACE, "name": trigger.dag},
            },
        });
    }
    facets
}

/// The transport's key is the root's job, where there is one, so that a family of runs stays in order.
fn envelope(offset: i64, run: &DagRun, time: &str, event: &Value) -> Result<Envelope, ScenarioError> {
    let root = run.triggered_by.map_or(run.dag, |(index, ..)| RUNS[index].dag);
    let key = Some(format!("run:{NAMESPACE}/{root}"));
    Ok(Envelope { offset, ..Envelope::text(TOPIC, millis(time)?, key, json_text(event.clone())?) })
}
