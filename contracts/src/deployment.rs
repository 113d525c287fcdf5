//! Deployments: what changed, where and when.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ids::EntityId, time::UnixMillis};

/// What was done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentKind {
    /// `dev.cdevents.service.deployed`
    Deployed,
    /// `dev.cdevents.service.upgraded`
    Upgraded,
    /// `dev.cdevents.service.rolledback`
    RolledBack,
    /// `dev.cdevents.service.removed`
    Removed,
}

/// One deployment event. The same event received twice is one deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Deployment {
    /// The service: CDEvent `subject.id`, last path segment, resolved to the catalog's producer id.
    pub service: Arc<str>,
    /// `context.timestamp`
    pub at: UnixMillis,
    /// The version: of the purl, or its `tag` qualifier where the version is a digest. Empty for a removal without one.
    pub version: Arc<str>,
    /// What was done.
    pub kind: DeploymentKind,
    /// `environment.id`
    pub environment: Option<Arc<str>>,
    /// `context.source` and `context.id`, by which duplicates are known.
    pub event: Arc<str>,
}

impl Deployment {
    /// Its vertex in the graph: `deployment:<service>:<version>`.
    #[must_use]
    pub fn vertex(&self) -> EntityId {
        EntityId::deployment(&self.service, &self.version)
    }
}
