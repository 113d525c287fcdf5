//! What can be watched: incidents, windows, an explanation, a blast radius.

use std::collections::BTreeSet;

use faultline_contracts::{
    ids::{EntityId, IncidentId},
    window::WindowKey,
};
use faultline_operators::blast_radius::QueryKey;
use faultline_proto::v1;
use tokio::sync::OwnedSemaphorePermit;

use super::{Delta, Subject, Touch};
use crate::{
    answers::{
        as_of,
        blast_radius::{self, Bounds, Question},
        explanation::{Asked, explain},
        incidents::IncidentFilter,
        rows, timestamp,
    },
    serve::standing::Standing,
    view::{Change, View},
};

/// Incidents that a filter lets through.
pub(in crate::serve) struct Incidents(pub IncidentFilter);

impl Subject for Incidents {
    type Key = IncidentId;
    type Row = v1::Incident;
    type Response = v1::WatchIncidentsResponse;

    fn touched(&self, change: &Change) -> Touch<IncidentId> {
        match change {
            Change::Incident(incident) => Touch::Row(incident.id),
            _ => Touch::None,
        }
    }

    fn row(&self, view: &View, key: &IncidentId) -> Option<v1::Incident> {
        view.incidents.get(key).filter(|incident| self.0.matches(incident)).map(rows::incident)
    }

    fn all(&self, view: &View) -> Vec<(IncidentId, v1::Incident)> {
        let wanted = view.incidents.iter().filter(|(_, incident)| self.0.matches(incident));
        wanted.map(|(&id, incident)| (id, rows::incident(incident))).collect()
    }

    fn response(
        &self,
        view: &View,
        Delta { full, upserts, removals }: Delta<IncidentId, v1::Incident>,
    ) -> Self::Response {
        let removals = removals.iter().map(IncidentId::to_string).collect();
        v1::WatchIncidentsResponse { full, upserts, removals, as_of: Some(as_of(view)) }
    }
}

/// Windows of some datasets, or of all.
pub(in crate::serve) struct Windows(pub BTreeSet<String>);

impl Windows {
    fn wants(&self, dataset: &EntityId) -> bool {
        self.0.is_empty() || self.0.contains(dataset.as_str())
    }
}

impl Subject for Windows {
    type Key = WindowKey;
    type Row = v1::ComplianceWindow;
    type Response = v1::WatchComplianceResponse;

    fn touched(&self, change: &Change) -> Touch<WindowKey> {
        match change {
            Change::Window(window) if self.wants(&window.key.dataset) => Touch::Row(window.key.clone()),
            _ => Touch::None,
        }
    }

    fn row(&self, view: &View, key: &WindowKey) -> Option<v1::ComplianceWindow> {
        view.windows.get(key).map(rows::window)
    }

    fn all(&self, view: &View) -> Vec<(WindowKey, v1::ComplianceWindow)> {
        let wanted = view.windows.iter().filter(|(key, _)| self.wants(&key.dataset));
        wanted.map(|(key, window)| (key.clone(), rows::window(window))).collect()
    }

    fn response(
        &self,
        view: &View,
        Delta { full, upserts, removals }: Delta<WindowKey, v1::ComplianceWindow>,
    ) -> Self::Response {
        let key = |key: WindowKey| v1::watch_compliance_response::Key {
            dataset_urn: key.dataset.to_string(),
            window_start: Some(timestamp(key.start)),
        };
        let removals = removals.into_iter().map(key).collect();
        v1::WatchComplianceResponse { full, upserts, removals, as_of: Some(as_of(view)) }
    }
}

/// The explanation of one incident.
pub(in crate::serve) struct Explained {
    pub asked: Asked,
    pub bounds: Bounds,
}

impl Subject for Explained {
    type Key = IncidentId;
    type Row = v1::Explanation;
    type Response = v1::WatchExplanationResponse;

