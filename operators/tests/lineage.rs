//! Lineage, blast radius and impact against oracles that compute from scratch, over random histories.
#![allow(clippy::unwrap_used)]

#[path = "lineage/fold.rs"]
mod fold;
#[path = "lineage/harness.rs"]
mod harness;
#[path = "lineage/impact.rs"]
mod impact;
#[path = "lineage/reach.rs"]
mod reach;
