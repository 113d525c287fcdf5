//! Incidents: one, and lists of them.

use std::{cmp::Reverse, collections::BTreeSet};

use faultline_contracts::{
    incident::{Incident, IncidentStatus, Severity},
    time::UnixMillis,
};
use faultline_proto::v1;

use super::{
    Refusal, as_of, choices, incident_id, instant, lets_through,
    page::{PageRequest, filters_of},
    rows,
};
use crate::view::View;

/// Which incidents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IncidentFilter {
    datasets: BTreeSet<String>,
    statuses: BTreeSet<IncidentStatus>,
    severities: BTreeSet<Severity>,
    opened_from: Option<UnixMillis>,
    opened_to: Option<UnixMillis>,
}

impl IncidentFilter {
    /// The filter of a watch.
    ///
    /// # Errors
    /// A status or severity is none.
    pub fn of_watch(request: &v1::WatchIncidentsRequest) -> Result<Self, Refusal> {
        Self::new(&request.dataset_urns, &request.statuses, &request.severities)
    }

    fn of_list(request: &v1::ListIncidentsRequest) -> Result<Self, Refusal> {
        Ok(Self {
            opened_from: instant("opened_from", request.opened_from.as_ref())?,
            opened_to: instant("opened_to", request.opened_to.as_ref())?,
            ..Self::new(&request.dataset_urns, &request.statuses, &request.severities)?
        })
    }

    fn new(datasets: &[String], statuses: &[i32], severities: &[String]) -> Result<Self, Refusal> {
        let severity = |text: &String| {
            let all = [Severity::Sev1, Severity::Sev2, Severity::Sev3, Severity::Sev4];
            let known = all.into_iter().find(|severity| severity.as_str() == text);
            known.ok_or_else(|| Refusal::invalid("severities", "a severity is SEV-1, SEV-2, SEV-3 or SEV-4"))
        };
        Ok(Self {
            datasets: datasets.iter().cloned().collect(),
            statuses: choices("statuses", statuses, |status| match status {
                v1::incident::Status::Unspecified => None,
                v1::incident::Status::Open => Some(IncidentStatus::Open),
                v1::incident::Status::Acknowledged => Some(IncidentStatus::Acknowledged),
                v1::incident::Status::Mitigated => Some(IncidentStatus::Mitigated),
                v1::incident::Status::Resolved => Some(IncidentStatus::Resolved),
            })?,
            severities: severities.iter().map(severity).collect::<Result<_, _>>()?,
            opened_from: None,
            opened_to: None,
        })
    }

    /// Whether it lets an incident through.
    #[must_use]
    pub fn matches(&self, incident: &Incident) -> bool {
        let Self { datasets, statuses, severities, opened_from, opened_to } = self;
        lets_through(datasets, incident.dataset_urn.as_str())
            && lets_through(statuses, &incident.status)
            && lets_through(severities, &incident.severity)
            && opened_from.is_none_or(|from| incident.opened_at >= from)
            && opened_to.is_none_or(|to| incident.opened_at < to)
    }
}

/// One incident.
///
/// # Errors
/// The id is none, or there is no such incident.
pub fn get(view: &View, request: &v1::GetIncidentRequest) -> Result<v1::GetIncidentResponse, Refusal> {
    let id = incident_id("id", &request.id)?;
    let incident = view.incidents.get(&id).ok_or_else(|| Refusal::not_found("incident", &request.id))?;
    Ok(v1::GetIncidentResponse { incident: Some(rows::incident(incident)), as_of: Some(as_of(view)) })
}

/// Incidents, the latest opened first.
///
/// # Errors
/// A filter, the page's size or its token means nothing.
pub fn list(view: &View, request: &v1::ListIncidentsRequest) -> Result<v1::ListIncidentsResponse, Refusal> {
    let filter = IncidentFilter::of_list(request)?;
    let page = PageRequest::read(request.page_size, &request.page_token, &filters_of!(request, ListIncidentsRequest))?;
    let matching = view.incidents.values().filter(|incident| filter.matches(incident));
    let mut matching: Vec<_> =
        matching.map(|incident| ((Reverse(incident.opened_at.0), incident.id.0), incident)).collect();
    matching.sort_unstable_by_key(|(key, _)| *key);
    let page = page.cut(matching);
    Ok(v1::ListIncidentsResponse {
        incidents: page.rows.into_iter().map(rows::incident).collect(),
        next_page_token: page.next_page_token,
        total_size: page.total_size,
        as_of: Some(as_of(view)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::fixture;

    #[test]
    fn the_latest_comes_first_and_pages_hold_all() {
        let view = fixture::view();
        let mut request = v1::ListIncidentsRequest { page_size: 1, ..v1::ListIncidentsRequest::default() };
        let mut ids = Vec::new();
        loop {
            let answer = list(&view, &request).unwrap();
            assert_eq!(answer.total_size, 2);
            ids.extend(answer.incidents.into_iter().map(|incident| incident.id));
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        assert_eq!(ids, [fixture::payments().to_string(), fixture::orders().to_string()]);
        request.severities.push("SEV-1".into());
        assert!(list(&view, &request).is_err(), "the token is of other filters");
    }

    #[test]
    fn filters_hold_together() {
        let view = fixture::view();
        let count = |request: v1::ListIncidentsRequest| list(&view, &request).map(|answer| answer.total_size);
        let orders = || v1::ListIncidentsRequest { dataset_urns: vec![fixture::ORDERS.into()], ..Default::default() };
        assert_eq!(count(orders()), Ok(1));
        assert_eq!(count(v1::ListIncidentsRequest { severities: vec!["SEV-2".into()], ..orders() }), Ok(0));
        let open = v1::incident::Status::Open.into();
        assert_eq!(count(v1::ListIncidentsRequest { statuses: vec![open], ..orders() }), Ok(1));
        let opened_at = view.incidents[&fixture::orders()].opened_at;
        let opened = |from, to| v1::ListIncidentsRequest { opened_from: from, opened_to: to, ..orders() };
        assert_eq!(count(opened(Some(super::super::timestamp(opened_at)), None)), Ok(1));
        assert_eq!(count(opened(None, Some(super::super::timestamp(opened_at)))), Ok(0));
        assert!(count(v1::ListIncidentsRequest { severities: vec!["HIGH".into()], ..orders() }).is_err());
        assert!(count(v1::ListIncidentsRequest { statuses: vec![0], ..orders() }).is_err());
    }

    #[test]
    fn one_is_found_by_its_id() {
        let view = fixture::view();
        let get = |id: &str| get(&view, &v1::GetIncidentRequest { id: id.into(), min_as_of: None });
        assert_eq!(get(&fixture::orders().to_string()).unwrap().incident.unwrap().dataset_urn, fixture::ORDERS);
        assert!(matches!(get("INC-00000000"), Err(Refusal::NotFound { .. })));
        assert!(matches!(get("7721"), Err(Refusal::Invalid { field: "id", .. })));
    }
}
