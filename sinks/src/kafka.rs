//! Kafka topics: keyed records, and the account of which of them the brokers have acknowledged.
//!
//! ```text
//! worker ─ send(epoch, record) ─► librdkafka's queue ─► broker
//!    ▲  │                              │ delivery report, on the producer's own thread
//!    │  └── Full: keep it, try later   ▼
//!    └────────── durable_before ◄─ deliveries: per epoch, sent and acknowledged
//! ```

mod config;
mod deliveries;
mod evidence;
mod reachable;
mod sender;
mod token;
mod topics;
mod transactions;
mod writer;

pub use config::{KafkaSettings, kafka_config, properties_from_scalars, refusal, shown_properties};
pub use deliveries::DeliveryStats;
pub use evidence::{EvidencePiece, EvidenceSender, EvidenceTopic};
pub use sender::TopicSender;
pub use token::{Token, TokenError, TokenProvider, Tokens, oauth_token};
pub use topics::ensure_topics;
pub use transactions::{Fenced, TakeOver, TransactionStats, TransactionalWriter};
pub use writer::{Enqueued, JSON, KafkaRecord, KafkaWriter};

#[cfg(test)]
mod tests;