    fn touched(&self, change: &Change) -> Touch<IncidentId> {
        let id = self.asked.incident;
        let key = QueryKey::of_incident(id);
        let concerns = match change {
            Change::Explanation(explanation) => explanation.incident == id,
            Change::Incident(incident) => incident.id == id,
            Change::Breach(breach) => breach.id == id,
            Change::Reach(row) => row.query == key,
            Change::Impact(row) => row.query == key,
            Change::Truncated(query) => *query == key,
            Change::Asset(_) => true,
            _ => false,
        };
        if concerns { Touch::Row(id) } else { Touch::None }
    }

    fn row(&self, view: &View, _: &IncidentId) -> Option<v1::Explanation> {
        // The response says what it is based on; in the row it would be a change on every epoch.
        let explanation = explain(view, self.bounds, self.asked)?;
        Some(v1::Explanation { as_of: None, ..explanation })
    }

    fn all(&self, view: &View) -> Vec<(IncidentId, v1::Explanation)> {
        let id = self.asked.incident;
        self.row(view, &id).map(|row| (id, row)).into_iter().collect()
    }

    fn response(
        &self,
        view: &View,
        Delta { full, upserts, removals }: Delta<IncidentId, v1::Explanation>,
    ) -> Self::Response {
        let upsert = upserts.into_iter().next();
        v1::WatchExplanationResponse {
            full: full || upsert.is_some(),
            upsert: upsert.map(|explanation| v1::Explanation { as_of: Some(as_of(view)), ..explanation }),
            removal: removals.first().map_or_else(String::new, IncidentId::to_string),
            as_of: Some(as_of(view)),
        }
    }

    fn is_over(&self, delta: &Delta<IncidentId, v1::Explanation>) -> bool {
        delta.full && delta.upserts.is_empty() || !delta.removals.is_empty()
    }
}

/// A blast radius. Its query stands for as long as this is held, where it could be promoted.
pub(in crate::serve) struct Reaching {
    pub question: Question,
    pub bounds: Bounds,
    pub _standing: Option<(Box<dyn Standing>, OwnedSemaphorePermit)>,
}

impl Subject for Reaching {
    /// By hops, then id.
    type Key = (u32, EntityId);
    type Row = v1::Node;
    type Response = v1::WatchBlastRadiusResponse;

    fn touched(&self, change: &Change) -> Touch<Self::Key> {
        let key = self.question.key();
        let concerns = match change {
            Change::Reach(row) => row.query == key,
            Change::Truncated(query) => *query == key,
            // Lineage that concerns a standing query comes as changes of its reach. The first of them may be a while away,
            // and a query that does not stand is searched: in both cases a search is as good.
            Change::Flow(_) | Change::Asset(_) | Change::Impact(_) => true,
            Change::Incident(incident) => incident.dataset_urn == self.question.root,
            Change::Breach(breach) => breach.dataset == self.question.root,
            _ => false,
        };
        if concerns { Touch::All } else { Touch::None }
    }

    fn row(&self, view: &View, key: &Self::Key) -> Option<v1::Node> {
        self.all(view).into_iter().find(|(known, _)| known == key).map(|(_, node)| node)
    }

    fn all(&self, view: &View) -> Vec<(Self::Key, v1::Node)> {
        let found = blast_radius::find(view, &self.question, self.bounds);
        let root = ((0, self.question.root.clone()), found.root());
        std::iter::once(root).chain(found.nodes.iter().map(|node| (node.key(), found.node(node)))).collect()
    }

    fn response(&self, view: &View, Delta { full, upserts, removals }: Delta<Self::Key, v1::Node>) -> Self::Response {
        let mut response = v1::WatchBlastRadiusResponse { full, as_of: Some(as_of(view)), ..Default::default() };
        let found = blast_radius::find(view, &self.question, self.bounds);
        response.counts_by_kind = found.counts_by_kind();
        response.counts_by_tier = found.counts_by_tier();
        response.total = found.total();
        response.truncated = found.truncated;
        // A node that is nearer or further now left one key for another, and is not gone.
        let stays: BTreeSet<&str> = upserts.iter().map(|node| node.id.as_str()).collect();
        response.removals =
            removals.into_iter().map(|(_, id)| id.to_string()).filter(|id| !stays.contains(id.as_str())).collect();
        response.upserts = upserts;
        response
    }
}
