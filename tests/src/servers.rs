//! Real servers for tests: installed on first use from package registries, started on free loopback ports,
//! awaited by a real request, ended with the test process.
//!
//! ```text
//! install ─► maven  ─┐
//!         └► grpcurl │      ports, run_dir ─► process ─► kafka (one file per server)
//!                    └────────────────────────────────────▲
//! ```
//!
//! A server that cannot be installed or started fails the test that needs it: it is never a reason to skip.

pub mod error;
pub mod grpcurl;
pub mod install;
pub mod kafka;
pub mod maven;
pub mod ports;
pub mod process;
pub mod run_dir;

pub use error::{Result, ServerError};
pub use grpcurl::grpcurl;
pub use kafka::{Follower, KAFKA_VERSION, KafkaMessage, KafkaOptions, KafkaServer, Paced};
