//! What an epoch's changes mean to topics and stores.

use std::{collections::BTreeSet, sync::Arc};

use faultline_contracts::{
    ids::{EntityId, IncidentId},
    incident::{Incident, IncidentStatus},
    signal::{HealthState, Signal},
    time::UnixMillis,
};
use faultline_operators::{blast_radius::ReachRow, impact::ImpactRow};
use faultline_sinks::{
    cloudevents::{Envelope, Event, EventType, STRUCTURED},
    kafka::{JSON, KafkaRecord, KafkaWriter},
    store::{StoreChange, StoreItem, StoreKey},
};
use serde_json::{Value, json};

use super::mailbox::Mailbox;
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
    /// The mailboxes of the stores.
    pub stores: Vec<Arc<Mailbox>>,
    /// Kafka, if there is one.
    pub kafka: Option<Arc<KafkaWriter>>,
    /// Names of the topics.
    pub topics: Topics,
    /// Limits of the blast radii in stored explanations.
    pub bounds: Bounds,
    /// Gauges.
    pub metrics: Arc<Metrics>,
    /// The epoch at which it goes on from a snapshot: what comes then is all that there is, and topics have been told.
    pub resumed_at: Option<u64>,
}

impl Publish for LivePublisher {
    fn publish(&mut self, epoch: EpochChanges) {
        let resumed = self.resumed_at == Some(epoch.epoch);
        if let Some(kafka) = self.kafka.as_ref().filter(|_| !resumed) {
            for message in messages(&epoch, &self.topics) {
                self.send(kafka, epoch.epoch, &message);
            }
        }
        self.count(&epoch);
        let changes = Arc::new(epoch);
        self.view.publish(Arc::clone(&changes));
        let view = self.view.read();
        if !self.stores.is_empty() {
            let explained = |id| {
                let json = json_line(&explanation(&view, self.bounds, id)?).to_string();
                Some(StoreItem::Explanation { incident: id, json })
            };
            let items = store_changes(&changes, explained);
            for store in &self.stores {
                if resumed {
                    store.put_restored(&items);
                    continue;
                }
                // The newest of what waits already is never refused, so what is missing then is what is new.
                self.metrics.dropped("store_queue", store.put(&items));
            }
        }
        self.stores.iter().for_each(|store| store.close(changes.epoch));
        self.metrics.watermark.set(view.watermark.map_or(0, |at| at.0));
        self.metrics.windows.set(view.windows.len() as i64);
        self.metrics.epoch.set(changes.epoch as i64);
    }

