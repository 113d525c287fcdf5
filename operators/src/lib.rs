//! Faultline's operators: free functions over timely streams and differential collections, one idea a file.
//!
//! Nothing here does I/O, reads a clock or the environment: output is a function of input, for any number of workers and
//! any batching. Operators act on closed epochs only, in canonical order.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod compliance;
pub mod signals;
pub mod watermark;
