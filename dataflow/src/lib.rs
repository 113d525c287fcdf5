//! Faultline: out-of-band data contracts. Records in, live root cause out.
//!
//! This crate wires the operators into one timely dataflow, feeds it from Kafka or files, keeps the maintained view of
//! each process, and serves it. The program `faultline` is a thin shell around it.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod answers;
pub mod catalog;
mod causes;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod config;
pub mod engine;
pub mod health;
pub mod intake;
pub mod metrics;
pub mod msk_iam;
pub mod outputs;
pub mod recorder;
pub mod registry;
pub mod replay;
pub mod serve;
pub mod service;
pub mod snapshot;
pub mod sources;
pub mod topology;
pub mod view;
