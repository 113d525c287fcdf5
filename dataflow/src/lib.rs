//! Faultline: out-of-band data contracts. Records in, live root cause out.
//!
//! This crate wires the operators into one timely dataflow, feeds it from Kafka or files, keeps the maintained view of
//! each process, and serves it. The program `faultline` is a thin shell around it.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod catalog_rows;

pub mod answers;
pub mod cli;
pub mod client;
pub mod config;
pub mod engine;
pub mod intake;
pub mod metrics;
pub mod outputs;
pub mod recorder;
pub mod replay;
pub mod serve;
pub mod service;
pub mod sources;
pub mod topology;
pub mod view;
