//! What can go wrong when results are stored.

use std::{error::Error, io, path::PathBuf};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::{dynamodb::DynamoFailure, webhook::WebhookError};

/// A result was not stored. `Display` says what was tried and where; the cause is the error's source.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A value has no JSON form: a map with keys that are no strings, a number that is none.
    #[error("cannot write a value to {} as JSON", path.display())]
    Json {
        /// The file it was meant for.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A line that holds a line end would be read back as two.
    #[error("cannot write a line to {}: it has a line end inside", path.display())]
    LineEnd {
        /// The file it was meant for.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("cannot {action} {}", path.display())]
    Sqlite {
        /// What was tried.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The database is not one of this version of the program.
    #[error("{} is not a store of this version: {found}", path.display())]
    ForeignStore {
        /// The database.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// A number that SQLite's 64-bit signed integers do not hold.
    #[error("cannot store {number} in {}: it is beyond 2^63 - 1", path.display())]
    Range {
        /// The database.
        path: PathBuf,
        /// The number.
        number: u64,
    },
    /// Kafka, or its client, refused.
    #[error("cannot {action} {topic} at {servers}")]
    Kafka {
        /// What was tried.
        action: &'static str,
        /// The topic or topics.
        topic: String,
        /// `bootstrap.servers`
        servers: String,
        /// Why not.
        source: Box<KafkaError>,
    },
    /// DynamoDB, or its client, refused.
    #[error("cannot {action} the DynamoDB table {table} at {place}: {failure}")]
    DynamoDb {
        /// What was tried.
        action: &'static str,
        /// The table.
        table: String,
        /// The endpoint or region.
        place: String,
        /// What kind of failure it is.
        failure: DynamoFailure,
        /// What was said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The graph's server, or the way to it, refused.
    #[error("cannot {action} the graph at {endpoint}")]
    Gremlin {
        /// What was tried.
        action: &'static str,
        /// The endpoint of the settings, without user information.
        endpoint: String,
        /// Why not.
        source: Box<crate::gremlin::Failure>,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread for {purpose}")]
    Thread {
        /// What for.
        purpose: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Records were not acknowledged in time. They are still queued, and sent as soon as that is possible.
    #[error("{in_flight} records are not acknowledged by {servers} yet")]
    NotAcknowledged {
        /// How many.
        in_flight: u64,
        /// `bootstrap.servers`
        servers: String,
    },
    /// Another instance of the service writes the evidence now.
    #[error(
        "another instance of the service has taken over the group {group} (its mark is in {evidence}); this one writes no \
         more evidence"
    )]
    TakenOver {
        /// The service's group.
        group: String,
        /// The group of the evidence's positions.
        evidence: String,
    },
    /// Somebody else has moved a position that evidence is committed with.
    #[error("the position of {topic}[{partition}] in the group {group} was moved to {found} by somebody else")]
    PositionsMoved {
        /// The group of the evidence's positions.
        group: String,
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Where it is now.
        found: i64,
    },
    /// A worker asked for a producer that it has, or that is not there.
    #[error("there is no transactional producer for worker {worker}; this is a defect")]
    NoProducer {
        /// The worker.
        worker: usize,
    },
    /// A receiver of incidents was not told, or cannot be.
    #[error("webhook '{webhook}'")]
    Webhook {
        /// The receiver's name.
        webhook: String,
        /// Why not.
        source: Box<WebhookError>,
    },
}

impl SinkError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
            ),
            Self::Kafka { source, .. } => code(source).is_some_and(is_transient),
            Self::DynamoDb { failure, .. } => failure.is_transient(),
            Self::Gremlin { source, .. } => source.is_transient(),
            Self::NotAcknowledged { .. } => true,
            Self::Webhook { source, .. } => source.is_transient(),
            Self::File { .. }
            | Self::Json { .. }
            | Self::LineEnd { .. }
            | Self::ForeignStore { .. }
            | Self::Range { .. }
            | Self::TakenOver { .. }
            | Self::PositionsMoved { .. }
            | Self::NoProducer { .. }
            | Self::Thread { .. } => false,
        }
    }

    /// What somebody can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some("create the folder first"),
                io::ErrorKind::PermissionDenied => Some("give the program's user write access to the folder"),
                io::ErrorKind::StorageFull => Some("free space, or write to another volume"),
                _ => None,
            },
            Self::Sqlite { source, .. } => match source.sqlite_error_code()? {
                rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked => {
                    Some("another program holds a write lock on the database")
                }
                rusqlite::ErrorCode::CannotOpen => Some("create the folder first"),
                rusqlite::ErrorCode::DiskFull => Some("free space, or write to another volume"),
                rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt => {
                    Some("move the file away: the store is written anew from the dataflow's state")
                }
                _ => None,
            },
            Self::ForeignStore { .. } => Some("name another file, or move this one away"),
            Self::Kafka { source, .. } => match code(source) {
                Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                    Some("create the topic, or let the program do it")
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    Some("raise message.max.bytes here and at the broker, or max.message.bytes of the topic")
                }
                Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed) => {
                    Some("allow the program's principal to write the topic")
                }
                Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
                    Some("allow the program's principal to describe and write the transactional ids")
                }
                Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                    Some("allow the program's principal to read the group")
                }
                Some(RDKafkaErrorCode::InvalidTransactionTimeout) => {
                    Some("lower transaction.timeout.ms, or raise the brokers' transaction.max.timeout.ms")
                }
                _ if matches!(**source, KafkaError::ClientConfig(..)) => Some("correct that Kafka property"),
                _ => None,
            },
            Self::DynamoDb { failure, .. } => Some(failure.hint()),
            Self::Gremlin { source, .. } => source.hint(),
            Self::Webhook { source, .. } => source.hint(),
            Self::NotAcknowledged { .. } => Some("check that the brokers can be reached"),
            Self::Thread { .. } => Some("allow the program more threads (ulimit -u)"),
            Self::TakenOver { .. } => Some("run one instance for each kafka.group, or give this one another group"),
            Self::PositionsMoved { .. } => {
                Some("start again: what is there is read anew; and let nobody else commit to that group")
            }
            Self::NoProducer { .. } | Self::Json { .. } | Self::LineEnd { .. } | Self::Range { .. } => None,
        }
    }
}

/// The client's own accessor leaves out what the admin client reports.
fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

fn is_transient(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::QueueFull
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::NotEnoughReplicas
            | RDKafkaErrorCode::NotController
    )
}
