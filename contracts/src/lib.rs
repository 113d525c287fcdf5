//! The words of the domain: what a record, a contract, a piece of evidence, a window, a signal,
//! an incident and an explanation are, and how a contract and a schema compile into one
//! [`validator::Validator`].
//!
//! Nothing here knows timely, Kafka or an async runtime, reads a clock, or talks to a network.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod base32;
mod yaml;

pub mod asset;
pub mod catalog;
pub mod deployment;
pub mod diagnostic;
pub mod document;
pub mod evidence;
pub mod explanation;
pub mod graph;
pub mod ids;
pub mod impact;
pub mod incident;
pub mod lineage;
pub mod names;
pub mod odcs;
pub mod policy;
pub mod reason;
pub mod record;
pub mod registry;
pub mod schema;
pub mod signal;
pub mod sorted_map;
pub mod time;
pub mod trace;
pub mod validator;
pub mod window;