    fn close(&mut self, epoch: u64) {
        self.view.close(epoch);
        self.stores.iter().for_each(|store| store.close(epoch));
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

    fn send(&self, kafka: &KafkaWriter, epoch: u64, message: &Message<'_>) {
        let &Message { topic, ref dataset, event_type, ref subject, ref value } = message;
        let Topics { envelope, cloudevents_source: source, .. } = &self.topics;
        // One thing changes once an epoch.
        let id = format!("{subject}@{epoch}");
        let time = UnixMillis(i64::try_from(epoch).unwrap_or(i64::MAX));
        let event = Event { id: &id, event_type, source, time, subject: Some(dataset.as_str()) };
        let (mut payload, time) = (value.to_string().into_bytes(), event.time_text());
        let enveloped = event.headers(&time);
        let headers: Vec<(&str, &[u8])> = match envelope {
            Envelope::Plain => JSON.to_vec(),
            Envelope::CloudeventsBinary => {
                let text = |name: &'static std::ffi::CStr| name.to_str().unwrap_or_default();
                enveloped.as_slice().iter().map(|&(name, value)| (text(name), value)).collect()
            }
            Envelope::CloudeventsStructured => {
                let mut structured = Vec::new();
                event.write_structured(&payload, &mut structured);
                payload = structured;
                vec![("content-type", STRUCTURED)]
            }
        };
        let key = dataset.as_str().as_bytes();
        let outcome =
            kafka.send(epoch, &KafkaRecord { topic, partition: None, key, headers: &headers, payload: &payload });
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

/// Signals that left without a successor: of datasets that have left the catalog, or were turned off.
fn departed_signals(epoch: &EpochChanges) -> impl Iterator<Item = &Signal> {
    let came: BTreeSet<_> = signals(epoch, true).map(|signal| (&signal.dataset, signal.kind)).collect();
    signals(epoch, false).filter(move |signal| !came.contains(&(&signal.dataset, signal.kind)))
}

fn signals(epoch: &EpochChanges, came: bool) -> impl Iterator<Item = &Signal> {
    epoch.changes.iter().filter_map(move |(change, diff)| match change {
        Change::Signal(signal) if (*diff > 0) == came => Some(signal),
        _ => None,
    })
}

/// What a topic is told of one change.
#[derive(Debug)]
struct Message<'a> {
    topic: &'a str,
    /// The key.
    dataset: EntityId,
    event_type: EventType,
    /// What changed: the signal's or the incident's vertex in the graph.
    subject: EntityId,
    value: Value,
}

/// The messages that tell of an epoch's changes. An incident that was taken back, by late records or because its dataset
/// left the catalog, is told as resolved, and a signal that has left as unknown; both as retracted.
fn messages<'a>(epoch: &'a EpochChanges, topics: &'a Topics) -> Vec<Message<'a>> {
    let of_signal = |signal: &Signal| Message {
        topic: &topics.signals,
        dataset: signal.dataset.clone(),
        event_type: EventType::Signal,
        subject: signal.vertex(),
        value: at_epoch(signal, epoch.epoch),
    };
    let of_incident = |incident: &Incident| Message {
        topic: &topics.incidents,
        dataset: incident.dataset_urn.clone(),
        event_type: EventType::Incident,
        subject: incident.vertex(),
        value: at_epoch(incident, epoch.epoch),
    };
    let mut messages = Vec::new();
    for (change, diff) in &epoch.changes {
        match change {
            Change::Signal(signal) if *diff > 0 => messages.push(of_signal(signal)),
            Change::Incident(incident) if *diff > 0 => messages.push(of_incident(incident)),
            _ => {}
        }
    }
    for signal in departed_signals(epoch) {
        let mut message = of_signal(&Signal { state: HealthState::Unknown, ..signal.clone() });
        message.value["retracted"] = json!(true);
        messages.push(message);
    }
    for incident in departed(epoch).filter(|incident| incident.status != IncidentStatus::Resolved) {
        let over = Incident {
            status: IncidentStatus::Resolved,
            resolved_at: Some(UnixMillis(epoch.epoch as i64)),
            ..incident.clone()
        };
        let mut message = of_incident(&over);
        message.value["retracted"] = json!(true);
        messages.push(message);
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
    out.extend(departed_signals(epoch).map(|signal| delete(StoreKey::Signal(signal.dataset.clone(), signal.kind))));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::fixture;

    #[test]
    fn what_leaves_without_a_successor_is_told_as_retracted_and_deleted() {
        let came = fixture::changes();
        let signal = came.changes.iter().find_map(|(change, _)| match change {
            Change::Signal(signal) => Some(signal.clone()),
            _ => None,
        });
        let signal = signal.unwrap();
        let better = Signal { state: HealthState::Ok, ..signal.clone() };
        let topics = Topics::default();
        let epoch = |changes| EpochChanges { epoch: 7, changes };

        let moved = epoch(vec![(Change::Signal(signal.clone()), -1), (Change::Signal(better.clone()), 1)]);
        let told = messages(&moved, &topics);
        assert_eq!((told.len(), &told[0].value["state"]), (1, &json!("OK")));
        assert_eq!(
            store_changes(&moved, |_| None),
            [StoreChange::Upsert { epoch: 7, item: StoreItem::Signal(better) }]
        );

        // As when its dataset leaves the catalog.
        let left = epoch(vec![(Change::Signal(signal.clone()), -1)]);
        let told = messages(&left, &topics);
        let [Message { topic, dataset, value, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*topic, dataset), (&*topics.signals, &signal.dataset));
        assert_eq!((&value["state"], &value["retracted"]), (&json!("UNKNOWN"), &json!(true)));
        let key = StoreKey::Signal(signal.dataset.clone(), signal.kind);
        assert_eq!(store_changes(&left, |_| None), [StoreChange::Delete { epoch: 7, key }]);
    }
}
