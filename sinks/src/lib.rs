//! Where Faultline's results go: JSON-lines files, Kafka topics, SQLite, DynamoDB, graphs, webhooks.
//!
//! A sink is given finished results and stores them. It decides nothing about the domain and knows nothing of the
//! dataflow; what it tells the caller is what has been stored, what has not, and why.
//!
//! | module | target | written as | stored when |
//! |---|---|---|---|
//! | [`gremlin`] | Neptune, a Gremlin server | conditional upserts and removals | `apply` returned |
//! | [`jsonl`] | files | appended lines | `finish` returned: the file appears whole or not at all |
//! | [`kafka`] | topics | keyed records | `durable_before` passed the record's epoch |
//! | [`dynamodb`] | a table of signals | conditional puts | `apply` returned, less what it left |
//! | [`sqlite`] | a database file | conditional upserts and deletes | `apply` returned |
//! | [`webhook`] | Slack, PagerDuty, any HTTP receiver | messages of what is news | `apply` returned, less what it left |
//!
//! [`cloudevents`] is the envelope that topics may have.
#![deny(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod cloudevents;
pub mod dynamodb;
pub mod error;
pub mod gremlin;
pub mod jsonl;
pub mod kafka;
pub mod retry;
mod runtime;
pub mod sqlite;
pub mod store;
pub mod webhook;

pub use error::SinkError;
