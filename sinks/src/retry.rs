//! When to try again: the one discipline of all stores behind a network.
//!
//! Pauses grow exponentially and are drawn evenly between nothing and their limit (*full jitter*), so that many who
//! failed together do not come back together. One call has a budget of time for all its attempts and pauses, so that its
//! caller hears of a failure within seconds; what is left then is the caller's to bring again, behind newer values.
//!
//! Everything here is a function of its arguments: no clock, no sleep, and the dice are the caller's.
//!
//! ```
//! use std::time::Duration;
//! use faultline_sinks::retry::{Jitter, RetrySettings};
//!
//! let retry = RetrySettings::default();
//! let (mut dice, mut spent, mut failures) = (Jitter::seeded(7), Duration::ZERO, 0);
//! while let Some(allowance) = retry.attempt(spent) {
//!     assert!(allowance <= Duration::from_millis(retry.attempt_timeout_ms));
//!     spent += allowance; // the server does not answer
//!     failures += 1;
//!     let Some(pause) = retry.again(failures, spent, Duration::ZERO, &mut dice) else { break };
//!     spent += pause;
//! }
//! assert!(failures > 1 && spent <= Duration::from_millis(retry.total_timeout_ms));
//! ```

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;

/// The shortest time that an attempt is worth: with less left of the budget there is none.
const LEAST_ATTEMPT: Duration = Duration::from_millis(100);

/// How a store that does not answer, or asks for less, is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySettings {
    /// The longest pause after the first failure, in milliseconds. It doubles with each further one; the pause itself is
    /// drawn evenly between nothing and it.
    pub first_pause_ms: u64,
    /// What the longest pause grows to, in milliseconds.
    pub longest_pause_ms: u64,
    /// How long one attempt may take, in milliseconds.
    pub attempt_timeout_ms: u64,
    /// How long all attempts and pauses of one call may take together, in milliseconds. Beyond 4,000 an outage may be
    /// reported later than after 5 s.
    pub total_timeout_ms: u64,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { first_pause_ms: 50, longest_pause_ms: 1_000, attempt_timeout_ms: 1_500, total_timeout_ms: 3_500 }
    }
}

impl RetrySettings {
    /// How long one attempt may take, where the call has that much time left.
    #[must_use]
    pub fn attempt_timeout(&self) -> Duration {
        Duration::from_millis(self.attempt_timeout_ms)
    }

    /// How long the next attempt of a call may take that has taken `spent` so far; `None` where too little is left of its
    /// budget.
    #[must_use]
    pub fn attempt(&self, spent: Duration) -> Option<Duration> {
        let left = Duration::from_millis(self.total_timeout_ms).saturating_sub(spent);
        let whole = self.attempt_timeout();
        (left >= whole.min(LEAST_ATTEMPT) && !left.is_zero()).then(|| left.min(whole))
    }

    /// How long to pause after so many failures in a row. Also for whoever waits between calls.
    #[must_use]
    pub fn pause(&self, failures: u32, dice: &mut Jitter) -> Duration {
        let doublings = failures.saturating_sub(1).min(63);
        let longest = self.first_pause_ms.saturating_mul(1 << doublings).min(self.longest_pause_ms);
        dice.up_to(Duration::from_millis(longest))
    }

    /// How long to pause before the next attempt of a call that has failed so often and taken `spent`; `None` where its
    /// budget does not hold another, so that to wait for it would be in vain. The pause is no shorter than `asked`, which
    /// is what the server asked for (`Retry-After`), if it did.
    #[must_use]
    pub fn again(&self, failures: u32, spent: Duration, asked: Duration, dice: &mut Jitter) -> Option<Duration> {
        let pause = self.pause(failures, dice).max(asked);
        self.attempt(spent.saturating_add(pause)).map(|_| pause)
    }
}

