//! Datasets of the catalog, and how they are doing.

use std::collections::BTreeSet;

use faultline_contracts::{
    catalog::{Catalog, DatasetEntry, GateState},
    policy::Rollout,
    signal::{HealthState, SignalKind},
};
use faultline_proto::v1;

use super::{
    Refusal, as_of, lets_through,
    page::{PageRequest, filters_of},
    rows,
    signals::states,
};
use crate::view::View;

/// Datasets by URN.
///
/// # Errors
/// A filter, the page's size or its token means nothing.
pub fn list(
    view: &View,
    catalog: &Catalog,
    request: &v1::ListDatasetsRequest,
) -> Result<v1::ListDatasetsResponse, Refusal> {
    let page = PageRequest::read(request.page_size, &request.page_token, &filters_of!(request, ListDatasetsRequest))?;
    let domains: BTreeSet<&str> = request.domains.iter().map(String::as_str).collect();
    let states = states(&request.states)?;
    let matching = catalog.datasets().iter().filter(|dataset| {
        lets_through(&domains, dataset.domain.as_deref().unwrap_or_default())
            && (request.min_tier == 0 || u32::from(dataset.tier) <= request.min_tier)
            && (states.is_empty() || signals(view, dataset).any(|signal| has_state(&states, signal.state)))
    });
    // The catalog's order is the answer's.
    let page = page.cut(matching.map(|dataset| (dataset.urn.as_str().to_owned(), dataset)).collect());
    Ok(v1::ListDatasetsResponse {
        datasets: page.rows.into_iter().map(|dataset| message(view, dataset)).collect(),
        next_page_token: page.next_page_token,
        total_size: page.total_size,
        as_of: Some(as_of(view)),
    })
}

/// One dataset.
///
/// # Errors
/// The catalog does not have it.
pub fn get(view: &View, catalog: &Catalog, request: &v1::GetDatasetRequest) -> Result<v1::GetDatasetResponse, Refusal> {
    if request.urn.is_empty() {
        return Err(Refusal::invalid("urn", "it is required: the URN of a dataset of the catalog"));
    }
    let dataset = catalog.dataset(&request.urn).ok_or_else(|| Refusal::not_found("dataset", &request.urn))?;
    Ok(v1::GetDatasetResponse { dataset: Some(message(view, dataset)), as_of: Some(as_of(view)) })
}

fn has_state(states: &BTreeSet<HealthState>, state: HealthState) -> bool {
    states.contains(&state)
}

fn signals<'a>(
    view: &'a View,
    dataset: &DatasetEntry,
) -> impl Iterator<Item = &'a faultline_contracts::signal::Signal> + use<'a> {
    // Kinds are few: each is looked up.
    let kinds = [SignalKind::ContractCompliance];
    let urn = dataset.urn.clone();
    kinds.into_iter().filter_map(move |kind| view.signals.get(&(urn.clone(), kind)))
}

fn message(view: &View, dataset: &DatasetEntry) -> v1::Dataset {
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
    let rollout = match dataset.rollout {
        Rollout::Off => v1::dataset::Rollout::Off,
        Rollout::Observe => v1::dataset::Rollout::Observe,
        Rollout::On => v1::dataset::Rollout::On,
    };
    let broken =
        [("schema", &dataset.schema, dataset.schema_state), ("contract", &dataset.contract, dataset.contract_state)];
    let broken = broken.into_iter().filter(|(_, _, state)| *state == GateState::Broken);
    v1::Dataset {
        urn: dataset.urn.to_string(),
        topics: dataset.topics.iter().map(ToString::to_string).collect(),
        producers: dataset.producers.iter().map(ToString::to_string).collect(),
        owner: text(&dataset.owner),
        tier: u32::from(dataset.tier),
        domain: text(&dataset.domain),
        schema: text(&dataset.schema),
        contract: text(&dataset.contract),
        compliance_slo: f64::from(dataset.slo_millionths) / 1_000_000.0,
        rollout: rollout.into(),
        signals: signals(view, dataset).map(rows::signal).collect(),
        problems: broken
            .map(|(what, id, _)| format!("{what} {} is missing, broken or of a format that is not judged", text(id)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::fixture;

    #[test]
    fn datasets_with_their_signals_and_problems() {
        let (view, catalog) = (fixture::view(), fixture::catalog());
        let all = list(&view, &catalog, &v1::ListDatasetsRequest::default()).unwrap();
        let urns: Vec<_> = all.datasets.iter().map(|dataset| dataset.urn.as_str()).collect();
        assert_eq!(urns, [fixture::ORDERS, fixture::PAYMENTS]);
        let orders = &all.datasets[0];
        assert_eq!((orders.tier, orders.compliance_slo, orders.topics[0].as_str()), (1, 0.95, "raw.orders.events"));
        assert_eq!(orders.signals[0].state(), v1::signal::State::Critical);
        assert!(orders.problems.is_empty());
        assert!(all.datasets[1].problems[0].contains("dc:nowhere:1"), "{:?}", all.datasets[1].problems);
    }

    #[test]
    fn filters() {
        let (view, catalog) = (fixture::view(), fixture::catalog());
        let count = |request| list(&view, &catalog, &request).unwrap().total_size;
        assert_eq!(count(v1::ListDatasetsRequest { domains: vec!["orders".into()], ..Default::default() }), 1);
        assert_eq!(count(v1::ListDatasetsRequest { min_tier: 1, ..Default::default() }), 1);
        let states = vec![v1::signal::State::Critical.into()];
        assert_eq!(count(v1::ListDatasetsRequest { states, ..Default::default() }), 1);
        let get = |urn: &str| get(&view, &catalog, &v1::GetDatasetRequest { urn: urn.into(), min_as_of: None });
        assert!(get(fixture::PAYMENTS).is_ok());
        assert!(matches!(get("urn:dp:nobody"), Err(Refusal::NotFound { .. })));
        assert!(matches!(get(""), Err(Refusal::Invalid { field: "urn", .. })));
    }
}
