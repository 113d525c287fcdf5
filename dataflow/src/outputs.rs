//! Where a live service's results go: evidence, signals and incidents to Kafka topics or JSON lines, state to stores.
//!
//! ```text
//! worker ──► evidence output (Kafka, plain or by transactions, which pushes back on its source; or files)
//! closed epoch ──► LivePublisher ─┬─► view ──► gRPC
//!                                 ├─► signal and incident topics
//!                                 └─► one Mailbox a store ──► its StoreWriter thread ──► SQLite, DynamoDB, Gremlin, …
//! ```
//!
//! The dataflow never waits for a store. Changes of state wait in a [`Mailbox`](mailbox::Mailbox) that keeps the newest of
//! each key, and a thread of its own writes them with retries; what it cannot write shows as degraded, and is written
//! once it can.

pub mod changes;
pub mod evidence;
pub mod mailbox;
pub mod store_writer;
pub mod transactional;
