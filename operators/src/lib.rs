//! Faultline's operators: free functions over timely streams and differential collections, with no I/O, no clock and
//! no environment. Each acts on closed epochs in a canonical order, so that its output is a function of its input,
//! whatever the number of workers and however the input was cut into batches.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod adjacency;
pub mod blast_radius;
pub mod impact;
pub mod lineage;
