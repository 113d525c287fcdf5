//! What a state store is told: the newest value of a thing, or that there is no such thing any more.

use std::time::Duration;

use faultline_contracts::{
    graph::{Edge, Vertex},
    ids::{EntityId, IncidentId},
    incident::Incident,
    signal::{Signal, SignalKind},
    window::{ComplianceWindow, WindowKey},
};

use crate::SinkError;

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
    /// Changes that this store can never hold (an item beyond its limit of size, a text that it refuses); each is logged.
    pub refused: u64,
}

/// What became of a batch of changes, and what is left of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What became of those that were settled.
    pub applied: Applied,
    /// Those that are not settled and are worth another try: the caller puts them back, behind newer ones of their key.
    pub left: Vec<StoreChange>,
    /// Why some are left.
    pub error: Option<SinkError>,
}

/// A store that holds the newest value of each thing. Applying a change again changes nothing, so that whoever does not
/// know what became of a batch applies it again.
///
/// A store belongs to one thread, which waits in it: an implementation over an asynchronous client brings its own
/// runtime. Every call ends within a few seconds, whatever the server does.
pub trait StateStore: Send {
    /// Whether stores of this kind hold things of this key; others are not given to them, and do not wait for them.
    fn holds(key: &StoreKey) -> bool
    where
        Self: Sized;

    /// Stores changes. All keys differ.
    fn apply(&mut self, changes: Vec<StoreChange>) -> Outcome;

    /// Asks the server whether it answers, where there was nothing to write for so long ([`PROBE_EVERY`]).
    ///
    /// # Errors
    /// It does not.
    fn probe(&mut self) -> Result<(), SinkError>;
}

/// How often a store without writes is asked whether it answers: often enough that its failure is told within 5 s.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);
