//! The start: the instance before this one is fenced, then it is read how far its evidence is.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{
    epochs::Positions,
    group::{EvidenceGroup, Found},
    marker::Marker,
    producer::TransactionalProducer,
    writer::TransactionalWriter,
};
use crate::{
    SinkError,
    kafka::{config::KafkaSettings, evidence::EvidenceTopic},
};

/// How long brokers may take for each step of the start.
const STEP: Duration = Duration::from_secs(30);

/// Whose evidence is taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeOver {
    /// The service's group. Transactional ids are `<group>-<worker>`, positions are those of the group `<group>.evidence`.
    pub group: String,
    /// Where the evidence goes.
    pub topic: EvidenceTopic,
    /// How many workers there are now.
    pub workers: usize,
}

/// An instance that has fenced the one before it: nobody else writes evidence until the next one starts.
#[derive(Debug)]
pub struct Fenced {
    pub(super) settings: KafkaSettings,
    pub(super) options: TakeOver,
    pub(super) group: EvidenceGroup,
    pub(super) marker: Marker,
    /// As they were at the start.
    pub(super) positions: Positions,
    producers: Mutex<Vec<Option<TransactionalProducer>>>,
}

impl Fenced {
    /// Takes over from the instance before this one. Waits for brokers. The evidence topic has to be there.
    ///
    /// # Errors
    /// [`SinkError::Kafka`] where brokers do not answer, or refuse the ids, the group or the topic.
    pub fn take_over(settings: &KafkaSettings, options: TakeOver) -> Result<Arc<Self>, SinkError> {
        let TakeOver { group, topic, workers } = &options;
        let fence =
            |worker| TransactionalProducer::fence(settings, topic, &id_of(group, worker), Instant::now() + STEP);
        let group = EvidenceGroup::new(settings, format!("{group}.evidence"), &topic.name)?;
        let mut first = fence(0)?;
        let unanswered = |source| group.unanswered(source);
        let Found { marker: last, .. } = group.find([].iter(), Instant::now() + STEP).map_err(unanswered)?;
        let others = Marker::to_fence(*workers, last);
        let instance = RandomState::new().hash_one((SystemTime::now(), std::process::id()));
        // All ids that may be in use, until they are fenced: should this start fail, the next one fences them.
        leave(&group, &mut first, Marker { instance, ids: others.end.max(1) })?;
        let mut producers = vec![Some(first)];
        let fenced = std::thread::scope(|threads| {
            let threads: Vec<_> = others.clone().map(|worker| threads.spawn(move || fence(worker))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Result<Vec<_>, _>>()
        })?;
        producers.extend(fenced.into_iter().map(Some));
        let marker = Marker { instance, ids: (*workers).max(1) };
        if producers.len() > marker.ids {
            tracing::info!(last = producers.len(), now = marker.ids, "workers of the last run fenced");
            let surplus = producers.split_off(marker.ids);
            // To end a client takes up to a second.
            let _ending = std::thread::Builder::new().name("surplus".to_owned()).spawn(move || drop(surplus));
            if let Some(Some(first)) = producers.first_mut() {
                leave(&group, first, marker)?;
            }
        }
        let Found { positions, .. } = group.find_all(Instant::now() + STEP).map_err(unanswered)?;
        tracing::info!(group = group.name(), partitions = positions.len(), "evidence taken over");
        let (settings, producers) = (settings.clone(), Mutex::new(producers));
        Ok(Arc::new(Self { settings, options, group, marker, positions, producers }))
    }

    /// A worker's writer; each may have one.
    ///
    /// # Errors
    /// There is no such worker, it has its writer, or a thread cannot be started.
    pub fn writer(self: &Arc<Self>, worker: usize) -> Result<TransactionalWriter, SinkError> {
        let mut producers = self.producers.lock().unwrap_or_else(PoisonError::into_inner);
        let producer = producers.get_mut(worker).and_then(Option::take);
        drop(producers);
        TransactionalWriter::start(Arc::clone(self), worker, producer.ok_or(SinkError::NoProducer { worker })?)
    }

    pub(super) fn id_of(&self, worker: usize) -> String {
        id_of(&self.options.group, worker)
    }
}

fn id_of(group: &str, worker: usize) -> String {
    format!("{group}-{worker}")
}

/// Leaves the mark.
fn leave(group: &EvidenceGroup, first: &mut TransactionalProducer, marker: Marker) -> Result<(), SinkError> {
    let mut committed = || {
        let list = group.list(&Positions::new(), Some(marker))?;
        first.commit_positions(&list, &group.metadata()?)
    };
    committed().map_err(|source| SinkError::Kafka {
        action: "commit to the group",
        topic: group.name().to_owned(),
        servers: first.writer().servers().to_owned(),
        source: Box::new(source),
    })
}
