//! What the catalog asks of a dataset beyond its contract.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::EntityId;

/// How far a dataset's rollout has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollout {
    /// Its records are not read as its dataset.
    Off,
    /// Evidence, windows and signals, and no incidents.
    Observe,
    /// Everything.
    On,
}

/// The objective that signals and incidents hold a dataset to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DatasetPolicy {
    /// The dataset.
    pub dataset: EntityId,
    /// Share of records that must keep the contract, in millionths: 950,000 is 95 %.
    pub slo_millionths: u32,
    /// 1 revenue-critical … 4.
    pub tier: u8,
    /// How far its rollout has come.
    pub rollout: Rollout,
    /// The producers that own it, sorted.
    pub owners: Vec<Arc<str>>,
    /// The schema that judges its records, if any: `glue:orders.created:17`.
    pub schema: Option<Arc<str>>,
    /// The contract that judges its records, if any: `dc:orders.created:3`.
    pub contract: Option<Arc<str>>,
}
