//! Lists of compliance windows.

use std::collections::BTreeSet;

use faultline_contracts::{
    ids::EntityId,
    time::UnixMillis,
    window::{ComplianceWindow, WindowStatus},
};
use faultline_proto::v1;

use super::{
    Refusal, as_of, instant, lets_through,
    page::{PageRequest, filters_of},
    rows,
};
use crate::view::View;

/// Compliance windows by dataset, then start.
///
/// # Errors
/// A filter, the page's size or its token means nothing.
pub fn list(
    view: &View,
    request: &v1::ListComplianceWindowsRequest,
) -> Result<v1::ListComplianceWindowsResponse, Refusal> {
    let filters = filters_of!(request, ListComplianceWindowsRequest);
    let page = PageRequest::<(EntityId, i64)>::read(request.page_size, &request.page_token, &filters)?;
    let datasets: BTreeSet<&str> = request.dataset_urns.iter().map(String::as_str).collect();
    let from = instant("from", request.from.as_ref())?;
    let to = instant("to", request.to.as_ref())?;
    let status = match v1::compliance_window::Status::try_from(request.status) {
        Ok(v1::compliance_window::Status::Unspecified) => None,
        Ok(v1::compliance_window::Status::Provisional) => Some(WindowStatus::Provisional),
        Ok(v1::compliance_window::Status::Final) => Some(WindowStatus::Final),
        Err(_) => return Err(Refusal::invalid("status", "it is PROVISIONAL, FINAL or unspecified")),
    };
    let matching = view.windows.values().filter(|window| {
        lets_through(&datasets, window.key.dataset.as_str())
            && overlaps(window, from, to)
            && status.is_none_or(|status| window.status == status)
    });
    // The view's order is the answer's.
    let page = page.cut(matching.map(|window| ((window.key.dataset.clone(), window.key.start.0), window)).collect());
    Ok(v1::ListComplianceWindowsResponse {
        windows: page.rows.into_iter().map(rows::window).collect(),
        next_page_token: page.next_page_token,
        total_size: page.total_size,
        as_of: Some(as_of(view)),
    })
}

/// Whether a window ends after `from` and starts before `to`.
pub(super) fn overlaps(window: &ComplianceWindow, from: Option<UnixMillis>, to: Option<UnixMillis>) -> bool {
    from.is_none_or(|from| window.end > from) && to.is_none_or(|to| window.key.start < to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{fixture, timestamp};

    #[test]
    fn windows_of_a_time_and_status() {
        let view = fixture::view();
        let all = list(&view, &v1::ListComplianceWindowsRequest::default()).unwrap();
        assert_eq!(all.total_size, 2);
        let failing = &all.windows[1];
        assert_eq!(
            (failing.pass, failing.fail, failing.by_signature["MISSING_FIELD:customer_id"]),
            (127, 1_120, 1_120)
        );
        let start = failing.window_start;
        let count = |request| list(&view, &request).map(|answer| answer.total_size);
        assert_eq!(count(v1::ListComplianceWindowsRequest { from: start, ..Default::default() }), Ok(1));
        assert_eq!(count(v1::ListComplianceWindowsRequest { to: start, ..Default::default() }), Ok(1));
        let provisional = v1::compliance_window::Status::Provisional.into();
        assert_eq!(count(v1::ListComplianceWindowsRequest { status: provisional, ..Default::default() }), Ok(1));
        assert!(count(v1::ListComplianceWindowsRequest { status: 9, ..Default::default() }).is_err());
        let later = Some(timestamp(UnixMillis(i64::MAX)));
        assert_eq!(count(v1::ListComplianceWindowsRequest { from: later, ..Default::default() }), Ok(0));
    }
}
