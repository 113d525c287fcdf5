//! Faultline's operators: from bytes to facts, and from facts to what follows from them. Free functions over records,
//! timely streams and differential collections, with no I/O, no clock and no environment.
//!
//! Those over streams act on closed epochs in a canonical order, so that their output is a function of their input,
//! whatever the number of workers and however the input was cut into batches.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod adjacency;
pub mod blast_radius;
pub mod compliance;
pub mod correlation;
pub mod decode;
pub mod deployments;
pub mod gates;
pub mod graph;
pub mod hypotheses;
pub mod impact;
pub mod incidents;
pub mod lineage;
pub mod positions;
pub mod retention;
pub mod signals;
pub mod state;
pub mod watermark;
