//! The group that keeps how far the evidence is. Nobody joins it: its positions are committed by transactions alone.

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use faultline_contracts::record::TopicPartition;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata},
    error::{KafkaError, KafkaResult},
};

use super::{epochs::Positions, marker::Marker};
use crate::{
    SinkError,
    kafka::{
        config::{KafkaSettings, kafka_config, without_secret},
        token,
    },
};

/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The pause before a question is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// How many events of the client are taken before a question.
const WORDS: usize = 64;

/// The group, and the client that asks for its positions.
pub(super) struct EvidenceGroup {
    consumer: BaseConsumer,
    settings: KafkaSettings,
    name: String,
    /// Where the mark is: the first partition of the evidence topic.
    marker_at: TopicPartition,
}

/// What the group has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    pub(super) positions: Positions,
    pub(super) marker: Option<Marker>,
}

impl EvidenceGroup {
    /// Makes the client; it connects in the background.
    pub(super) fn new(settings: &KafkaSettings, name: String, topic: &str) -> Result<Self, SinkError> {
        let mut config = kafka_config(settings, &[("reconnect.backoff.max.ms", "1000")]);
        config.set("group.id", &name).set("enable.auto.commit", "false");
        // Of a group whose transactions are not over, positions are waited for.
        config.set("isolation.level", "read_committed").set("statistics.interval.ms", "0");
        let servers = settings.bootstrap_servers.clone();
        let consumer = config.create().map_err(|source| SinkError::Kafka {
            action: "make a client for the group",
            topic: name.clone(),
            servers,
            source: Box::new(without_secret(source)),
        })?;
        let marker_at = TopicPartition { topic: topic.into(), partition: 0 };
        Ok(Self { consumer, settings: settings.clone(), name, marker_at })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// As a transaction names it.
    pub(super) fn metadata(&self) -> KafkaResult<ConsumerGroupMetadata> {
        self.consumer.group_metadata().ok_or(KafkaError::Canceled)
    }

    /// Positions, and the mark where there is one, as a transaction commits them.
    pub(super) fn list(&self, positions: &Positions, marker: Option<Marker>) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(positions.len() + 1);
        for (at, &next) in positions {
            list.add_partition_offset(&at.topic, at.partition, Offset::Offset(next))?;
        }
        if let Some(marker) = marker {
            let mut element = list.add_partition(&self.marker_at.topic, self.marker_at.partition);
            element.set_offset(Offset::Offset(0))?;
            element.set_metadata(marker.to_string());
        }
        Ok(list)
    }

    /// The mark, and the positions of these partitions, once no transaction can change them that is open now.
    pub(super) fn find<'a>(
        &self,
        places: impl Iterator<Item = &'a TopicPartition>,
        deadline: Instant,
    ) -> KafkaResult<Found> {
        let mut list = TopicPartitionList::new();
        for at in places {
            list.add_partition(&at.topic, at.partition);
        }
        list.add_partition(&self.marker_at.topic, self.marker_at.partition);
        loop {
            match self.ask(list.clone()) {
                Err(error) if Instant::now() < deadline => {
                    tracing::debug!(%error, group = self.name, "positions were asked for in vain");
                    std::thread::sleep(AGAIN);
                }
                answer => return answer,
            }
        }
    }

    /// The mark and all positions.
    pub(super) fn find_all(&self, deadline: Instant) -> KafkaResult<Found> {
        loop {
            self.serve();
            match self.consumer.fetch_metadata(None, ANSWER) {
                Ok(metadata) => {
                    let mut places = BTreeSet::new();
                    for topic in metadata.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
                        let name = Arc::<str>::from(topic.name());
                        let of = |partition| TopicPartition { topic: Arc::clone(&name), partition };
                        places.extend(topic.partitions().iter().map(|partition| of(partition.id())));
                    }
                    places.remove(&self.marker_at);
                    return self.find(places.iter(), deadline);
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(AGAIN),
            }
        }
    }

    fn ask(&self, list: TopicPartitionList) -> KafkaResult<Found> {
        self.serve();
        let answered = self.consumer.committed_offsets(list, ANSWER)?;
        let mut found = Found::default();
        for element in answered.elements() {
            element.error()?;
            let Offset::Offset(next) = element.offset() else { continue };
            let at = TopicPartition { topic: element.topic().into(), partition: element.partition() };
            if at == self.marker_at {
                found.marker = element.metadata().parse().ok();
            } else {
                found.positions.insert(at, next);
            }
        }
        Ok(found)
    }

    /// Does for the client what it has no thread for: hands it a token where brokers want one, and takes what it has to
    /// say, which would pile up.
    fn serve(&self) {
        if let Some(tokens) = &self.settings.tokens
            && let Err(error) = token::hand_over(self.consumer.client(), tokens)
        {
            tracing::warn!(%error, group = self.name, "no token for the group of the evidence");
        }
        for _ in 0..WORDS {
            // Nothing is assigned, so that no records come.
            let _ = self.consumer.poll(Duration::ZERO);
        }
    }

    /// A question to the group that was not answered.
    pub(super) fn unanswered(&self, source: KafkaError) -> SinkError {
        SinkError::Kafka {
            action: "read the positions of the group",
            topic: self.name.clone(),
            servers: self.settings.bootstrap_servers.clone(),
            source: Box::new(source),
        }
    }
}

impl fmt::Debug for EvidenceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvidenceGroup").field("name", &self.name).finish_non_exhaustive()
    }
}
