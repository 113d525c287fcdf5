//! Runs that are cut and go on elsewhere, with another number of workers, against one that is left alone.
#![allow(clippy::unwrap_used)]

#[path = "rescale/bounds.rs"]
mod bounds;
#[path = "rescale/dataflow.rs"]
mod dataflow;
#[path = "rescale/downtime.rs"]
mod downtime;
#[path = "rescale/input.rs"]
mod input;
#[path = "rescale/journey.rs"]
mod journey;
#[path = "rescale/leg.rs"]
mod leg;
#[path = "rescale/policies.rs"]
mod policies;
#[path = "rescale/random.rs"]
mod random;
#[path = "rescale/scenes.rs"]
mod scenes;
#[path = "rescale/source.rs"]
mod source;
#[path = "rescale/undisturbed.rs"]
mod undisturbed;
