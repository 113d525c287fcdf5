//! From retained facts to explained incidents: operators against from-scratch oracles, and scenarios.

mod correlation;
mod dataflow;
mod deployments;
mod explanations;
mod retention;
mod scenario;
