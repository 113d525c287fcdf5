//! What an epoch's changes mean to topics and stores.

use std::{collections::BTreeSet, sync::Arc};

use faultline_contracts::{
    ids::{EntityId, IncidentId},
    incident::{Incident, IncidentStatus},
    time::UnixMillis,
};
use faultline_operators::{blast_radius::ReachRow, impact::ImpactRow};
use faultline_sinks::{
    kafka::{JSON, KafkaRecord, KafkaWriter},
    store::{StoreChange, StoreItem, StoreKey},
};
use serde_json::{Value, json};

use super::Mailbox;
use crate::{
    answers::blast_radius::Bounds,
    config::Topics,
    metrics::Metrics,
    recorder::{at_epoch, explanation, json_line},
    topology::Publish,
    view::{Change, EpochChanges, SharedView},
};

/// Keeps the view up to date, sends signal and incident changes to their topics, and has state stored.
pub struct LivePublisher {
    /// The view.
    pub view: Arc<SharedView>,
    /// The state store, if there is one.
    pub store: Option<Arc<Mailbox>>,
    /// Kafka, if there is one.
    pub kafka: Option<Arc<KafkaWriter>>,
    /// Names of the topics.
    pub topics: Topics,
    /// Limits of the blast radii in stored explanations.
    pub bounds: Bounds,
    /// Gauges.
    pub metrics: Arc<Metrics>,
}

impl Publish for LivePublisher {
    fn publish(&mut self, epoch: EpochChanges) {
        if let Some(kafka) = &self.kafka {
            for (topic, key, message) in messages(&epoch, &self.topics) {
                self.send(kafka, epoch.epoch, topic, &key, &message);
            }
        }
        self.count(&epoch);
        let changes = Arc::new(epoch);
        self.view.publish(Arc::clone(&changes));
        let view = self.view.read();
        if let Some(store) = &self.store {
            let explained = |id| {
                let json = json_line(&explanation(&view, self.bounds, id)?).to_string();
                Some(StoreItem::Explanation { incident: id, json })
            };
            store.put(store_changes(&changes, explained));
        }
        self.metrics.watermark.set(view.watermark.map_or(0, |at| at.0));
        self.metrics.windows.set(view.windows.len() as i64);
        self.metrics.epoch.set(changes.epoch as i64);
    }

    fn close(&mut self, epoch: u64) {
        self.view.close(epoch);
        self.metrics.epoch.set(epoch as i64);
    }
}

impl LivePublisher {
    /// Adds what an epoch changes to counts that would cost a pass over the view.
    fn count(&self, epoch: &EpochChanges) {
        for (change, diff) in &epoch.changes {
            match change {
                Change::Incident(incident) if incident.status != IncidentStatus::Resolved => {
                    self.metrics.open_incidents.inc_by(*diff as i64);
                }
                Change::Late(late) => {
                    self.metrics.late_records.inc_by(late.verdicts.records() * diff.unsigned_abs() as u64);
                }
                Change::Dropped(what, count) => self.metrics.dropped(what, count * diff.unsigned_abs() as u64),
                _ => {}
            }
        }
    }

    fn send(&self, kafka: &KafkaWriter, epoch: u64, topic: &str, key: &EntityId, message: &Value) {
        let payload = message.to_string();
        let key = key.as_str().as_bytes();
        let record = KafkaRecord { topic, partition: None, key, headers: JSON, payload: payload.as_bytes() };
        let outcome = kafka.send(epoch, &record);
        if !matches!(outcome, Ok(faultline_sinks::kafka::Enqueued::Accepted)) {
            // Changes of state are few; a queue that is full of evidence drops the news of one, never the state.
            self.metrics.sink_error("changes");
            tracing::error!(topic, ?outcome, "change not sent");
        }
    }
}

/// Incidents that left without a successor: `(the incident, whether it was over)`.
fn departed(epoch: &EpochChanges) -> impl Iterator<Item = &Incident> {
    let came: BTreeSet<IncidentId> = incidents(epoch, true).map(|incident| incident.id).collect();
    incidents(epoch, false).filter(move |incident| !came.contains(&incident.id))
}

fn incidents(epoch: &EpochChanges, came: bool) -> impl Iterator<Item = &Incident> {
    epoch.changes.iter().filter_map(move |(change, diff)| match change {
        Change::Incident(incident) if (*diff > 0) == came => Some(incident),
        _ => None,
    })
}

/// The messages that tell of an epoch's changes. An incident that late records took back is told as resolved.
fn messages<'a>(epoch: &'a EpochChanges, topics: &'a Topics) -> Vec<(&'a str, EntityId, Value)> {
    let mut messages = Vec::new();
    for (change, diff) in &epoch.changes {
        match change {
            Change::Signal(signal) if *diff > 0 => {
                messages.push((&*topics.signals, signal.dataset.clone(), at_epoch(signal, epoch.epoch)));
            }
            Change::Incident(incident) if *diff > 0 => {
                messages.push((&*topics.incidents, incident.dataset_urn.clone(), at_epoch(incident, epoch.epoch)));
            }
            _ => {}
        }
    }
    for incident in departed(epoch).filter(|incident| incident.status != IncidentStatus::Resolved) {
        let over = Incident {
            status: IncidentStatus::Resolved,
            resolved_at: Some(UnixMillis(epoch.epoch as i64)),
            ..incident.clone()
        };
        let mut message = at_epoch(&over, epoch.epoch);
        message["retracted"] = json!(true);
        messages.push((&*topics.incidents, incident.dataset_urn.clone(), message));
    }
    messages
}

/// What a state store is to do. Resolved incidents and retired windows stay in the store as history.
fn store_changes(epoch: &EpochChanges, explained: impl Fn(IncidentId) -> Option<StoreItem>) -> Vec<StoreChange> {
    let at = epoch.epoch;
    let mut out = Vec::new();
    let delete = |key| StoreChange::Delete { epoch: at, key };
    let upsert = |item| StoreChange::Upsert { epoch: at, item };
    let retracted: Vec<_> = departed(epoch).filter(|incident| incident.status != IncidentStatus::Resolved).collect();
    for incident in retracted {
        out.push(delete(StoreKey::Incident(incident.id)));
        out.push(delete(StoreKey::Explanation(incident.id)));
    }
    for (change, diff) in &epoch.changes {
        match change {
            Change::Vertex(vertex) if *diff < 0 => out.push(delete(StoreKey::Vertex(vertex.id.clone()))),
            Change::Edge(edge) if *diff < 0 => out.push(delete(StoreKey::Edge(edge.id()))),
            _ => {}
        }
    }
    let mut explanations = BTreeSet::new();
    for (change, diff) in &epoch.changes {
        if *diff < 0 {
            continue;
        }
        match change {
            Change::Signal(signal) => out.push(upsert(StoreItem::Signal(signal.clone()))),
            Change::Incident(incident) => {
                explanations.insert(incident.id);
                out.push(upsert(StoreItem::Incident(incident.clone())));
            }
            Change::Explanation(explanation) => {
                explanations.insert(explanation.incident);
            }
            Change::Window(window) => out.push(upsert(StoreItem::Window(window.clone()))),
            Change::Vertex(vertex) => out.push(upsert(StoreItem::Vertex(vertex.clone()))),
            Change::Edge(edge) => out.push(upsert(StoreItem::Edge(edge.clone()))),
            Change::Reach(ReachRow { query, .. }) | Change::Impact(ImpactRow { query, .. }) => {
                explanations.extend(query.incident());
            }
            _ => {}
        }
    }
    out.extend(explanations.into_iter().filter_map(|id| explained(id).map(upsert)));
    out
}
