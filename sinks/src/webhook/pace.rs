//! How often a receiver is called.

use std::time::Duration;

/// Lets through so many messages a minute, a minute's worth of them at once (the generic cell rate algorithm). Its time is
/// the caller's: any that does not go back.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    /// When the minute's worth is whole again.
    full_at: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Pace {
    /// At most `per_minute`, which is at least 1.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self { interval: MINUTE / per_minute.max(1), full_at: Duration::ZERO }
    }

    /// Takes leave for one message at `now`; whether there was one left.
    pub fn take(&mut self, now: Duration) -> bool {
        let next = self.full_at.max(now) + self.interval;
        // Rounding of the interval must not cost the last of a minute.
        let allowed = next <= now + MINUTE + Duration::from_micros(1);
        if allowed {
            self.full_at = next;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minutes_worth_at_once_and_then_one_by_one() {
        let mut pace = Pace::new(3);
        let at = Duration::from_secs;
        assert_eq!(
            [0, 0, 0, 0, 19, 20, 20, 40].map(|now| pace.take(at(now))),
            [true, true, true, false, false, true, false, true]
        );
        assert_eq!([200; 4].map(|now| pace.take(at(now))), [true, true, true, false]);
    }

    proptest! {
        /// In any time there are no more than a minute's worth and what that time allows; and someone who waits is let through.
        #[test]
        fn never_more_than_allowed(per_minute in 1_u32..200, gaps in prop::collection::vec(0_u64..5_000, 1..200)) {
            let (mut pace, mut now, mut let_through) = (Pace::new(per_minute), Duration::from_secs(7), Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if pace.take(now) {
                    let_through.push(now);
                }
            }
            for (from, begin) in let_through.iter().enumerate() {
                for (more, end) in let_through[from..].iter().enumerate() {
                    let allowed = f64::from(per_minute) * (1.0 + (*end - *begin).as_secs_f64() / 60.0);
                    prop_assert!(more as f64 <= allowed + 1e-3);
                }
            }
            prop_assert!(pace.take(now + MINUTE + MINUTE));
        }
    }
}