/// Dice (SplitMix64). Good enough to keep clients apart, and nothing else.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// Dice that fall differently in each process.
    #[must_use]
    pub fn new() -> Self {
        // The standard library seeds its hash maps from the operating system.
        Self(RandomState::new().hash_one(std::process::id()))
    }

    /// Dice that fall the same for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// An even draw between nothing and `longest`.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        // 53 bits, as many as a double holds: a share in 0..1.
        longest.mul_f64((self.next() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl Default for Jitter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn longest_pauses_double_up_to_their_bound() {
        let retry = RetrySettings { first_pause_ms: 50, longest_pause_ms: 1_000, ..RetrySettings::default() };
        let mut dice = Jitter::seeded(1);
        for (failures, bound) in [(0, 50), (1, 50), (2, 100), (3, 200), (5, 800), (6, 1_000), (u32::MAX, 1_000)] {
            let drawn: Vec<_> = (0..1_000).map(|_| retry.pause(failures, &mut dice)).collect();
            let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
            assert!(*most <= ms(bound) && *most > ms(bound * 9 / 10), "{failures} failures: up to {most:?}");
            assert!(*least < ms(bound / 10), "{failures} failures: from {least:?} on");
        }
    }

    #[test]
    fn dice_fall_the_same_for_a_seed_and_differently_without() {
        let draws = |mut dice: Jitter| [(); 8].map(|()| dice.up_to(ms(1_000)));
        assert_eq!(draws(Jitter::seeded(3)), draws(Jitter::seeded(3)));
        assert_ne!(draws(Jitter::seeded(3)), draws(Jitter::seeded(4)));
        assert_ne!(draws(Jitter::new()), draws(Jitter::new()));
    }

    #[test]
    fn an_attempt_takes_what_is_left_and_none_is_made_for_nothing() {
        let retry = RetrySettings { attempt_timeout_ms: 1_500, total_timeout_ms: 4_000, ..RetrySettings::default() };
        let attempts = [0, 2_500, 3_000, 3_900, 3_901, 9_000].map(|spent| retry.attempt(ms(spent)));
        assert_eq!(attempts, [Some(ms(1_500)), Some(ms(1_500)), Some(ms(1_000)), Some(ms(100)), None, None]);
        let brief = RetrySettings { attempt_timeout_ms: 20, ..retry };
        assert_eq!(brief.attempt(ms(3_980)), Some(ms(20)));
        assert_eq!(RetrySettings { total_timeout_ms: 0, attempt_timeout_ms: 0, ..retry }.attempt(ms(0)), None);
    }

    #[test]
    fn the_server_may_ask_for_a_longer_pause_and_for_one_beyond_the_budget() {
        let (retry, mut dice) = (RetrySettings::default(), Jitter::seeded(5));
        assert_eq!(retry.again(1, ms(0), ms(2_000), &mut dice), Some(ms(2_000)));
        assert_eq!(retry.again(1, ms(0), ms(60_000), &mut dice), None);
    }

    proptest! {
        /// Whatever the settings: attempts that take all their time and the pauses between them end within the budget.
        #[test]
        fn a_call_ends_within_its_budget(
            (first, longest, attempt, total, seed) in (0_u64..5_000, 0_u64..5_000, 1_u64..5_000, 0_u64..10_000, any::<u64>())
        ) {
            let retry = RetrySettings {
                first_pause_ms: first, longest_pause_ms: longest, attempt_timeout_ms: attempt, total_timeout_ms: total,
            };
            let (mut dice, mut spent, mut failures) = (Jitter::seeded(seed), Duration::ZERO, 0);
            while let Some(allowance) = retry.attempt(spent) {
                prop_assert!(allowance <= ms(attempt) && !allowance.is_zero());
                spent += allowance;
                failures += 1;
                let Some(pause) = retry.again(failures, spent, Duration::ZERO, &mut dice) else { break };
                prop_assert!(pause <= ms(longest));
                spent += pause;
            }
            prop_assert!(spent <= ms(total));
            prop_assert!(failures > 0 || total < attempt.min(100) || total == 0);
        }
    }
}
