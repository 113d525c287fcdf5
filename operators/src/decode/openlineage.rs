//! Runs, and what jobs read and write, out of OpenLineage events (<https://openlineage.io/spec/2-0-2/OpenLineage.json>).
//!
//! Facets are optional and their forms change with the version of the producer: a facet that is not in a known form is
//! as good as absent and does not cost the event.

use std::sync::Arc;

use faultline_contracts::{
    ids::EntityId,
    lineage::{LineageEvent, RunObservation, RunState},
    names::EntityNames,
};
use serde_json::Value;

use super::{DecodeError, MAX_NAME_BYTES, bounded, json, optional_text, text, time};
use datasets::Datasets;

mod datasets;
#[cfg(test)]
mod tests;

/// The longest error message that is kept, in bytes.
const MAX_ERROR_BYTES: usize = 256;

/// How much of one event is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Distinct datasets read.
    pub inputs: usize,
    /// Distinct datasets written.
    pub outputs: usize,
    /// Pairs of an output's column and an input's column.
    pub columns: usize,
}

impl Default for Limits {
    /// 1,000 inputs, 1,000 outputs and 10,000 columns.
    fn default() -> Self {
        Self { inputs: 1_000, outputs: 1_000, columns: 10_000 }
    }
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decoded {
    /// The event, its lists sorted and without repetitions; `None` for a DatasetEvent, which relates nothing.
    pub event: Option<LineageEvent>,
    /// What was left out of it.
    pub omitted: Omitted,
}

/// What was left out of an event, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Omitted {
    /// Inputs beyond [`Limits::inputs`].
    pub inputs: usize,
    /// Outputs beyond [`Limits::outputs`], with their column lineage.
    pub outputs: usize,
    /// Pairs of columns beyond [`Limits::columns`].
    pub columns: usize,
    /// Datasets and columns without a usable namespace or name.
    pub malformed: usize,
}

/// What one OpenLineage event says. Its kind shows in its body: a RunEvent has a `run`, a JobEvent only a `job`, a
/// DatasetEvent a `dataset`.
///
/// # Errors
/// The payload is no JSON document or none of the three, or lacks its time, its job's name or its run's id.
pub fn decode(payload: &[u8], names: &dyn EntityNames, limits: Limits) -> Result<Decoded, DecodeError> {
    let event = json(payload)?;
    let has = |field| event.get(field).is_some_and(Value::is_object);
    if !has("job") {
        return match has("dataset") && !has("run") {
            true => Ok(Decoded::default()),
            false => Err(DecodeError::Missing { field: "job" }),
        };
    }
    let at = time(&event, "/eventTime", "eventTime")?;
    let job = EntityId::job(text(&event, "/job/namespace", "job.namespace")?, text(&event, "/job/name", "job.name")?);
    let run = if has("run") { Some(observation(&event)?) } else { None };
    let Datasets { inputs, outputs, columns, omitted, .. } = Datasets::of(&event, names, limits);
    let event = LineageEvent {
        job,
        at,
        run,
        inputs: inputs.into_iter().collect(),
        outputs: outputs.into_iter().collect(),
        columns: columns.into_iter().collect(),
    };
    Ok(Decoded { event: Some(event), omitted })
}

fn observation(event: &Value) -> Result<RunObservation, DecodeError> {
    Ok(RunObservation {
        id: text(event, "/run/runId", "run.runId")?.into(),
        state: optional_text(event, "/eventType", "eventType")?.map_or(RunState::Other, state),
        dag_run_id: first_name(event, &DAG_RUN_IDS).map(Arc::from),
        parent_job: parent_job(event),
        streaming: first_name(event, &["/job/facets/jobType/processingType"])
            .is_some_and(|kind| kind.eq_ignore_ascii_case("STREAMING")),
        error: event.pointer("/run/facets/errorMessage/message").and_then(Value::as_str).and_then(first_line),
    })
}

/// A state that the specification does not have yet is OTHER.
fn state(name: &str) -> RunState {
    match name.to_ascii_uppercase().as_str() {
        "START" => RunState::Start,
        "RUNNING" => RunState::Running,
        "COMPLETE" => RunState::Complete,
        "FAIL" => RunState::Fail,
        "ABORT" => RunState::Abort,
        _ => RunState::Other,
    }
}

/// Where Airflow's provider puts `dag_run.run_id`: on tasks, on DAG runs, and on what a task started (Spark, dbt), where
/// the facets of the parent are forwarded.
const DAG_RUN_IDS: [&str; 6] = [
    "/run/facets/airflow/dagRun/run_id",
    "/run/facets/airflowDagRun/dagRun/run_id",
    "/run/facets/parent/facets/airflow/dagRun/run_id",
    "/run/facets/parent/facets/airflowDagRun/dagRun/run_id",
    "/run/facets/parent/run/facets/airflow/dagRun/run_id",
    "/run/facets/parent/run/facets/airflowDagRun/dagRun/run_id",
];

/// The job of `run.facets.parent`, or of `parentRun`, as older integrations still call it.
fn parent_job(event: &Value) -> Option<EntityId> {
    ["/run/facets/parent/job", "/run/facets/parentRun/job"].iter().find_map(|pointer| {
        let job = event.pointer(pointer)?;
        Some(EntityId::job(name(job, "namespace")?, name(job, "name")?))
    })
}

fn first_name<'v>(event: &'v Value, pointers: &[&str]) -> Option<&'v str> {
    pointers.iter().find_map(|pointer| usable(event.pointer(pointer)?))
}

/// A field of an object that can be a name.
fn name<'v>(object: &'v Value, field: &str) -> Option<&'v str> {
    usable(object.get(field)?)
}

fn usable(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.trim().is_empty() && text.len() <= MAX_NAME_BYTES)
}

fn first_line(message: &str) -> Option<Arc<str>> {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(bounded(line, MAX_ERROR_BYTES).into())
}
