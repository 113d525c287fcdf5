//! What a state store is told: the newest value of a thing, or that there is no such thing any more.

use faultline_contracts::{
    graph::{Edge, Vertex},
    ids::{EntityId, IncidentId},
    incident::Incident,
    signal::{Signal, SignalKind},
    window::{ComplianceWindow, WindowKey},
};

/// A thing that a state store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreItem {
    /// The state of one aspect of a dataset's health.
    Signal(Signal),
    /// An incident.
    Incident(Incident),
    /// A compliance window.
    Window(ComplianceWindow),
    /// A vertex of the graph.
    Vertex(Vertex),
    /// An edge of the graph.
    Edge(Edge),
    /// The explanation of an incident.
    Explanation {
        /// The incident.
        incident: IncidentId,
        /// The explanation as one JSON object: a line of `explanations.jsonl`.
        json: String,
    },
}

/// What tells things in a state store apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKey {
    /// A signal.
    Signal(EntityId, SignalKind),
    /// An incident.
    Incident(IncidentId),
    /// A compliance window.
    Window(WindowKey),
    /// A vertex.
    Vertex(EntityId),
    /// An edge, by [`Edge::id`].
    Edge(EntityId),
    /// An explanation, by its incident.
    Explanation(IncidentId),
}

impl StoreItem {
    /// What tells it apart.
    #[must_use]
    pub fn key(&self) -> StoreKey {
        match self {
            Self::Signal(signal) => StoreKey::Signal(signal.dataset.clone(), signal.kind),
            Self::Incident(incident) => StoreKey::Incident(incident.id),
            Self::Window(window) => StoreKey::Window(window.key.clone()),
            Self::Vertex(vertex) => StoreKey::Vertex(vertex.id.clone()),
            Self::Edge(edge) => StoreKey::Edge(edge.id()),
            Self::Explanation { incident, .. } => StoreKey::Explanation(*incident),
        }
    }
}

/// One change, and the epoch it belongs to. A store that holds a newer epoch of the same thing refuses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChange {
    /// The thing is now this.
    Upsert {
        /// Since this epoch.
        epoch: u64,
        /// What it is.
        item: StoreItem,
    },
    /// There is no such thing any more.
    Delete {
        /// Since this epoch.
        epoch: u64,
        /// Which.
        key: StoreKey,
    },
}

impl StoreChange {
    /// What it is about. A later change of the same key replaces an earlier one, so that a caller who has to wait for a
    /// store keeps only the last of each.
    #[must_use]
    pub fn key(&self) -> StoreKey {
        match self {
            Self::Upsert { item, .. } => item.key(),
            Self::Delete { key, .. } => key.clone(),
        }
    }

    /// The epoch it belongs to.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        match self {
            Self::Upsert { epoch, .. } | Self::Delete { epoch, .. } => *epoch,
        }
    }
}

/// What became of a batch of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Changes that are stored, those that repeat what was stored already included.
    pub written: u64,
    /// Changes that were refused because the store has a newer epoch of the same thing.
    pub stale: u64,
    /// Deletes of what the store does not have.
    pub absent: u64,
}
