//! What librdkafka calls back while a consumer is served.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faultline_sinks::kafka::{Tokens, oauth_token};
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    statistics::Partition,
};

use crate::metrics::{Metrics, PartitionLabel};

/// A position that the group took.
pub(super) type Taken = (String, i32, i64);

/// Takes what a consumer is told besides records.
pub(super) struct Context {
    metrics: Arc<Metrics>,
    tokens: Option<Tokens>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    outcome: Option<Vec<Taken>>,
    /// The last error and the last refusal of a commit: what repeats itself is logged once.
    error: Option<String>,
    refusal: Option<String>,
}

impl Context {
    pub(super) fn new(metrics: Arc<Metrics>, tokens: Option<Tokens>) -> Self {
        Self { metrics, tokens, told: Mutex::default() }
    }

    /// The positions that the group took of the last commit, once it has said.
    pub(super) fn outcome(&self) -> Option<Vec<Taken>> {
        self.told().outcome.take()
    }

    /// Notes that positions were not committed.
    pub(super) fn commit_failed(&self, error: &KafkaError) {
        self.metrics.kafka.commit_failed();
        let mut told = self.told();
        let refusal = error.to_string();
        if told.refusal.as_ref() == Some(&refusal) {
            return;
        }
        let hint = match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress,
            ) => "others have joined the group: give this service a group of its own (kafka.group)",
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => "allow the program's principal to read the group",
            _ => "will be tried again",
        };
        tracing::warn!(error = %refusal, hint, "positions not committed; records are read all the same");
        told.refusal = Some(refusal);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        oauth_token(self.tokens.as_ref())
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // librdkafka reconnects by itself, and tells of every attempt. Whether brokers answer, the cluster's watch says.
        let text = format!("{error}: {reason}");
        let mut told = self.told();
        if told.error.as_ref() == Some(&text) {
            tracing::debug!(%error, reason, "kafka source");
        } else {
            tracing::warn!(%error, reason, "kafka source");
            told.error = Some(text);
        }
    }

    fn stats(&self, statistics: rdkafka::Statistics) {
        for (topic, found) in statistics.topics {
            for (partition, found) in found.partitions {
                if tells_lag(&found) {
                    let label = PartitionLabel { topic: topic.clone(), partition };
                    self.metrics.lag.get_or_create(&label).set(found.consumer_lag);
                }
            }
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }
}

/// Whether statistics tell the lag of this partition: librdkafka goes on telling of those that it has let go.
fn tells_lag(partition: &Partition) -> bool {
    partition.fetch_state == "active" && partition.consumer_lag >= 0
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let (mut taken, mut refused) = (Vec::new(), result.err());
        if refused.is_none() {
            for element in offsets.elements() {
                match (element.error(), element.offset()) {
                    (Ok(()), Offset::Offset(offset)) => {
                        taken.push((element.topic().to_owned(), element.partition(), offset));
                    }
                    (Ok(()), _) => {}
                    (Err(error), _) => refused = Some(error),
                }
            }
        }
        if let Some(error) = &refused {
            self.commit_failed(error);
        }
        let mut told = self.told();
        told.outcome = Some(taken);
        if refused.is_none() {
            told.refusal = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_told_of_partitions_that_are_fetched() {
        let partition = |fetch_state: &str, consumer_lag| Partition {
            fetch_state: fetch_state.to_owned(),
            consumer_lag,
            ..Partition::default()
        };
        assert!(tells_lag(&partition("active", 0)));
        assert!(!tells_lag(&partition("active", -1)), "not known yet");
        for state in ["none", "stopping", "stopped"] {
            assert!(!tells_lag(&partition(state, 7)), "{state}: let go");
        }
    }
}
