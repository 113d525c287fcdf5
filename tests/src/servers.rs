//! Real servers for tests: installed on first use from package registries, started on free loopback ports,
//! awaited by a real request, ended with the test process.
//!
//! ```text
//! install ─► maven  ─┐
//!         ├► python ─┤
//!         └► grpcurl │      ports, run_dir ─► process ─► kafka, dynamodb, moto (one file per server)
//!                    └────────────────────────────────────▲
//! ```
//!
//! A server that cannot be installed or started fails the test that needs it: it is never a reason to skip.

pub mod confluent;
pub mod dynamodb;
pub mod error;
pub mod gremlin;
pub mod grpcurl;
pub mod http;
pub mod install;
pub mod kafka;
pub mod maven;
pub mod moto;
pub mod ports;
pub mod process;
pub mod python;
pub mod run_dir;

pub use confluent::{ConfluentRegistry, Registration};
pub use dynamodb::{DynamoServer, Storage};
pub use error::{Result, ServerError};
pub use gremlin::{GremlinOptions, GremlinServer};
pub use grpcurl::grpcurl;
pub use kafka::{
    Bytes, Follower, KAFKA_VERSION, KafkaMessage, KafkaOptions, KafkaServer, Paced, Publisher, Security, unix_millis,
};
pub use moto::MotoServer;
