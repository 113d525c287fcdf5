//! Lists of signals.

use std::collections::BTreeSet;

use faultline_contracts::signal::HealthState;
use faultline_proto::v1;

use super::{
    Refusal, as_of, choices, lets_through,
    page::{PageRequest, filters_of},
    rows,
};
use crate::view::View;

/// The states that a filter names.
///
/// # Errors
/// One is none.
pub(super) fn states(states: &[i32]) -> Result<BTreeSet<HealthState>, Refusal> {
    choices("states", states, |state| match state {
        v1::signal::State::Unspecified => None,
        v1::signal::State::Ok => Some(HealthState::Ok),
        v1::signal::State::Warning => Some(HealthState::Warning),
        v1::signal::State::Critical => Some(HealthState::Critical),
        v1::signal::State::Unknown => Some(HealthState::Unknown),
    })
}

/// Signals by dataset, then kind.
///
/// # Errors
/// A filter, the page's size or its token means nothing.
pub fn list(view: &View, request: &v1::ListSignalsRequest) -> Result<v1::ListSignalsResponse, Refusal> {
    let page = PageRequest::read(request.page_size, &request.page_token, &filters_of!(request, ListSignalsRequest))?;
    let datasets: BTreeSet<&str> = request.dataset_urns.iter().map(String::as_str).collect();
    let kinds: BTreeSet<&str> = request.kinds.iter().map(String::as_str).collect();
    let states = states(&request.states)?;
    let matching = view.signals.values().filter(|signal| {
        lets_through(&datasets, signal.dataset.as_str())
            && lets_through(&kinds, signal.kind.as_str())
            && lets_through(&states, &signal.state)
    });
    let mut matching: Vec<_> = matching
        .map(|signal| ((signal.dataset.as_str().to_owned(), signal.kind.as_str().to_owned()), signal))
        .collect();
    matching.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let page = page.cut(matching);
    Ok(v1::ListSignalsResponse {
        signals: page.rows.into_iter().map(rows::signal).collect(),
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
    fn the_seeds_signal() {
        let view = fixture::view();
        let request = v1::ListSignalsRequest {
            states: vec![v1::signal::State::Critical.into()],
            kinds: vec!["contract_compliance".into()],
            ..Default::default()
        };
        let answer = list(&view, &request).unwrap();
        assert_eq!((answer.total_size, answer.signals[0].score), (1, Some(0.102)));
        assert_eq!(answer.signals[0].failure_signature, "MISSING_FIELD:customer_id");
        let none = v1::ListSignalsRequest { kinds: vec!["volume".into()], ..Default::default() };
        assert_eq!(list(&view, &none).unwrap().total_size, 0);
    }
}
