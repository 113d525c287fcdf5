//! Where Faultline's results go: JSON-lines files, Kafka topics, SQLite.
//!
//! A sink is given finished results and stores them. It decides nothing about the domain and knows nothing of the
//! dataflow; what it tells the caller is what has been stored, what has not, and why.
//!
//! | module | target | written as | stored when |
//! |---|---|---|---|
//! | [`jsonl`] | files | appended lines | `finish` returned: the file appears whole or not at all |
//! | [`kafka`] | topics | keyed records | `durable_before` passed the record's epoch |
//! | [`sqlite`] | a database file | conditional upserts and deletes | `apply` returned |
#![deny(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod error;
pub mod jsonl;
pub mod kafka;
pub mod sqlite;
pub mod store;

pub use error::SinkError;
