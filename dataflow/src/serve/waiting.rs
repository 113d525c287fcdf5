//! Waiting for the view to have what a call asks for (`min_as_of`).

use std::time::Duration;

use faultline_proto::v1::MinAsOf;
use tonic::{Status, metadata::MetadataMap};

use super::errors::{not_reached, refused};
use crate::{
    answers::{Refusal, covers, unknown_partition},
    view::SharedView,
};

/// The most partitions that a call may ask for.
const MAX_OFFSETS: usize = 10_000;

/// How long a call may wait: a little less than its `grpc-timeout`, so that the answer says what was waited for; else
/// `otherwise`.
pub(super) fn patience(metadata: &MetadataMap, otherwise: Duration) -> Duration {
    let Some(timeout) = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(timeout) else {
        return otherwise;
    };
    timeout.saturating_sub((timeout / 10).min(Duration::from_millis(100)))
}

/// `TimeoutValue TimeoutUnit` of gRPC over HTTP/2: at most 8 digits and one of `H M S m u n`.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3_600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Waits until the view has all that is asked for. A partition that nothing is known of is waited for too, because a new
/// topic is found a while after its first record.
///
/// # Errors
/// DEADLINE_EXCEEDED where it does not in time, NOT_FOUND where a partition is still unknown then.
pub(super) async fn reached(view: &SharedView, min: Option<&MinAsOf>, patience: Duration) -> Result<(), Status> {
    let Some(min) = min else { return Ok(()) };
    if min.offsets.len() > MAX_OFFSETS {
        return Err(refused(Refusal::invalid("min_as_of.offsets", format!("more than {MAX_OFFSETS} partitions"))));
    }
    let mut closed = view.closed();
    let waiting = async {
        loop {
            // Seen before the view is read, so that an epoch that closes meanwhile is not missed.
            closed.mark_unchanged();
            if covers(&view.read(), min) || closed.changed().await.is_err() {
                break;
            }
        }
    };
    if tokio::time::timeout(patience, waiting).await.is_ok() {
        return Ok(());
    }
    let view = view.read();
    Err(match unknown_partition(&view, min) {
        Some(at) => refused(Refusal::not_found("partition", &format!("{} [{}]", at.topic, at.partition))),
        None => not_reached(view.epoch),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_as_grpc_writes_them() {
        assert_eq!(timeout("2S"), Some(Duration::from_secs(2)));
        assert_eq!(timeout("99999999H").map(|long| long.as_secs()), Some(99_999_999 * 3_600));
        for odd in ["", "S", "1", "123456789m", "-1S", "+1S", "1é", "1s"] {
            assert_eq!(timeout(odd), None, "{odd}");
        }
        let mut metadata = MetadataMap::new();
        assert_eq!(patience(&metadata, Duration::from_secs(10)), Duration::from_secs(10));
        metadata.insert("grpc-timeout", tonic::metadata::MetadataValue::from_static("500m"));
        assert_eq!(patience(&metadata, Duration::from_secs(10)), Duration::from_millis(450));
    }
}
