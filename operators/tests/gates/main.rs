//! The gates, from a record's bytes to its evidence: each identity, each reason, each state of the catalog, and inputs
//! that are made to hurt.
#![allow(clippy::unwrap_used)]

mod allocation;
mod evidence;
mod hostile;
mod identity;
mod properties;
mod reasons;
mod registered;
mod states;
mod verdict;
