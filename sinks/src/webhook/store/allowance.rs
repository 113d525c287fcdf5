//! How long the first attempt of a message may take.
//!
//! All messages of a call share its budget of time, and a receiver that is slow must not be taken for one that is away: one
//! that took a message in this call, and is hurried with the next, would be said to be out of order and, as it may have taken
//! that one too, hear it twice.

use std::time::Duration;

use crate::retry::RetrySettings;

/// How long a call goes on to begin messages.
pub(super) const LONGEST_CALL: Duration = Duration::from_secs(4);

/// How long the first attempt of a message may take in a call that has taken `spent`; `None` where the message has to wait
/// for the next call. Once the receiver was `called` it is a whole attempt or none. The first message of a call does not pay
/// for the time that the ledger took, lest it never be sent, as far as [`LONGEST_CALL`] allows.
pub(super) fn first_attempt(retry: RetrySettings, spent: Duration, called: bool) -> Option<Duration> {
    if called {
        return retry.attempt(spent).filter(|allowance| *allowance >= retry.attempt_timeout());
    }
    let longest = u64::try_from(LONGEST_CALL.as_millis()).unwrap_or(u64::MAX);
    let first = RetrySettings {
        attempt_timeout_ms: retry.attempt_timeout_ms.min(retry.total_timeout_ms),
        total_timeout_ms: retry.total_timeout_ms.max(longest),
        ..retry
    };
    first.attempt(spent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::webhook::WebhookSettings;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_receiver_that_was_called_gets_a_whole_attempt_or_none() {
        let retry = WebhookSettings::default().retry;
        let next = [0, 500, 501, 3_450, 9_000].map(|spent| first_attempt(retry, ms(spent), true));
        assert_eq!(next, [Some(ms(3_000)), Some(ms(3_000)), None, None, None]);
        let brief = RetrySettings { total_timeout_ms: 1_000, ..retry };
        assert_eq!(first_attempt(brief, ms(0), true), None, "a budget below an attempt is for one message");
    }

    #[test]
    fn the_first_message_of_a_call_does_not_pay_for_the_ledger() {
        let retry = WebhookSettings::default().retry;
        let first = [0, 1_000, 1_500, 3_900, 3_901, 9_000].map(|spent| first_attempt(retry, ms(spent), false));
        assert_eq!(first, [Some(ms(3_000)), Some(ms(3_000)), Some(ms(2_500)), Some(ms(100)), None, None]);
        let least = RetrySettings { attempt_timeout_ms: 1, total_timeout_ms: 1, ..retry };
        assert_eq!(first_attempt(least, ms(20), false), Some(ms(1)), "the shortest budget sends something");
        let brief = RetrySettings { total_timeout_ms: 1_000, ..retry };
        assert_eq!(first_attempt(brief, ms(0), false), Some(ms(1_000)));
    }

    proptest! {
        /// However long the ledger takes first, and the receiver for each message: one message can always be sent where there
        /// is time at all, those after it are not hurried, and the call ends in time.
        #[test]
        fn calls_end_in_time_and_hurry_nobody(
            attempt in 1_u64..6_000, total in 1_u64..6_000, ledger in 0_u64..3_900, shares in prop::collection::vec(0.0..=1.0_f64, 1..50)
        ) {
            let retry = RetrySettings { attempt_timeout_ms: attempt, total_timeout_ms: total, ..RetrySettings::default() };
            let (mut spent, mut sent) = (ms(ledger), 0);
            for share in &shares {
                let Some(allowance) = first_attempt(retry, spent, sent > 0) else { break };
                prop_assert!(sent == 0 || allowance == ms(attempt), "{allowance:?}");
                spent += allowance.mul_f64(*share);
                sent += 1;
            }
            prop_assert!(sent > 0);
            prop_assert!(spent <= LONGEST_CALL.max(ms(total)), "{spent:?}");
        }
    }
}
