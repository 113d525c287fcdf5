//! Faultline beside a real broker: how many records a second, and how long from a record to its evidence.
//!
//! ```text
//! orders ─► load ─► broker ─┬─► child   (consume, passthrough, plain loop) ─┐
//!                           └─► service (faultline run) ────────────────────┤
//!                                usage: CPU and memory, sampled ────────────┤
//!                                marks: when how much of the output was there ─► session ─► report
//! pace ─► broker ─► service ─► broker ─► latency
//! ```
//!
//! Programs: `wire` and `latency` in `benches/src/bin/`; docs/BENCHMARKS.md says what each figure is.

pub mod child;
pub mod clients;
pub mod contestant;
pub mod error;
pub mod evidence;
pub mod latency;
pub mod load;
pub mod machine;
pub mod marks;
pub mod pace;
pub mod plain_loop;
pub mod report;
pub mod service;
pub mod session;
pub mod usage;

pub use error::{Result, WireError};
