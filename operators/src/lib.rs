//! Faultline's operators: from bytes to facts, and from facts to what follows from them.
//! Pure functions and functions over collections, with no I/O, no clock and no environment.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod decode;
