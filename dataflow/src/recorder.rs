//! What a replay leaves behind: every signal change, and the last state of each window, incident and explanation, also of
//! those that the dataflow has retired.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use faultline_contracts::{
    ids::{EntityId, IncidentId},
    incident::{Incident, IncidentStatus},
    signal::Signal,
    window::{ComplianceWindow, WindowKey},
};
use faultline_proto::v1;
use faultline_sinks::{SinkError, jsonl::JsonlWriter};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    answers::{
        blast_radius::Bounds,
        explanation::{Asked, explain},
        json::to_json,
    },
    topology::Publish,
    view::{Change, EpochChanges, SharedView, View},
};

/// What was recorded.
#[derive(Debug, Default)]
pub struct Record {
    /// Signals as they changed, with the epoch.
    pub signals: Vec<(u64, Signal)>,
    /// Windows, as they were last.
    pub windows: BTreeMap<WindowKey, ComplianceWindow>,
    /// Incidents, as they were last, with the epoch. One that late records took back is not among them.
    pub incidents: BTreeMap<IncidentId, (u64, Incident)>,
    /// Explanations of incidents that are no longer kept, as they were last.
    retired: BTreeMap<IncidentId, v1::Explanation>,
    /// When each vertex and edge of the graph last changed.
    graph: BTreeMap<EntityId, u64>,
}

/// Keeps a view up to date and records on the way.
#[derive(Debug, Clone)]
pub struct Recorder {
    view: Arc<SharedView>,
    bounds: Bounds,
    record: Arc<Mutex<Record>>,
}

impl Recorder {
    /// A recorder in front of a view. Explanations carry blast radii within `bounds`.
    #[must_use]
    pub fn new(view: Arc<SharedView>, bounds: Bounds) -> Self {
        Self { view, bounds, record: Arc::default() }
    }

    /// Every incident's explanation as it was last.
    #[must_use]
    pub fn explanations(&self) -> BTreeMap<IncidentId, v1::Explanation> {
        self.with(|record, view| record.explanations(view, self.bounds))
    }

    /// Writes `signals.jsonl`, `windows.jsonl`, `incidents.jsonl`, `explanations.jsonl` and `graph.jsonl`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), SinkError> {
        self.with(|record, view| record.write(view, self.bounds, dir))
    }

    /// Reads what was recorded so far.
    pub fn with<T>(&self, read: impl FnOnce(&Record, &View) -> T) -> T {
        read(&self.record.lock().unwrap_or_else(PoisonError::into_inner), &self.view.read())
    }
}

impl Publish for Recorder {
    fn publish(&mut self, epoch: EpochChanges) {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).take(&epoch, &self.view.read(), self.bounds);
        self.view.publish(epoch);
    }

    fn close(&mut self, epoch: u64) {
        self.view.close(epoch);
    }
}

impl Record {
    /// Takes note of an epoch's changes; `before` is the view without them.
    fn take(&mut self, epoch: &EpochChanges, before: &View, bounds: Bounds) {
        let came: BTreeSet<IncidentId> = epoch
            .changes
            .iter()
            .filter_map(|(change, diff)| match change {
                Change::Incident(incident) if *diff > 0 => Some(incident.id),
                _ => None,
            })
            .collect();
        for (change, diff) in &epoch.changes {
            match (change, *diff > 0) {
                (Change::Signal(signal), true) => self.signals.push((epoch.epoch, signal.clone())),
                (Change::Window(window), true) => {
                    self.windows.insert(window.key.clone(), window.clone());
                }
                (Change::Incident(incident), true) => {
                    self.incidents.insert(incident.id, (epoch.epoch, incident.clone()));
                    self.retired.remove(&incident.id);
                }
                // Gone for good: either over and no longer kept, or never true.
                (Change::Incident(incident), false) if !came.contains(&incident.id) => {
                    if incident.status == IncidentStatus::Resolved {
                        self.retired.extend(explanation(before, bounds, incident.id).map(|last| (incident.id, last)));
                    } else {
                        self.incidents.remove(&incident.id);
                    }
                }
                (Change::Vertex(vertex), true) => {
                    self.graph.insert(vertex.id.clone(), epoch.epoch);
                }
                (Change::Edge(edge), true) => {
                    self.graph.insert(edge.id(), epoch.epoch);
                }
                _ => {}
            }
        }
    }

    fn explanations(&self, view: &View, bounds: Bounds) -> BTreeMap<IncidentId, v1::Explanation> {
        let kept = self.incidents.keys().filter_map(|&id| Some((id, explanation(view, bounds, id)?)));
        self.retired.clone().into_iter().chain(kept).collect()
    }

    fn write(&self, view: &View, bounds: Bounds, dir: &Path) -> Result<(), SinkError> {
        let file = |name: &str| JsonlWriter::create(dir.join(name));

        let mut signals = file("signals.jsonl")?;
        self.signals.iter().try_for_each(|(epoch, signal)| signals.write(&at_epoch(signal, *epoch)))?;
        signals.finish()?;

        let mut windows = file("windows.jsonl")?;
        self.windows.values().try_for_each(|window| windows.write(window))?;
        windows.finish()?;

        let mut incidents = file("incidents.jsonl")?;
        self.incidents.values().try_for_each(|(epoch, incident)| incidents.write(&at_epoch(incident, *epoch)))?;
        incidents.finish()?;

        let mut explanations = file("explanations.jsonl")?;
        self.explanations(view, bounds)
            .values()
            .try_for_each(|explanation| explanations.write(&json_line(explanation)))?;
        explanations.finish()?;

        let mut graph = file("graph.jsonl")?;
        let epoch_of = |id: &EntityId| self.graph.get(id).copied().unwrap_or_default();
        for vertex in view.vertices.values() {
            let properties: serde_json::Map<String, Value> =
                vertex.properties.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
            let epoch = epoch_of(&vertex.id);
            graph.write(&json!({"type": "vertex", "id": vertex.id, "label": vertex.label, "properties": properties, "epoch": epoch}))?;
        }
        for (id, edge) in &view.edges {
            let mut line = json!({
                "type": "edge", "id": id, "label": edge.label, "from": edge.from, "to": edge.to,
                "since": edge.since, "epoch": epoch_of(id),
            });
            if let Some(confidence) = edge.confidence {
                line["confidence"] = json!(f64::from(confidence) / 1000.0);
            }
            graph.write(&line)?;
        }
        graph.finish()?;
        Ok(())
    }
}

/// An explanation as files and stores have it: without what it is based on, which is told beside it.
#[must_use]
pub fn explanation(view: &View, bounds: Bounds, incident: IncidentId) -> Option<v1::Explanation> {
    let explained = explain(view, bounds, Asked { incident, top_k: usize::MAX })?;
    Some(v1::Explanation { as_of: None, ..explained })
}

/// An explanation as proto3 JSON.
#[must_use]
pub fn json_line(explanation: &v1::Explanation) -> Value {
    // Its times come from records, clamped to what RFC 3339 can say, so that it always has a JSON form.
    to_json(explanation).unwrap_or_else(|error| json!({"error": error.to_string()}))
}

/// A row as JSON with the epoch at which it became so.
#[must_use]
pub fn at_epoch(row: &impl Serialize, epoch: u64) -> Value {
    let mut value = serde_json::to_value(row).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.insert("epoch".to_owned(), json!(epoch));
    }
    value
}
