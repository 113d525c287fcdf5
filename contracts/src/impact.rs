//! Whether a reachable asset was hit by an incident.

use serde::{Deserialize, Serialize};

/// What an incident has done to an asset that is reachable from its dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Impact {
    /// Failing data has been written into it, or it reads a dataset that holds failing data.
    Impacted,
    /// Reachable, and nothing bad read yet.
    AtRisk,
    /// The incident is over and the asset was never hit, or has been written anew from clean data.
    Cleared,
}

impl Impact {
    /// The name in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Impacted => "IMPACTED",
            Self::AtRisk => "AT_RISK",
            Self::Cleared => "CLEARED",
        }
    }
}
