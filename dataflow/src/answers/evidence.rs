//! Samples of failing records, as windows and breaches keep them.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::{
    evidence::FailureSample,
    ids::{EntityId, EvidenceId},
    reason::Signature,
    time::UnixMillis,
};
use faultline_proto::v1;

use super::{
    Refusal, as_of, incident_id, instant, lets_through,
    page::{PageRequest, filters_of},
    rows,
    windows::overlaps,
};
use crate::view::View;

struct Filter<'a> {
    datasets: BTreeSet<&'a str>,
    signature: &'a str,
    from: Option<UnixMillis>,
    to: Option<UnixMillis>,
}

impl Filter<'_> {
    fn group(&self, dataset: &EntityId, signature: &Signature) -> bool {
        lets_through(&self.datasets, dataset.as_str())
            && (self.signature.is_empty() || self.signature == signature.as_str())
    }

    fn sample(&self, sample: &FailureSample) -> bool {
        let at = sample.id.timestamp();
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }
}

/// Samples by evidence id.
///
/// # Errors
/// A filter, the page's size or its token means nothing, or there is no such incident.
pub fn list(view: &View, request: &v1::ListEvidenceRequest) -> Result<v1::ListEvidenceResponse, Refusal> {
    let page = PageRequest::read(request.page_size, &request.page_token, &filters_of!(request, ListEvidenceRequest))?;
    let filter = Filter {
        datasets: request.dataset_urns.iter().map(String::as_str).collect(),
        signature: &request.failure_signature,
        from: instant("from", request.from.as_ref())?,
        to: instant("to", request.to.as_ref())?,
    };
    let samples = match request.incident_id.as_str() {
        "" => everywhere(view, &filter),
        incident => of_incident(view, incident, &filter)?,
    };
    let page = page.cut(samples.into_iter().collect());
    Ok(v1::ListEvidenceResponse {
        evidence: page
            .rows
            .into_iter()
            .map(|(dataset, signature, sample)| rows::sample(dataset, signature, sample))
            .collect(),
        next_page_token: page.next_page_token,
        total_size: page.total_size,
        as_of: Some(as_of(view)),
    })
}

type Samples<'a> = BTreeMap<EvidenceId, (&'a EntityId, &'a Signature, &'a FailureSample)>;

/// The samples of live windows, and of breaches, which outlive them.
fn everywhere<'a>(view: &'a View, filter: &Filter<'_>) -> Samples<'a> {
    let windows = view.windows.values().filter(|window| overlaps(window, filter.from, filter.to));
    let windows = windows.flat_map(|window| {
        window.tally.by_signature.iter().map(|(signature, digest)| (&window.key.dataset, signature, &digest.earliest))
    });
    let breaches = view.breaches.values().map(|breach| (&breach.dataset, &breach.signature, &breach.earliest));
    windows
        .chain(breaches)
        .filter(|(dataset, signature, _)| filter.group(dataset, signature))
        .flat_map(|(dataset, signature, samples)| samples.iter().map(move |sample| (dataset, signature, sample)))
        .filter(|(_, _, sample)| filter.sample(sample))
        .map(|row| (row.2.id, row))
        .collect()
}

fn of_incident<'a>(view: &'a View, incident: &str, filter: &Filter<'_>) -> Result<Samples<'a>, Refusal> {
    let id = incident_id("incident_id", incident)?;
    let not_found = || Refusal::not_found("incident", incident);
    let incident = view.incidents.get(&id).ok_or_else(not_found)?;
    let breach = view.breaches.get(&id).ok_or_else(not_found)?;
    if !filter.group(&incident.dataset_urn, &breach.signature) {
        return Ok(Samples::new());
    }
    let samples = breach.earliest.iter().filter(|sample| filter.sample(sample));
    Ok(samples.map(|sample| (sample.id, (&breach.dataset, &breach.signature, sample))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{fixture, timestamp};

    #[test]
    fn a_sample_of_a_window_and_of_its_breach_is_one() {
        let view = fixture::view();
        let all = list(&view, &v1::ListEvidenceRequest::default()).unwrap();
        let ids: Vec<_> = all.evidence.iter().map(|sample| sample.evidence_id.clone()).collect();
        assert!(ids.len() == 3 && ids.is_sorted(), "{ids:?}");
        let incident_id = fixture::orders().to_string();
        let of_incident = list(&view, &v1::ListEvidenceRequest { incident_id, ..Default::default() }).unwrap();
        assert_eq!(of_incident.evidence.len(), 2);
        let first = &of_incident.evidence[0];
        assert_eq!((first.topic.as_str(), first.partition, first.offset), ("raw.orders.events", 4, 9_918_273));
        assert_eq!(first.trace_id.len(), 32);
    }

    #[test]
    fn filters_and_pages() {
        let view = fixture::view();
        let first = view.breaches[&fixture::orders()].earliest[0].id.timestamp();
        let request = v1::ListEvidenceRequest {
            dataset_urns: vec![fixture::ORDERS.into()],
            failure_signature: "MISSING_FIELD:customer_id".into(),
            page_size: 1,
            ..Default::default()
        };
        let page = list(&view, &request).unwrap();
        assert_eq!((page.total_size, page.evidence.len()), (2, 1));
        let next = v1::ListEvidenceRequest { page_token: page.next_page_token, ..request.clone() };
        assert_eq!(list(&view, &next).unwrap().next_page_token, "");
        let to = v1::ListEvidenceRequest { to: Some(timestamp(first)), ..request };
        assert_eq!(list(&view, &to).unwrap().total_size, 0);
        let unknown = v1::ListEvidenceRequest { incident_id: "INC-00000000".into(), ..Default::default() };
        assert!(matches!(list(&view, &unknown), Err(Refusal::NotFound { .. })));
    }
}
