//! Errors as `google.rpc.Status`, with `ErrorInfo` and, for a bad field, `BadRequest`.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::answers::Refusal;

/// `ErrorInfo.domain`
const DOMAIN: &str = "faultline";

fn info(reason: &str, metadata: &[(&str, &str)]) -> ErrorDetails {
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

/// `min_as_of` was not reached in time.
pub(super) fn not_reached(epoch: u64) -> Status {
    let message = format!("min_as_of was not reached in time; the epoch is {epoch}");
    let details = info("MIN_AS_OF_NOT_REACHED", &[("epoch", &epoch.to_string())]);
    Status::with_error_details(Code::DeadlineExceeded, message, details)
}

/// The watchers are as many as they may be.
pub(super) fn too_many_watchers(limit: usize) -> Status {
    let message = format!("{limit} streams are open; close some, or ask again later");
    Status::with_error_details(Code::ResourceExhausted, message, info("TOO_MANY_WATCHERS", &[]))
}

/// The service ends.
pub(super) fn stopping() -> Status {
    Status::with_error_details(Code::Unavailable, "the service is stopping", info("STOPPING", &[]))
}

/// A question that has no answer.
pub(super) fn refused(refusal: Refusal) -> Status {
    let message = refusal.to_string();
    match refusal {
        Refusal::Invalid { field, description } => {
            let mut details = info("INVALID_FIELD", &[("field", field)]);
            details.add_bad_request_violation(field, description);
            Status::with_error_details(Code::InvalidArgument, message, details)
        }
        Refusal::NotFound { what, name } => {
            Status::with_error_details(Code::NotFound, message, info("NOT_FOUND", &[("kind", what), ("name", &name)]))
        }
    }
}
