//! The operators of Faultline's dataflow: free functions over streams and collections, one idea a file.
//!
//! Nothing here does I/O, reads a clock or the environment. The timestamp is `u64`: milliseconds since 1970, the epoch.
//! Every operator's output is a function of its input, whatever the number of workers and the batching.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod correlation;
pub mod deployments;
pub mod epochs;
pub mod graph;
pub mod hypotheses;
pub mod incidents;
pub mod retention;
