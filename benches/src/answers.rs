//! The running service beside a real broker, through its outside surfaces alone: records and events into Kafka topics,
//! answers out of gRPC.
//!
//! ```text
//! generated catalog ─► service ◄── topics ◄── records, deployment events, lineage events
//!                         └─ gRPC ─► connection ─► idle, rca, crowd, adhoc ─► table
//! ```
//!
//! The program is `answers` in `benches/src/bin/`; docs/BENCHMARKS.md says what each figure is.

pub mod adhoc;
pub mod cadence;
pub mod connection;
pub mod crowd;
pub mod deployment_events;
pub mod error;
pub mod generated;
pub mod idle;
pub mod lineage_events;
pub mod rca;
pub mod records;
pub mod surroundings;
pub mod table;
pub mod windows;

pub use error::{AnswersError, Result};
