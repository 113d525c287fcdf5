//! What a receiver has to be told of, as it is now.

use std::time::Instant;

use faultline_contracts::{
    incident::{Incident, IncidentStatus},
    time::UnixMillis,
};

use crate::{
    store::{StoreChange, StoreItem},
    webhook::explained::Explained,
};

/// What is known of an incident.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) incident: Incident,
    pub(super) explained: Option<Explained>,
    pub(super) retracted: bool,
    pub(super) epoch: u64,
    pub(super) since: Instant,
}

impl Known {
    pub(super) fn new(incident: Incident, epoch: u64) -> Self {
        Self { incident, explained: None, retracted: false, epoch, since: Instant::now() }
    }

    pub(super) fn retract(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.retracted = true;
        self.incident.status = IncidentStatus::Resolved;
        // As the incident topic has it: over at the epoch of its end.
        self.incident.resolved_at = Some(UnixMillis(i64::try_from(epoch).unwrap_or(i64::MAX)));
    }

    pub(super) fn take_explanation(&mut self, change: &StoreChange) {
        self.explained = match change {
            StoreChange::Upsert { item: StoreItem::Explanation { json, incident }, .. } => {
                match Explained::read(json) {
                    Ok(explained) => Some(explained),
                    Err(error) => {
                        tracing::error!(%incident, %error, "an explanation that cannot be read is left out of messages");
                        None
                    }
                }
            }
            _ => None,
        };
    }

    /// Whether its cause is known with high confidence.
    pub(super) fn is_sure(&self) -> bool {
        self.explained.as_ref().and_then(Explained::cause).is_some_and(|cause| cause.confidence == "HIGH")
    }

    pub(super) fn cause(&self) -> Option<&str> {
        self.explained.as_ref()?.cause().map(|cause| cause.subject.as_str())
    }
}
