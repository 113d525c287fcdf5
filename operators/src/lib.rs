//! Faultline's operators: from bytes to facts, and from facts to what follows from them. Free functions over records,
//! timely streams and differential collections, with no I/O, no clock and no environment.
//!
//! Those over streams act on closed epochs in a canonical order, so that their output is a function of their input,
//! whatever the number of workers and however the input was cut into batches.
//! Faultline's operators: free functions over timely streams and differential collections, one idea a file.
//!
//! Nothing here does I/O, reads a clock or the environment: output is a function of input, for any number of workers and
//! any batching. Operators act on closed epochs only, in canonical order.
//! The operators of Faultline's dataflow: free functions over streams and collections, one idea a file.
//!
//! Nothing here does I/O, reads a clock or the environment. The timestamp is `u64`: milliseconds since 1970, the epoch.
//! Every operator's output is a function of its input, whatever the number of workers and the batching.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod adjacency;
pub mod blast_radius;
pub mod decode;
pub mod impact;
pub mod lineage;
pub mod compliance;
pub mod signals;
pub mod watermark;
pub mod correlation;
pub mod deployments;
pub mod epochs;
pub mod graph;
pub mod hypotheses;
pub mod incidents;
pub mod retention;
